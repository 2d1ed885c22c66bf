"""A user's own sounds: four layouts, recordings read off names, folds made by recording, and nothing written."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from earshot.audit.config import AuditParams
from earshot.audit.run import audit
from earshot.clips.config import DatasetParams
from earshot.clips.table import DatasetError
from earshot.sources import folder
from earshot.sources.prepare import prepare
from earshot.sources.recordings import infer_recordings


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def recordings_of(root: Path) -> dict[str, str]:
    clips = folder.index(root).clips
    return dict(zip(clips["path"], clips["recording"], strict=True))


def test_one_directory_a_class(tmp_path):
    touch(tmp_path, *(f"dog/{a}.wav" for a in "abcd"), *(f"door bell/deep/er/{a}.FLAC" for a in "efg"))
    touch(tmp_path, "README.txt", "dog/notes.txt", "stray.wav", "dog/.hidden.wav", ".git/x.wav")
    index = folder.index(tmp_path, seed=0)
    assert index.clips["label"].value_counts().to_dict() == {"dog": 4, "door bell": 3}
    assert sorted(set(index.clips["fold"])) == [1, 2, 3]
    assert index.unlisted == ("stray.wav",)


def test_labels_that_look_like_nothing_are_kept(tmp_path):
    touch(tmp_path, *(f"{label}/{i}x.wav" for label in ("nan", "NA", "007") for i in range(3)))
    assert sorted(set(folder.index(tmp_path).clips["label"])) == ["007", "NA", "nan"]


@pytest.mark.parametrize("classes", [2, 50])
def test_two_classes_or_fifty(tmp_path, classes):
    touch(tmp_path, *(f"class {c}/{chr(97 + i)}.wav" for c in range(classes) for i in range(5)))
    clips = folder.index(tmp_path).clips
    assert clips["label"].nunique() == classes
    assert (pd.crosstab(clips["label"], clips["fold"]) == 1).all(axis=None)


def test_clips_csv_with_every_column(tmp_path):
    touch(tmp_path, "x/a.wav", "x/b.ogg", "more.wav")
    (tmp_path / "clips.csv").write_text(
        "\ufefflabel, path ,fold,recording,start_s,end_s,salience,comment\n"
        "dog,x/a.wav,1,7,0,4,1,loud\ncat, x/b.wav,2,8,,,,\ncat,x\\gone.wav,1,9,,,,\n"
    )
    index = folder.index(tmp_path)
    assert index.clips["path"].tolist() == ["x/a.wav", "x/b.ogg", "x/gone.wav"]  # b was re-encoded
    assert index.clips["recording"].tolist() == ["7", "8", "9"]
    assert index.clips["fold"].tolist() == [1, 2, 1]
    assert index.clips["salience"].tolist()[0] == 1
    assert index.missing == ("x/gone.wav",)
    assert index.unlisted == ("more.wav",)


def test_folds_from_zero_are_renumbered_and_that_is_said(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "clips.csv").write_text("path,label,fold\na.wav,dog,0\nb.wav,cat,1\n")
    index = folder.index(tmp_path)
    assert index.clips["fold"].tolist() == [1, 2]
    assert any("numbered from 0" in note for note in index.fold_notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,class\na.wav,dog\n", "lacks the column label"),
        ("path,label\n", "lists no files"),
        ("path,label\n../a.wav,dog\nb.wav,cat\n", "must be relative to the folder"),
        ("path,label\n/a.wav,dog\nb.wav,cat\n", "must be relative to the folder"),
        ("path,label,fold\na.wav,dog,1\nb.wav,cat,\n", "row 3: b.wav has no fold"),
        ("path,label,fold\na.wav,dog,1\nb.wav,cat,test\n", "row 3: fold must hold whole numbers, not 'test'"),
        ("path,label,fold\na.wav,dog,1\nb.wav,cat,1.5\n", "fold must hold whole numbers, not '1.5'"),
        ("path,label,recording\na.wav,dog,r\nb.wav,cat,\n", "b.wav has no recording"),
        ("path,label,recording\na.wav,dog,r\nb.wav,cat,s\n", "cat, dog: all clips come from one recording"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path, content, message):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "clips.csv").write_text(content)
    with pytest.raises(DatasetError, match=message):
        folder.index(tmp_path)


def test_a_folder_of_one_level_is_shown_the_layouts_that_are_wanted(tmp_path):
    touch(tmp_path / "mine", "a.wav", "b.wav")
    with pytest.raises(DatasetError) as error:
        folder.index(tmp_path / "mine")
    assert str(error.value).endswith(
        "  mine/dog/a.wav\n  mine/siren/b.wav\n"
        "or list the files in a clips.csv with the columns path and label:\n  path,label\n  a.wav,dog"
    )


def test_other_layouts_are_recognised(tmp_path):
    touch(tmp_path / "u", "audio/fold1/1-0-0-0.wav", "audio/fold2/2-0-0-0.wav", "metadata/UrbanSound8K.csv")
    (tmp_path / "u/metadata/UrbanSound8K.csv").write_text(
        "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        "1-0-0-0.wav,1,0,4,1,1,0,hum\n2-0-0-0.wav,2,0.5,1,2,2,1,ring\n"
    )
    clips = folder.index(tmp_path / "u").clips
    assert clips["path"].tolist() == ["audio/fold1/1-0-0-0.wav", "audio/fold2/2-0-0-0.wav"]
    assert clips["end_s"].tolist() == [4, 1]
    touch(tmp_path / "e", "audio/1-7-A-0.wav", "audio/2-8-A-1.wav", "meta/esc50.csv")
    (tmp_path / "e/meta/esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n"
        "1-7-A-0.wav,1,0,dog,True,7,A\n2-8-A-1.wav,2,1,rooster,False,8,A\n"
    )
    clips = folder.index(tmp_path / "e").clips
    assert clips["recording"].tolist() == ["7", "8"]
    assert clips["label"].tolist() == ["dog", "rooster"]


def test_slices_of_one_recording_share_it():
    def inferred(*names: str) -> list[str]:
        others = [f"lone{chr(97 + i)}.wav" for i in range(9)]
        return infer_recordings([f"bark/{n}" for n in (*names, *others)], ["bark"] * (len(names) + 9))[: len(names)]

    assert inferred("park-1.wav", "park_002.wav", "park (3).wav", "park.wav", "park_part4.flac") == ["park"] * 5
    assert inferred("100652-3-0-0.wav", "100652-3-1-0.wav", "9031-3-0-0.wav") == ["100652", "100652", "9031"]
    assert inferred("1-100032-A-0.wav", "1-100032-B-0.wav") == ["1-100032"] * 2
    assert inferred("yard-0.5-4.5.wav", "yard-4.5-8.5s.wav", "yard - copy.wav") == ["yard"] * 3


def test_a_running_number_is_not_a_slice_number():
    def own(label: str, *names: str) -> bool:
        found = infer_recordings([f"{label}/{n}" for n in names], [label] * len(names))
        return found == [f"{label}/{Path(n).stem}" for n in names]

    assert own("dog", "dog_001.wav", "dog_002.wav", "dog_003.wav")
    assert own("dog", "Dog (1).wav", "Dog (2).wav", "rex.wav")
    assert own("dog", "001.wav", "002.wav", "3.wav")
    assert own("dog", "Recording 1.m4a", "Recording 2.m4a", "x.wav", "y.wav")
    assert own("dog", "20240512_143000.wav", "20240512_150000.wav", "20240513_090000.wav")
    assert own("dog", *(f"bark_{i:03}.wav" for i in range(40)), "howl.wav")


def test_slices_in_two_classes_are_one_recording_and_end_in_one_fold(tmp_path):
    touch(tmp_path, "dog/park-1.wav", "dog/yard-1.wav", "dog/yard-2.wav", "dog/field.wav", "dog/wood.wav")
    touch(tmp_path, "siren/park-2.wav", "siren/city-1.wav", "siren/city-2.wav", "siren/harbour.wav", "siren/x.wav")
    clips = folder.index(tmp_path).clips
    park = clips[clips["path"].isin(["dog/park-1.wav", "siren/park-2.wav"])]
    assert park["recording"].nunique() == 1
    assert park["fold"].nunique() == 1


def test_the_users_folds_win_over_names(tmp_path):
    touch(tmp_path, *(f"x/{n}.wav" for n in ("park-1", "park-2", "a", "b", "c", "d")))
    (tmp_path / "clips.csv").write_text(
        "path,label,fold\nx/park-1.wav,dog,1\nx/park-2.wav,dog,2\nx/a.wav,dog,1\nx/b.wav,dog,2\n"
        "x/c.wav,cat,1\nx/d.wav,cat,2\n"
    )
    index = folder.index(tmp_path)
    assert (index.clips.groupby("recording")["fold"].nunique() == 1).all()
    assert index.clips.set_index("path")["fold"]["x/park-2.wav"] == 2
    assert any("park" in note and "kept as given" in note for note in index.fold_notes)


def test_folds_follow_the_seed_and_nothing_else(tmp_path):
    for root in (tmp_path / "one", tmp_path / "two"):
        touch(root, *(f"{c}/{chr(97 + i)}.wav" for c in ("dog", "cat", "cow") for i in range(12)))
    first, again = folder.index(tmp_path / "one", 1).clips, folder.index(tmp_path / "two", 1).clips
    assert first.equals(again)
    assert not first.equals(folder.index(tmp_path / "one", 2).clips)


def test_a_linked_directory_is_read_once(tmp_path):
    touch(tmp_path / "elsewhere", "a.wav", "b.wav")
    touch(tmp_path / "sounds", "cat/c.wav", "cat/d.wav")
    (tmp_path / "sounds/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "sounds")
    paths = folder.index(tmp_path / "sounds").clips["path"].tolist()
    assert paths == ["cat/c.wav", "cat/d.wav", "dog/a.wav", "dog/b.wav"]


def test_a_users_folder_is_left_byte_for_byte(tmp_path):
    sounds, random = tmp_path / "sounds", np.random.default_rng(0)
    for label in ("dog", "cat"):
        (sounds / label).mkdir(parents=True)
        for name in "abcd":
            soundfile.write(sounds / label / f"{name}.wav", random.normal(0, 0.1, 4000), 8000)
    (sounds / "dog/notes.txt").write_text("mine")
    for path in sorted(sounds.rglob("*")):
        os.utime(path, ns=(10**18, 10**18))

    def state() -> dict:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_mode, path.is_file() and _sha256(path))
            for path in (sounds, *sounds.rglob("*"))
        }

    before = state()
    prepare(DatasetParams(name="folder", path=str(sounds)), 0, tmp_path / "raw")
    audit(
        "folder",
        tmp_path / "raw/clips.csv",
        sounds,
        AuditParams(),
        tmp_path / "audited",
        tmp_path / "audit.json",
        tmp_path / "plots",
        workers=1,
    )
    assert state() == before
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["clips.csv", "source.json"]
    assert str(tmp_path) not in (tmp_path / "raw/source.json").read_text() + (tmp_path / "raw/clips.csv").read_text()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
