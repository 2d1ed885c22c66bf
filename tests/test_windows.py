"""Frames and windows cut from a stream: the same bits however the samples arrive, and as little memory as promised."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from earshot.core.errors import EarshotError
from earshot.core.front_end import FrontEndParams
from earshot.hearing.clip import fit_length
from earshot.hearing.log_mel import LogMel
from earshot.stream.windows import HOP_FRAMES, Frames, FrameStream, WindowStream, windows
from sounds import noise

RATE = 22_050
LOG_MEL = LogMel(FrontEndParams())
PARAMS = LOG_MEL.params
OTHERS = [
    FrontEndParams(sample_rate_hz=16_000, window_s=1.0, n_fft=512, hop_length=160, n_mels=23),
    FrontEndParams(window_s=1.0, n_fft=512, hop_length=700, n_mels=20),  # samples between frames that none covers
]


def signal(samples: int, seed: int = 0) -> np.ndarray:
    return noise(samples, seed=seed)[:, 0].astype(np.float32)


def chunks(samples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def frames_of(samples: np.ndarray, size: int, log_mel: LogMel = LOG_MEL) -> Frames:
    stream = FrameStream(log_mel)
    parts = [stream.push(chunk) for chunk in chunks(samples, size)] + [stream.finish()]
    return Frames(np.concatenate([p.log_mel for p in parts]), np.concatenate([p.peak for p in parts]))


@pytest.mark.parametrize("size", [1, 7, 512, 22_050, 10**9])
def test_frames_are_those_of_the_whole_clip_at_any_chunk_size(size):
    samples = signal(30_011)
    assert np.array_equal(frames_of(samples, size).log_mel, LOG_MEL.clip(samples).T)


@pytest.mark.parametrize("length", [513, 1023, 1024, 1025, 5_119, 5_120, 5_121, 5_632])
@pytest.mark.parametrize("size", [100, 512, 10**9])
def test_ends_are_reflected_as_in_a_clip_of_any_length(length, size):
    samples = signal(length)
    assert np.array_equal(frames_of(samples, size).log_mel, LOG_MEL.clip(samples).T)


@pytest.mark.parametrize("params", OTHERS)
def test_frames_hold_for_other_front_ends(params):
    samples, log_mel = signal(20_003), LogMel(params)
    for size in (97, 4_096):
        assert np.array_equal(frames_of(samples, size, log_mel).log_mel, log_mel.clip(samples).T)


def test_the_peak_is_the_largest_magnitude_under_each_frame():
    samples = np.zeros(10_240, np.float32)
    samples[5_000] = -0.75
    peak = frames_of(samples, 333).peak
    covering = [k for k in range(21) if k * 512 - 512 <= 5_000 < k * 512 + 512]
    assert np.flatnonzero(peak).tolist() == covering
    assert set(peak[covering]) == {np.float32(0.75)}


def test_a_stream_of_nothing_has_no_frames_and_no_windows():
    assert len(frames_of(signal(0), 1).peak) == 0
    assert list(windows([], LOG_MEL)) == []
    assert list(windows([np.zeros(0, np.float32)], LOG_MEL)) == []


def test_a_finished_stream_takes_no_more():
    stream = FrameStream(LOG_MEL)
    stream.push(signal(2_000))
    stream.finish()
    with pytest.raises(ValueError, match="finished"):
        stream.push(signal(1))
    with pytest.raises(ValueError, match="finished"):
        stream.finish()


def test_a_signal_of_one_window_is_that_window():
    samples = signal(PARAMS.window_samples)
    (window,) = windows(chunks(samples, 1_000), LOG_MEL)
    assert window.first_frame == 0
    assert window.features.dtype == np.float16
    assert window.features.flags.c_contiguous
    assert np.array_equal(window.features, LOG_MEL.clip(samples))


@pytest.mark.parametrize("length", [1, 300, 512, 20_000, PARAMS.window_samples - 1])
def test_a_short_signal_is_filled_with_zeros_as_in_training(length):
    samples = signal(length)
    (window,) = windows([samples], LOG_MEL)
    assert np.array_equal(window.features, LOG_MEL.clip(fit_length(samples, PARAMS.window_samples)))


@pytest.mark.parametrize(("beyond", "starts"), [
    (0, [0]),
    (1, [0, 1]),
    (HOP_FRAMES - 1, [0, 21]),
    (HOP_FRAMES, [0, 22]),
    (HOP_FRAMES + 1, [0, 22, 23]),
    (70, [0, 22, 44, 66, 70]),
])  # fmt: skip
def test_windows_lie_on_the_grid_and_one_more_ends_on_the_last_frame(beyond, starts):
    frames = PARAMS.window_frames + beyond
    samples = signal((frames - 1) * PARAMS.hop_length + 200)
    found = list(windows(chunks(samples, 5_000), LOG_MEL))
    assert [window.first_frame for window in found] == starts
    whole = LOG_MEL.clip(samples)
    assert whole.shape[1] == frames
    for window in found:
        span = slice(window.first_frame, window.first_frame + PARAMS.window_frames)
        assert np.array_equal(window.features, whole[:, span])


@pytest.mark.parametrize("size", [512, 22_050, 10**9])
def test_windows_are_the_same_bits_at_any_chunk_size(size):
    samples = signal(10 * RATE + 123)
    expected = list(windows(chunks(samples, 7_777), LOG_MEL))
    found = list(windows(chunks(samples, size), LOG_MEL))
    assert [w.first_frame for w in found] == [w.first_frame for w in expected]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.features, other.features)
        assert np.array_equal(one.peak, other.peak)


def test_a_window_is_given_out_with_the_sample_that_completes_it():
    stream = WindowStream(LOG_MEL)
    needed = (PARAMS.window_frames - 1) * PARAMS.hop_length + PARAMS.n_fft // 2
    assert stream.push(signal(needed - 1)) == []
    assert [window.first_frame for window in stream.push(signal(1))] == [0]


@pytest.mark.parametrize("hop", [0, -1, 174])
def test_a_hop_that_leaves_frames_unheard_is_refused(hop):
    with pytest.raises(EarshotError, match="hop_frames"):
        WindowStream(LOG_MEL, hop)


def test_memory_does_not_grow_with_the_stream():
    def blocks(minutes: int) -> Iterator[np.ndarray]:
        block = signal(1 << 16)
        for _ in range(minutes * 60 * RATE // len(block)):
            yield block

    def peak_bytes(minutes: int) -> int:
        tracemalloc.start()
        for _window in windows(blocks(minutes), LOG_MEL):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    short, long = peak_bytes(1), peak_bytes(10)  # the samples of ten minutes alone are 53 MB
    assert long < 8e6
    assert long < 1.05 * short
