"""Synthesised clips of a real data set's classes, where the embedded set has all of them, to be heard beside its own.

A few hundred recordings do not teach a network what all drills have in common. Those that are synthesised from physics
come from as many sources, rooms and microphones as one likes, and no recording of anybody's is among them. They are
trained on and nothing else: every figure is of the data set's own clips.

Where the embedded set has only some of the classes there are none: what sounds synthesised would tell these from the
rest.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from earshot.datasets import synthetic, urbansound8k
from earshot.datasets.extract import build
from earshot.datasets.synthetic.plan import CLASSES
from earshot.features import FrontEndParams
from earshot.files import STATE_DIR, atomic_directory

WORK = STATE_DIR / "auxiliary"


def make(
    labels: Collection[str], front_end: FrontEndParams, seed: int, target: Path, every: int = 1, work: Path = WORK
) -> int:
    """Write the directory `target`: the feature cache of the embedded set's clips of `labels`; empty if it lacks any.

    Args:
        labels: names of classes.
        front_end: as for the data set.
        seed: of the embedded set.
        target: replaced in one piece.
        every: one in so many of its recordings is synthesised.
        work: where the sounds lie meanwhile.

    Returns:
        How many clips there are.
    """
    if not labels or not set(labels) <= set(CLASSES):
        with atomic_directory(target):
            return 0
    recordings = [recording for recording in synthetic.draw(seed) if recording.label in labels][::every]
    shutil.rmtree(work, ignore_errors=True)  # of a killed run
    work.mkdir(parents=True)
    try:
        synthetic.prepare(work, seed, recordings=recordings)
        return len(build(urbansound8k.index(work).clips, work, front_end, target))
    finally:
        shutil.rmtree(work)
