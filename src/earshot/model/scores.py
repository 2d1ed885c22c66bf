"""From a network's logits to probabilities, and to how surely any of its classes is there."""

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


def window_scores(logits: np.ndarray, background_logits: np.ndarray | None, temperature: float) -> np.ndarray:
    """What the answer to a window is made of.

    Args:
        logits: (n, C), of the classes.
        background_logits: (n, 1), of none of them; None for a network that has no such logit.
        temperature: as `softmax`.

    Returns:
        float64 (n, C + 1): probabilities of the classes if it is one of them, then `known`.
    """
    sure = known(logits, background_logits, temperature)
    return np.concatenate([softmax(logits, temperature), sure[:, None]], axis=1)


def known(logits: np.ndarray, background_logits: np.ndarray | None, temperature: float) -> np.ndarray:
    """How surely one of the classes is there at all: the largest probability of a class, with "none of them" as one.

    Below the threshold on a model's card, the sound is called unknown.

    Args:
        logits: (n, C), of the classes.
        background_logits: (n, 1), of none of them; None for a network that has no such logit.
        temperature: as `softmax`.

    Returns:
        (n,) float64 in (0, 1].
    """
    everything = logits if background_logits is None else np.concatenate([logits, background_logits], axis=1)
    return softmax(everything, temperature)[:, : logits.shape[1]].max(axis=1)
