"""The ``audio`` section of params.yaml: what the network hears, in numbers. The sound itself is `earshot.hearing`'s."""

from typing import Self

from pydantic import Field, model_validator

from earshot.core.params import Params


class FrontEndParams(Params):
    """How sound becomes the network's input."""

    sample_rate_hz: int = Field(22_050, ge=1, description="every sound is resampled to this rate")
    window_s: float = Field(
        4.0,
        gt=0,
        description="length in seconds of what the network hears at once; clips are cut or zero-padded to it",
    )
    n_fft: int = Field(1024, ge=2, multiple_of=2, description="samples in one analysis frame (Hann window)")
    hop_length: int = Field(512, ge=1, description="samples from one frame to the next")
    n_mels: int = Field(64, ge=1, description="mel bands")
    f_min_hz: float = Field(0.0, ge=0, description="lower edge of the lowest band")
    f_max_hz: float | None = Field(
        None, gt=0, description="upper edge of the highest band; null is half the sampling rate"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.f_min_hz < self.f_top_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"f_min_hz {self.f_min_hz:g} and f_max_hz {self.f_top_hz:g} must satisfy f_min_hz < f_max_hz <= "
                f"{self.sample_rate_hz / 2:g}, half the sampling rate"
            )
        if self.window_samples <= self.n_fft:
            raise ValueError(f"window_s {self.window_s:g} must be longer than one frame of {self.n_fft} samples")
        return self

    @property
    def f_top_hz(self) -> float:
        """Upper edge of the highest mel band in Hz."""
        return self.sample_rate_hz / 2 if self.f_max_hz is None else self.f_max_hz

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return round(self.window_s * self.sample_rate_hz)

    @property
    def window_frames(self) -> int:
        """Frames in one window: centred framing gives one more than fits."""
        return self.window_samples // self.hop_length + 1

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate_hz
