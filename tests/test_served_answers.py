"""Evaluated is what is served: answers against `classify` on files, longer sounds and events against their truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import tiny_model
from earshot.clips.extract import build
from earshot.clips.parts import Part
from earshot.clips.table import read_clips
from earshot.decisions.decisions import Decisions
from earshot.evaluation.answers import answer, join, single_windows, windows_of, windows_of_sounds
from earshot.evaluation.events import Events, agreement, find_events, is_right
from earshot.evaluation.long_sounds import LongSound, compose, long_sounds
from earshot.evaluation.metrics import evaluate
from earshot.model.session import Model
from earshot.stream.classify import classify
from earshot.stream.events import Event
from earshot.stream.timeline import timeline

CLASSES, RATE, FRONT_END = tiny_model.CLASSES, tiny_model.RATE, tiny_model.FRONT_END
LENGTHS_S = (0.4, 4.0, 4.05, 5.0, 9.3)  # ESC-50's clips have 5 s; 4.05 s is a clip that a codec padded


@pytest.fixture(scope="module")
def model(tiny_model_path) -> Model:
    return Model(tiny_model_path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Path, Part]:
    """Clips of every length, some of one recording, from files to the feature cache."""
    root = tmp_path_factory.mktemp("clips")
    rows = []
    for number, label in enumerate(CLASSES):
        for i, length_s in enumerate(LENGTHS_S):
            path = f"{label}-{i}.wav"
            samples = tiny_model.sound(label, length_s, 10 * number + i)
            if i == 4:
                samples[: 5 * RATE] = 0  # windows in which nothing is to be heard
            soundfile.write(root / path, samples, RATE, subtype="FLOAT")
            rows.append({"path": path, "label": label, "fold": 1, "recording": f"{label}{i // 2}"})
    soundfile.write(root / "silent.wav", np.full(RATE, 1e-4), RATE, subtype="FLOAT")
    rows.append({"path": "silent.wav", "label": CLASSES[0], "fold": 1, "recording": "silent"})
    table = pd.DataFrame(rows)
    table[["start_s", "end_s", "salience"]] = None
    table.to_csv(root / "clips.csv", index=False)
    index = build(read_clips(root / "clips.csv"), root, FRONT_END, root / "features", workers=1)
    labels = np.array([CLASSES.index(label) for label in index["label"]])
    return root, Part(np.load(root / "features/logmel.npy"), labels, index)


def test_answers_are_those_of_classify_to_the_bit(model, clips):
    root, part = clips
    recordings = part.clips["recording"].to_numpy(dtype=str)
    rule = Decisions.of(model.card)
    answers = answer(model.outputs, windows_of(part, root, model.log_mel), part.labels, recordings, rule)
    for row, path in enumerate(part.clips["path"]):
        served, found = classify(model, root / path), answers.served[row]
        expected = [served.probabilities[label] for label in model.classes]
        assert found.probabilities.tolist() == expected
        assert (found.known, found.windows, found.silent) == (served.known, served.windows, served.silent)
        assert found.unknown == (served.predicted_class == "unknown")
        assert answers.windowed[row] == served.windowed
    assert answers.windowed.sum() == 2 * len(CLASSES)
    assert answers.silent.tolist() == [False] * 15 + [True]
    found = evaluate(answers.probabilities, answers.labels, recordings, None, model.classes)
    right = [
        max(told := classify(model, root / path).probabilities, key=told.__getitem__) == label
        for path, label in zip(part.clips["path"], part.clips["label"], strict=True)
    ]
    assert found.accuracy == np.mean(right)


def test_the_same_answers_come_from_samples_and_in_parts(model, clips):
    root, part = clips
    rule = Decisions.of(model.card)
    names = part.clips["recording"].to_numpy(dtype=str)
    from_files = answer(model.outputs, windows_of(part, root, model.log_mel), part.labels, names, rule)
    sounds = [soundfile.read(root / path, dtype="float32")[0] for path in part.clips["path"]]
    windows = windows_of_sounds(sounds, model.log_mel)
    from_samples = answer(model.outputs, windows, part.labels, names, rule)
    assert np.array_equal(from_files.probabilities, from_samples.probabilities)
    long = from_files.windowed
    parts = join([from_files.rows(long), from_files.rows(~long)])
    order = np.argsort(np.concatenate([np.flatnonzero(long), np.flatnonzero(~long)]))
    assert np.array_equal(parts.probabilities[order], from_files.probabilities)
    assert np.array_equal(parts.labels[order], from_files.labels)
    assert np.array_equal(parts.known[order], from_files.known)


def test_clips_of_at_most_a_window_are_rows_of_the_cache(clips, model):
    root, part = clips
    short = part.clips["truncated_s"].to_numpy() <= 0.1
    some = Part(part.features[short], part.labels[short], part.clips[short].reset_index(drop=True))
    windows = windows_of(some, root / "nowhere", model.log_mel)  # nothing is read
    assert windows.features is some.features
    first = single_windows(some.features, some.clips["peak"].to_numpy())
    assert np.array_equal(windows.peak, first.peak.astype(np.float32))


def test_longer_sounds_are_composed_of_clips_of_one_recording_and_know_where(clips):
    root, part = clips
    short = (part.clips["truncated_s"] <= 0.1).to_numpy()
    some = Part(part.features[short], part.labels[short], part.clips[short].reset_index(drop=True))
    made = long_sounds(some, root, FRONT_END, 100, seed=3)
    assert len(made) == short.sum()
    again = long_sounds(some, root, FRONT_END, 100, seed=3)
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(made, again, strict=True))
    for sound, recording, label in zip(made, some.clips["recording"], some.labels, strict=True):
        assert sound.composed
        assert (sound.recording, sound.label) == (recording, label)
        length_s = len(sound.samples) / RATE
        assert 1.5 * 4 <= length_s <= 4 * 4 + 0.01
        ends = [0.0, *np.ravel(sound.spans_s).tolist(), length_s + 1e-9]
        assert ends == sorted(ends)
        assert len(sound.spans_s) <= (some.clips["recording"] == recording).sum()
    assert max(len(sound.spans_s) for sound in made) == 2  # of the recordings that have two clips
    few = long_sounds(some, root, FRONT_END, 4, seed=3)
    assert len(few) == 4


def test_clips_that_are_longer_by_themselves_are_taken_as_they_are(clips):
    root, part = clips
    long = (part.clips["truncated_s"] > 0.1).to_numpy()
    some = Part(part.features[long], part.labels[long], part.clips[long].reset_index(drop=True))
    for sound, path in zip(long_sounds(some, root, FRONT_END, 100, seed=3), some.clips["path"], strict=True):
        samples = soundfile.read(root / path, dtype="float32")[0]
        np.testing.assert_allclose(sound.samples, samples, atol=1e-6)
        assert (sound.composed, sound.spans_s) == (False, ((0.0, len(samples) / RATE),))


def test_ambience_lies_below_the_clips_by_what_was_drawn():
    clip = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    for seed in range(10):
        made, spans = compose([clip, clip], FRONT_END, np.random.default_rng(seed))
        sounding = np.zeros(len(made), bool)
        for begin, end in spans:
            sounding[round(begin * RATE) : round(end * RATE)] = True
            np.testing.assert_allclose(end - begin, 1)
        below_db = 10 * np.log10(np.mean(made[~sounding] ** 2.0) / np.mean(clip**2.0))
        assert -27 < below_db < -3  # 5 to 25 dB, and the swell of the ambience


def events(*rows: tuple[int, int, float, float]) -> Events:
    """Of (sound, label, onset, offset)."""
    count = len(rows)
    columns = np.array(rows, float).reshape(count, 4).T
    sound, label = columns[0].astype(int), columns[1].astype(int)
    return Events(np.full(count, 0.9), np.ones(count, bool), label, sound, np.full(count, "r"), columns[2], columns[3])


def test_an_event_is_right_where_its_class_is_heard_for_half_of_it():
    sound = LongSound(np.zeros(1, np.float32), 1, "r", ((1.0, 2.0), (4.0, 6.0)), composed=True)
    expected = {(0.5, 2.5): True, (0.5, 2.6): False, (1.5, 4.5): False, (4.5, 5.5): True, (7.0, 8.0): False}
    for (onset_s, offset_s), right in expected.items():
        assert is_right(Event("b", onset_s, offset_s, 0.9), 1, sound) == right
    assert not is_right(Event("a", 4.5, 5.5, 0.9), 0, sound)


def test_events_agree_where_class_sound_and_time_do():
    found = events((0, 1, 0.0, 2.0), (0, 2, 3.0, 4.0), (1, 1, 0.0, 1.0))
    assert agreement(found, found) == 1
    assert agreement(found, events()) == 0
    assert agreement(events(), events()) == 1
    shifted = events((0, 1, 0.5, 2.5), (0, 2, 3.6, 4.6), (1, 1, 0.0, 1.0))  # overlaps of 1.5 of 2.5 and 0.4 of 1.6
    assert agreement(found, shifted) == pytest.approx(4 / 6)
    assert agreement(found, events((0, 2, 0.0, 2.0), (2, 1, 0.0, 1.0))) == 0  # another class, another sound
    twice = events((1, 1, 0.0, 1.0), (1, 1, 0.1, 1.0))
    assert agreement(events((1, 1, 0.0, 1.0)), twice) == pytest.approx(2 / 3)  # one event is the same as one only


def test_found_events_are_those_of_the_timeline(model, clips, tmp_path):
    root, part = clips
    sounds = long_sounds(part, root, FRONT_END, 3, seed=5)
    found = find_events(model, sounds)
    for number, sound in enumerate(sounds):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound.samples, RATE, subtype="FLOAT")
        expected = list(timeline(model, path))
        of_sound = found.sound == number
        assert found.onset_s[of_sound].tolist() == [event.onset_s for event in expected]
        assert [model.classes[label] for label in found.label[of_sound]] == [event.label for event in expected]
        np.testing.assert_allclose(found.confidence[of_sound], [event.confidence for event in expected], rtol=1e-6)
    assert found.right.any()
