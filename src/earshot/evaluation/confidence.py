"""How far the deployed file's confidence can be trusted, and what a review threshold would flag."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from earshot.decisions.decisions import Decisions
from earshot.decisions.review import flag_for_review
from earshot.evaluation.answers import UNCALIBRATED, Answers
from earshot.evaluation.calibration import brier_score, negative_log_likelihood, reliability
from earshot.evaluation.events import Events
from earshot.evaluation.report import calibration_error, rounded

REVIEW_COLUMNS = ["threshold", "configured", "flagged", "errors_flagged", "accuracy_of_passed", "clips"]
REVIEW_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # beside the service's
RELIABILITY_COLUMNS = ["class", "answers", "recordings", "mean_confidence", "right", "difference"]


def figures(answers: Answers, bins: int) -> dict[str, Any]:
    """Calibration of the answers, beside that of the same network without any temperature.

    `correctness_auroc` is the chance that a right answer has more confidence than a wrong one; None if all are either.
    """
    calibrated, plain = answers.probabilities, answers.with_decisions(UNCALIBRATED).probabilities
    confidence, right = calibrated.max(axis=1), answers.right
    mixed = 0 < right.sum() < len(right)
    return {
        "clips": len(right),
        "temperature": rounded(answers.decisions.temperature),
        "mean_confidence": rounded(float(confidence.mean())),
        "accuracy": rounded(float(right.mean())),
        **calibration_error(reliability(confidence, right, answers.recordings, bins)),
        "nll": rounded(negative_log_likelihood(calibrated, answers.labels)),
        "nll_uncalibrated": rounded(negative_log_likelihood(plain, answers.labels)),
        "brier": rounded(brier_score(calibrated, answers.labels)),
        "brier_uncalibrated": rounded(brier_score(plain, answers.labels)),
        "correctness_auroc": rounded(float(roc_auc_score(right, confidence))) if mixed else None,
    }


def windowed_figures(answers: Answers, bins: int) -> dict[str, Any]:
    """Calibration of answers over several windows, beside that of the plain mean over the same windows.

    `right_called_unknown` is the share of all sounds whose class is named rightly and taken back as unknown;
    `right_below_clip_threshold` the same if the threshold were the one for clips.
    """
    rule = answers.decisions
    mean = answers.with_decisions(replace(rule, windowed_temperature=1.0)).probabilities
    calibrated, right = answers.probabilities, answers.right
    return {
        "sounds": len(right),
        "recordings": len(np.unique(answers.recordings)),
        "windows_mean": rounded(float(np.mean([answer.windows for answer in answers.served]))),
        "temperature": rounded(rule.windowed_temperature),
        "mean_confidence": rounded(float(calibrated.max(axis=1).mean())),
        "accuracy": rounded(float(right.mean())),
        **calibration_error(reliability(calibrated.max(axis=1), right, answers.recordings, bins)),
        "ece_of_mean": rounded(reliability(mean.max(axis=1), right, answers.recordings, bins).ece),
        "nll": rounded(negative_log_likelihood(calibrated, answers.labels)),
        "nll_of_mean": rounded(negative_log_likelihood(mean, answers.labels)),
        "unknown_threshold": rule.windowed_unknown_threshold,
        "right_called_unknown": rounded(float((right & answers.unknown).mean())),
        "right_below_clip_threshold": rounded(float((right & (answers.known < rule.unknown_threshold)).mean())),
    }


def event_figures(events: Events, decisions: Decisions, bins: int) -> dict[str, Any]:
    """Calibration of events' confidence, beside that of the probability it is made of; `events` has the latter."""
    found: dict[str, Any] = {
        "events": len(events.right),
        "recordings": len(np.unique(events.recordings)),
        "slope": rounded(decisions.event_slope),
        "offset": rounded(decisions.event_offset),
    }
    if not len(events.right):
        return found
    confidence = np.array([decisions.event_confidence(p) for p in events.confidence.tolist()])
    log_loss = [
        float(-np.log(np.clip(np.where(events.right, p, 1 - p), 1e-15, 1)).mean())
        for p in (confidence, events.confidence)
    ]
    return {
        **found,
        "mean_confidence": rounded(float(confidence.mean())),
        "right": rounded(float(events.right.mean())),
        **calibration_error(reliability(confidence, events.right, events.recordings, bins)),
        "ece_uncalibrated": rounded(reliability(events.confidence, events.right, events.recordings, bins).ece),
        "nll": rounded(log_loss[0]),
        "nll_uncalibrated": rounded(log_loss[1]),
    }


def review_rows(answers: Answers, threshold: float) -> list[dict[str, Any]]:
    """What `flag_for_review` does at `threshold`, the service's, and at others, under `REVIEW_COLUMNS`.

    `flagged` is a share of all clips, `errors_flagged` of the wrongly answered ones; None where there is none. Of a
    clip that is called unknown, the class that it is most like is judged.
    """
    confidence, right = answers.probabilities.max(axis=1), answers.right
    rows = []
    for number in sorted({*REVIEW_THRESHOLDS, threshold}):
        flagged = flag_for_review(confidence, answers.unknown, answers.silent, number)
        rows.append(
            {
                "threshold": number,
                "configured": number == threshold,
                "flagged": rounded(float(flagged.mean())),
                "errors_flagged": None if right.all() else rounded(float(flagged[~right].mean())),
                "accuracy_of_passed": None if flagged.all() else rounded(float(right[~flagged].mean())),
                "clips": len(right),
            }
        )
    return rows


def summary(found: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """The figures in a few words for the terminal, with what the service's review threshold flags."""
    row = next(row for row in rows if row["configured"])
    errors = "" if row["errors_flagged"] is None else f", with {row['errors_flagged']:.0%} of the errors"
    lines = [
        f"INT8 on test: {_ece(found)}, negative log-likelihood {found['nll']:.3f} "
        f"({found['nll_uncalibrated']:.3f} uncalibrated)",
        f"the review threshold of {row['threshold']:g} flags {row['flagged']:.0%} of clips{errors}",
    ]
    if "windowed" in found:
        of_mean = found["windowed"]["ece_of_mean"]
        lines.append(f"longer sounds: {_ece(found['windowed'])}, of the plain mean {of_mean:.3f}")
    if found.get("events", {}).get("events"):
        lines.append(f"events: {_ece(found['events'])}, uncalibrated {found['events']['ece_uncalibrated']:.3f}")
    return "\n".join(lines)


def _ece(found: dict[str, Any]) -> str:
    return (
        f"ECE {found['ece']:.3f} (if calibrated {found['ece_if_calibrated']:.3f}, "
        f"{found['ece_if_calibrated_low']:.3f} to {found['ece_if_calibrated_high']:.3f})"
    )


def reliability_rows(answers: Answers, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """For each class, the answers that named it: mean confidence beside the share that was right.

    Under `RELIABILITY_COLUMNS`; figures are None for a class that was never answered.
    """
    confidence, named = answers.probabilities.max(axis=1), answers.predicted
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
