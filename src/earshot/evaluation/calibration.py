"""Whether a confidence of 0.8 is right in 80 % of cases, and the one number that can mend it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from earshot.model.scores import softmax

TEMPERATURES = (0.05, 20.0)  # the range searched: a logit gap of 1 becomes one of 20, or of 0.05


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy, in bins of about equally many clips, by rising confidence.

    Attributes:
        lower, upper: (b,) smallest and largest confidence in each bin.
        confidence: (b,) mean confidence.
        accuracy: (b,) share of correct clips.
        clips: (b,) int.
        noise: (b,) standard deviation of (accuracy - confidence) that a perfectly calibrated model would show by
            chance with these clips and recordings.
    """

    lower: np.ndarray
    upper: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    clips: np.ndarray
    noise: np.ndarray

    @property
    def weight(self) -> np.ndarray:
        """(b,) share of the clips in each bin."""
        return self.clips / self.clips.sum()

    @property
    def ece(self) -> float:
        """Expected calibration error in [0, 1]: the mean distance of accuracy from confidence, weighted by clips."""
        return float(self.weight @ np.abs(self.accuracy - self.confidence))

    @property
    def ece_floor(self) -> float:
        """The ECE that a perfectly calibrated model would be measured to have: the mean of the noise's size.

        It is not 0, since a bin of few clips misses its own mean by chance.
        """
        return float(self.weight @ self.noise * np.sqrt(2 / np.pi))

    @property
    def ece_corrected(self) -> float:
        """ECE without its floor, taken off in quadrature: sqrt(ece^2 - floor^2), and 0 below the floor.

        Roelofs et al., "Mitigating Bias in Calibration Error Estimation", AISTATS 2022, measure how much the binned
        ECE exceeds the true one: by all of the floor at perfect calibration, by nothing far from it. Subtracting the
        floor everywhere would turn a true 0.10 into 0.05 on a few hundred clips. In quadrature a true 0.05 and more
        is kept, and at perfect calibration about a third of the floor is left. The noise in each bin is taken as
        normal, after Kumar et al., "Verified Uncertainty Calibration", NeurIPS 2019.
        """
        return float(np.sqrt(max(0.0, self.ece**2 - self.ece_floor**2)))


def reliability(
    confidence: np.ndarray,
    correct: np.ndarray,
    recordings: Sequence[str] | np.ndarray | None = None,
    bins: int = 10,
) -> Reliability:
    """Bin clips by confidence. Bins hold equally many clips, which biases the ECE less than equal widths do.

    Clips of one confidence share a bin, so there are fewer bins than asked where many are equal (as an INT8
    network's are) or where there are fewer clips than bins.

    Args:
        confidence: (n,) in [0, 1], the probability of the predicted class.
        correct: (n,) bool.
        recordings: (n,) names. Clips of one recording err together, and the noise is larger for it. None: every clip
            stands alone.
        bins: how many.
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
    variance = np.bincount(member, confidence * (1 - confidence)) / count**2
    if recordings is not None:
        residual = (correct - confidence) - (accuracy - mean_confidence)[member]
        variance *= _design_effect(residual, member, recordings)
    return Reliability(lower, upper, mean_confidence, accuracy, count, np.sqrt(variance))


def fit_temperature(logits: np.ndarray, labels: np.ndarray, recordings: Sequence[str] | np.ndarray) -> float:
    """The temperature that calibrates `logits`, as far from 1 as the recordings carry it.

    One parameter, so that no prediction changes: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    Clips of one recording err together, so the likeliest temperature of a hundred recordings is often further from that
    of the next hundred than 1 is. Its logarithm is therefore shrunk by how uncertain it is: by the factor
    max(0, 1 - variance / square) of James and Stein, with the variance of Liang and Zeger ("Longitudinal data analysis
    using generalized linear models", Biometrika 73(1), 1986), in which a recording is one observation. Of many
    recordings it stays as it is; of one alone, or without an error to learn from, it is 1.

    Args:
        logits: (n, C), of clips that took no part in training.
        labels: (n,) int.
        recordings: (n,) names.

    Returns:
        T in `TEMPERATURES`.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if logits.ndim != 2 or not len(labels) or not labels.shape == np.shape(recordings) == logits.shape[:1]:
        raise ValueError(
            f"need logits (n, C), labels (n,) and recordings (n,), not shapes {logits.shape}, {labels.shape} and "
            f"{np.shape(recordings)}"
        )
    likeliest = likeliest_temperature(logits, labels)
    if likeliest == TEMPERATURES[0]:  # no error says how sure such answers may be
        return 1.0
    log_temperature = float(np.log(likeliest))
    variance = _variance(log_temperature, logits, labels, recordings)
    if variance >= log_temperature**2:
        return 1.0
    return float(np.exp(log_temperature * (1 - variance / log_temperature**2)))


def likeliest_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature whose softmax gives `labels` the smallest mean negative log-likelihood, in `TEMPERATURES`.

    The loss is convex in 1 / T; its minimum is where the mean logit under the model equals that of the true class. The
    lower end means that every clip is right, the upper that logits tell nothing.
    """
    true_logit = logits[np.arange(len(labels)), labels]

    def slope(log_temperature: float) -> float:
        """Derivative of the loss by 1 / T; it falls as T rises."""
        probabilities = softmax(logits, float(np.exp(log_temperature)))
        return float(((probabilities * logits).sum(axis=1) - true_logit).mean())

    low, high = np.log(TEMPERATURES)
    if slope(low) <= 0:
        return TEMPERATURES[0]
    if slope(high) >= 0:
        return TEMPERATURES[1]
    return float(np.exp(optimize.brentq(slope, low, high, xtol=1e-10)))


def _variance(
    log_temperature: float, logits: np.ndarray, labels: np.ndarray, recordings: Sequence[str] | np.ndarray
) -> float:
    """Variance of the likeliest log temperature over draws of recordings; infinite where they cannot tell."""
    names, recording = np.unique(recordings, return_inverse=True)
    scaled = logits / np.exp(log_temperature)
    probabilities = softmax(scaled)
    mean = (probabilities * scaled).sum(axis=1)
    curvature = float(((probabilities * (scaled - mean[:, None]) ** 2).sum(axis=1)).sum())
    if len(names) < 2 or curvature == 0:
        return float("inf")
    of_clips = scaled[np.arange(len(labels)), labels] - mean  # the slope of each clip's loss by log T
    of_recordings = np.bincount(recording, of_clips)
    return float((of_recordings**2).sum() * len(names) / (len(names) - 1) / curvature**2)


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


def _design_effect(residual: np.ndarray, member: np.ndarray, recordings: Sequence[str] | np.ndarray) -> float:
    """How many times larger the variance of a bin's mean is because clips of one recording err together, at least 1.

    Kish, "Survey Sampling", 1965: the variance with each recording's residuals added up, over the variance with each
    clip alone; one figure from all bins, since most bins are too small for their own.
    """
    alone = (residual**2).sum()
    if alone == 0:
        return 1.0
    names = np.unique(np.asarray(recordings).astype(str), return_inverse=True)[1]
    unit = np.unique(np.stack([member, names]), axis=1, return_inverse=True)[1]
    together = (np.bincount(unit.ravel(), residual) ** 2).sum()
    return max(1.0, float(together / alone))
