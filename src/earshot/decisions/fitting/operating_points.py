"""For each class, the probability to act on, chosen on validation.

A class is acted on where its calibrated probability reaches its threshold, whatever the other classes' are. Two
thresholds are given: the lowest with the wanted precision, and the highest with the wanted recall.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Wanted = Literal["precision", "recall"]

MIN_RECORDINGS = 8  # with fewer, a class's own threshold says little, and is drawn toward the one for all classes


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


def choose(of_class: Curve, wanted: Wanted, value: float) -> float | None:
    """The lowest threshold with at least this precision, or the highest with at least this recall; None: there is none.

    Every recall can be had, at the price of precision.
    """
    if wanted == "recall":
        return float(of_class.threshold[of_class.recall >= value].max())
    enough = of_class.precision >= value
    return float(of_class.threshold[enough].min()) if enough.any() else None


def fit_operating_points(
    probabilities: np.ndarray,
    labels: np.ndarray,
    recordings: np.ndarray,
    classes: tuple[str, ...],
    wanted: dict[Wanted, float],
) -> dict[str, dict[str, float | None]]:
    """Thresholds by class, and by what is wanted.

    A class with fewer than `MIN_RECORDINGS` recordings has the mean of its own threshold and of the one for all
    classes' answers together, weighted by its share of so many recordings. None is a precision that no threshold
    reaches.

    Args:
        probabilities: (n, C), calibrated, of validation clips.
        labels: (n,) int.
        recordings: (n,) names.
        classes: C names.
        wanted: precision and recall to be reached, in (0, 1].
    """
    every_positive = (labels[:, None] == np.arange(len(classes))).ravel()
    pooled = curve(probabilities.ravel(), every_positive)
    found: dict[str, dict[str, float | None]] = {}
    for number, name in enumerate(classes):
        positive = labels == number
        of_class = len(np.unique(recordings[positive]))
        found[name] = {}
        for kind, value in wanted.items():
            threshold = choose(curve(probabilities[:, number], positive), kind, value) if of_class else None
            if of_class < MIN_RECORDINGS:
                common = choose(pooled, kind, value)
                weight = of_class / MIN_RECORDINGS if threshold is not None else 0.0
                threshold = None if common is None else weight * (threshold or 0.0) + (1 - weight) * common
            # Cut to six digits, as it is written down; a tie stays above it.
            found[name][kind] = None if threshold is None else float(np.floor(threshold * 1e6) / 1e6)
    return found
