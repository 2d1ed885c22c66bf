"""Synthesised clips for training only, with the data set's own. No figure is measured on them.

There are always clips of background sounds: a network trained on its classes alone takes every sound for one of them.

There are clips of the data set's classes where the embedded set has all of them and is not the data set itself. A few
hundred recordings do not show what all drills have in common; synthesised ones come from any number of sources, rooms
and microphones. Where the embedded set has only some of the classes there are none: a network would tell these from the
rest by the sound of the synthesis.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from earshot.clips.extract import build
from earshot.core.files import STATE_DIR, atomic_directory
from earshot.core.front_end import FrontEndParams
from earshot.core.labels import BACKGROUND
from earshot.sources import synthetic, urbansound8k
from earshot.sources.synthetic.plan import BACKGROUND as FAMILIES
from earshot.sources.synthetic.plan import CLASSES

WORK = STATE_DIR / "extra_clips"


def make(
    labels: Collection[str],
    front_end: FrontEndParams,
    seed: int,
    target: Path,
    every: int = 1,
    background: Callable[[int], int] | None = None,
    work: Path = WORK,
) -> dict[str, int]:
    """Write the directory `target`: the feature cache of background sounds, labelled `BACKGROUND`, and of `labels`.

    Args:
        labels: names of classes; where the embedded set lacks one there are clips of none of them.
        front_end: as for the data set.
        seed: of the embedded set.
        target: replaced in one piece.
        every: one in so many of the recordings is synthesised.
        background: for a number of clips of `labels` synthesised, how many background clips are enough: about so many
            are made, in whole recordings spread over all families. None: all there are.
        work: where the sounds lie meanwhile.

    Returns:
        How many clips there are of each label.
    """
    if not set(labels) <= set(CLASSES):
        labels = ()
    recordings = [recording for recording in synthetic.draw(seed) if recording.label in labels]
    others = synthetic.draw_background(seed)
    if background is not None:
        enough = background(sum(len(recording.slices) for recording in recordings))
        others = others[:: max(1, sum(len(other.slices) for other in others) // max(1, enough))]
    recordings = [*recordings, *others][::every]
    shutil.rmtree(work, ignore_errors=True)  # of a killed run
    work.mkdir(parents=True)
    try:
        synthetic.prepare(work, seed, recordings=recordings)
        clips = urbansound8k.index(work).clips
        clips["label"] = clips["label"].where(~clips["label"].isin(list(FAMILIES)), BACKGROUND)
        build(clips, work, front_end, target)
    finally:
        shutil.rmtree(work)
    return dict(sorted(Counter(clips["label"].tolist()).items()))


def make_empty(target: Path) -> None:
    """Write the directory `target` without any clip."""
    with atomic_directory(target):
        pass
