"""The ``audit`` section of params.yaml."""

from pydantic import Field

from earshot.core.params import Params


class AuditParams(Params):
    """What is worth a warning, and how many unusable files are too many."""

    max_rejected_fraction: float = Field(
        0.02, ge=0, le=1, description="share of files that may be unusable before the pipeline stops"
    )
    clipped_fraction: float = Field(
        0.001,
        ge=0,
        le=1,
        description="a file is called clipped when more than this share of its samples lie at full scale, two or more "
        "in a row",
    )
    dc_offset: float = Field(
        0.02, ge=0, description="a file whose mean lies further than this from zero has a DC offset; 1 is full scale"
    )
    duration_tolerance_s: float = Field(
        0.1, ge=0, description="difference in seconds from the duration in the metadata that is not reported"
    )
    max_duration_s: float = Field(
        3600.0, gt=0, description="a longer file (seconds) is no clip and is rejected, since it is decoded whole"
    )
