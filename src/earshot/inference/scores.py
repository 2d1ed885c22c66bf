"""From a network's logits to probabilities."""

import numpy as np


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities of `logits` divided by `temperature`, over the last axis.

    Args:
        logits: (..., C), finite, of any float type.
        temperature: above 1 makes the probabilities flatter, below 1 sharper; the order of classes never changes.
            Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Returns:
        (..., C) float64 in [0, 1], summing to 1. A row's result does not depend on the rows beside it.

    Raises:
        ValueError: the temperature is not a positive finite number.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a positive number, not {temperature!r}")
    # C order, so that a row is summed in the same order in every batch, and gives the same bits.
    scaled = np.array(logits, dtype=np.float64, order="C") / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)  # the largest exponent is 0: nothing overflows
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=-1, keepdims=True)
    return scaled
