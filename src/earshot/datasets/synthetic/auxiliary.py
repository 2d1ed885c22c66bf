"""Synthesised clips of the classes that a real data set shares with the embedded one, to be heard beside its own.

A few hundred recordings do not teach a network what all drills have in common. Those that are synthesised from physics
come from as many sources, rooms and microphones as one likes, and no recording of anybody's is among them. They are
trained on and nothing else: every figure is of the data set's own clips.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

from earshot.datasets import synthetic, urbansound8k
from earshot.datasets.extract import build
from earshot.features import FrontEndParams
from earshot.files import STATE_DIR, atomic_directory

WORK = STATE_DIR / "auxiliary"


def make(
    labels: Collection[str], front_end: FrontEndParams, seed: int, target: Path, every: int = 1, work: Path = WORK
) -> int:
    """Write the directory `target`: the feature cache of the embedded set's clips of `labels`; empty if it has none.

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
    recordings = [recording for recording in synthetic.draw(seed) if recording.label in labels][::every]
    if not recordings:
        with atomic_directory(target):
            return 0
    shutil.rmtree(work, ignore_errors=True)  # of a killed run
    work.mkdir(parents=True)
    try:
        synthetic.prepare(work, seed, recordings=recordings)
        return len(build(urbansound8k.index(work).clips, work, front_end, target))
    finally:
        shutil.rmtree(work)
