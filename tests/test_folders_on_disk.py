"""Folders as people have them: directories that are splits, mirrors, spreadsheets, dates in names, odd spellings."""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from earshot.audit.config import AuditParams
from earshot.audit.inspect import inspect
from earshot.audit.run import AuditError, audit
from earshot.clips.config import DatasetParams
from earshot.clips.split import SplitParams, assign
from earshot.clips.table import DatasetError, read_clips
from earshot.core.files import name_on_disk, printable
from earshot.sources import esc50, folder, urbansound8k
from earshot.sources.prepare import prepare, summary
from earshot.sources.published import Published
from earshot.sources.recordings import infer_recordings

CLASSES = ("dog", "siren")


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def names(count: int) -> list[str]:
    """Names that no number ends, so that each file is a recording of its own."""
    return [f"{chr(97 + i // 26)}{chr(97 + i % 26)}.wav" for i in range(count)]


# ---- splits and folds as directories


@pytest.mark.parametrize(
    ("directories", "pattern"),
    [
        (("train", "val", "test"), "{split}/{label}/{name}"),
        (("Training", "validation", "Testing"), "{split}/{label}/deep/{name}"),
        (("train", "dev", "eval"), "{label}/{split}/{name}"),
    ],
)
def test_directories_of_a_split_are_its_parts(tmp_path, directories, pattern):
    sides = dict(zip(directories, ("train", "val", "test"), strict=True))
    for split in directories:
        for label in CLASSES:
            chosen = names(24)[:12] if split == directories[0] else names(24)[12:16]
            touch(tmp_path, *(pattern.format(split=split, label=label, name=name) for name in chosen))
    index = folder.index(tmp_path)
    assert index.clips["label"].value_counts().to_dict() == {"dog": 20, "siren": 20}
    parts = assign(index.clips, SplitParams(), seed=0)
    for path, part in zip(index.clips["path"], parts, strict=True):
        assert part == next(side for directory, side in sides.items() if directory in path.split("/")), path


def test_train_and_test_alone(tmp_path):
    touch(tmp_path, *(f"train/{label}/{name}" for label in CLASSES for name in names(6)))
    touch(tmp_path, *(f"test/{label}/{name}" for label in CLASSES for name in names(8)[6:]))
    clips = folder.index(tmp_path).clips
    parts = assign(clips, SplitParams(), seed=0)
    assert [path.startswith("test/") for path in clips["path"]] == (parts == "test").tolist()
    assert (parts == "val").any()


def test_the_parts_of_a_split_can_be_joined_by_recording(tmp_path):
    """Slices of one recording on both sides: kept with a warning as given, on one side when joined."""
    for label in CLASSES:
        touch(tmp_path / "s", *(f"train/{label}/{name}" for name in names(8)), f"train/{label}/park-1.wav")
        touch(tmp_path / "s", *(f"test/{label}/{name}" for name in names(12)[8:]), f"test/{label}/park-2.wav")
    card = prepare(DatasetParams(name="folder", path=str(tmp_path / "s")), 0, tmp_path / "raw")
    assert "named like slices of one recording" in summary(card)
    given = read_clips(tmp_path / "raw/clips.csv")
    assert given[given["path"].str.contains("park")]["fold"].nunique() > 1
    card = prepare(DatasetParams(name="folder", path=str(tmp_path / "s"), folds="by_recording"), 0, tmp_path / "raw")
    assert "named like slices" not in summary(card)
    joined = read_clips(tmp_path / "raw/clips.csv")
    for label in CLASSES:
        park = joined[joined["path"].str.contains("park") & (joined["label"] == label)]
        assert (len(park), park["recording"].nunique(), park["fold"].nunique()) == (2, 1, 1)


def test_equal_names_in_train_and_test_are_no_equal_recordings(tmp_path):
    touch(
        tmp_path, *(f"{split}/{label}/{i:03}.wav" for split in ("train", "test") for label in CLASSES for i in range(4))
    )
    index = folder.index(tmp_path)
    assert index.clips["recording"].nunique() == 16
    assert not any("slices" in note for note in index.fold_notes)


def test_directories_that_are_folds(tmp_path):
    touch(tmp_path, *(f"fold{n}/{label}/{name}" for n in (1, 2, 10) for label in CLASSES for name in names(2)))
    clips = folder.index(tmp_path).clips
    assert clips["label"].value_counts().to_dict() == {"dog": 6, "siren": 6}
    assert all(path.startswith(f"fold{fold}/") for path, fold in zip(clips["path"], clips["fold"], strict=True))


