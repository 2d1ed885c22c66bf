"""The ``evaluation`` section of params.yaml."""

from pydantic import Field

from earshot.core.params import Params


class EvaluationParams(Params):
    """How the test clips are judged. None of it changes the model."""

    bootstrap_resamples: int = Field(1000, ge=100, description="how often recordings are drawn anew for an interval")
    confidence: float = Field(0.95, gt=0, lt=1, description="of every interval")
    min_recordings: int = Field(
        10, ge=2, description='a class with fewer recordings gets the words "too few" instead of an interval'
    )
    calibration_bins: int = Field(10, ge=2, description="bins of about equally many clips for the calibration error")
    top_confusions: int = Field(10, ge=1, description="how many pairs of classes are named in words")
