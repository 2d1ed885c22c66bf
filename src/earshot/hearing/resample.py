"""Sound at any rate to the model's rate, by soxr, so that a cut recording keeps the samples of the whole one.

soxr filters by FFT, in blocks counted from where its stream began: two streams of one recording that begin apart differ
in the last bits, which was seen to move an event's onset by two frames. Here a long sound is resampled in blocks on a
grid of its own, each from nothing but the samples in and around it, so that a block that two recordings share comes out
the same in both.
"""

from math import ceil, gcd

import numpy as np
import soxr

_QUALITY = "HQ"  # 20-bit: its pass band ends at 0.91 of Nyquist and it costs no more than "MQ"
_WHOLE_S = 4.5  # a sound of at most so long, such as a clip, is one block: many take up to twice the time
_LEAST_BLOCK = 5000  # samples; shorter blocks cost more
_HOPS = 11  # blocks are a multiple of it, so that windows 22 frames apart begin where a block does
_CONTEXT = 200  # samples of the lower rate on each side of a block: twice what soxr's filter reaches


class Resampler:
    """Float32 samples at `from_hz` in chunks of any size in, samples at `to_hz` out; the chunks change no bit.

    Attributes:
        block_in: input samples in a block. Recordings cut out of one another at multiples of it have the same output,
            to the last bit, from one block and `context_in` samples after the cut on.
        block_out: output samples in a block.
        context_in: input samples on each side that a block's output also depends on.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        common = gcd(from_hz, to_hz)
        self._out, self._in = to_hz // common, from_hz // common  # so many samples out for so many in
        periods = 1
        if self._out < _LEAST_BLOCK:
            periods = _HOPS
            while periods * self._out < _LEAST_BLOCK:
                periods *= 2
        self.block_in, self.block_out = periods * self._in, periods * self._out
        self.context_in = ceil(_CONTEXT * from_hz / min(from_hz, to_hz) / self._in) * self._in
        self._whole = round(_WHOLE_S * from_hz)
        self._soxr = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=_QUALITY)
        # Until it is known whether the sound is a short one: its input, and its output if it is.
        self._held: list[np.ndarray] = []
        self._short: list[np.ndarray] = []
        self._kept = np.zeros(0, np.float32)  # of a long one, the input from _kept_from on
        self._kept_from = 0
        self._length = 0  # input samples so far
        self._next = 0  # first input sample of the next block

    def push(self, samples: np.ndarray) -> np.ndarray:
        """What `samples`, float32 (n,), complete; nothing while it could still be all of a short sound."""
        self._length += len(samples)
        if self._length <= self._whole:
            self._held.append(samples)
            self._short.append(self._soxr.resample_chunk(samples))
            return np.zeros(0, np.float32)
        self._kept = np.concatenate([*self._held, self._kept, samples])
        self._held = []
        done = [np.zeros(0, np.float32)]
        while self._length >= self._next + self.block_in + self.context_in:
            done.append(self._block())
        return np.concatenate(done)

    def finish(self) -> np.ndarray:
        """The rest."""
        if self._length <= self._whole:
            return np.concatenate([*self._short, self._soxr.resample_chunk(np.zeros(0, np.float32), last=True)])
        done = [np.zeros(0, np.float32)]
        while self._next < self._length:
            done.append(self._block())
        return np.concatenate(done)

    def _block(self) -> np.ndarray:
        begin = max(0, self._next - self.context_in)
        end = self._next + self.block_in
        self._soxr.clear()
        around = self._kept[begin - self._kept_from : end + self.context_in - self._kept_from]
        converted = self._soxr.resample_chunk(around, last=True)
        first = (self._next - begin) // self._in * self._out
        last = first + self.block_out if self._length > end else None
        self._next = end
        unneeded = max(0, end - self.context_in - self._kept_from)
        self._kept, self._kept_from = self._kept[unneeded:], self._kept_from + unneeded
        return converted[first:last]
