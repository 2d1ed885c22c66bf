"""For each class, the probability to act on: chosen on validation, checked on test.

A class is acted on where its calibrated probability reaches its threshold, whatever the other classes' are. Two
thresholds are given: the lowest with the wanted precision, and the highest with the wanted recall.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from earshot.evaluation.answers import Answers
from earshot.evaluation.report import rounded

Wanted = Literal["precision", "recall"]

MIN_RECORDINGS = 8  # with fewer, a class's own threshold says little, and is drawn toward the one for all classes
COLUMNS = [
    "class",
    "wanted",
    "value",
    "threshold",
    "note",
    "val_recordings",
    "val_precision",
    "val_recall",
    "test_precision",
    "test_recall",
    "test_clips",
]


@dataclass(frozen=True)
class Curve:
    """Precision and recall of "the score reaches the threshold", at every score that occurs, from the lowest up."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def curve(scores: np.ndarray, positive: np.ndarray) -> Curve:
    """The precision-recall curve of `scores` (n,) for `positive` (n,) bool; at least one must be positive."""
    order = np.argsort(-scores, kind="stable")
    hits, shown = np.cumsum(positive[order]), np.arange(1, len(scores) + 1)
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))[::-1]  # equal scores pass together
    return Curve(scores[order][last], (hits / shown)[last], (hits / positive.sum())[last])


def curves(answers: Answers, classes: tuple[str, ...]) -> dict[str, Curve | None]:
    """The curve of each class; None for one without clips."""
    probabilities = answers.probabilities
    return {
        name: curve(probabilities[:, number], answers.labels == number) if (answers.labels == number).any() else None
        for number, name in enumerate(classes)
    }


def choose(of_class: Curve, wanted: Wanted, value: float) -> float | None:
    """The lowest threshold with at least this precision, or the highest with at least this recall; None: there is none.

    Every recall can be had, at the price of precision.
    """
    if wanted == "recall":
        return float(of_class.threshold[of_class.recall >= value].max())
    enough = of_class.precision >= value
    return float(of_class.threshold[enough].min()) if enough.any() else None


def rows(
    val: Answers, test: Answers, classes: tuple[str, ...], precision: float, recall: float
) -> list[dict[str, Any]]:
    """Rows of ``metrics/operating_points.csv``, under `COLUMNS`: two for each class.

    Args:
        val: chooses the thresholds.
        test: says what they are worth on recordings that chose nothing.
        classes: names.
        precision: to be reached on validation by one threshold.
        recall: to be reached on validation by another.

    A class with fewer than `MIN_RECORDINGS` recordings in validation is noted `insufficient`: its threshold is a mean
    of its own and of the one for all classes' answers together, weighted by its share of so many recordings. `none` is
    a precision that no threshold reaches on validation.
    """
    wanted: dict[Wanted, float] = {"precision": precision, "recall": recall}
    every_score = val.probabilities.ravel()
    every_positive = (val.labels[:, None] == np.arange(len(classes))).ravel()
    pooled = curve(every_score, every_positive)
    found = []
    for number, name in enumerate(classes):
        positive = val.labels == number
        recordings = len(np.unique(val.recordings[positive]))
        for kind, value in wanted.items():
            common = choose(pooled, kind, value)
            own = choose(curve(val.probabilities[:, number], positive), kind, value) if recordings else None
            note = "insufficient" if recordings < MIN_RECORDINGS else ""
            threshold = own
            if recordings < MIN_RECORDINGS:
                weight = recordings / MIN_RECORDINGS if own is not None else 0.0
                threshold = None if common is None else weight * (own or 0.0) + (1 - weight) * common
            if threshold is not None:
                threshold = float(np.floor(threshold * 1e6) / 1e6)  # as it is written down; a tie stays above it
            row: dict[str, Any] = {"class": name, "wanted": kind, "value": value, "threshold": threshold}
            row |= {"note": "none" if threshold is None else note, "val_recordings": recordings}
            for part, answers in (("val", val), ("test", test)):
                row |= {f"{part}_{what}": share for what, share in _worth(answers, number, threshold).items()}
            found.append({**row, "test_clips": int((test.labels == number).sum())})
    return found


def _worth(answers: Answers, number: int, threshold: float | None) -> dict[str, float | None]:
    """Precision and recall at a threshold; None where nothing is shown, or there is nothing to find."""
    if threshold is None:
        return {"precision": None, "recall": None}
    shown, positive = answers.probabilities[:, number] >= threshold, answers.labels == number
    return {
        "precision": rounded(float(positive[shown].mean())) if shown.any() else None,
        "recall": rounded(float(shown[positive].mean())) if positive.any() else None,
    }
