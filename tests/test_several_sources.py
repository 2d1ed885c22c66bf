"""Several sources as one set: classes out of their labels, folds of each, and recordings that are in more than one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from earshot.audit.config import AuditParams
from earshot.audit.run import audit
from earshot.clips.config import DatasetParams, SourceParams
from earshot.clips.paths import clips_root, locate
from earshot.clips.split import SplitParams, assign, describe, leaks
from earshot.clips.table import DatasetError, read_clips
from earshot.clips.turns import of_turn, turn
from earshot.core.labels import BACKGROUND
from earshot.sources.classes import map_labels
from earshot.sources.prepare import prepare, summary

RATE_HZ = 8_000


def sound(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 2_000), RATE_HZ)


def make_urban(root: Path) -> None:
    """UrbanSound8K's layout: ten folds of four clips."""
    lines = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for fold in range(1, 11):
        for number, label in enumerate(("dog_bark", "dog_bark", "siren", "drilling")):
            recording = 10 * fold + number
            name = f"{recording}-0-0-0.wav"
            sound(root / f"audio/fold{fold}/{name}", recording)
            lines.append(f"{name},{recording},0,0.25,1,{fold},0,{label}")
    (root / "metadata").mkdir()
    (root / "metadata/UrbanSound8K.csv").write_text("\n".join(lines) + "\n")


