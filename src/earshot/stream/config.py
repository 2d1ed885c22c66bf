"""The ``timeline`` section of params.yaml."""

from typing import Self

from pydantic import Field, model_validator

from earshot.core.params import Params
from earshot.stream.windows import HOP_FRAMES


class TimelineParams(Params):
    """How scores over time become events."""

    hop_frames: int = Field(
        HOP_FRAMES,
        ge=1,
        description="frames from one window to the next. Recordings cut at multiples of it give the same events",
    )
    on_threshold: float = Field(0.6, gt=0, le=1, description="an event needs a frame with at least this probability")
    off_threshold: float = Field(
        0.4, gt=0, le=1, description="and lasts as long as the probability stays at or above this one"
    )
    max_gap_s: float = Field(
        0.5, ge=0, description="events of one class with at most so many seconds between them are one"
    )
    min_duration_s: float = Field(0.2, ge=0, description="shorter events are dropped, after merging")

    @model_validator(mode="after")
    def _thresholds(self) -> Self:
        if self.off_threshold > self.on_threshold:
            raise ValueError(
                f"off_threshold {self.off_threshold:g} must be at most on_threshold, {self.on_threshold:g}"
            )
        return self
