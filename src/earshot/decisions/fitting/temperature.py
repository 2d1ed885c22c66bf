"""The one number that calibrates a softmax."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from earshot.model.scores import softmax

TEMPERATURES = (0.05, 20.0)  # the range searched: a logit gap of 1 becomes one of 20, or of 0.05
_DIGITS = 6  # as a card keeps it, so that figures and service divide by the very same number
_SMALLEST = 1e-12  # of a probability whose logarithm is taken


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
        T in `TEMPERATURES`, of six digits.
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
    return round(float(np.exp(log_temperature * (1 - variance / log_temperature**2))), _DIGITS)


def fit_windowed_temperature(means: np.ndarray, labels: np.ndarray, recordings: Sequence[str] | np.ndarray) -> float:
    """The temperature that calibrates means over windows: `earshot.decisions.decisions.Decisions`.

    Args:
        means: (n, C), of the calibrated probabilities of each sound's windows.
        labels: (n,) int.
        recordings: (n,) names.
    """
    return fit_temperature(np.log(np.maximum(means, _SMALLEST)), labels, recordings)


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
