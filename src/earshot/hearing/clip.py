"""From the samples of a clip to the network's input: the same for the feature cache, for answers and for evaluation."""

import numpy as np

from earshot.hearing.log_mel import LogMel


def clip_features(samples: np.ndarray, log_mel: LogMel) -> np.ndarray:
    """Log-mel of one window.

    Args:
        samples: float32 (n,), n at least 1, at the front end's rate, full scale at 1. What exceeds the window is cut,
            what it lacks is filled with zeros at the end.
        log_mel: the front end.

    Returns:
        Decibels, float16 (n_mels, window_frames).
    """
    return log_mel.clip(fit_length(samples, log_mel.params.window_samples))


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut `samples`, shape (n,), to its first `length`, or append zeros up to `length`."""
    if len(samples) >= length:
        return samples[:length]
    fitted = np.zeros(length, samples.dtype)
    fitted[: len(samples)] = samples
    return fitted