@pytest.mark.parametrize("directories", [("fold1", "fold2", "fold10"), ("train", "test")])
def test_folds_and_splits_without_classes_are_never_classes(tmp_path, directories):
    touch(tmp_path, *(f"{directory}/{name}" for directory in directories for name in names(3)))
    with pytest.raises(DatasetError, match="and no classes") as error:
        folder.index(tmp_path)
    assert ("UrbanSound8K.csv" in str(error.value)) == (directories[0] == "fold1")
    assert "dog" in str(error.value).splitlines()[-1]


def test_one_directory_above_the_classes_is_named(tmp_path):
    touch(tmp_path, *(f"dataset/{label}/{name}" for label in CLASSES for name in names(3)))
    with pytest.raises(DatasetError, match=re.escape(f"dog, siren are the classes, give {tmp_path / 'dataset'}")):
        folder.index(tmp_path)


def test_a_class_may_be_called_test(tmp_path):
    touch(tmp_path, *(f"{label}/{name}" for label in ("test", "dog", "fold1") for name in names(3)))
    assert sorted(set(folder.index(tmp_path).clips["label"])) == ["dog", "fold1", "test"]


def test_the_terminal_names_every_class_with_its_clips(tmp_path):
    touch(tmp_path / "s", *(f"dog/{name}" for name in names(5)), *(f"door bell/{name}" for name in names(3)))
    card = prepare(DatasetParams(name="folder", path=str(tmp_path / "s")), 0, tmp_path / "raw")
    assert "classes: dog 5, door bell 3" in summary(card)


# ---- mirrors of published sets

URBAN = "slice_file_name,fsID,start,end,salience,fold,classID,class\n7-1-0-0.wav,7,0,4,1,1,1,car_horn\n" + (
    "8-8-0-0.wav,8,0,4,1,2,8,siren\n"
)
ESC = "filename,fold,target,category,esc10,src_file,take\n1-7-A-0.wav,1,0,dog,True,7,A\n" + (
    "2-8-A-1.wav,2,1,rooster,False,8,A\n"
)


@pytest.mark.parametrize("audio", ["", "audio/", "audio/audio/"])
@pytest.mark.parametrize("metadata", ["", "metadata/"])
@pytest.mark.parametrize("home", ["", "UrbanSound8K/"])
def test_urbansound8k_as_it_lies_on_mirrors(tmp_path, monkeypatch, home, metadata, audio):
    files = {f"fold{fold}/{name}": name.encode() for fold, name in ((1, "7-1-0-0.wav"), (2, "8-8-0-0.wav"))}
    for path, content in files.items():
        touch(tmp_path, f"{home}{audio}{path}")
        (tmp_path / f"{home}{audio}{path}").write_bytes(content)
    touch(tmp_path, f"{home}{metadata}UrbanSound8K.csv")
    (tmp_path / f"{home}{metadata}UrbanSound8K.csv").write_text(URBAN)
    for index in (folder.index(tmp_path), urbansound8k.index(tmp_path)):
        assert index.clips["label"].tolist() == ["car_horn", "siren"]
        assert index.missing == index.unlisted == ()
        assert all((tmp_path / path).is_file() for path in index.clips["path"])
    listed = {f"audio/{path}": content for path, content in files.items()} | {urbansound8k.METADATA: URBAN.encode()}
    published = {path: Published(_sha256(content), len(content)) for path, content in listed.items()}
    monkeypatch.setattr(urbansound8k, "read_published", lambda name: published)
    assert urbansound8k.validate(tmp_path).identical == 3
    (tmp_path / f"{home}{audio}fold2/8-8-0-0.wav").unlink()
    assert urbansound8k.validate(tmp_path).missing == ("audio/fold2/8-8-0-0.wav",)


@pytest.mark.parametrize("audio", ["", "audio/", "audio/audio/"])
@pytest.mark.parametrize("metadata", ["", "meta/"])
def test_esc50_as_it_lies_on_mirrors(tmp_path, metadata, audio):
    touch(tmp_path, f"{audio}1-7-A-0.wav", f"{audio}2-8-A-1.wav", f"{metadata}esc50.csv")
    (tmp_path / f"{metadata}esc50.csv").write_text(ESC)
    for index in (folder.index(tmp_path), esc50.index(tmp_path)):
        assert index.clips["label"].tolist() == ["dog", "rooster"]
        assert index.missing == index.unlisted == ()


# ---- dates and times in names


