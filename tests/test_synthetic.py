"""The embedded data set: its plan, its files, and what its metadata must not give away."""

import csv
import hashlib
import itertools
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold

from earshot.sources import synthetic
from earshot.sources.synthetic import plan, scene
from earshot.sources.synthetic.background import BACKGROUND
from earshot.sources.synthetic.plan import CLASSES, Recording
from earshot.sources.synthetic.scene import SOURCES, render
from earshot.sources.synthetic.signals import RATE_HZ

SEED = 7
SLICES = [(0.2, 1.0), (1.0, 0.4), (3.0, 2.0)]


def a_few(seed: int) -> list[Recording]:
    """Short recordings that cover every class and every codec."""
    chosen: dict[object, Recording] = {}
    for recording in sorted(synthetic.draw(seed), key=lambda r: (abs(len(r.slices) - 2), r.index)):
        chosen.setdefault(recording.label, recording)
        chosen.setdefault((recording.form.container, recording.form.subtype), recording)
    return sorted(set(chosen.values()), key=lambda r: r.index)


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    synthetic.prepare(root, SEED, recordings=a_few(SEED), workers=2)
    return root


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "metadata" / "UrbanSound8K.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("seed", [0, 1, 2, 42])
def test_plan_is_large_enough_and_covers_every_class_in_every_fold(seed: int) -> None:
    recordings = synthetic.draw(seed)
    clips = Counter(r.label for r in recordings for _ in r.slices)
    assert len(recordings) >= 150
    assert clips.total() >= 1200
    assert {(r.label, r.fold) for r in recordings} == {(label, fold) for label in SOURCES for fold in range(1, 11)}
    assert max(clips["gun_shot"], clips["car_horn"]) < min(
        n for k, n in clips.items() if k not in {"gun_shot", "car_horn"}
    )
    assert {r.salience for r in recordings} == {1, 2}
    counts = np.sort([len(r.slices) for r in recordings if r.label not in {"gun_shot", "car_horn"}])
    assert counts[-len(counts) // 4 :].sum() > counts.sum() * 0.4  # a quarter of the recordings, most of the clips
    assert counts[0] == 1


@pytest.mark.parametrize("seed", [0, 1, 2, 42])
def test_every_promised_format_is_dealt(seed: int) -> None:
    forms = [r.form for r in synthetic.draw(seed)]
    wav = {form.subtype for form in forms if form.container in {"WAV", "WAVEX"}}
    assert wav == {"PCM_U8", "PCM_16", "PCM_24", "FLOAT", "MS_ADPCM"}
    assert {"FLAC", "OGG"} <= {form.container for form in forms}
    assert {8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000} <= {form.rate_hz for form in forms}
    assert {form.channels for form in forms} == {1, 2}


def test_recordings_stay_in_one_fold_and_their_slices_overlap() -> None:
    recordings = synthetic.draw(SEED)
    assert len({r.fs_id for r in recordings}) == len(recordings)
    for recording in recordings:
        windows = recording.windows()
        assert all(0.04 <= duration <= 4.0001 for _, duration in windows)
        for (start, duration), (following, _) in itertools.pairwise(windows):
            assert start < following < start + duration


def test_durations_differ_by_class_as_in_urbansound8k() -> None:
    durations = defaultdict(list)
    for recording in synthetic.draw(SEED):
        durations[recording.label] += [duration for _, duration in recording.windows()]
    whole = {label: np.mean(np.array(values) > 3.8) for label, values in durations.items()}
    assert whole["siren"] > 0.9
    assert whole["street_music"] > 0.9
    assert whole["gun_shot"] < 0.3
    assert whole["car_horn"] < 0.7
    assert min(min(values) for values in durations.values()) < 0.3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_file_metadata_does_not_give_the_class_away(seed: int) -> None:
    recordings = synthetic.draw(seed)
    codecs = sorted({(r.form.container, r.form.subtype) for r in recordings})
    features, labels, folds = [], [], []
    for recording in recordings:
        form = recording.form
        codec = codecs.index((form.container, form.subtype))
        for _, duration in recording.windows():
            features.append([duration, form.rate_hz, form.channels, *np.eye(len(codecs))[codec]])
            labels.append(recording.label)
            folds.append(recording.fold)
    x, y = np.array(features), np.array(labels)
    correct = 0
    for train, test in GroupKFold(5).split(x, y, folds):
        forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0, n_jobs=1).fit(x[train], y[train])
        correct += int((forest.predict(x[test]) == y[test]).sum())
    assert correct / len(y) <= 0.25


