"""Which copy of which data set is used, what is said about it, and what is compared with the published files."""

import hashlib
import json
from pathlib import Path

import pytest

from earshot.clips.config import DEFAULT_PATH, DatasetParams
from earshot.clips.paths import clips_root, user_path
from earshot.clips.table import DatasetError, read_clips
from earshot.sources import esc10, esc50, urbansound8k
from earshot.sources import prepare as sources
from earshot.sources.prepare import prepare, summary
from earshot.sources.published import Published, read_published

CLIPS = [  # name, recording, start, end, salience, fold, class
    ("11-0-0-0.wav", "11", 0.0, 4.0, 1, 1, "hum"),
    ("12-1-0-0.wav", "12", 0.0, 1.5, 2, 1, "ring"),
    ("13-0-0-0.wav", "13", 2.0, 6.0, 1, 2, "hum"),
    ("14-1-0-0.wav", "14", 0.5, 2.5, 1, 2, "ring"),
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project: the current directory, with the default dataset.path in it."""
    (tmp_path / "project/data/local").mkdir(parents=True)
    (tmp_path / "project/data/local/.gitkeep").touch()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def urban(tmp_path, monkeypatch):
    """A copy in UrbanSound8K's layout, and a list that says it is the published one."""
    root = tmp_path / "copy"
    lines = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for name, recording, start, end, salience, fold, label in CLIPS:
        path = root / f"audio/fold{fold}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        lines.append(f"{name},{recording},{start},{end},{salience},{fold},0,{label}")
    (root / "metadata").mkdir()
    (root / "metadata/UrbanSound8K.csv").write_text("\n".join(lines) + "\n")
    listed = {
        path.relative_to(root).as_posix(): Published(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in root.rglob("*.*")
    }
    monkeypatch.setattr(urbansound8k, "read_published", lambda name: listed)
    return root


def params(root: Path, verify: bool = True, name: str = "urbansound8k") -> DatasetParams:
    return DatasetParams(name=name, path=str(root), verify=verify)


def test_a_complete_copy_is_read_in_place(project, urban):
    card = prepare(params(urban), seed=0)
    assert sorted(path.name for path in Path("data/raw").iterdir()) == ["clips.csv", "source.json"]
    clips = read_clips("data/raw/clips.csv")
    assert all((clips_root(params(urban)) / path).is_file() for path in clips["path"])
    assert clips["recording"].tolist() == ["11", "12", "13", "14"]
    assert json.loads(Path("data/raw/source.json").read_text()) == card
    assert card["verification"]["identical"] == card["verification"]["published"] == 5
    assert card["classes"] == ["hum", "ring"]
    assert "NC" in card["licence"]


def test_the_directory_above_the_unpacked_archive_will_do(project, urban):
    urban.rename(urban.parent / "UrbanSound8K")
    prepare(params(urban.parent), seed=0)
    assert read_clips("data/raw/clips.csv")["path"][0] == "UrbanSound8K/audio/fold1/11-0-0-0.wav"


def test_missing_and_different_files_stop_a_verified_run(project, urban):
    (urban / "audio/fold1/11-0-0-0.wav").unlink()
    (urban / "audio/fold2/13-0-0-0.wav").write_bytes(b"12-0-0-0.wav")  # of the same size
    with pytest.raises(DatasetError) as error:
        prepare(params(urban), seed=0)
    message = str(error.value)
    assert "1 of 5 published files are missing (audio/fold1/11-0-0-0.wav)" in message
    assert "1 of 5 published files differ (audio/fold2/13-0-0-0.wav)" in message
    assert "dataset.verify=false" in message
    assert not Path("data/raw").exists()
    assert not list(Path("data").glob(".partial*"))


def test_a_partial_reencoded_copy_is_used_unverified_and_told(project, urban):
    (urban / "audio/fold1/11-0-0-0.wav").unlink()
    (urban / "audio/fold2/13-0-0-0.wav").rename(urban / "audio/fold2/13-0-0-0.ogg")
    (urban / "audio/fold2/extra.wav").touch()
    card = prepare(params(urban, verify=False), seed=0)
    assert read_clips("data/raw/clips.csv")["path"].tolist() == [
        "audio/fold1/12-1-0-0.wav",
        "audio/fold2/13-0-0-0.ogg",
        "audio/fold2/14-1-0-0.wav",
    ]
    found = card["verification"]
    assert found["missing_files"] == ["audio/fold1/11-0-0-0.wav"]
    assert found["different_files"] == ["audio/fold2/13-0-0-0.wav"]
    assert card["table"]["missing_files"] == ["audio/fold1/11-0-0-0.wav"]
    assert card["table"]["unlisted_files"] == ["audio/fold2/extra.wav"]
    told = summary(card)
    for name in ("11-0-0-0.wav", "13-0-0-0.wav", "extra.wav"):
        assert name in told


def test_files_listed_in_a_folder_but_gone_are_left_for_the_audit_to_reject(project, urban):
    (urban / "audio/fold1/11-0-0-0.wav").unlink()
    prepare(params(urban, name="folder"), seed=0)
    assert len(read_clips("data/raw/clips.csv")) == 4
    prepare(params(urban, name="folder", verify=False), seed=0)
    assert len(read_clips("data/raw/clips.csv")) == 3


def test_the_table_is_the_same_bytes_every_time(project, urban):
    prepare(params(urban), seed=0)
    first = [Path("data/raw", name).read_bytes() for name in ("clips.csv", "source.json")]
    prepare(params(urban), seed=0)
    assert [Path("data/raw", name).read_bytes() for name in ("clips.csv", "source.json")] == first


def test_esc10_is_the_rows_marked_so(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for number, (category, ten) in enumerate([("dog", True), ("rain", True), ("cow", False), ("dog", True)]):
        name = f"{number % 2 + 1}-10{number}-A-{number}.wav"
        lines.append(f"{name},{number % 2 + 1},{number},{category},{ten},10{number},A")
        (tmp_path / "audio" / name).touch()
    (tmp_path / "meta/esc50.csv").write_text("\n".join(lines))
    assert esc50.SOURCE.index(tmp_path, 0).clips["label"].tolist() == ["dog", "cow", "rain", "dog"]
    ten = esc10.SOURCE.index(tmp_path, 0).clips
    assert ten["label"].tolist() == ["dog", "rain", "dog"]
    assert ten["recording"].tolist() == ["100", "101", "103"]
    assert "NC" in esc50.SOURCE.licence
    assert "NC" not in esc10.SOURCE.licence
    assert esc50.validate(tmp_path, ten=True).missing == ()  # none of these names is published
    assert len(esc50.validate(tmp_path).missing) == 2000


def test_the_published_lists_are_whole():
    urban = read_published(urbansound8k.PUBLISHED)
    audio = [path for path in urban if path.endswith(".wav")]
    assert len(audio) == 8732
    assert sum(urban[path].size for path in audio) == pytest.approx(7.09e9, rel=1e-3)
    assert {path.split("/")[1] for path in audio} == {f"fold{n}" for n in range(1, 11)}
    fifty = read_published(esc50.PUBLISHED)
    assert sum(path.endswith(".wav") for path in fifty) == 2000
    assert fifty["meta/esc50.csv"].digest == "54a0d0055a10bb7df84ad340a148722e"


def test_the_default_path_means_none_while_it_is_empty(project):
    assert user_path(DatasetParams()) is None
    assert clips_root(DatasetParams()) == Path("data/raw")
    Path(DEFAULT_PATH, "dog").mkdir()
    assert user_path(DatasetParams()) == Path(DEFAULT_PATH)
    assert clips_root(DatasetParams(path="data/local/")) == Path(DEFAULT_PATH)


def test_any_other_path_must_hold_something(project):
    with pytest.raises(DatasetError, match="sounds does not exist"):
        clips_root(DatasetParams(name="folder", path="sounds"))
    Path("sounds").mkdir()
    with pytest.raises(DatasetError, match="sounds is an empty directory"):
        clips_root(DatasetParams(name="folder", path="sounds"))
    Path("sounds.zip").touch()
    with pytest.raises(DatasetError, match="is a file"):
        clips_root(DatasetParams(name="folder", path="sounds.zip"))


def test_a_folder_needs_a_path(project):
    with pytest.raises(DatasetError, match=r"needs dataset\.path"):
        prepare(DatasetParams(name="folder"), seed=0)
    assert not Path("data/raw").exists()


@pytest.mark.parametrize("name", ["urbansound8k", "esc50", "synthetic"])
def test_a_path_in_another_layout_points_to_folder(project, tmp_path, name):
    (tmp_path / "sounds/dog").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"dataset\.name=folder"):
        prepare(DatasetParams(name=name, path=str(tmp_path / "sounds")), seed=0)


def test_a_source_without_a_copy_is_obtained_and_put_down_in_one_piece(project, urban, monkeypatch):
    def obtain(target, seed, downloads):
        for path in urban.rglob("*.*"):
            place = target / path.relative_to(urban)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
        if seed == 13:
            raise DatasetError("interrupted")

    source = urbansound8k.SOURCE
    made = type(source)(**{**vars(source), "obtain": obtain})
    monkeypatch.setattr(sources, "find_source", lambda name: made)
    Path("data/.partial-raw-abandoned/audio").mkdir(parents=True)  # of a run that was killed
    with pytest.raises(DatasetError, match="interrupted"):
        prepare(DatasetParams(name="urbansound8k"), seed=13)
    assert sorted(path.name for path in Path("data").iterdir()) == ["local"]
    prepare(DatasetParams(name="urbansound8k"), seed=0)
    clips = read_clips("data/raw/clips.csv")
    assert all((clips_root(DatasetParams(name="urbansound8k")) / path).is_file() for path in clips["path"])
