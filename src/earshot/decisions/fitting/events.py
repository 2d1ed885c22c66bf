"""How surely an event is right, from the probability of its class."""

from collections.abc import Sequence

import numpy as np
from scipy import optimize
from scipy.special import logit

_DIGITS = 6


def fit_events(
    probabilities: np.ndarray, right: np.ndarray, recordings: Sequence[str] | np.ndarray
) -> tuple[float, float]:
    """Slope and offset of the line that takes an event's log odds to those of being right.

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999. An event is named because its frames crossed a
    threshold, so that its probability says how like its class it is and not how often such events are right.

    Events of one recording are right or wrong together, so a recording has one vote, shared by its events. The
    logarithm of the slope and the offset have standard normal priors: few recordings change little, and none change
    nothing.

    Args:
        probabilities: (n,) in [0, 1], of the event's class; n may be 0.
        right: (n,) bool.
        recordings: (n,) names.

    Returns:
        Slope, above 0, and offset, of six digits.
    """
    if not len(probabilities):
        return 1.0, 0.0
    log_odds = logit(np.clip(probabilities, 1e-12, 1 - 1e-12))
    recording = np.unique(np.asarray(recordings).astype(str), return_inverse=True)[1]
    weight = 1 / np.bincount(recording)[recording]
    sign = np.where(right, 1.0, -1.0)

    def loss(line: np.ndarray) -> float:
        margin = sign * (np.exp(line[0]) * log_odds + line[1])
        return float(weight @ np.logaddexp(0, -margin) + (line**2).sum() / 2)

    found = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    return round(float(np.exp(found.x[0])), _DIGITS), round(float(found.x[1]), _DIGITS)
