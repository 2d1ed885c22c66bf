"""One answer for a sound of any length, the same as training's features would give."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import tiny_model
from earshot.clips.extract import build
from earshot.clips.table import make_table
from earshot.core.labels import UNKNOWN
from earshot.hearing.clip import fit_length
from earshot.hearing.decode import AudioLimitError, AudioLimits, NoAudioError, UndecodableError, read_mono
from earshot.model.scores import softmax
from earshot.model.session import Model
from earshot.stream.classify import BATCH_WINDOWS, Batch, Summary, classify, read_batches
from earshot.stream.windows import windows
from sounds import awkward_files, noise, wav

RATE = tiny_model.RATE
WINDOW = tiny_model.FRONT_END.window_samples


@pytest.fixture(scope="module")
def model(tiny_model_path) -> Model:
    return Model(tiny_model_path)


def file_of(samples: np.ndarray) -> io.BytesIO:
    return wav(samples[:, None], RATE)


def test_a_clip_gives_the_bits_of_the_feature_cache_in_every_format(model, tmp_path):
    paths = awkward_files(tmp_path / "sounds")
    names = [path.name for path in paths]
    rows = {"path": names, "label": ["a", "b"] * len(names), "recording": names, "fold": 1, "start_s": 0.0}
    rows["label"] = rows["label"][: len(names)]
    clips = make_table(pd.DataFrame({**rows, "salience": 1.0}))
    index = build(clips, tmp_path / "sounds", tiny_model.FRONT_END, tmp_path / "cache", workers=1)
    cached = np.load(tmp_path / "cache" / "logmel.npy")
    for row, name in enumerate(index["path"]):
        (batch,) = read_batches(tmp_path / "sounds" / name, model.log_mel)
        assert not batch.windowed
        assert np.array_equal(batch.features[0], cached[row]), name
        answer = classify(model, tmp_path / "sounds" / name)
        *expected, known = model.scores(cached[row : row + 1])[0]
        assert answer.probabilities == dict(zip(model.classes, expected, strict=True)), name
        assert answer.known == known, name


@pytest.mark.parametrize("label", tiny_model.CLASSES)
def test_sounds_are_recognised_and_ranked(model, label):
    answer = classify(model, file_of(tiny_model.sound(label, 3.0, seed=11)))
    assert answer.predicted_class == label
    assert next(iter(answer.probabilities)) == label
    assert answer.confidence == max(answer.probabilities.values()) == answer.probabilities[label]
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.duration_s == pytest.approx(3.0)
    assert (answer.windowed, answer.windows, answer.silent) == (False, 1, False)


@pytest.mark.parametrize(("beyond", "windowed"), [(0, False), (1, False), (2_205, False), (2_206, True)])
def test_a_clip_as_long_as_codecs_make_it_is_cut_as_in_training(model, beyond, windowed):
    samples = noise(WINDOW + beyond)[:, 0].astype(np.float32)
    batches = list(read_batches(file_of(samples), model.log_mel))
    assert [batch.windowed for batch in batches] == [windowed]
    assert batches[0].duration_s == pytest.approx(len(samples) / RATE)
    if not windowed:
        assert np.array_equal(batches[0].features[0], model.log_mel.clip(samples[:WINDOW]))


def test_a_long_sound_is_the_mean_of_its_windows_with_a_temperature_of_its_own(model):
    samples = np.concatenate([tiny_model.sound("hum", 9.0), tiny_model.sound("hiss", 4.0)])
    answer = classify(model, file_of(samples))
    heard = np.stack([window.features for window in windows([samples], model.log_mel)])
    *mean, known = model.scores(heard).mean(axis=0)
    powered = np.array(mean) ** (1 / model.card.windowed_temperature)
    expected = powered / powered.sum()
    assert (answer.windowed, answer.windows) == (True, len(heard))
    assert answer.known == pytest.approx(known, abs=1e-12)
    assert answer.predicted_class == "hum"
    assert answer.duration_s == pytest.approx(13.0)
    for label, value in zip(model.classes, expected, strict=True):
        assert answer.probabilities[label] == pytest.approx(value, abs=1e-12)


def test_a_long_sound_is_read_in_batches_of_bounded_size(model):
    samples = noise(40 * RATE)[:, 0].astype(np.float32)
    batches = list(read_batches(file_of(samples), model.log_mel))
    assert max(len(batch.features) for batch in batches) <= BATCH_WINDOWS
    assert all(batch.windowed for batch in batches)
    durations = [batch.duration_s for batch in batches]
    assert durations == sorted(durations)
    assert durations[-1] == pytest.approx(40.0)
    heard = np.concatenate([batch.features for batch in batches])
    expected = np.stack([window.features for window in windows([samples], model.log_mel)])
    assert np.array_equal(heard, expected)


def test_batches_are_read_only_as_they_are_asked_for(model):
    file = file_of(noise(120 * RATE)[:, 0].astype(np.float32))
    next(read_batches(file, model.log_mel))
    assert file.tell() < len(file.getvalue()) / 3


def test_an_answer_does_not_depend_on_the_batches(model):
    heard = np.stack([w.features for w in windows([tiny_model.sound("hum", 12.0)], model.log_mel)])
    peak = np.ones(len(heard), np.float32)
    answers = []
    for size in (1, 3, len(heard)):
        summary = Summary(model)
        for start in range(0, len(heard), size):
            part = slice(start, start + size)
            summary.add(Batch(heard[part], peak[part], True, 12.0), model.scores(heard[part]))
        answers.append(summary.result())
    assert answers[0] == answers[1] == answers[2]


def test_silence_does_not_vote_where_there_is_sound(model):
    samples = np.zeros(60 * RATE, np.float32)
    samples[30 * RATE : 34 * RATE] = tiny_model.sound("whistle", 4.0)
    answer = classify(model, file_of(samples))
    assert answer.predicted_class == "whistle"
    assert not answer.silent
    assert 15 <= answer.windows <= 17  # 8 s of windows that reach into the sound, 0.511 s apart


@pytest.mark.parametrize("duration_s", [1.0, 10.0])
def test_silence_alone_is_answered_and_called_silent(model, duration_s):
    answer = classify(model, file_of(np.zeros(round(duration_s * RATE), np.float32)))
    assert answer.silent
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_a_single_sample_is_answered(model):
    answer = classify(model, file_of(np.full(1, 0.5, np.float32)))
    assert not answer.silent
    expected = model.probabilities(model.log_mel.clip(fit_length(np.full(1, 0.5, np.float32), WINDOW))[None])[0]
    assert answer.confidence == expected.max()


def test_resampled_sound_is_what_the_decoder_makes_of_it(model):
    file = wav(noise(48_000 * 2, channels=2), 48_000, "PCM_16")
    (batch,) = read_batches(file, model.log_mel)
    expected = model.log_mel.clip(fit_length(read_mono(file, RATE), WINDOW))
    assert np.array_equal(batch.features[0], expected)


def test_what_cannot_be_read_is_refused(model):
    with pytest.raises(UndecodableError, match="plain text"):
        classify(model, io.BytesIO(b"hello there, this is no sound at all"))
    with pytest.raises(NoAudioError):
        classify(model, file_of(np.zeros(0, np.float32)))
    with pytest.raises(AudioLimitError):
        classify(model, file_of(np.zeros(20 * RATE, np.float32)), AudioLimits(max_duration_s=10.0))


# ---- Sounds of no class.


@pytest.mark.parametrize("duration_s", [1.0, 3.0, 11.0])
def test_a_sound_of_no_class_is_unknown_and_its_classes_are_ranked_all_the_same(model, duration_s):
    answer = classify(model, file_of(tiny_model.sound(tiny_model.OUTSIDE, duration_s, seed=11)))
    assert answer.predicted_class == UNKNOWN
    assert 0 < answer.known < model.card.unknown_threshold < 1
    assert set(answer.probabilities) == set(model.classes)
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.confidence == max(answer.probabilities.values())
    assert answer.as_dict()["known"] == round(answer.known, 6)


def test_known_is_the_share_of_the_likeliest_class_beside_none_of_them(model):
    labels = (*model.classes, tiny_model.OUTSIDE)
    features = np.stack([model.log_mel.clip(tiny_model.sound(label, 4.0, 50)) for label in labels])
    everything = np.concatenate([model.logits(features), model.background_logits(features)], axis=1)
    expected = softmax(everything, model.card.temperature)[:, :3].max(axis=1)
    scores = model.scores(features)
    assert np.array_equal(scores[:, 3], expected)
    assert np.array_equal(scores[:, :3], model.probabilities(features))  # none of them takes nothing from these
    assert (scores[:, 3] >= model.card.unknown_threshold).tolist() == [True, True, True, False]


def test_the_scores_are_the_same_bits_alone_and_in_any_batch(model):
    labels = (*model.classes, tiny_model.OUTSIDE)
    features = np.stack([model.log_mel.clip(tiny_model.clip(labels[i % 4], 60 + i)) for i in range(13)])
    together = model.scores(features)
    for size in (1, 2, 5, 8):
        apart = [model.scores(features[start : start + size]) for start in range(0, len(features), size)]
        assert np.array_equal(np.concatenate(apart), together), size
    assert len(np.unique(together[:, 3])) == len(features)


def answered(model: Model, samples: np.ndarray, **thresholds: float) -> str:
    """What it is called where the card has other thresholds."""
    card = replace(model.card, **thresholds)
    other = SimpleNamespace(classes=model.classes, log_mel=model.log_mel, card=card, scores=model.scores)
    return classify(other, file_of(samples)).predicted_class


@pytest.mark.parametrize(
    ("seconds", "own", "other"),
    [
        (3.0, "unknown_threshold", "windowed_unknown_threshold"),
        (6.0, "windowed_unknown_threshold", "unknown_threshold"),
    ],
)
def test_the_thresholds_are_the_cards_one_for_clips_and_one_for_longer_sounds_and_0_is_never(
    model, seconds, own, other
):
    samples = tiny_model.sound(tiny_model.OUTSIDE, seconds)
    known = classify(model, file_of(samples)).known
    assert answered(model, samples, **{own: 0.0, other: 1.0}) in model.classes
    assert answered(model, samples, **{own: known, other: 1.0}) in model.classes
    assert answered(model, samples, **{own: np.nextafter(known, 1), other: 0.0}) == UNKNOWN


def test_a_network_without_a_logit_for_none_judges_by_the_softmax_alone(tutorial_path):
    model = Model(tutorial_path)
    features = np.stack([model.log_mel.clip(tiny_model.clip(label, 50)) for label in model.classes])
    assert not model.has_background
    assert model.background_logits(features) is None
    assert np.array_equal(model.scores(features)[:, 3], model.probabilities(features).max(axis=1))
    samples = tiny_model.sound("hum", 2.0)
    answer = classify(model, file_of(samples))
    assert (answer.predicted_class, answer.known) == ("hum", answer.confidence)
    assert answered(model, samples, unknown_threshold=np.nextafter(answer.confidence, 1)) == UNKNOWN


def test_the_answer_as_json_is_rounded_and_plain(model):
    document = classify(model, file_of(tiny_model.sound("hum", 1.23456))).as_dict()
    assert document["duration_s"] == 1.235
    assert document["predicted_class"] == "hum"
    assert all(value == round(value, 6) for value in document["probabilities"].values())