def test_dates_and_times_are_no_slice_numbers():
    stamped = [
        *(f"balcony_2024-06-{day:02}_07-{minute:02}-00.wav" for day in (2, 3) for minute in range(3)),
        *(f"240601_07{minute:02}.wav" for minute in range(3)),
        *(f"20240601_0{hour}0000.WAV" for hour in range(3)),
        *(f"Recording 2024-06-02 at 7.0{minute}.00 PM.m4a" for minute in range(3)),
        *(f"yard 2.6.2024 07.1{minute}.wav" for minute in range(3)),
        *(f"cam 07-01-0{second}.wav" for second in range(3)),
    ]
    paths = [f"bark/{name}" for name in stamped]
    assert infer_recordings(paths, ["bark"] * len(paths)) == [path.rpartition(".")[0] for path in paths]


def test_a_number_after_a_date_is_a_slice_number():
    paths = [f"bark/yard_2024-06-0{day}_07-01-00_{part:03}.wav" for day in (1, 2) for part in range(3)]
    found = infer_recordings(paths, ["bark"] * 6)
    assert found == ["yard_2024-06-01_07-01-00"] * 3 + ["yard_2024-06-02_07-01-00"] * 3


def test_inferred_recordings_are_shown_and_a_wild_grouping_is_a_warning(tmp_path):
    touch(tmp_path, *(f"dog/field {i}.wav" for i in range(8)), *(f"dog/{name}" for name in names(4)))
    touch(tmp_path, *(f"siren/{name}" for name in names(9)), "siren/city-1.wav", "siren/city-2.wav")
    notes = folder.index(tmp_path).notes
    assert (
        "15 were inferred from the names of 23 files, for example field (dog/field 0.wav, dog/field 1.wav" in notes[0]
    )
    warnings = [note for note in notes if note.startswith("warning: ")]
    assert len(warnings) == 1
    assert "8 of the 12 files of dog" in warnings[0]
    assert "column recording" in warnings[0]


def test_the_remedy_of_that_warning_works(tmp_path):
    sounds = tmp_path / "s"
    touch(sounds, *(f"dog/field {i}.wav" for i in range(8)), *(f"dog/{name}" for name in names(4)))
    touch(sounds, *(f"siren/{name}" for name in names(9)))
    prepare(DatasetParams(name="folder", path=str(sounds)), 0, tmp_path / "raw")
    table = read_clips(tmp_path / "raw/clips.csv").drop(columns="fold")
    table["recording"] = table["path"]
    table.to_csv(sounds / "clips.csv", index=False)
    card = prepare(DatasetParams(name="folder", path=str(sounds)), 0, tmp_path / "raw")
    assert card["recordings"] == 21
    assert not any("warning" in note for note in card["notes"])


# ---- clips.csv from a spreadsheet

ROWS = [["Path", "Label", "fold", "start_s"], ["a.wav", "dog", "1", "0,5"], ["b.wav", "Hündin", "2", "12"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_table_from_a_spreadsheet(tmp_path, encoding, separator, ending):
    touch(tmp_path, "a.wav", "b.wav")
    empty = separator * 3 + ending
    text = "".join(separator.join(row) + ending for row in ROWS) + empty + empty
    marked = "\ufeff" + text
    content = marked.encode(encoding.removesuffix("-bom")) if encoding.endswith("-bom") else text.encode(encoding)
    (tmp_path / "clips.csv").write_bytes(content)
    clips = folder.index(tmp_path).clips
    assert clips["label"].tolist() == ["dog", "Hündin"]
    assert clips["fold"].tolist() == [1, 2]
    assert clips["start_s"].tolist() == [0.5, 12]


def test_a_line_that_names_the_separator_and_empty_columns_are_no_rows(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "clips.csv").write_text("sep=;\npath;label;fold;;\na.wav;dog;1;;\nb.wav;cat;2;;\n;;;;\n")
    assert folder.index(tmp_path).clips["label"].tolist() == ["dog", "cat"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"path,label,start_s\na.wav,dog,1\nb.wav,cat,0,5\n",
            r"row 3 has more cells than the header \(4, not 3\); put",
        ),
        (
            b'path,label,start_s\na.wav,dog,1\nb.wav,cat,"0,5"\n',
            r"row 3: start_s must hold numbers \(as 0\.5\), not '0,5'",
        ),
        (b"path,label\na.wav,dog\nb.wav,\n", "row 3: label is empty; fill it in"),
        (b"path,label\na.wav,dog\n,cat\n", "row 3: path is empty; fill it in"),
        ("path;label\na.wav;dog\nb.wav;Hündin\n".encode("cp1252"), r"row 3 is not in UTF-8; .*'CSV UTF-8'"),
        ("path,label\na.wav,dog\n".encode("utf-16-le"), "no text in UTF-8; save it as CSV in UTF-8"),
        (b"\n\n;;\n", "is empty; it must have a header"),
        (b"path,label,label\na.wav,dog,x\n", "has the column label twice"),
        (b"path,label\n/etc/a.wav,dog\n", "row 2: path '/etc/a.wav' must be relative"),
    ],
)
def test_a_table_that_is_refused_names_row_column_and_remedy(tmp_path, content, message):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "clips.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=f"^clips.csv.*{message}"):
        folder.index(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label,recording\na.wav,dog,x\nb.wav,dog,y\n", "the only class is 'dog'"),
        ("path,label,recording,fold\na.wav,dog,x,1\na.wav,cat,y,2\n", "a.wav is listed twice"),
    ],
)
def test_messages_speak_of_the_users_folder(tmp_path, content, message):
    touch(tmp_path / "s", "a.wav", "b.wav")
    (tmp_path / "s/clips.csv").write_text(content)
    with pytest.raises(DatasetError, match=re.escape(str(tmp_path / "s")) + f": {message}") as error:
        prepare(DatasetParams(name="folder", path=str(tmp_path / "s")), 0, tmp_path / "raw")
    assert ".partial" not in str(error.value)


