"""Disturbances against what physics and standards say of them, and the table against counting."""

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import soundfile

import tiny_model
from earshot.core.params import ParamsError, build
from earshot.evaluation import disturbances as disturb
from earshot.evaluation import robustness
from earshot.evaluation.plots import plot_robustness
from earshot.evaluation.robustness import RobustnessParams, Sound
from earshot.hearing.clip import fit_length
from earshot.model.session import Model
from earshot.training.config import AugmentParams

RATE_HZ = 22_050


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def power_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def share_above(samples: np.ndarray, frequency_hz: float) -> float:
    frequencies, power = scipy.signal.welch(samples, RATE_HZ, nperseg=2048)
    return power[frequencies > frequency_hz].sum() / power.sum()


@pytest.mark.parametrize("gain_db", [20.0, -20.0])
def test_gain_is_exact_and_does_not_clip(gain_db):
    changed = disturb.gain(noise(1), gain_db)
    assert power_db(changed) - power_db(noise(1)) == pytest.approx(gain_db, abs=1e-4)


def test_overdrive_clips_at_full_scale():
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32) * 0.01
    driven = disturb.overdrive(tone, 12)
    assert np.abs(driven).max() == 1
    # A sine 12 dB over is at full scale but for arcs of asin(10 ** -0.6).
    assert (np.abs(driven) == 1).mean() == pytest.approx(1 - 2 / np.pi * np.arcsin(10**-0.6), abs=0.01)
    assert not disturb.overdrive(np.zeros(100, np.float32), 12).any()


@pytest.mark.parametrize("snr_db", [20.0, 10.0, 0.0])
def test_added_ambience_has_the_wanted_ratio(snr_db):
    sound = noise(2)
    mixed = disturb.add(sound, disturb.ambience(len(sound), RATE_HZ, np.random.default_rng(1)), snr_db)
    assert power_db(sound) - power_db(mixed - sound) == pytest.approx(snr_db, abs=0.05)


def test_ambience_falls_with_frequency_and_differs_with_its_generator():
    heard = disturb.ambience(10 * RATE_HZ, RATE_HZ, np.random.default_rng(2))
    assert power_db(heard) == pytest.approx(0, abs=1e-3)
    assert share_above(heard, 2000) < 0.35 < share_above(noise(10), 2000)  # 1/f has 0.27, white noise 0.82
    assert np.array_equal(heard, disturb.ambience(10 * RATE_HZ, RATE_HZ, np.random.default_rng(2)))
    assert not np.array_equal(heard, disturb.ambience(10 * RATE_HZ, RATE_HZ, np.random.default_rng(3)))


@pytest.mark.parametrize("generate", [disturb.noise, disturb.tones])
def test_generated_noise_and_tones_have_a_level_of_one_and_differ_with_their_generator(generate):
    heard = [generate(2 * RATE_HZ, RATE_HZ, np.random.default_rng(seed)) for seed in (2, 2, 3)]
    for sound in heard:
        assert sound.dtype == np.float32
        assert power_db(sound) == pytest.approx(0, abs=1e-3)
    assert np.array_equal(heard[0], heard[1])
    assert not np.array_equal(heard[0], heard[2])


def flatness(samples: np.ndarray) -> float:
    """Geometric over arithmetic mean of the power spectrum: 1 for white noise, near 0 where it lies in few lines."""
    power = scipy.signal.welch(samples, RATE_HZ, nperseg=2048)[1][2:-2] + 1e-12
    return float(np.exp(np.mean(np.log(power))) / np.mean(power))


def test_generated_noise_is_white_or_a_band_and_tones_are_lines():
    noises = [flatness(disturb.noise(4 * RATE_HZ, RATE_HZ, np.random.default_rng(seed))) for seed in range(20)]
    assert {value > 0.9 for value in noises} == {True, False}
    for seed in range(20):
        sound = disturb.tones(4 * RATE_HZ, RATE_HZ, np.random.default_rng(seed))
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        loudest = np.sort(spectrum)[::-1]
        assert loudest[:15].sum() > 0.99 * spectrum.sum()  # at most three lines, each as wide as the window's lobe
        peak_hz = np.argmax(spectrum) * RATE_HZ / len(sound)
        assert 99 < peak_hz < RATE_HZ / 3 + 1


def test_a_telephone_passes_its_band_only():
    sound = noise(2)
    heard = disturb.telephone(sound, RATE_HZ)
    assert len(heard) == len(sound)
    assert share_above(heard, 3900) < 1e-3
    frequencies, power = scipy.signal.welch(heard, RATE_HZ, nperseg=4096)
    before = scipy.signal.welch(sound, RATE_HZ, nperseg=4096)[1]
    band = (frequencies > 500) & (frequencies < 3000)
    assert 10 * np.log10(power[band].sum() / before[band].sum()) == pytest.approx(0, abs=0.7)
    assert 10 * np.log10(power[frequencies < 100].sum() / before[frequencies < 100].sum()) < -15