def test_same_seed_same_bytes_for_any_number_of_workers(written: Path, tmp_path: Path) -> None:
    synthetic.prepare(tmp_path, SEED, recordings=a_few(SEED), workers=1)
    assert digests(tmp_path) == digests(written)


def test_another_seed_sounds_different(written: Path, tmp_path: Path) -> None:
    recording = a_few(SEED)[0]
    synthetic.prepare(tmp_path, SEED + 1, recordings=[recording], workers=1)
    name = f"audio/fold{recording.fold}/{recording.file_name(0)}"
    assert (tmp_path / name).read_bytes() != (written / name).read_bytes()
    assert [r.fs_id for r in synthetic.draw(SEED)] != [r.fs_id for r in synthetic.draw(SEED + 1)]


def test_every_file_decodes_to_the_length_its_row_says(written: Path) -> None:
    forms = {str(recording.fs_id): recording.form for recording in a_few(SEED)}
    table = rows(written)
    assert list(table[0]) == ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    for row in table:
        path = written / "audio" / f"fold{row['fold']}" / row["slice_file_name"]
        info = soundfile.info(path)
        samples, rate_hz = soundfile.read(path)
        form = forms[row["fsID"]]
        found = (info.format, info.subtype, rate_hz, info.channels)
        assert found == (form.container, form.subtype, form.rate_hz, form.channels), path.name
        assert len(samples) == round((float(row["end"]) - float(row["start"])) * rate_hz), path.name
        assert np.isfinite(samples).all()
        assert np.ptp(samples) > 0.005, f"{path.name} is silent"
        assert row["slice_file_name"].split("-")[:2] == [row["fsID"], row["classID"]]
        assert sorted(CLASSES)[int(row["classID"])] == row["class"]
    assert {path.name for path in (written / "audio").rglob("*.*")} == {row["slice_file_name"] for row in table}


def test_overlapping_slices_hold_the_same_sound(written: Path) -> None:
    compared = 0
    for recording in a_few(SEED):
        if recording.form.subtype not in {"PCM_16", "PCM_24"} or len(recording.slices) < 2:
            continue
        folder = written / "audio" / f"fold{recording.fold}"
        first, second = (soundfile.read(folder / recording.file_name(k))[0] for k in (0, 1))
        offsets = [round(piece.start_s * recording.form.rate_hz) for piece in recording.slices[:2]]
        shared = first[offsets[1] - offsets[0] :][: len(second)]
        assert len(shared) > 0
        np.testing.assert_array_equal(shared, second[: len(shared)])
        compared += 1
    assert compared > 0


# These come by chance: a slice of them may hold the place alone, which is background as well.
BY_CHANCE = {"insects", "clapping", "speech", "passing"}


@pytest.mark.parametrize("label", sorted(SOURCES | BACKGROUND))
def test_a_source_is_heard_in_every_slice(label: str) -> None:
    for seed in range(3):
        dry = (SOURCES | BACKGROUND)[label](np.random.default_rng(seed), int(5.2 * RATE_HZ), SLICES)
        assert dry.shape == (int(5.2 * RATE_HZ),)
        assert np.isfinite(dry).all()
        loudest = np.abs(dry).max()
        assert (loudest > 0) == (label != "nothing")
        for start, duration in SLICES if label not in BY_CHANCE | {"nothing"} else []:
            piece = dry[int(start * RATE_HZ) : int((start + duration) * RATE_HZ)]
            assert np.abs(piece).max() > 0.01 * loudest, f"{label}, seed {seed}: nothing heard from {start} s"


