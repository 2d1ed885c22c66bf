"""The cached clips, divided into the parts that train, validate and test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from earshot.clips.cache import open_cache
from earshot.clips.split import SplitParams, assign, describe, inner_folds


@dataclass(frozen=True)
class Part:
    """Clips of one part.

    Attributes:
        features: float16 (clips, n_mels, frames), in decibels.
        labels: (clips,) int, numbers into the classes; the one after the last class's in parts `unknown` and
            `background`.
        clips: the table's rows, in the same order.
    """

    features: np.ndarray
    labels: np.ndarray
    clips: pd.DataFrame


@dataclass(frozen=True)
class Validation:
    """Clips to train on, clips that judge what was trained, and the number of the inner fold, or None."""

    train: Part
    held: Part
    inner_fold: int | None = None


@dataclass(frozen=True)
class Parts:
    """All clips and their division.

    Attributes:
        classes: names of the classes to be learnt, sorted; a clip's label is its class's position.
        clips: the whole table.
        assignment: (clips,) str, the part of each.
        split: the division in words and numbers, for metrics and lineage.
        inner: (clips,) int, the inner fold that holds out each training clip, where no clip's part is `val`; 0 for the
            others. None where some are.
    """

    classes: tuple[str, ...]
    clips: pd.DataFrame
    assignment: np.ndarray
    split: dict[str, Any]
    _features: np.ndarray
    inner: np.ndarray | None = None

    def part(self, name: Literal["train", "val", "test", "unknown", "background"]) -> Part:
        """The clips of one part, their features read into memory."""
        return self._rows(self.assignment == name)

    @property
    def validations(self) -> "list[Validation]":
        """What to choose by: the val part against the train part, or each inner fold against the other ones."""
        if self.inner is None:
            return [Validation(self.part("train"), self.part("val"))]
        train = self.assignment == "train"
        folds = sorted(set(self.inner[self.inner > 0].tolist()))
        held = [(fold, self.inner == fold) for fold in folds]
        return [Validation(self._rows(train & (self.inner != fold)), self._rows(rows), fold) for fold, rows in held]

    def _rows(self, chosen: np.ndarray) -> Part:
        rows = np.flatnonzero(chosen)
        clips = self.clips.iloc[rows].reset_index(drop=True)
        numbers = {label: number for number, label in enumerate(self.classes)}
        labels = np.array([numbers.get(label, len(numbers)) for label in clips["label"]], np.int64)
        return Part(np.ascontiguousarray(self._features[rows]), labels, clips)


def load_parts(params: SplitParams, seed: int, directory: str | Path = "data/features") -> Parts:
    """Open the feature cache and divide it.

    Raises:
        DatasetError: as `earshot.clips.split.assign`, and where the cache is missing.
    """
    features, clips = open_cache(Path(directory))
    assignment = assign(clips, params, seed)
    classes = tuple(sorted(set(clips["label"][np.isin(assignment, ("train", "val", "test"))])))
    inner = None if (assignment == "val").any() else inner_folds(clips, assignment, seed)
    return Parts(classes, clips, assignment, describe(clips, assignment, params, inner), features, inner)
