"""How far the deployed file's confidence can be trusted, and what a review threshold would flag."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from earshot.evaluation.answers import Answers
from earshot.evaluation.calibration import brier_score, negative_log_likelihood, reliability
from earshot.evaluation.report import rounded

REVIEW_COLUMNS = ["threshold", "flagged", "errors_flagged", "accuracy_of_passed", "clips"]
RELIABILITY_COLUMNS = ["class", "answers", "recordings", "mean_confidence", "right", "difference"]


def figures(answers: Answers, bins: int) -> dict[str, Any]:
    """Calibration of the answers, beside that of the same network without its temperature.

    `ece_corrected` is without the noise that so few clips make (`earshot.evaluation.calibration`).
    `correctness_auroc` is the chance that a right answer has more confidence than a wrong one; None if all are either.
    """
    calibrated, plain = answers.probabilities, answers.uncalibrated
    confidence = calibrated.max(axis=1)
    right = calibrated.argmax(axis=1) == answers.labels
    found = reliability(confidence, right, answers.recordings, bins)
    mixed = 0 < right.sum() < len(right)
    return {
        "clips": len(right),
        "temperature": rounded(answers.temperature),
        "mean_confidence": rounded(float(confidence.mean())),
        "accuracy": rounded(float(right.mean())),
        "ece": rounded(found.ece),
        "ece_corrected": rounded(found.ece_corrected),
        "nll": rounded(negative_log_likelihood(calibrated, answers.labels)),
        "nll_uncalibrated": rounded(negative_log_likelihood(plain, answers.labels)),
        "brier": rounded(brier_score(calibrated, answers.labels)),
        "brier_uncalibrated": rounded(brier_score(plain, answers.labels)),
        "correctness_auroc": rounded(float(roc_auc_score(right, confidence))) if mixed else None,
    }


def review_rows(answers: Answers) -> list[dict[str, Any]]:
    """What `flag_for_review` would do at thresholds from 0.3 to 0.95, under `REVIEW_COLUMNS`.

    `flagged` is a share of all clips, `errors_flagged` of the wrongly answered ones; None where there is none.
    """
    probabilities = answers.probabilities
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == answers.labels
    rows = []
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        flagged = confidence < threshold
        rows.append(
            {
                "threshold": threshold,
                "flagged": rounded(float(flagged.mean())),
                "errors_flagged": None if right.all() else rounded(float(flagged[~right].mean())),
                "accuracy_of_passed": None if flagged.all() else rounded(float(right[~flagged].mean())),
                "clips": len(right),
            }
        )
    return rows


def summary(found: dict[str, Any], rows: list[dict[str, Any]], threshold: float = 0.6) -> str:
    """The figures in a few words for the terminal, with what a review threshold flags."""
    row = next(row for row in rows if row["threshold"] == threshold)
    errors = "" if row["errors_flagged"] is None else f", holding {row['errors_flagged']:.0%} of the errors"
    return (
        f"INT8 on test: calibration error {found['ece_corrected']:.3f} (without chance; {found['ece']:.3f} with it), "
        f"negative log-likelihood {found['nll']:.3f} ({found['nll_uncalibrated']:.3f} uncalibrated)\n"
        f"a review threshold of {threshold:g} flags {row['flagged']:.0%} of clips{errors}"
    )


def reliability_rows(answers: Answers, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """For each class, the answers that named it: mean confidence beside the share that was right.

    Under `RELIABILITY_COLUMNS`; figures are None for a class that was never answered.
    """
    probabilities = answers.probabilities
    confidence, named = probabilities.max(axis=1), probabilities.argmax(axis=1)
    rows = []
    for number, name in enumerate(classes):
        of_class = named == number
        mean, right = (
            (float(confidence[of_class].mean()), float((answers.labels[of_class] == number).mean()))
            if of_class.any()
            else (None, None)
        )
        rows.append(
            {
                "class": name,
                "answers": int(of_class.sum()),
                "recordings": len(np.unique(answers.recordings[of_class])),
                "mean_confidence": rounded(mean),
                "right": rounded(right),
                "difference": None if mean is None or right is None else rounded(mean - right),
            }
        )
    return rows
