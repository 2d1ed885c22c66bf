"""What the thresholds on a card are worth: precision and recall of each class on validation and on test."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from earshot.decisions.fitting.operating_points import MIN_RECORDINGS, Curve, curve
from earshot.evaluation.answers import Answers
from earshot.evaluation.report import rounded

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


def curves(answers: Answers, classes: tuple[str, ...]) -> dict[str, Curve | None]:
    """The curve of each class; None for one without clips."""
    probabilities = answers.probabilities
    return {
        name: curve(probabilities[:, number], answers.labels == number) if (answers.labels == number).any() else None
        for number, name in enumerate(classes)
    }


def rows(
    points: Mapping[str, Mapping[str, float | None]],
    wanted: Mapping[str, float],
    val: Answers,
    test: Answers,
    classes: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Rows of ``metrics/operating_points.csv``, under `COLUMNS`: two for each class.

    Args:
        points: the card's thresholds, by class and by what is wanted.
        wanted: precision and recall that they were chosen to have.
        val: clips that chose them.
        test: clips that chose nothing.
        classes: names.

    A class with fewer than `MIN_RECORDINGS` recordings in validation is noted `insufficient`, since its threshold leans
    on those of the other classes. `none` is a precision that no threshold reaches on validation.
    """
    found = []
    for number, name in enumerate(classes):
        recordings = len(np.unique(val.recordings[val.labels == number]))
        for kind, threshold in points[name].items():
            note = "none" if threshold is None else "insufficient" if recordings < MIN_RECORDINGS else ""
            row: dict[str, Any] = {"class": name, "wanted": kind, "value": wanted[kind], "threshold": threshold}
            row |= {"note": note, "val_recordings": recordings}
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
