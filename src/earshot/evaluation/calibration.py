"""Whether a confidence of 0.8 is right in 80 % of cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in bins of about equally many clips, by rising confidence.

    "If calibrated" is what a model would be measured to have whose confidences are these and are exactly right: its
    answers are drawn anew, each right with the probability of its confidence (consistency resampling: Bröcker and
    Smith, "Increasing the Reliability of Reliability Diagrams", Weather and Forecasting 22(3), 2007).

    Attributes:
        lower, upper: (b,) smallest and largest confidence in each bin.
        confidence: (b,) mean confidence.
        accuracy: (b,) share of correct clips.
        clips: (b,) int.
        accuracy_if_calibrated: (2, b) the 95 % interval of `accuracy`, if calibrated.
        ece_if_calibrated: mean of `ece`, if calibrated. It is not 0, since a bin of few clips misses its own mean by
            chance.
        ece_if_calibrated_low, ece_if_calibrated_high: the 95 % interval of `ece`, if calibrated.
    """

    lower: np.ndarray
    upper: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    clips: np.ndarray
    accuracy_if_calibrated: np.ndarray
    ece_if_calibrated: float
    ece_if_calibrated_low: float
    ece_if_calibrated_high: float

    @property
    def weight(self) -> np.ndarray:
        """(b,) share of the clips in each bin."""
        return self.clips / self.clips.sum()

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1]: the mean distance of accuracy from confidence, weighted by clips."""
        return float(self.weight @ np.abs(self.accuracy - self.confidence))


def reliability(
    confidence: np.ndarray,
    correct: np.ndarray,
    recordings: Sequence[str] | np.ndarray | None = None,
    bins: int = 10,
    draws: int = 1000,
    seed: int = 0,
) -> Reliability:
    """Bin clips by confidence. Bins hold equally many clips, which biases the ECE less than equal widths do.

    Clips of one confidence share a bin, so there are fewer bins than asked where many are equal (as an INT8
    network's are) or where there are fewer clips than bins.

    Args:
        confidence: (n,) in [0, 1], the probability of the predicted class.
        correct: (n,) bool.
        recordings: (n,) names. Clips of one recording err together, and answers are drawn so that they do as much as
            here. None: every clip stands alone.
        bins: how many.
        draws: of the answers of a calibrated model.
        seed: of the draws.
    """
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if confidence.shape != correct.shape or confidence.ndim != 1 or not len(confidence):
        raise ValueError(f"need one confidence per clip, not shapes {confidence.shape} and {correct.shape}")
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    filled, member = np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)
    count = np.bincount(member)
    mean_confidence = np.bincount(member, confidence) / count
    accuracy = np.bincount(member, correct) / count
    lower, upper = np.full(len(filled), np.inf), np.full(len(filled), -np.inf)
    np.minimum.at(lower, member, confidence)
    np.maximum.at(upper, member, confidence)
    names = np.arange(len(confidence)) if recordings is None else np.asarray(recordings).astype(str)
    order = np.lexsort((names, confidence))  # whatever the order of the clips, the draws are the same
    confidence, correct, member, names = confidence[order], correct[order], member[order], names[order]
    recording = np.unique(names, return_inverse=True)[1]
    residual = (correct - confidence) - (accuracy - mean_confidence)[member]
    together = _correlation(residual, confidence, recording)
    drawn = _accuracy_if_calibrated(confidence, member, recording, together, draws, seed)
    ece = np.abs(drawn - mean_confidence) @ (count / count.sum())
    low, high = np.quantile(ece, [0.025, 0.975])
    return Reliability(
        lower,
        upper,
        mean_confidence,
        accuracy,
        count,
        np.quantile(drawn, [0.025, 0.975], axis=0),
        float(ece.mean()),
        float(low),
        float(high),
    )


def cumulative_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Calibration error without bins, in [0, 1]: how far confidence and accuracy drift apart over the sorted clips.

    The largest distance between the running sums of confidence and of correct clips, by rising confidence, as a share
    of all clips. Where a binned error jumps because a clip changes its bin, this one hardly moves, so two files that
    decide alike get like values. Gupta et al., "Calibration of Neural Networks using Splines", ICLR 2021.
    """
    order = np.argsort(confidence, kind="stable")
    drift = np.cumsum(np.asarray(correct, np.float64)[order] - np.asarray(confidence, np.float64)[order])
    return float(np.abs(drift).max() / len(order))


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln p(true class), in nats; a probability below 1e-15 counts as 1e-15."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-15, 1)).mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth, summed over classes, in [0, 2]. Brier 1950."""
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(labels)), labels] = 1
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def _correlation(residual: np.ndarray, confidence: np.ndarray, recording: np.ndarray) -> float:
    """How much two clips of one recording err together, in [0, 1]: the exchangeable correlation of their residuals.

    The moment estimator of Liang and Zeger (Biometrika 73(1), 1986), over all pairs of clips of a recording. 0 where no
    recording has two clips.
    """
    deviation = np.sqrt(confidence * (1 - confidence))

    def pairs(values: np.ndarray) -> float:
        return float((np.bincount(recording, values) ** 2).sum() - (values**2).sum())

    expected = pairs(deviation)
    return float(np.clip(pairs(residual) / expected, 0, 1)) if expected > 1e-12 else 0.0


def _accuracy_if_calibrated(
    confidence: np.ndarray, member: np.ndarray, recording: np.ndarray, correlation: float, draws: int, seed: int
) -> np.ndarray:
    """Accuracy in each bin, (draws, bins), of answers that are right as often as `confidence` (n,) says.

    A clip is right where a uniform number lies below its confidence: its recording's with a probability whose square is
    `correlation`, else one of its own. So two clips of a recording share theirs with that probability.
    """
    random = np.random.default_rng(seed)
    of_bins = np.equal.outer(member, np.arange(member.max() + 1)) / np.bincount(member)
    at_once = max(1, 2_000_000 // len(confidence))  # 50 MB
    found = []
    for first in range(0, draws, at_once):
        rows = min(at_once, draws - first)
        shared = random.random((rows, recording.max() + 1), dtype=np.float32)[:, recording]
        own, which = (random.random((rows, len(confidence)), dtype=np.float32) for _ in range(2))
        found.append((np.where(which < np.sqrt(correlation), shared, own) < confidence) @ of_bins)
    return np.concatenate(found)