def test_mu_law_has_the_steps_of_g711():
    """At 8 kHz nothing is resampled: values are G.711's, which double their steps in eight segments."""
    sound = noise(0.5, level=0.2)
    heard = disturb.mu_law(sound, disturb.TELEPHONE_HZ)
    segments = [((2 * step + 33) << segment) - 33 for segment in range(8) for step in range(16)]  # of 14 bits
    allowed = np.array(sorted({sign * value for sign in (-1, 1) for value in segments}))
    off = np.abs(heard[:, None].astype(np.float64) * 8192 - allowed[None]).min(axis=1)
    assert off.max() < 0.51
    assert len(set(heard.tolist())) <= 256
    assert power_db(sound) - power_db(heard - sound) > 30


@pytest.mark.parametrize(
    "codec",
    [
        lambda x: disturb.mp3(x, RATE_HZ, 64),
        lambda x: disturb.mp3(x, RATE_HZ, 32),
        lambda x: disturb.opus(x, RATE_HZ, 64),
        lambda x: disturb.opus(x, RATE_HZ, 24),
        lambda x: disturb.vorbis(x, RATE_HZ),
    ],
)
@pytest.mark.parametrize("seconds", [0.3, 0.65, 2.0])
def test_a_codec_keeps_length_and_tune_and_takes_something(codec, seconds):
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tune = (0.3 * np.sin(2 * np.pi * 600 * time_s) + 0.003 * noise(seconds)[: len(time_s)]).astype(np.float32)
    heard = codec(tune)
    assert len(heard) == len(tune)
    assert heard.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * RATE_HZ / len(heard) == pytest.approx(600, abs=8)
    assert not np.array_equal(heard, tune)


def test_fewer_bits_take_more():
    sound = noise(2)

    def error_db(kbit: int) -> float:
        heard = disturb.mp3(sound, RATE_HZ, kbit)
        lag = int(np.argmax(scipy.signal.correlate(heard, sound, "full"))) - len(sound) + 1
        inside = slice(4000, -4000)
        return power_db(np.roll(heard, -lag)[inside] - sound[inside])

    assert error_db(32) > error_db(64) + 1


def test_a_microphone_stays_within_ten_decibels_and_is_smooth():
    impulse = np.zeros(4096, np.float32)
    impulse[2048] = 1
    response_db = 20 * np.log10(
        np.abs(np.fft.rfft(disturb.microphone(impulse, RATE_HZ, np.random.default_rng(5)))) + 1e-9
    )
    assert response_db[20:].min() > -11
    assert response_db.max() < 11
    assert response_db[20:].std() > 1
    assert np.abs(np.diff(response_db[20:])).max() < 0.5


@pytest.mark.parametrize("rt60_s", [0.3, 0.8])
def test_a_room_falls_by_60_decibels_in_its_time(rt60_s):
    response = disturb.room_response(RATE_HZ, rt60_s, 0.0, np.random.default_rng(6))
    tail = response[round(0.002 * RATE_HZ) :]
    assert power_db(tail) + 10 * np.log10(len(tail)) == pytest.approx(0, abs=0.2)  # as much energy as the direct sound
    decay_db = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1])  # Schroeder's backward integration
    decay_db -= decay_db[0]
    first, last = np.argmax(decay_db < -5), np.argmax(decay_db < -25)
    assert (last - first) / RATE_HZ * 3 == pytest.approx(rt60_s, rel=0.1)


def test_automatic_gain_brings_loud_and_soft_near_each_other():
    sound = np.concatenate([noise(2, level=0.005), noise(2, level=0.3)])
    heard = disturb.automatic_gain(sound, RATE_HZ)
    soft, loud = heard[RATE_HZ : 2 * RATE_HZ], heard[3 * RATE_HZ :]
    assert abs(power_db(loud) - power_db(soft)) < 3
    assert power_db(loud) == pytest.approx(-20, abs=2)
    assert np.abs(heard).max() <= 1


# ---- the table


@pytest.fixture(scope="module")
def model(tiny_model_path) -> Model:
    return Model(tiny_model_path)


@pytest.fixture(scope="module")
def sounds(model) -> list[Sound]:
    found = []
    for number, label in enumerate(model.classes):
        for i in range(6):
            length_s = 0.4 if i < 2 else model.log_mel.params.window_s
            samples = tiny_model.sound(label, length_s, 100 + i).astype(np.float32)
            found.append(Sound(samples, number, f"{label}{i // 2}", lossless=i % 3 != 0))
    return found


