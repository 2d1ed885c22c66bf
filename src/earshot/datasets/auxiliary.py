"""Synthesised clips that a network is trained on beside a data set's own: `earshot.datasets.synthetic.auxiliary`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from earshot.datasets.cache import INDEX, LOGMEL
from earshot.datasets.table import DatasetError

AUXILIARY = Path("data/auxiliary")


def open_auxiliary(classes: Sequence[str], directory: Path = AUXILIARY) -> tuple[np.ndarray, np.ndarray] | None:
    """Features, float16 (clips, n_mels, frames) in decibels, and class numbers (clips,); None where there are none.

    Raises:
        DatasetError: the stage that makes them did not run.
    """
    if not directory.is_dir():
        raise DatasetError(f"{directory} not found: run `dvc repro auxiliary`, which makes it")
    if not (directory / LOGMEL).exists():
        return None
    labels = pd.read_csv(directory / INDEX, usecols=["label"], dtype=str)["label"]
    return np.load(directory / LOGMEL), np.array([classes.index(label) for label in labels], np.int64)