# ---- labels and names


def test_labels_that_differ_in_case_or_blanks_only_are_one_class(tmp_path):
    touch(tmp_path, *(f"{label}/{name}" for label in ("Dog Bark", "dog_bark", "DOG  bark") for name in names(2)))
    touch(tmp_path, "dog bark/x.wav", "dog bark/y.wav", "dog bark/z.wav", *(f"siren/{name}" for name in names(9)))
    index = folder.index(tmp_path)
    assert index.clips["label"].value_counts().to_dict() == {"dog bark": 9, "siren": 9}
    assert index.clips["fold"].nunique() == 9
    assert any("'dog_bark' are taken for one class, 'dog bark'" in note for note in index.notes)


def test_labels_that_differ_in_more_stay_apart(tmp_path):
    touch(tmp_path, *(f"{label}/{name}" for label in ("dog bark", "dogbark", "dog-bark") for name in names(3)))
    assert folder.index(tmp_path).clips["label"].nunique() == 3


LATIN = os.fsdecode(b"caf\xe9.wav")


def test_a_name_that_is_not_utf8_is_named_in_the_audit(tmp_path):
    sounds, random = tmp_path / "s", np.random.default_rng(0)
    for label in CLASSES:
        (sounds / label).mkdir(parents=True)
        for name in (*names(4), LATIN) if label == "dog" else names(5):
            soundfile.write(os.fsencode(sounds / label / name), random.normal(0, 0.1, 4000), 8000, format="WAV")
    prepare(DatasetParams(name="folder", path=str(sounds)), 0, tmp_path / "raw")
    paths = (tmp_path / "raw/clips.csv", sounds)
    places = (tmp_path / "audited", tmp_path / "audit.json", tmp_path / "plots")
    value, _ = audit("folder", *paths, AuditParams(max_rejected_fraction=0.2), *places, workers=1)
    assert [(bad["path"], bad["reason"]) for bad in value["rejected"]] == [(r"dog/caf\xe9.wav", "name_not_utf8")]
    assert "rename it" in json.loads((tmp_path / "audit.json").read_text())["rejected"][0]["detail"]
    assert len(read_clips(tmp_path / "audited/clips.csv")) == 9
    with pytest.raises(AuditError, match=r"dog/caf\\xe9\.wav: name_not_utf8, .*rename it"):
        audit("folder", *paths, AuditParams(), *places, workers=1)


def test_names_with_bytes_that_are_no_text(tmp_path):
    touch(tmp_path, f"d/{LATIN}", r"d/plain\xe9.wav")
    assert printable(f"d/{LATIN}") == r"d/caf\xe9.wav"
    assert name_on_disk(tmp_path, r"d/caf\xe9.wav")
    assert name_on_disk(tmp_path, r"d/other\xe9.wav") is None
    assert name_on_disk(tmp_path, "d/absent.wav") is None
    assert inspect(str(tmp_path), r"d/plain\xe9.wav", 10.0).reason == "undecodable"
    assert inspect(str(tmp_path), r"d/gone\xe9.wav", 10.0).reason == "missing"


def _sha256(content: bytes) -> str:

    return hashlib.sha256(content).hexdigest()
