"""One answer for the windows of one sound: the same in the service, the command line and evaluation."""

from dataclasses import dataclass

import numpy as np

from earshot.decisions.decisions import Decisions
from earshot.hearing.silence import SILENCE_PEAK


@dataclass(frozen=True)
class Answer:
    """What is said of a sound.

    Attributes:
        probabilities: float64 (C,), calibrated, of the classes if it is one of them.
        known: how surely it is one of them, in [0, 1]: the mean of the windows' `earshot.model.scores.known`.
        unknown: whether it is called unknown, since `known` is below its threshold.
        windows: how many windows were averaged.
        silent: nothing in it reaches `SILENCE_PEAK`, so that the answer means nothing.
    """

    probabilities: np.ndarray
    known: float
    unknown: bool
    windows: int
    silent: bool


class WindowMean:
    """Scores of a sound's windows, as they come, to one `Answer`: their mean over the windows that hold sound.

    Means of probabilities and not of logits: a mean of logits lets one window that is very sure outvote many.
    """

    def __init__(self, classes: int, decisions: Decisions) -> None:
        """For scores of `classes` classes."""
        self._decisions = decisions
        self._audible, self._silent = np.zeros(classes + 1), np.zeros(classes + 1)
        self._audible_windows = self._silent_windows = 0

    def add(self, scores: np.ndarray, peak: np.ndarray) -> None:
        """Count some windows.

        Args:
            scores: float64 (n, classes + 1), as `earshot.model.session.Model.scores`.
            peak: (n,), largest magnitude in each window, full scale at 1.
        """
        for row, of_window in zip(scores, peak, strict=True):  # one by one: the same bits in any batches
            if of_window >= SILENCE_PEAK:
                self._audible += row
                self._audible_windows += 1
            else:
                self._silent += row
                self._silent_windows += 1

    def answer(self, windowed: bool) -> Answer:
        """The mean over the windows that hold sound; over all of them where none does.

        Args:
            windowed: whether the sound is longer than a window, so that it is calibrated as a mean over windows.
        """
        silent = self._audible_windows == 0
        windows = self._silent_windows if silent else self._audible_windows
        if not windows:
            raise ValueError("no window was added")
        mean = (self._silent if silent else self._audible) / windows
        probabilities, known = mean[:-1], float(mean[-1])
        rule = self._decisions
        if windowed:
            probabilities = rule.windowed_probabilities(probabilities)
        threshold = rule.windowed_unknown_threshold if windowed else rule.unknown_threshold
        return Answer(probabilities, known, known < threshold, windows, silent)
