"""The ``unknown`` and ``operating_points`` sections of params.yaml: what thresholds on a card are to have."""

from pydantic import Field

from earshot.core.params import Params


class UnknownParams(Params):
    """When an answer is "unknown": the ``unknown`` section of params.yaml."""

    max_accuracy_loss: float = Field(
        0.005,
        ge=0,
        lt=1,
        description='share of new clips of the classes that may be answered "unknown" although their class was named '
        "rightly; sets the thresholds on the model's card. 0 calls nothing unknown",
    )


class OperatingPointsParams(Params):
    """Thresholds of each class on the model's card: the ``operating_points`` section of params.yaml."""

    precision: float = Field(0.9, gt=0, le=1, description="precision of the first threshold of each class")
    recall: float = Field(0.9, gt=0, le=1, description="recall of the second")
