"""The ``timeline`` section of params.yaml."""

from dataclasses import dataclass

from earshot.core.params import ParamsError
from earshot.stream.windows import HOP_FRAMES


@dataclass(frozen=True)
class TimelineParams:
    """How scores over time become events.

    Attributes:
        hop_frames: frames from one window to the next. Recordings cut at multiples of it give the same events.
        on_threshold: an event needs a frame with at least this probability.
        off_threshold: and lasts as long as the probability stays at or above this one.
        max_gap_s: events of one class with at most this between them are one.
        min_duration_s: shorter events are dropped, after merging.
        silence_db: frames whose peak is below this (decibels of full scale) hold no event.
    """

    hop_frames: int = HOP_FRAMES
    on_threshold: float = 0.6
    off_threshold: float = 0.4
    max_gap_s: float = 0.5
    min_duration_s: float = 0.2
    silence_db: float = -60.0

    def __post_init__(self) -> None:
        if self.hop_frames < 1:
            raise ParamsError(f"timeline.hop_frames must be at least 1, not {self.hop_frames}")
        if not 0 < self.off_threshold <= self.on_threshold <= 1:
            raise ParamsError(
                "timeline.off_threshold and on_threshold must satisfy 0 < off_threshold <= on_threshold <= 1, not "
                f"{self.off_threshold:g} and {self.on_threshold:g}"
            )
        for name in ("max_gap_s", "min_duration_s"):
            if getattr(self, name) < 0:
                raise ParamsError(f"timeline.{name} must not be negative, but is {getattr(self, name):g}")
        if self.silence_db > 0:
            raise ParamsError(f"timeline.silence_db is relative to full scale: at most 0, not {self.silence_db:g}")
