"""Extra training clips: a network is trained on them with the data set's own clips, and never judged by them.

`earshot.sources.extra_clips` synthesises them; those of the data set's own clips that are background are the others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from earshot.clips.cache import INDEX, LOGMEL
from earshot.clips.parts import Parts
from earshot.clips.table import DatasetError
from earshot.core.labels import BACKGROUND
from earshot.core.params import ParamsError

EXTRA_CLIPS = Path("data/extra_clips")

Use = Literal["auto", "always", "never"]
"""Of ``train.extra_clips``."""


def most_background(clips: int) -> int:
    """How many background clips are trained on, at most, with so many clips of classes, synthesised ones included.

    More would outnumber a small set.
    """
    return round(clips / 4)


def are_wanted(use: object) -> bool:
    """Whether the value of ``train.extra_clips`` lets networks train on extra clips; ParamsError for no such value."""
    if use not in get_args(Use):
        raise ParamsError(f"train.extra_clips must be one of {', '.join(get_args(Use))}, not {use!r}")
    return use != "never"


def open_extra_clips(classes: Sequence[str], directory: Path = EXTRA_CLIPS) -> tuple[np.ndarray, np.ndarray] | None:
    """Features, float16 (clips, n_mels, frames) in decibels, and class numbers (clips,); None where there are none.

    The number of background clips is the one after the last class's.

    Raises:
        DatasetError: the stage that makes them did not run.
    """
    if not directory.is_dir():
        raise DatasetError(f"{directory} not found: run `dvc repro extra_clips`, which makes it")
    if not (directory / LOGMEL).exists():
        return None
    labels = pd.read_csv(directory / INDEX, usecols=["label"], dtype=str)["label"]
    numbers = {label: number for number, label in enumerate([*classes, BACKGROUND])}
    return np.load(directory / LOGMEL), np.array([numbers[label] for label in labels], np.int64)


def extra_clips_of(parts: Parts, directory: Path = EXTRA_CLIPS) -> tuple[np.ndarray, np.ndarray] | None:
    """What `open_extra_clips` gives for the classes of `parts`, and the clips of its part `background`."""
    made, own = open_extra_clips(parts.classes, directory), parts.part("background")
    if not len(own.labels):
        return made
    if made is None:
        return own.features, own.labels
    return np.concatenate([own.features, made[0]]), np.concatenate([own.labels, made[1]])
