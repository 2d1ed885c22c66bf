"""An evaluation as the rows and keys of the files under metrics/.

Headline figures lie at the top level, because ``dvc metrics diff`` flattens what is nested; sentences are lists, which
it leaves out of its table. Figures are rounded to six
digits, so that a last bit that differs between machines does not look like a change.
"""

from typing import Any

from earshot.evaluation.calibration import Reliability
from earshot.evaluation.metrics import NO_CLIPS, Evaluation
from earshot.evaluation.summary import lowest_recall, top_confusions, worst_class

PER_CLASS_COLUMNS = [
    "class",
    "support",
    "recordings",
    "recall",
    "recall_low",
    "recall_high",
    "interval",
    "recall_over_recordings",
    "precision",
    "f1",
]
CONFUSION_COLUMNS = ["actual", "predicted"]


def headline(evaluation: Evaluation, dataset: str, split: dict[str, Any], most_confusions: int = 10) -> dict[str, Any]:
    """The content of ``metrics/evaluation.json``; None where there is no figure.

    Args:
        evaluation: of the test clips.
        dataset: its name; every metrics file carries it.
        split: `earshot.clips.split.describe`.
        most_confusions: how many pairs of classes are named.
    """
    low, high = evaluation.interval or (None, None)
    worst, bins = worst_class(evaluation), evaluation.reliability
    return {
        "dataset": dataset,
        "split": split["strategy"],
        "test_folds": split.get("test_folds"),
        "test_clips_of_known_recordings": split["test_clips_of_known_recordings"],
        "test_clips": evaluation.clips,
        "test_recordings": evaluation.recordings,
        "accuracy": rounded(evaluation.accuracy),
        "accuracy_ci_low": rounded(low),
        "accuracy_ci_high": rounded(high),
        "balanced_accuracy": rounded(evaluation.balanced_accuracy),
        "recall_over_recordings": rounded(evaluation.recall_over_recordings),
        "macro_f1": rounded(evaluation.macro_f1),
        "accuracy_foreground": rounded(evaluation.accuracy_foreground),
        "accuracy_background": rounded(evaluation.accuracy_background),
        **calibration_error(bins),
        "ece_bins": len(bins.clips),
        "nll": rounded(evaluation.nll),
        "brier": rounded(evaluation.brier),
        "correctness_auroc": rounded(evaluation.correctness_auroc),
        "worst_class": worst.name,
        "worst_class_recall": rounded(worst.recall),
        "lowest_recall": lowest_recall(evaluation),
        "top_confusions": [
            str(pair) for pair in top_confusions(evaluation.confusion, evaluation.classes, most_confusions)
        ],
        "classes_without_clips": [r.name for r in evaluation.per_class if r.interval_note == NO_CLIPS],
    }


def per_class_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of ``metrics/per_class.csv``, one for each class, under `PER_CLASS_COLUMNS`.

    `interval` is empty where recall_low and recall_high hold one, and else says why not: "too few" or "no clips".
    """
    rows = []
    for report in evaluation.per_class:
        low, high = report.interval or (None, None)
        rows.append(
            {
                "class": report.name,
                "support": report.support,
                "recordings": report.recordings,
                "recall": rounded(report.recall),
                "recall_low": rounded(low),
                "recall_high": rounded(high),
                "interval": report.interval_note,
                "recall_over_recordings": rounded(report.recall_over_recordings),
                "precision": rounded(report.precision),
                "f1": rounded(report.f1),
            }
        )
    return rows


def per_class_recall(evaluation: Evaluation, dataset: str) -> dict[str, Any]:
    """The content of ``metrics/per_class.json``, since ``dvc metrics diff`` does not read CSV."""
    return {"dataset": dataset, "recall": {report.name: rounded(report.recall) for report in evaluation.per_class}}


def confusion_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Rows of ``metrics/confusion.csv`` for ``dvc plots``: one for each clip, ordered by class and not by clip."""
    return [
        {"actual": actual, "predicted": predicted}
        for i, actual in enumerate(evaluation.classes)
        for j, predicted in enumerate(evaluation.classes)
        for _ in range(evaluation.confusion[i, j])
    ]


def calibration_error(bins: Reliability) -> dict[str, float | None]:
    """ECE, and what a perfectly calibrated model with the same confidences would show: its mean and 95 % interval."""
    return {
        "ece": rounded(bins.ece),
        "ece_if_calibrated": rounded(bins.ece_if_calibrated),
        "ece_if_calibrated_low": rounded(bins.ece_if_calibrated_low),
        "ece_if_calibrated_high": rounded(bins.ece_if_calibrated_high),
    }


def rounded(value: float | None) -> float | None:
    """Six digits after the point; None stays None."""
    return None if value is None else round(float(value), 6)
