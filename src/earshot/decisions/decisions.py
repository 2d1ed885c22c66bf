"""The numbers that turn a network's scores into answers. They lie on the model's card, fitted on validation."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Decisions:
    """Fitted by `earshot.decisions.fit`; the defaults change nothing and call nothing unknown.

    Attributes:
        temperature: logits are divided by it before the softmax (Guo et al., "On Calibration of Modern Neural
            Networks", ICML 2017).
        unknown_threshold: a sound of one window whose `earshot.model.scores.known` is below it is unknown.
        windowed_temperature: of a longer sound, whose probabilities are means over windows: their logarithms are
            divided by it. A mean of calibrated answers is not calibrated, but less sure than it could be (Ranjan and
            Gneiting, "Combining Probability Forecasts", JRSS B 72(1), 2010).
        windowed_unknown_threshold: the same as `unknown_threshold`, for the mean of the windows' `known`.
        event_slope: of the line that takes an event's log odds to those of being right (Platt 1999), above 0.
        event_offset: of the same line, in log odds.
    """

    temperature: float = 1.0
    unknown_threshold: float = 0.0
    windowed_temperature: float = 1.0
    windowed_unknown_threshold: float = 0.0
    event_slope: float = 1.0
    event_offset: float = 0.0

    @staticmethod
    def of(card: Any) -> "Decisions":
        """Those of an `earshot.model.card.Card`, whose fields have the same names."""
        return Decisions(**{field.name: getattr(card, field.name) for field in fields(Decisions)})

    def windowed_probabilities(self, mean: np.ndarray) -> np.ndarray:
        """Calibrate means over windows.

        Args:
            mean: (..., C), mean of the windows' calibrated probabilities.

        Returns:
            (..., C) float64, summing to 1; the order of classes stays.
        """
        if self.windowed_temperature == 1:
            return mean
        powered = (mean / mean.max(axis=-1, keepdims=True)) ** (1 / self.windowed_temperature)
        return powered / powered.sum(axis=-1, keepdims=True)

    def event_confidence(self, probability: float) -> float:
        """Calibrate an event's confidence: `probability` is that of its class for its mean logits."""
        if (self.event_slope, self.event_offset) == (1, 0):
            return probability
        p = min(max(probability, 1e-12), 1 - 1e-12)
        log_odds = self.event_slope * float(np.log(p / (1 - p))) + self.event_offset
        return float(1 / (1 + np.exp(-log_odds)))