@pytest.mark.parametrize("label", SOURCES | BACKGROUND)
def test_a_source_that_is_not_waited_for_is_sound_or_silence(label: str) -> None:
    # A bystander has no slice to be heard in: in half a second no shot may fall, and no dog bark.
    for seed in range(20):
        sound = (SOURCES | BACKGROUND)[label](np.random.default_rng(seed), 22_050, [])
        assert np.isfinite(sound).all(), seed


@pytest.mark.parametrize("family", BACKGROUND)
def test_a_background_sound_is_recorded_as_others_are_and_follows_its_seed(family: str) -> None:
    def recorded(seed: int) -> np.ndarray:
        return render(np.random.default_rng(seed), family, 1, 2, 2.0, [(0.0, 2.0)])

    for seed in range(2):
        sound = recorded(seed)
        assert sound.shape == (2 * RATE_HZ, 2)
        assert np.isfinite(sound).all()
        assert 0.005 < np.abs(sound).max() <= 1
        assert np.ptp(sound[RATE_HZ:]) > 0.001  # of the place, at least
        assert np.array_equal(recorded(seed), sound)
    assert not np.array_equal(recorded(0), recorded(1))


def test_there_are_background_sounds_of_every_family_apart_from_all_classes() -> None:
    known, background = synthetic.draw(SEED), synthetic.draw_background(SEED)
    assert {recording.label for recording in background} == set(BACKGROUND)
    assert not set(BACKGROUND) & set(SOURCES)
    for name in ("index", "fs_id", "class_id"):  # of sound, of files, and in the metadata
        assert not {getattr(r, name) for r in known} & {getattr(r, name) for r in background}, name
    assert len({r.fs_id for r in background}) == len({r.index for r in background}) == len(background)
    assert background == synthetic.draw_background(SEED) != synthetic.draw_background(SEED + 1)


def test_the_data_set_is_what_it_would_be_without_background_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> list:
        sounds = [render(np.random.default_rng(3), label, 1, 1, 1.0, [(0.0, 1.0)]) for label in SOURCES]
        return [synthetic.draw(SEED), [r.class_id for r in synthetic.draw(SEED)], [s.tobytes() for s in sounds]]

    before = everything()
    for module in (plan, scene):
        monkeypatch.setattr(module, "BACKGROUND", {})
    assert everything() == before


def test_no_class_is_heard_beside_a_background_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def recorder(label: str):
        def source(rng: np.random.Generator, samples: int, windows: object) -> np.ndarray:
            asked.append(label)
            return np.ones(samples)

        return source

    monkeypatch.setattr(scene, "SOURCES", {label: recorder(label) for label in SOURCES})
    monkeypatch.setattr(scene, "BYSTANDER_CHANCE", 1.0)
    for family in BACKGROUND:
        render(np.random.default_rng(0), family, 1, 1, 0.5, [(0.0, 0.5)])
    assert asked == []
    render(np.random.default_rng(0), "siren", 1, 1, 0.5, [(0.0, 0.5)])
    assert len(set(asked)) == 2  # a siren, and a bystander


def test_foreground_stands_out_of_the_ambience_more_than_background() -> None:
    contrast = {}
    for salience in (1, 2):
        ratios = []
        for seed in range(6):
            sound = render(np.random.default_rng(seed), "gun_shot", salience, 1, 4.0, [(0.0, 4.0)])[:, 0]
            levels = np.sqrt(np.mean(sound[: 4410 * 39].reshape(-1, 4410) ** 2, axis=1))
            ratios.append(np.log(np.max(levels) / np.median(levels)))
        contrast[salience] = np.mean(ratios)
    assert contrast[1] > contrast[2]