@pytest.fixture(scope="module")
def rows(model, sounds) -> list[dict]:
    return robustness.table(robustness.predict(model, sounds, seed=1), sounds, model.classes, seed=1)


def by_name(rows: list[dict], name: str) -> dict:
    return next(row for row in rows if row["condition"] == name)


def test_the_clean_row_is_the_models_accuracy(model, sounds, rows):
    window = model.log_mel.params.window_samples
    right = [
        model.logits(model.log_mel.clip(fit_length(sound.samples, window))[None]).argmax() == sound.label
        for sound in sounds
    ]
    assert rows[0]["condition"] == "clean"
    assert rows[0]["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    assert rows[0]["change_points"] == 0
    assert (rows[0]["change_low"], rows[0]["change_high"]) == (None, None)  # nothing is compared


def test_a_row_is_of_the_clips_it_can_be_done_to(sounds, rows):
    assert by_name(rows, "gain -30 dB")["clips"] == len(sounds)
    assert by_name(rows, "MP3 64 kbit/s")["clips"] == sum(sound.lossless for sound in sounds) < len(sounds)
    assert by_name(rows, "short clips, at the right edge")["clips"] == 2 * len(sounds) // 6
    for row in rows[1:]:
        change = 100 * (row["accuracy"] - row["accuracy_clean"])
        assert row["change_points"] == pytest.approx(change, abs=1e-3)
        assert row["change_low"] <= row["change_points"] + 1e-9
        assert row["change_points"] <= row["change_high"] + 1e-9


def test_a_disturbance_does_disturb(rows):
    assert by_name(rows, "ambience at 0 dB")["accuracy"] <= rows[0]["accuracy"]
    assert min(row["change_points"] for row in rows) < 0


def test_the_same_seed_gives_the_same_table(model, sounds, rows):
    again = robustness.table(robustness.predict(model, sounds, seed=1), sounds, model.classes, seed=1)
    assert again == rows


def test_without_lossless_clips_there_are_no_codec_rows(model, sounds):
    lossy = [Sound(s.samples, s.label, s.recording, lossless=False) for s in sounds]
    names = [one.condition for one in robustness.predict(model, lossy, seed=1)]
    assert not [name for name in names if "kbit" in name or "Vorbis" in name]


@pytest.mark.parametrize(
    ("codecs", "met"),
    [
        ((), set()),
        (("PCM_16", "VORBIS"), {"Vorbis, lowest quality"}),
        (("MPEG_LAYER_III", "opus"), {"MP3 64 kbit/s", "MP3 32 kbit/s", "Opus 64 kbit/s", "Opus 24 kbit/s"}),
    ],
)
def test_what_training_met_is_marked(codecs, met):
    """Rolling and keeping stretches place short clips anywhere in silence; codecs are those of the training files."""
    found = {one.name for one in robustness.conditions(RATE_HZ, 4 * RATE_HZ, codecs) if one.in_training}
    assert found == {*met, "short clips, anywhere in silence", "short clips, at the right edge"}


def test_gain_goes_beyond_what_training_draws():
    sound = noise(1)
    changed = {one.name: one for one in robustness.conditions(RATE_HZ, RATE_HZ) if one.name.startswith("gain")}
    gains_db = [power_db(one.apply(sound, np.random.default_rng(0))) - power_db(sound) for one in changed.values()]
    assert min(abs(gain_db) for gain_db in gains_db) > AugmentParams().gain_db


def test_clips_are_read_with_their_codec_and_at_most_so_many(tmp_path):
    table = pd.DataFrame({"path": [f"{i}.{'ogg' if i % 2 else 'wav'}" for i in range(12)], "recording": range(12)})
    for path in table["path"]:
        soundfile.write(tmp_path / path, noise(0.5), RATE_HZ)
    files = table.assign(codec=["VORBIS" if path.endswith("ogg") else "PCM_16" for path in table["path"]])
    read = robustness.read_sounds(table, files, np.arange(12), tmp_path, RATE_HZ, 10, seed=1)
    assert len(read) == 10
    for sound in read:
        assert sound.recording == str(sound.label)
        assert sound.lossless == (sound.label % 2 == 0)


def test_the_picture_and_the_headline_name_the_worst(rows, tmp_path):
    told = robustness.headline(rows, "folder")
    worst = min(rows, key=lambda row: row["change_points"])
    assert (told["dataset"], told["worst_condition"]) == ("folder", worst["condition"])
    plot_robustness(rows, tmp_path / "robustness.png")
    assert (tmp_path / "robustness.png").read_bytes()[:4] == b"\x89PNG"


def test_parameters_are_checked():
    for values in ({"clips": 3}, {"confidence": 0.6}, {"snr_db": 3}):
        with pytest.raises(ParamsError):
            build(RobustnessParams, values)
