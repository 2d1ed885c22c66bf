"""The ``audit`` section of params.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AuditParams:
    """What is worth a warning, and how many unusable files are too many.

    Attributes:
        max_rejected_fraction: share of files that may be unusable before the pipeline stops, 0 to 1.
        silence_db: a file whose highest sample lies below this is called silent; decibels relative to full scale.
        clipped_fraction: a file is called clipped when more than this share of its samples lie at full scale, two or
            more in a row.
        dc_offset: a file whose mean lies further than this from zero has a DC offset; 1 is full scale.
        duration_tolerance_s: difference from the duration in the metadata that is not worth a word.
        max_duration_s: a longer file is no clip and is rejected, since it is decoded whole.
    """

    max_rejected_fraction: float = 0.02
    silence_db: float = -60.0
    clipped_fraction: float = 0.001
    dc_offset: float = 0.02
    duration_tolerance_s: float = 0.1
    max_duration_s: float = 3600.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_rejected_fraction <= 1:
            raise ValueError(f"max_rejected_fraction must lie between 0 and 1, not {self.max_rejected_fraction}")
        if self.max_duration_s <= 0:
            raise ValueError(f"max_duration_s must be positive, not {self.max_duration_s}")
