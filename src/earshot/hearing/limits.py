"""What is refused, and how: the errors of unusable sound, and the limits of duration, channels and rate."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from earshot.core.errors import EarshotError


class AudioError(EarshotError, ValueError):
    """A sound file that cannot be used. `reason` is a short code for counting; the message says it to a person."""

    reason = "audio"

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:  # so that it crosses process borders with its reason
        return type(self), (str(self), self.reason)


class UndecodableError(AudioError):
    """The content is not audio that can be decoded; the message names what it looks like."""

    reason = "undecodable"


class NoAudioError(AudioError):
    """It decodes, but there is nothing in it: no samples (`no_samples`) or NaN and infinity (`not_finite`)."""

    reason = "no_samples"


class AudioLimitError(AudioError):
    """More than the limits allow: `too_long`, `too_many_channels` or `sample_rate`."""

    reason = "too_long"


@dataclass(frozen=True)
class AudioLimits:
    """What is refused before it is decoded whole.

    Attributes:
        max_duration_s: longest sound in seconds. Checked in the header, and again while decoding, since headers lie.
        max_channels: most channels.
        min_sample_rate_hz: lowest sampling rate.
        max_sample_rate_hz: highest sampling rate.
    """

    max_duration_s: float = 24 * 3600.0
    max_channels: int = 32
    min_sample_rate_hz: int = 2_000
    max_sample_rate_hz: int = 384_000

    def held(
        self, sample_rate_hz: int, channels: int, frames: int, blocks: Iterator[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """The blocks that are not empty, as long as the limits hold; `frames` is the header's claim, 0 for none.

        Raises:
            AudioLimitError: they do not.
        """
        if not self.min_sample_rate_hz <= sample_rate_hz <= self.max_sample_rate_hz:
            raise AudioLimitError(
                f"a sampling rate of {sample_rate_hz} Hz is outside {self.min_sample_rate_hz} to "
                f"{self.max_sample_rate_hz} Hz",
                "sample_rate",
            )
        if channels > self.max_channels:
            raise AudioLimitError(
                f"{channels} channels are more than the {self.max_channels} allowed", "too_many_channels"
            )
        most = int(self.max_duration_s * sample_rate_hz)
        too_long = AudioLimitError(f"the sound is longer than the {self.max_duration_s:g} s allowed")
        if frames > most:
            raise too_long
        decoded = 0
        for block in blocks:
            decoded += len(block)
            if decoded > most:
                raise too_long
            if len(block):
                yield block


DEFAULT_LIMITS = AudioLimits()
