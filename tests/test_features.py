"""The log-mel front end, against torchaudio and against itself in pieces."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from earshot.core import params
from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError
from earshot.hearing import log_mel as features
from earshot.hearing.clip import fit_length
from earshot.hearing.decode import read_mono
from earshot.hearing.log_mel import LogMel, mel_filters
from earshot.training.torchaudio_compat import import_torchaudio
from sounds import noise, tone, wav

RATE = 22_050
PARAMS = FrontEndParams()
OTHERS = [
    FrontEndParams(n_mels=40, f_min_hz=50.0, f_max_hz=8_000.0),
    FrontEndParams(sample_rate_hz=16_000, n_fft=512, hop_length=160, n_mels=23),
    FrontEndParams(n_fft=2048, n_mels=128, window_s=2.0),
]


def torchaudio_decibels(samples: np.ndarray, settings: FrontEndParams) -> np.ndarray:
    """What torchaudio makes of it: float32 (n_mels, frames)."""
    torchaudio = import_torchaudio()
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate=settings.sample_rate_hz,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        n_mels=settings.n_mels,
        f_min=settings.f_min_hz,
        f_max=settings.f_max_hz,
        power=2.0,
    )
    decibels = torchaudio.transforms.AmplitudeToDB("power", top_db=None)
    return decibels(mel(torch.from_numpy(samples))).numpy()


def signals() -> dict[str, np.ndarray]:
    """Four seconds each, float32 at 22,050 Hz."""
    length = PARAMS.window_samples
    impulse = np.zeros(length, np.float32)
    impulse[[0, 30_000, length - 1]] = (1.0, 0.5, -1.0)
    faint = noise(length, level=1e-4)[:, 0].astype(np.float32)
    return {
        "noise": noise(length)[:, 0].astype(np.float32),
        "faint noise": faint,
        "sine": tone(RATE, 440.0, 4.0)[:, 0].astype(np.float32) + faint,
        "impulses": impulse,
        "silence": np.zeros(length, np.float32),
        "short": fit_length(noise(5_000)[:, 0].astype(np.float32), length),
    }


def assert_agrees(samples: np.ndarray, settings: FrontEndParams) -> None:
    expected = torchaudio_decibels(samples, settings)
    front_end = LogMel(settings)
    half = settings.n_fft // 2
    found = front_end._decibels(np.pad(samples, half, mode="reflect")).T  # before rounding
    assert found.shape == expected.shape
    # Within 70 dB of the frame's loudest band: further down, both answers are rounding errors of their float32 FFT.
    threshold = np.maximum(expected.max(axis=0) - 70, -99.9)
    heard = expected > threshold
    assert np.abs(found - expected)[heard].max(initial=0) < 1e-3
    assert (np.maximum(found, expected) <= threshold + 0.1)[~heard].all()
    rounded = front_end.clip(samples)
    step = np.spacing(np.abs(expected).astype(np.float16)).astype(np.float32)
    assert rounded.dtype == np.float16
    assert rounded.min() >= -100
    assert (np.abs(rounded.astype(np.float32) - expected) <= step / 2 + 1e-3)[heard].all()


@pytest.mark.parametrize("name", signals())
@pytest.mark.parametrize("settings", [PARAMS, *OTHERS], ids=lambda settings: f"{settings.n_mels} mels")
def test_agrees_with_torchaudio(name, settings):
    assert_agrees(signals()[name], settings)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_agrees_with_torchaudio_on_files_of_any_rate(rate_hz, channels):
    sound = noise(4 * rate_hz, channels, seed=rate_hz) / 2 + tone(rate_hz, 1_000, 4.0, channels) / 2
    samples = fit_length(read_mono(wav(sound, rate_hz, "PCM_24"), RATE), PARAMS.window_samples)
    assert_agrees(samples, PARAMS)


def test_a_calibrated_sine_reads_its_level():
    # A sine of amplitude 1 on FFT bin 200 has |n_fft / 4|^2 there and a quarter of it in either neighbour (Hann).
    sine = np.sin(2 * np.pi * 200 * np.arange(RATE) / 1024).astype(np.float32)
    weights = mel_filters(PARAMS)[199:202]
    band = int(weights[1].argmax())
    expected = 10 * np.log10((1024 / 4) ** 2 * (weights[:, band] @ [0.25, 1, 0.25]))
    assert LogMel(PARAMS).clip(sine)[band, 20] == pytest.approx(expected, abs=0.05)


def test_silence_is_the_floor_and_loudness_adds_decibels():
    front_end = LogMel(PARAMS)
    assert (front_end.clip(np.zeros(RATE, np.float32)) == -100).all()
    sound = noise(RATE)[:, 0].astype(np.float32)
    difference = front_end.clip(sound).astype(np.float32) - front_end.clip(sound / 10)
    assert np.abs(difference - 20).max() < 0.05


def test_shape_is_the_tutorials():
    found = LogMel(PARAMS).clip(np.zeros(PARAMS.window_samples, np.float32))
    assert found.shape == (64, 173) == (PARAMS.n_mels, PARAMS.window_frames)
    assert found.flags.c_contiguous
    assert LogMel(PARAMS).frames(np.zeros(1_023, np.float32)).shape == (0, 64)


@pytest.mark.parametrize("n_mels", [1, 2, 63])
def test_any_number_of_bands(n_mels):
    sound = noise(RATE)[:, 0].astype(np.float32)
    found = LogMel(FrontEndParams(n_mels=n_mels)).clip(sound).astype(np.float32)
    assert np.abs(found - torchaudio_decibels(sound, FrontEndParams(n_mels=n_mels))).max() < 0.04


# --- the same bits, however the sound is cut


def unrounded(samples: np.ndarray) -> np.ndarray:
    return LogMel(PARAMS)._decibels(samples)


def test_a_frames_bits_do_not_depend_on_its_place():
    sound = noise(100 * 512 + 1024, level=0.3)[:, 0].astype(np.float32)
    whole = unrounded(sound)
    for first in (1, 2, 5, 20, 31, 32, 33, 77):
        assert np.array_equal(unrounded(sound[first * 512 :]), whole[first:])
    for count in (1, 2, 7, 21, 22, 32, 33):
        assert np.array_equal(unrounded(sound[: (count - 1) * 512 + 1024]), whole[:count])


def test_a_frames_bits_do_not_depend_on_its_neighbours():
    random = np.random.default_rng(1)
    frame = random.standard_normal(1024).astype(np.float32)
    alone = unrounded(frame)[0]
    for place in range(40):
        sound = np.concatenate([noise(512 * place, seed=place), frame[:, None], noise(3_000, seed=place)])
        assert np.array_equal(unrounded(sound[:, 0].astype(np.float32))[place], alone)


def test_frames_in_hops_equal_the_frames_of_the_long_signal():
    sound = noise(10 * RATE)[:, 0].astype(np.float32)
    front_end = LogMel(PARAMS)
    whole = front_end.frames(sound)
    hop = 22 * 512
    pieces = [front_end.frames(sound[start : start + hop + 1024 - 512]) for start in range(0, len(sound), hop)]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_the_block_size_changes_no_bit(monkeypatch):
    sound = noise(3 * RATE)[:, 0].astype(np.float32)
    expected = unrounded(sound)
    for frames in (1, 7, 64, 1_000):
        monkeypatch.setattr(features, "_BLOCK_FRAMES", frames)
        assert np.array_equal(unrounded(sound), expected)


def test_threads_and_the_kernel_of_blas_change_no_bit():
    # OpenBLAS's AVX2 kernel rounds a row by its place, and a product large enough is shared out among threads.
    program = (
        "import hashlib, numpy as np; from earshot.hearing.log_mel import *;"
        "sound = np.random.RandomState(0).standard_normal(30000).astype('f4');"
        "print(hashlib.sha256(LogMel(FrontEndParams())._decibels(sound).tobytes()).hexdigest())"
    )
    sound = np.random.RandomState(0).standard_normal(30_000).astype(np.float32)
    expected = hashlib.sha256(unrounded(sound).tobytes()).hexdigest()
    for setting in ({"OPENBLAS_NUM_THREADS": "4"}, {"OPENBLAS_CORETYPE": "Haswell"}, {"OPENBLAS_CORETYPE": "Nehalem"}):
        run = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | setting, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == expected, setting


def test_doubles_and_integers_are_taken_as_float32():
    sound = noise(5_000)[:, 0].astype(np.float32)
    assert np.array_equal(unrounded(sound.astype(np.float64)), unrounded(sound))
    assert np.array_equal(unrounded(np.full(2_000, 3)), unrounded(np.full(2_000, 3, np.float32)))


# --- identity and parameters


def test_the_probe_tells_front_ends_apart():
    assert LogMel(PARAMS).probe.shape == (8, 64)
    assert np.array_equal(LogMel(PARAMS).probe, LogMel(PARAMS).probe)
    for change in ({"f_min_hz": 20.0}, {"f_max_hz": 10_000.0}, {"hop_length": 256}, {"sample_rate_hz": 24_000}):
        other = LogMel(FrontEndParams(**change)).probe
        assert np.abs(other - LogMel(PARAMS).probe).max() > 1e-3, change


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n_mels": 0}, r"params\.yaml: audio\.n_mels must be a whole number of at least 1, not 0"),
        ({"sample_rate_hz": -1}, "sample_rate_hz must be a whole number of at least 1, not -1"),
        ({"hop_length": 0}, "hop_length must be a whole number of at least 1, not 0"),
        ({"n_fft": 1023}, "n_fft must be a whole number of at least 2, a multiple of 2, not 1023"),
        ({"f_min_hz": -5.0}, r"f_min_hz must be a number of at least 0, not -5\.0"),
        ({"f_max_hz": 12_000.0}, "half the sampling rate"),
        ({"f_min_hz": 5_000, "f_max_hz": 4_000.0}, "f_min_hz 5000 and f_max_hz 4000"),
        ({"window_s": 0.01}, "window_s 0.01 must be longer"),
        ({"n_mels": 64.0}, r"n_mels must be a whole number .*, not 64\.0"),
        ({"mels": 64}, "unknown key 'mels'"),
    ],
)
def test_wrong_parameters_are_named(values, words):
    with pytest.raises(ParamsError, match=words):
        params.build(FrontEndParams, values, "audio", "params.yaml")


def test_too_many_bands_for_the_fft_are_refused_with_the_remedy():
    with pytest.raises(ParamsError, match=r"n_mels 200 is too many for n_fft 1024.*lower n_mels or raise n_fft"):
        LogMel(FrontEndParams(n_mels=200))
    LogMel(FrontEndParams(n_mels=200, n_fft=8192))


def test_times_follow_from_the_parameters():
    settings = FrontEndParams(sample_rate_hz=16_000, hop_length=160, n_fft=400, window_s=1.0)
    assert (settings.window_samples, settings.window_frames, settings.f_top_hz) == (16_000, 101, 8_000)
    assert settings.hop_s == pytest.approx(0.01)


# --- torchaudio beside another PyTorch


def in_new_process(program: str) -> str:
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_torchaudio_is_imported_where_its_extension_cannot_load():
    found = in_new_process(
        "from earshot.training.torchaudio_compat import import_torchaudio\n"
        "first = import_torchaudio()\n"
        "import torch, torchaudio, torchaudio.transforms as transforms\n"
        "print(torchaudio is first is import_torchaudio())\n"
        "print(transforms.TimeMasking(20)(torch.ones(1, 64, 173)).shape[2])\n"
    )
    assert found.split() == ["True", "173"]


def test_an_extension_that_loads_is_kept():
    found = in_new_process(
        "import sys, types\n"
        "real = types.ModuleType('torchaudio')\n"
        "sys.modules['torchaudio'] = real\n"
        "from earshot.training.torchaudio_compat import import_torchaudio\n"
        "print(import_torchaudio() is real, 'torchaudio._extension' in sys.modules)\n"
    )
    assert found == "True False"


def test_without_torchaudio_the_error_is_pythons_own():
    found = in_new_process(
        "import sys\n"
        "sys.modules['torchaudio'] = None\n"
        "from earshot.training.torchaudio_compat import import_torchaudio\n"
        "try: import_torchaudio()\n"
        "except ModuleNotFoundError as error: print(error.name)\n"
    )
    assert found == "torchaudio"
