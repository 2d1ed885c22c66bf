"""Resampling: right beside one call of soxr, and the same bits however the sound was cut."""

import numpy as np
import pytest
import soxr

from earshot.core.front_end import FrontEndParams
from earshot.hearing.resample import Resampler
from earshot.stream.windows import HOP_FRAMES

RATE = FrontEndParams().sample_rate_hz
RATES = [2_000, 8_000, 11_025, 16_000, 32_000, 44_100, 44_101, 48_000, 96_000, 192_000]


def sound(rate_hz: int, seconds: float) -> np.ndarray:
    """Noise: every frequency, and no two stretches alike."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(rate_hz * seconds)).astype(np.float32)


def resampled(samples: np.ndarray, rate_hz: int, chunk: int | None = None) -> np.ndarray:
    resampler = Resampler(rate_hz, RATE)
    step = chunk or max(1, len(samples))
    parts = [resampler.push(samples[i : i + step]) for i in range(0, len(samples), step)]
    return np.concatenate([*parts, resampler.finish()])


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_long_sound_is_that_of_one_call_and_a_clip_is_to_the_bit(rate_hz):
    for seconds in (0.01, 1.0, 4.0, 4.6, 13.37):
        samples = sound(rate_hz, seconds)
        expected = soxr.resample(samples, rate_hz, RATE, quality="HQ")
        found = resampled(samples, rate_hz)
        assert found.dtype == np.float32
        if seconds <= 4:
            assert np.array_equal(found, expected)
            continue
        assert len(found) == pytest.approx(len(expected), abs=1)  # soxr rounds half a sample either way
        both = min(len(found), len(expected))
        # Below a bit of 16, 3e-5: no block has an edge. (At odd rates soxr's own clock drifts, 3e-6 in 13 s.)
        assert np.abs(found[:both] - expected[:both]).max() < 1e-5


@pytest.mark.parametrize("rate_hz", RATES)
def test_chunks_change_no_bit(rate_hz):
    for seconds in (0.5, 9.0):
        samples = sound(rate_hz, seconds)
        whole = resampled(samples, rate_hz)
        for chunk in (997, 65_536):
            assert np.array_equal(resampled(samples, rate_hz, chunk), whole)


@pytest.mark.parametrize("rate_hz", [11_025, 44_100, 88_200])
def test_windows_of_a_cut_recording_begin_with_a_block(rate_hz):
    hop = HOP_FRAMES * FrontEndParams().hop_length
    assert hop % Resampler(rate_hz, RATE).block_out == 0


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_cut_recording_has_the_bits_of_the_whole_one(rate_hz):
    grid = Resampler(rate_hz, RATE)
    cut_in, cut_out = 3 * grid.block_in, 3 * grid.block_out
    piece_in = max(6 * rate_hz, 4 * grid.block_in)
    samples = sound(rate_hz, (cut_in + 2 * piece_in) / rate_hz)
    whole = resampled(samples, rate_hz)
    piece = resampled(samples[cut_in : cut_in + piece_in], rate_hz)
    # Away from the cut: a block, and what its neighbour reaches into.
    away = grid.block_out + grid.context_in * grid.block_out // grid.block_in
    inside = slice(away, len(piece) - away)
    assert len(piece[inside]) > 1_000
    assert np.array_equal(piece[inside], whole[cut_out:][: len(piece)][inside])


def test_memory_is_that_of_a_few_blocks():
    resampler = Resampler(48_000, RATE)
    for _ in range(100):
        resampler.push(sound(48_000, 1.0))
    assert len(resampler._kept) < resampler.block_in + 4 * resampler.context_in + 48_000


def test_nothing_in_nothing_out():
    assert len(resampled(np.zeros(0, np.float32), 48_000)) == 0
