"""The ``audio`` section of params.yaml: what the network hears, in numbers. The sound itself is `earshot.hearing`'s."""

from dataclasses import dataclass

from earshot.core.params import ParamsError


@dataclass(frozen=True)
class FrontEndParams:
    """The ``audio`` section of params.yaml.

    Attributes:
        sample_rate_hz: every sound is resampled to this rate.
        window_s: length in seconds of what the network hears at once; clips are cut or zero-padded to it.
        n_fft: samples in one analysis frame (Hann window).
        hop_length: samples from one frame to the next.
        n_mels: mel bands.
        f_min_hz: lower edge of the lowest band.
        f_max_hz: upper edge of the highest band; null is half the sampling rate.
    """

    sample_rate_hz: int = 22_050
    window_s: float = 4.0
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 64
    f_min_hz: float = 0.0
    f_max_hz: float | None = None

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "n_fft", "hop_length", "n_mels"):
            if getattr(self, name) <= 0:
                raise ParamsError(f"audio.{name} must be positive, not {getattr(self, name)}")
        if self.n_fft % 2:
            raise ParamsError(f"audio.n_fft must be even, not {self.n_fft}")
        if not 0 <= self.f_min_hz < self.f_top_hz <= self.sample_rate_hz / 2:
            raise ParamsError(
                f"audio.f_min_hz {self.f_min_hz:g} and f_max_hz {self.f_top_hz:g} must satisfy "
                f"0 <= f_min_hz < f_max_hz <= {self.sample_rate_hz / 2:g}, half the sampling rate"
            )
        if self.window_samples <= self.n_fft:
            raise ParamsError(f"audio.window_s {self.window_s:g} must be longer than one frame of {self.n_fft} samples")

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
