"""The cached clips, divided into the parts that train, validate and test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from earshot.datasets.cache import open_cache
from earshot.datasets.split import SplitParams, assign, describe


@dataclass(frozen=True)
class Part:
    """Clips of one part.

    Attributes:
        features: float16 (clips, n_mels, frames), in decibels.
        labels: (clips,) int, numbers into the classes.
        clips: the table's rows, in the same order.
    """

    features: np.ndarray
    labels: np.ndarray
    clips: pd.DataFrame


@dataclass(frozen=True)
class Parts:
    """All clips and their division.

    Attributes:
        classes: class names in sorted order; a clip's label is its class's position.
        clips: the whole table.
        assignment: (clips,) str, the part of each.
        split: the division in words and numbers, for metrics and lineage.
    """

    classes: tuple[str, ...]
    clips: pd.DataFrame
    assignment: np.ndarray
    split: dict[str, Any]
    _features: np.ndarray

    def part(self, name: Literal["train", "val", "test"]) -> Part:
        """The clips of one part, their features read into memory."""
        rows = np.flatnonzero(self.assignment == name)
        clips = self.clips.iloc[rows].reset_index(drop=True)
        labels = np.array([self.classes.index(label) for label in clips["label"]], np.int64)
        return Part(np.ascontiguousarray(self._features[rows]), labels, clips)


def load_parts(params: SplitParams, seed: int, directory: str | Path = "data/features") -> Parts:
    """Open the feature cache and divide it.

    Raises:
        DatasetError: as `earshot.datasets.split.assign`, and where the cache is missing.
    """
    features, clips = open_cache(Path(directory))
    assignment = assign(clips, params, seed)
    classes = tuple(sorted(set(clips["label"])))
    return Parts(classes, clips, assignment, describe(clips, assignment, params), features)
