"""The ``evaluation`` section of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationParams:
    """How the test clips are judged. None of it changes the model.

    Attributes:
        bootstrap_resamples: how often recordings are drawn anew for an interval.
        confidence: of every interval, in (0, 1).
        min_recordings: a class with fewer recordings gets the words "too few" instead of an interval.
        calibration_bins: bins of about equally many clips for the calibration error.
        top_confusions: how many pairs of classes are named in words.
        wanted_precision: of the first operating point of each class, in (0, 1].
        wanted_recall: of the second.
    """

    bootstrap_resamples: int = 1000
    confidence: float = 0.95
    min_recordings: int = 10
    calibration_bins: int = 10
    top_confusions: int = 10
    wanted_precision: float = 0.9
    wanted_recall: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, not {self.confidence}")
        for name in ("wanted_precision", "wanted_recall"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        for name, least in (
            ("bootstrap_resamples", 100),
            ("min_recordings", 2),
            ("calibration_bins", 2),
            ("top_confusions", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
