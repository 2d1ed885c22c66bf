"""From a stream of samples to the windows a model hears: the first half of the streaming core.

There is one grid of frames: frame k is centred on sample k * hop_length of the whole signal, wherever the signal was
cut into chunks on its way here. Its beginning and end are reflected as `earshot.hearing.log_mel.LogMel.clip` reflects a
clip's, so that the frames of a stream are those of the file, bit for bit.

Windows of `window_frames` frames begin on frames 0, `hop_frames`, 2 * `hop_frames`, ... While the signal lasts, every
window is whole; at its end one more ends on the last frame, so that the tail is heard too. A signal shorter than a
window is filled with zeros to one window, as clips are in training; one of exactly a window gives that window alone.

Two recordings, one cut out of the other at a multiple of `hop_frames * hop_length` samples (at the model's rate),
therefore share their windows, except where a window holds the first frame or reaches the end of the cut.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from earshot.core.errors import EarshotError
from earshot.hearing.log_mel import LogMel

HOP_FRAMES = 22  # 0.511 s with the default front end


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of the grid.

    Attributes:
        log_mel: float16 (n, n_mels), in decibels.
        peak: float32 (n,), largest magnitude among the samples under each frame, full scale at 1.
    """

    log_mel: np.ndarray
    peak: np.ndarray


@dataclass(frozen=True)
class Window:
    """What the model hears at once.

    Attributes:
        first_frame: its place on the grid.
        features: float16 (n_mels, window_frames), in decibels.
        peak: float32 (window_frames,), as in `Frames`.
    """

    first_frame: int
    features: np.ndarray
    peak: np.ndarray


class FrameStream:
    """Samples in chunks of any size in, frames out. Holds at most one frame of samples beside the chunk at work.

    Attributes:
        samples: how many samples were pushed.
        frames: how many frames were given out.
    """

    def __init__(self, log_mel: LogMel) -> None:
        self.samples = 0
        self.frames = 0
        self._log_mel = log_mel
        self._half = log_mel.params.n_fft // 2
        self._hop = log_mel.params.hop_length
        self._kept = np.zeros(0, np.float32)  # samples from _kept_from on, counted from half a frame before the signal
        self._kept_from = 0
        self._begun = False
        self._finished = False

    def push(self, samples: np.ndarray) -> Frames:
        """The frames that `samples`, float32 (n,) at the model's rate, complete."""
        if self._finished:
            raise ValueError("the stream is finished; begin another one")
        self._kept = np.concatenate([self._kept, np.asarray(samples, np.float32)])
        self.samples += len(samples)
        if not self._begun:
            if self.samples <= self._half:
                return self._none()
            self._kept = np.pad(self._kept, (self._half, 0), mode="reflect")
            self._begun = True
        return self._complete()

    def finish(self) -> Frames:
        """The last frames: those that reach over the end of the signal, which is reflected."""
        if self._finished:
            raise ValueError("the stream is finished already")
        self._finished = True
        if not self.samples:
            return self._none()
        before = 0 if self._begun else self._half
        self._kept = np.pad(self._kept, (before, self._half), mode="reflect")
        self._begun = True
        return self._complete()

    def _complete(self) -> Frames:
        start = self.frames * self._hop - self._kept_from
        ready = self._kept[start:]
        log_mel = self._log_mel.frames(ready)
        if not len(log_mel):
            return self._none()
        spans = np.lib.stride_tricks.sliding_window_view(ready, 2 * self._half)[:: self._hop]
        peak = np.maximum(spans.max(axis=1), -spans.min(axis=1))
        self.frames += len(log_mel)
        # What the next frame needs, and what a reflection at the end would.
        keep = min(self.frames * self._hop - self._kept_from, len(self._kept) - self._half - 1)
        self._kept = self._kept[keep:].copy()
        self._kept_from += keep
        return Frames(log_mel, peak)

    def _none(self) -> Frames:
        return Frames(np.zeros((0, self._log_mel.params.n_mels), np.float16), np.zeros(0, np.float32))


class WindowStream:
    """Samples in chunks of any size in, windows out. Holds less than a window beside the chunk at work.

    Attributes:
        samples: how many samples were pushed (zeros that fill a short signal do not count).
    """

    def __init__(self, log_mel: LogMel, hop_frames: int = HOP_FRAMES) -> None:
        """Windows for `log_mel`, `hop_frames` frames apart.

        Raises:
            EarshotError: a hop that is not positive, or would leave frames between windows unheard.
        """
        if not 0 < hop_frames <= log_mel.params.window_frames:
            raise EarshotError(
                f"hop_frames must lie between 1 and {log_mel.params.window_frames}, the frames of a window, "
                f"not {hop_frames}"
            )
        self.samples = 0
        self._params = log_mel.params
        self._hop = hop_frames
        self._frames = FrameStream(log_mel)
        self._log_mel = np.zeros((0, log_mel.params.n_mels), np.float16)  # frames from _kept_from on
        self._peak = np.zeros(0, np.float32)
        self._kept_from = 0
        self._next = 0  # first frame of the next window

    def push(self, samples: np.ndarray) -> list[Window]:
        """The windows that `samples`, float32 (n,) at the model's rate, complete. They need half its memory again."""
        self.samples += len(samples)
        return self._cut(self._frames.push(samples))

    def finish(self) -> list[Window]:
        """The last windows; none if no sample was ever pushed."""
        if not self.samples:
            return []
        missing = self._params.window_samples - self.samples
        found = self._cut(self._frames.push(np.zeros(max(0, missing), np.float32)))
        found += self._cut(self._frames.finish())
        last = self._frames.frames - self._params.window_frames
        if last > self._next - self._hop:  # the last window on the grid does not reach the end
            found.append(self._window(last))
        return found

    def _cut(self, frames: Frames) -> list[Window]:
        if not len(frames.peak):
            return []
        self._log_mel = np.concatenate([self._log_mel, frames.log_mel])
        self._peak = np.concatenate([self._peak, frames.peak])
        found = []
        while self._next + self._params.window_frames <= self._frames.frames:
            found.append(self._window(self._next))
            self._next += self._hop
        # A window at the end may begin up to a hop before the next on the grid.
        unneeded = max(0, self._next - self._hop - self._kept_from)
        self._log_mel, self._peak = self._log_mel[unneeded:].copy(), self._peak[unneeded:].copy()
        self._kept_from += unneeded
        return found

    def _window(self, first_frame: int) -> Window:
        span = slice(first_frame - self._kept_from, first_frame - self._kept_from + self._params.window_frames)
        return Window(first_frame, self._log_mel[span].T.copy(), self._peak[span].copy())


def windows(blocks: Iterable[np.ndarray], log_mel: LogMel, hop_frames: int = HOP_FRAMES) -> Iterator[Window]:
    """Every window of the signal that `blocks` (float32, at the model's rate) hold, while they are read."""
    stream = WindowStream(log_mel, hop_frames)
    for block in blocks:
        yield from stream.push(block)
    yield from stream.finish()
