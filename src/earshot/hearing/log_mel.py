"""Log-mel front end in NumPy; the only one in the project.

Equal to torchaudio's ``MelSpectrogram`` (power 2, HTK mel scale, no filter normalisation, centred and reflected) then
decibels on a fixed scale, within 1e-3 dB. The output *is* float16, in the cache and in the service alike, so that both
hand the network the same bits.

A stream equals a file bit for bit, because no step of a frame depends on its neighbours. The sum over a mel band is
therefore no matrix product: BLAS chooses its path by the shape, by a row's place in it and by the number of threads
(OpenBLAS's kernel for AVX2 gives row 0 and row 20 of one product different last bits). Filters of even index do not
overlap, nor do those of odd index, so that two weighted segment sums do the same in the same time.
"""

import math
from functools import cached_property

import numpy as np

from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError

FRONT_END_VERSION = 1  # raise it when the output changes by more than rounding: models made before are then refused

_BLOCK_FRAMES = 32  # frames worked on at once: their 400 KB stay in the CPU's cache. Changes no bit of the result
_FLOOR_POWER = 1e-10  # -100 dB: below a 16-bit converter's noise in any mel band


class LogMel:
    """The front end for one set of parameters."""

    def __init__(self, params: FrontEndParams) -> None:
        self.params = params
        self._window = _periodic_hann(params.n_fft)
        filters = mel_filters(params)
        self._bands = [  # which mel bands, their weights for each FFT bin, the bin each begins at
            (slice(parity, None, 2), filters[:, parity::2].sum(axis=1), (filters[:, parity::2] > 0).argmax(axis=0))
            for parity in range(min(2, params.n_mels))
        ]

    def clip(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel of a clip: float32 samples of shape (n,) to float16 decibels of shape (n_mels, 1 + n // hop_length).

        Frames are centred; the clip's edges are reflected. `n` must exceed half a frame.
        """
        half = self.params.n_fft // 2
        return self.frames(np.pad(samples, half, mode="reflect")).T.copy()

    def frames(self, padded: np.ndarray) -> np.ndarray:
        """Log-mel of every whole frame in `padded`: frame k covers samples k * hop_length to k * hop_length + n_fft.

        Float32 samples of shape (n,) to float16 decibels of shape (frames, n_mels), between -100 and about +60 dB.
        The result for a frame does not depend, in any bit, on where the frame lies in `padded`.
        """
        return self._decibels(padded).astype(np.float16)

    def _decibels(self, padded: np.ndarray) -> np.ndarray:
        n_fft, hop = self.params.n_fft, self.params.hop_length
        if len(padded) < n_fft:
            return np.zeros((0, self.params.n_mels), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(padded, np.float32), n_fft)[::hop]
        out = np.empty((len(windows), self.params.n_mels), np.float32)
        for start in range(0, len(windows), _BLOCK_FRAMES):
            block = slice(start, start + _BLOCK_FRAMES)
            squares = np.fft.rfft(windows[block] * self._window).view(np.float32)  # real, imaginary, real, ...
            squares *= squares
            power = squares[:, 0::2] + squares[:, 1::2]
            for bands, weights, first_bins in self._bands:
                np.add.reduceat(power * weights, first_bins, axis=1, out=out[block, bands])
        np.maximum(out, np.float32(_FLOOR_POWER), out=out)
        np.log10(out, out=out)
        out *= 10
        return out

    @cached_property
    def probe(self) -> np.ndarray:
        """Answer to a fixed sound before rounding to float16: float32 (8 frames, n_mels), in decibels.

        The front end's fingerprint: a model stores it, and a front end that answers otherwise is another one.
        """
        frames = self._decibels(_probe_sound(self.params))
        return frames[np.linspace(0, len(frames) - 1, 8).astype(int)]


def mel_filters(params: FrontEndParams) -> np.ndarray:
    """Triangular filters on the HTK mel scale, float32 (n_fft // 2 + 1, n_mels), peaks at 1.

    Source: S. Young et al., The HTK Book, section 5.4: mel(f) = 2595 log10(1 + f / 700).

    Raises:
        ParamsError: a band so narrow that no FFT bin falls into it.
    """
    bins_hz = np.linspace(0, params.sample_rate_hz / 2, params.n_fft // 2 + 1)
    low, high = (2595 * math.log10(1 + f / 700) for f in (params.f_min_hz, params.f_top_hz))
    edges_hz = 700 * (10 ** (np.linspace(low, high, params.n_mels + 2) / 2595) - 1)
    rising = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    filters = np.maximum(0, np.minimum(rising, falling))
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    if len(empty):
        raise ParamsError(
            f"audio.n_mels {params.n_mels} is too many for n_fft {params.n_fft}: band {empty[0]} holds no FFT bin; "
            "lower n_mels or raise n_fft"
        )
    return filters.astype(np.float32)


def _periodic_hann(length: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def _probe_sound(params: FrontEndParams) -> np.ndarray:
    """Exponential sweep from 50 Hz to 0.45 of the sampling rate over faint noise; float32 (window_samples,)."""
    time_s = np.arange(params.window_samples) / params.sample_rate_hz
    low_hz, high_hz = 50.0, 0.45 * params.sample_rate_hz
    rate = math.log(high_hz / low_hz) / params.window_s
    sweep = 0.5 * np.sin(2 * np.pi * low_hz / rate * (np.exp(rate * time_s) - 1))
    noise = 0.01 * np.random.RandomState(0).standard_normal(len(time_s))  # the legacy generator never changes
    return (sweep + noise).astype(np.float32)
