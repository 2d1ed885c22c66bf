"""Synthesised clips that a network is trained on beside a data set's own: `earshot.sources.extra_clips`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from earshot.clips.cache import INDEX, LOGMEL
from earshot.clips.table import DatasetError
from earshot.model.scores import UNKNOWN

AUXILIARY = Path("data/auxiliary")


def open_auxiliary(classes: Sequence[str], directory: Path = AUXILIARY) -> tuple[np.ndarray, np.ndarray] | None:
    """Features, float16 (clips, n_mels, frames) in decibels, and class numbers (clips,); None where there are none.

    The number of unrelated sounds is the one after the last class's.

    Raises:
        DatasetError: the stage that makes them did not run.
    """
    if not directory.is_dir():
        raise DatasetError(f"{directory} not found: run `dvc repro auxiliary`, which makes it")
    if not (directory / LOGMEL).exists():
        return None
    labels = pd.read_csv(directory / INDEX, usecols=["label"], dtype=str)["label"]
    numbers = {label: number for number, label in enumerate([*classes, UNKNOWN])}
    return np.load(directory / LOGMEL), np.array([numbers[label] for label in labels], np.int64)