def make_esc(root: Path) -> None:
    """ESC-50's layout: five folds; 20 and 23 are recordings of `make_urban`, and so is the sound of 900."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for number, label in enumerate(("dog", "siren", "glass_breaking", "rain")):
            recording = {(5, 0): 20, (1, 3): 23, (3, 1): 900}.get((fold, number), 1000 + 10 * fold + number)
            name = f"{fold}-{recording}-A-{number}.wav"
            sound(root / name, 32 if recording == 900 else recording)
            lines.append(f"{name},{fold},{number},{label},False,{recording},A")
    (root / "esc50.csv").write_text("\n".join(lines) + "\n")


def make_own(root: Path) -> None:
    """A folder of three recordings a class, with the path and the recording that another source also has."""
    for number, name in enumerate(("20", "kitchen", "yard")):
        sound(root / f"glass/{name}.wav", 2_000 + number)
        sound(root / f"dog/{name}.wav", 3_000 + number)


@pytest.fixture
def sounds(tmp_path, monkeypatch) -> Path:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    make_urban(tmp_path / "urban")
    make_esc(tmp_path / "esc")
    make_own(tmp_path / "own")
    return tmp_path


CLASSES = {
    "dog_bark": ("dog_bark", "dog"),
    "siren": ("siren",),
    "breaking_glass": ("glass_breaking", "glass"),
}


def params(sounds: Path, **values) -> DatasetParams:
    given = {"classes": CLASSES, **values}
    sources = (
        SourceParams(name="urbansound8k", path=str(sounds / "urban"), verify=False),
        SourceParams(name="esc50", path=str(sounds / "esc"), verify=False),
        SourceParams(name="folder", path=str(sounds / "own")),
    )
    return DatasetParams(sources=sources, **given)


def joined(sounds: Path, **values) -> pd.DataFrame:
    prepare(params(sounds, **values), 0)
    return read_clips("data/raw/clips.csv")


def test_sources_are_one_table_that_says_where_each_clip_lies(sounds):
    clips = joined(sounds, classes={})
    assert next(iter(clips)) == "source"
    assert clips["source"].value_counts().to_dict() == {"urbansound8k": 40, "esc50": 20, "folder": 6}
    files = locate(clips, clips_root(params(sounds)))
    assert len(set(files)) == 66
    assert all(Path(file).is_file() for file in files)
    assert clips.groupby("source")["fold"].max().to_dict() == {"urbansound8k": 10, "esc50": 5, "folder": 3}


def test_labels_are_renamed_merged_and_dropped(sounds):
    clips = joined(sounds)
    assert clips["label"].value_counts().to_dict() == {"dog_bark": 28, "siren": 15, "breaking_glass": 8}
    with_others = joined(sounds, others="background")
    assert (with_others["label"] == BACKGROUND).sum() == 15
    assert set(with_others["source"][with_others["label"] == BACKGROUND]) == {"urbansound8k", "esc50"}


def test_a_label_can_be_of_one_source_only(sounds):
    clips = joined(sounds, classes={"dog": ("esc50:dog",), "siren": ("siren",)})
    assert set(clips["source"][clips["label"] == "dog"]) == {"esc50"}


def test_one_source_can_have_its_labels_renamed(sounds):
    one = DatasetParams(name="folder", path=str(sounds / "own"), classes={"a": ("dog",), "b": ("glass",)})
    card = prepare(one, 0)
    assert card["classes"] == ["a", "b"]
    assert "source" not in read_clips("data/raw/clips.csv")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            {"dog": ("dog_brak",), "siren": ("siren",)},
            r"classes\.dog: no source has the label 'dog_brak'; the nearest.*dog_bark",
        ),
        ({"dog": ("urbansound8k:dog",)}, "no source has the label 'urbansound8k:dog'; the nearest are"),
        ({"dog": ("dog",), "hound": ("dog",)}, "'dog' is in both dog and hound"),
        ({"dog": ()}, "names no label"),
        ({"dog": ("dog",)}, "the only class is 'dog'"),
    ],
)
def test_classes_that_do_not_fit_are_named_before_anything_is_written(sounds, classes, message):
    with pytest.raises(DatasetError, match=message):
        prepare(params(sounds, classes=classes), 0)
    assert not Path("data/raw").exists()


def test_the_label_of_background_is_no_class():
    with pytest.raises(DatasetError, match="rename it"):
        map_labels(pd.DataFrame({"label": [BACKGROUND, "dog"]}), {}, background=False)


def test_the_terminal_shows_classes_by_source(sounds):
    said = [line.split() for line in summary(prepare(params(sounds, others="background"), 0)).splitlines()]
    rows = {words[0]: words[1:] for words in said}
    assert rows["class"] == ["urbansound8k", "esc50", "folder"]
    assert rows["dog_bark"] == ["20", "5", "3"]
    assert rows["breaking_glass"] == ["0", "5", "3"]
    assert rows[BACKGROUND] == ["10", "5", "0"]


def test_the_card_names_the_strictest_licence_first(sounds):
    card = prepare(params(sounds), 0)
    assert card["licence"] == "CC BY-NC 3.0 (non-commercial): UrbanSound8K, ESC-50; not stated: Your own recordings"
    assert [(one["key"], one["licence"].split(" (")[0]) for one in card["sources"]] == [
        ("urbansound8k", "CC BY-NC 3.0"),
        ("esc50", "CC BY-NC 3.0"),
        ("folder", "not stated"),
    ]
    assert card["name"] == "urbansound8k+esc50+folder"
    assert str(sounds) not in Path("data/raw/source.json").read_text() + Path("data/raw/clips.csv").read_text()


def test_two_folders_have_keys_of_their_own(sounds):
    make_own(sounds / "more")
    two = DatasetParams(sources=tuple(SourceParams(name="folder", path=str(sounds / name)) for name in ("own", "more")))
    prepare(two, 0)
    clips = read_clips("data/raw/clips.csv")
    assert clips["source"].value_counts().to_dict() == {"folder1": 6, "folder2": 6}
    assert clips["recording"].nunique() == 12


# ---- splits


def test_auto_is_each_sources_own_last_fold_and_the_one_before(sounds):
    clips = joined(sounds)
    parts = assign(clips, SplitParams(), 0)
    shared = clips["recording"].isin(["20", "23"]).to_numpy()
    for key, test, val in (("urbansound8k", 10, 9), ("esc50", 5, 4)):
        of_source = (clips["source"] == key).to_numpy() & ~shared
        assert set(clips["fold"][of_source & (parts == "test")]) == {test}
        assert set(clips["fold"][of_source & (parts == "val")]) == {val}
    own = (clips["source"] == "folder").to_numpy()
    assert set(clips["fold"][own & (parts == "test")]) == {3}
    assert describe(clips, parts, SplitParams())["test_folds"] == {"esc50": [5], "folder": [3], "urbansound8k": [2, 10]}


def test_a_turn_tests_the_fold_of_each_source_that_stands_for_it(sounds):
    clips = joined(sounds)
    clips = clips[~clips["recording"].isin(["20", "23"])].reset_index(drop=True)
    for k in range(1, 11):
        chosen = clips[of_turn(k, clips, 0)]
        assert set(chosen["fold"][chosen["source"] == "urbansound8k"]) == {k}
        assert set(chosen["fold"][chosen["source"] == "esc50"]) == {(k + 1) // 2}
        assert set(chosen["fold"][chosen["source"] == "folder"]) == {-(-k * 3 // 10)}
        parts = assign(clips, turn(k, SplitParams()), 0)
        validated = clips["fold"][(parts == "val") & (clips["source"] == "esc50")]
        assert set(validated) == {((k + 1) // 2 - 2) % 5 + 1}


@pytest.mark.parametrize(
    "split", [SplitParams(), SplitParams(val_fraction=0.2), turn(2, SplitParams()), turn(7, SplitParams())]
)
def test_equal_freesound_ids_are_one_recording_on_one_side(sounds, split):
    clips = joined(sounds, others="background")
    assert clips["recording"].eq("20").groupby(clips["source"]).sum().to_dict() == {
        "urbansound8k": 1,
        "esc50": 1,
        "folder": 0,
    }
    parts = assign(clips, split, 0)
    for recording in ("20", "23"):
        sides = set(parts[(clips["recording"] == recording).to_numpy()])
        assert len(sides - {"unknown"}) <= 1
        assert not sides >= {"unknown", "train"}
    assert leaks(clips[clips["label"] != BACKGROUND], parts[clips["label"] != BACKGROUND]) == []


def test_equal_sound_is_one_recording_across_sources(sounds):
    set_up = params(sounds)
    prepare(set_up, 0)
    value, _ = audit(
        set_up.called,
        Path("data/raw/clips.csv"),
        clips_root(set_up),
        AuditParams(),
        workers=1,
    )
    clips = read_clips("data/audited/clips.csv")
    same = clips[clips["recording"] == "32"]
    assert same["source"].tolist() == ["urbansound8k", "esc50"]  # called 900 in the second
    assert "900" not in set(clips["recording"])
    assert value["recordings_across_sources"] == ["20", "32"]
    assert value["sources"] == {"esc50": 15, "folder": 6, "urbansound8k": 30}
    parts = assign(clips, SplitParams(test_folds=(3,)), 0)
    assert set(parts[(clips["recording"] == "32").to_numpy()]) == {"test"}


def test_background_is_trained_on_only_where_nothing_of_its_recording_is_judged(sounds):
    clips = joined(sounds, others="background")
    parts = assign(clips, SplitParams(), 0)
    others = (clips["label"] == BACKGROUND).to_numpy()
    assert set(parts[others]) == {"background", "unknown"}
    assert not (parts[~others] == "background").any()
    judged = set(clips["recording"][np.isin(parts, ("val", "test"))])
    assert not judged & set(clips["recording"][parts == "background"])
    for key, held in (("urbansound8k", {9, 10}), ("esc50", {4, 5})):
        trained = clips["fold"][(parts == "background") & (clips["source"] == key)]
        assert not held & set(trained)
    described = describe(clips, parts, SplitParams())
    assert described["background"]["clips"] == (parts == "background").sum()


def test_a_table_of_other_sources_says_what_to_run(sounds):
    clips = joined(sounds)
    with pytest.raises(DatasetError, match="dvc repro"):
        locate(clips, sounds)
    with pytest.raises(DatasetError, match=r"source 'folder'.*dvc repro"):
        locate(clips, {"urbansound8k": sounds, "esc50": sounds})
