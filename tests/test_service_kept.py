"""Clips that the service was not sure of: how they are kept, and how people label them."""

import csv
import io
import json
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

import sounds
import tiny_model
from earshot.commands.cli import main
from earshot.service.admission import Admission, Allowance
from earshot.service.config import ServiceParams
from earshot.service.keeper import Keeper
from earshot.service.kept import Outcome, ReviewFolder
from earshot.sources.folder import index
from service_server import running, wait_for

RATE = tiny_model.RATE


def flac(seed: int) -> io.BytesIO:
    return sounds.wav(tiny_model.sound("hum", 1.0, seed), RATE, "PCM_16", "FLAC")


def make_old(path: Path) -> None:
    os.utime(path, (0, 0))


ANSWER = {"predicted_class": "hum", "confidence": 0.41, "duration_s": 1.0}


def test_old_clips_go_and_labelled_ones_stay(tmp_path: Path) -> None:
    folder = ReviewFolder(tmp_path, max_age_days=1.0)
    for seed in range(3):
        assert folder.keep(flac(seed), {**ANSWER, "seed": seed}) is Outcome.KEPT
    first, second, third = sorted(tmp_path.glob("clips/*.flac"))
    main(["review", str(tmp_path), "--label", f"{first.stem}=hum"])
    for path in (first, second):
        make_old(path)
        make_old(path.with_suffix(".json"))
    folder.sweep()
    assert first.is_file()
    assert third.is_file()
    assert not second.exists()
    assert not second.with_suffix(".json").exists()


def test_the_folder_keeps_below_its_size(tmp_path: Path) -> None:
    size = len(flac(0).getvalue()) / 1e6
    folder = ReviewFolder(tmp_path, max_mb=3.5 * size)
    for seed in range(8):
        folder.keep(flac(seed), ANSWER)
    kept = list(folder.clips())
    assert 1 <= len(kept) <= 3
    assert sum(path.stat().st_size for path in (tmp_path / "clips").iterdir()) <= 3.5e6 * size
    assert folder.keep(io.BytesIO(b"RIFF" + bytes(round(4e6 * size))), ANSWER) is Outcome.TOO_LARGE


def test_kept_clips_become_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ReviewFolder(tmp_path / "kept")
    for seed in range(5):
        folder.keep(flac(seed), ANSWER)
    paths = [clip.path for clip in folder.clips()]
    assert main(["review", str(folder.root)]) == 0
    shown = capsys.readouterr().out
    assert all(path in shown for path in paths)
    assert "hum 0.41" in shown
    assert main(["review", str(folder.root), "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["path"] for entry in listed] == paths
    assert listed[0]["answer"] == ANSWER
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "path,label\n" + "".join(f"{path},{'hum' if i < 2 else 'dog'}\n" for i, path in enumerate(paths[:4]))
    )
    assert main(["review", str(folder.root), "--labels", str(sheet)]) == 0
    assert main(["review", str(folder.root), "--label", f"{Path(paths[1]).stem}=fan"]) == 0
    assert main(["review", str(folder.root), "--label", f"{Path(paths[0]).stem}=fan"]) == 0
    capsys.readouterr()
    assert main(["review", str(folder.root), "--json"]) == 0
    assert [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()] == paths[4:]
    read = index(folder.root)
    assert dict(zip(read.clips["path"], read.clips["label"], strict=True)) == dict(
        zip(paths[:4], ["fan", "fan", "dog", "dog"], strict=True)
    )
    assert read.unlisted == (paths[4],)
    assert read.clips["recording"].nunique() == 4
    assert main(["review", str(folder.root), "--drop", Path(paths[4]).stem]) == 0
    assert not (folder.root / paths[4]).exists()


def test_an_unknown_clip_can_be_labelled_by_any_name_but_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ReviewFolder(tmp_path)
    ranked = [{"label": "hum", "probability": 0.41}, {"label": "hiss", "probability": 0.35}]
    folder.keep(flac(0), {**ANSWER, "predicted_class": "unknown", "known": 0.1, "top": ranked})
    folder.keep(flac(1), ANSWER)
    assert main(["review", str(tmp_path)]) == 0
    assert "unknown, most like hum" in capsys.readouterr().out
    unknown = next(clip.path for clip in folder.clips() if clip.answer["predicted_class"] == "unknown")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"path,label\n{unknown}, unknown\n")
    for refused in (["--label", f"{unknown}=unknown"], ["--labels", str(sheet)]):
        assert main(["review", str(tmp_path), *refused]) == 1
        complaint = capsys.readouterr().err
        assert unknown in complaint
        assert "--drop" in complaint
    assert folder.labels() == {}
    for clip in folder.clips():
        label = "horn" if clip.path == unknown else "hum"
        assert main(["review", str(tmp_path), "--label", f"{clip.path}={label}"]) == 0
    assert folder.labels() == {clip.path: "horn" if clip.path == unknown else "hum" for clip in folder.clips()}


@pytest.mark.parametrize("table", [True, False])
def test_kept_clips_join_a_data_set(tmp_path: Path, table: bool) -> None:
    folder = ReviewFolder(tmp_path / "kept")
    for seed in range(2):
        folder.keep(flac(seed), ANSWER)
    for i, clip in enumerate(folder.clips()):
        main(["review", str(folder.root), "--label", f"{Path(clip.path).stem}={'ab'[i]}"])
    mine = tmp_path / "mine"
    for label in "ab":
        (mine / label).mkdir(parents=True)
        for take in ("one", "two", "three"):
            (mine / label / f"{take}.flac").write_bytes(flac(3).getvalue())
    if table:
        rows = [
            f"{label}/{take}.flac,{label},{fold}"
            for label in "ab"
            for fold, take in enumerate(("one", "two", "three"), 1)
        ]
        (mine / "clips.csv").write_text("path,label,fold\n" + "\n".join(rows) + "\n")
    for _ in range(2):  # the second time there is nothing left to copy
        assert main(["review", str(folder.root), "--into", str(mine)]) == 0
    read = index(mine).clips
    assert len(read) == 8
    new = read[~read["path"].str.contains("one|two|three")]
    assert sorted(new["label"]) == ["a", "b"]
    if table:
        assert set(new["fold"]) == {1}
        with (mine / "clips.csv").open() as stream:
            assert next(csv.reader(stream)) == ["path", "label", "fold"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--label", "zzz=dog"], "0 clips"),
        (["--label", "flac=dog"], "2 clips"),
        (["--label", "nonsense"], "CLIP=LABEL"),
        (["--labels", "absent.csv"], "cannot be read"),
        (["--into", "absent"], "no folder"),
    ],
)
def test_review_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    folder = ReviewFolder(tmp_path)
    for seed in range(2):
        folder.keep(flac(seed), ANSWER)
    assert main(["review", str(tmp_path), *arguments]) == 1
    assert says in capsys.readouterr().err
    assert not (tmp_path / "clips.csv").exists()


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    folder = ReviewFolder(tmp_path)
    assert folder.keep(flac(1), ANSWER) is Outcome.KEPT
    assert folder.keep(flac(1), ANSWER) is Outcome.DUPLICATE
    assert len(list((tmp_path / "clips").iterdir())) == 2


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_kept_is_private(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "kept"
    before = os.umask(umask)
    try:
        folder = ReviewFolder(root)
        folder.note_classes(("hum",))
        folder.keep(flac(1), ANSWER)
        (clip,) = folder.clips()
        assert main(["review", str(root), "--label", f"{clip.path}=hum"]) == 0
    finally:
        os.umask(before)
    found = [root, *root.rglob("*")]
    assert len(found) == 9  # with clips.csv, and three files of state
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    """As an earlier version left it: the clips, and not what the operator made."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips").chmod(0o755)
    tmp_path.chmod(0o750)
    ReviewFolder(tmp_path).keep(flac(1), ANSWER)
    assert stat.S_IMODE((tmp_path / "clips").stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


class Calls:
    """Counts what Python reports of the file system while it is switched on; a hook cannot be taken away again."""

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event.partition(".")[0] in ("open", "os", "glob", "pathlib", "shutil", "tempfile", "fcntl"):
            self.seen.append(event)

    def of_keeping(self, folder: ReviewFolder, seed: int) -> list[str]:
        source = flac(seed)
        self.seen, self.on = [], True
        try:
            assert folder.keep(source, ANSWER) is Outcome.KEPT
        finally:
            self.on = False
        return self.seen


def test_keeping_does_as_much_however_many_are_kept(tmp_path: Path) -> None:
    folder, calls = ReviewFolder(tmp_path), Calls()
    folder.keep(flac(0), ANSWER)
    few = calls.of_keeping(folder, 1)
    assert len(few) > 4
    for number in range(1000):
        (tmp_path / "clips" / f"{number:016x}.wav").write_bytes(b"RIFF")
        (tmp_path / "clips" / f"{number:016x}.json").write_text("{}")
    (tmp_path / "clips.csv").write_text("path,label\n" + "".join(f"clips/{n:016x}.wav,a\n" for n in range(500)))
    assert calls.of_keeping(folder, 2) == few
    assert not {"os.listdir", "os.scandir"} & set(few)


def test_a_full_folder_is_looked_through_rarely(tmp_path: Path) -> None:
    folder, calls = ReviewFolder(tmp_path, max_mb=40 * (len(flac(0).getvalue()) + 90) / 1e6), Calls()
    looked = sum("os.scandir" in calls.of_keeping(folder, seed) for seed in range(70))
    assert 2 <= looked <= 12  # once at the beginning, then once for every tenth of 40
    assert 30 <= len(list(folder.clips())) <= 40


@pytest.mark.parametrize("left", [".flac", ".json"])
def test_a_sound_or_an_answer_alone_goes_too(tmp_path: Path, left: str) -> None:
    folder = ReviewFolder(tmp_path, max_age_days=1.0)
    folder.keep(flac(1), ANSWER)
    for path in (tmp_path / "clips").iterdir():
        if path.suffix != left:
            path.unlink()
        else:
            make_old(path)
    folder.sweep()
    assert not list((tmp_path / "clips").iterdir())


EDITED = {
    "semicolons": b"path;label;recording\r\n{path};hum;a\r\n",
    "tabs in UTF-16": "path\tlabel\n{path}\thum\n".encode("utf-16"),
    "Windows-1252": "note,path,label\nä,{path},hum\n".encode("cp1252"),
    "byte order mark": "\ufeffpath,label\n{path}, hum \n,,\n".encode(),
    "short rows": b"path,label,recording,fold\n{path},hum\n\nclips/other.wav\n",
}


@pytest.mark.parametrize("how", EDITED)
def test_a_table_edited_by_hand_is_read(tmp_path: Path, how: str) -> None:
    folder = ReviewFolder(tmp_path, max_age_days=1.0)
    for seed in (1, 2):
        folder.keep(flac(seed), ANSWER)
    first, second = (clip.path for clip in folder.clips())
    table = EDITED[how]
    encoding = "utf-16-le" if "UTF-16" in how else "ascii"
    (tmp_path / "clips.csv").write_bytes(table.replace("{path}".encode(encoding), first.encode(encoding)))
    for path in (tmp_path / "clips").iterdir():
        make_old(path)
    folder.sweep()
    assert [clip.path for clip in folder.clips()] == [first]
    assert folder.labels() == {first: "hum"}
    assert main(["review", str(tmp_path), "--label", f"{first}=hiss"]) == 0
    assert folder.labels() == {first: "hiss"}
    assert second not in folder.labels()


def test_columns_of_ones_own_stay(tmp_path: Path) -> None:
    folder = ReviewFolder(tmp_path)
    for seed in (1, 2):
        folder.keep(flac(seed), ANSWER)
    first, second = (clip.path for clip in folder.clips())
    (tmp_path / "clips.csv").write_text(f"path;label;note\n{first};hum;by the door\n")
    assert main(["review", str(tmp_path), "--label", f"{second}=hiss"]) == 0
    with (tmp_path / "clips.csv").open(newline="") as stream:
        rows = {row["path"]: row for row in csv.DictReader(stream)}
    assert rows[first]["note"] == "by the door"
    assert rows[second] == {"path": second, "label": "hiss", "note": "", "recording": Path(second).stem}


def test_nothing_is_deleted_while_labels_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ReviewFolder(tmp_path, max_age_days=1.0)
    folder.keep(flac(1), ANSWER)
    (tmp_path / "clips.csv").write_text("file,class\nx.wav,hum\n")
    for path in (tmp_path / "clips").iterdir():
        make_old(path)
    with pytest.raises(Exception, match="columns path and label"):
        folder.sweep()
    assert folder.keep(flac(2), ANSWER) is Outcome.KEPT
    assert len(list(folder.clips())) == 2
    assert main(["review", str(tmp_path)]) == 1
    assert "columns path and label" in capsys.readouterr().err


@pytest.mark.parametrize("label", ["../outside", "a/b", "/tmp/x", "..", "a\\b", ".hidden", "a\nb"])
def test_a_label_is_the_name_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str) -> None:
    folder = ReviewFolder(tmp_path / "kept")
    folder.keep(flac(1), ANSWER)
    (clip,) = folder.clips()
    mine = tmp_path / "mine"
    mine.mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main(["review", str(folder.root), "--label", f"{clip.path}={label}"]) == 1
    assert "can be no label" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    with (folder.root / "clips.csv").open("w", newline="") as stream:  # and by hand
        csv.writer(stream).writerows([("path", "label"), (clip.path, label)])
    assert main(["review", str(folder.root), "--into", str(mine)]) == 1
    assert "can be no label" in capsys.readouterr().err
    assert not list(mine.iterdir())
    assert not (tmp_path / "outside").exists()


def test_only_what_was_kept_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ReviewFolder(tmp_path / "kept")
    folder.keep(flac(1), ANSWER)
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (tmp_path / "mine").mkdir()
    (folder.root / "clips.csv").write_text("path,label\n../secret.wav,hum\n")
    assert main(["review", str(folder.root), "--into", str(tmp_path / "mine")]) == 1
    assert "leaves the folder" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize(
    ("label", "nearest"), [("dog_brak", "dog_bark"), ("Dog bark", "dog_bark"), ("sirene", "siren"), ("horns", "horn")]
)
def test_a_misspelt_class_is_refused_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str, nearest: str
) -> None:
    folder = ReviewFolder(tmp_path)
    folder.note_classes(("dog_bark", "siren"))
    folder.keep(flac(1), ANSWER)
    folder.keep(flac(2), ANSWER)
    first, second = (clip.path for clip in folder.clips())
    (tmp_path / "clips.csv").write_text(f"path,label\n{second},horn\n")
    assert main(["review", str(tmp_path), "--label", f"{first}={label}"]) == 1
    assert f"did you mean {nearest!r}" in capsys.readouterr().err
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"path;label\n{first};{label}\n")
    assert main(["review", str(tmp_path), "--labels", str(sheet)]) == 1
    assert first not in folder.labels()
    assert main(["review", str(tmp_path), "--label", f"{first}={label}", "--new-class", label]) == 0
    assert folder.labels()[first] == label


def test_a_new_class_is_accepted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ReviewFolder(tmp_path)
    folder.note_classes(("dog_bark", "siren"))
    folder.keep(flac(1), ANSWER)
    assert main(["review", str(tmp_path), "--label", "flac=goose"]) == 0
    assert "new class 'goose'; known so far: dog_bark, siren" in capsys.readouterr().err


class SlowFolder(ReviewFolder):
    """A disk that hangs until it is told to go on."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.go = threading.Event()

    def keep(self, source: Any, answer: dict[str, Any]) -> Outcome:
        assert self.go.wait(60)
        return super().keep(source, answer)


def test_an_offer_never_waits_and_what_is_too_much_is_dropped(tmp_path: Path) -> None:
    folder, told = SlowFolder(tmp_path), []
    admission = Admission(ServiceParams())
    keeper = Keeper(folder, ("hum",), lambda: told.append("kept"), told.append)
    for seed in range(40):
        allowance = Allowance(admission, 1000, 1000)
        keeper.offer(flac(seed), ANSWER, allowance)
        allowance.release()
    dropped = told.count("queue_full")
    assert 7 <= dropped <= 8  # 32 wait, and one may be at work
    assert admission.memory.used == 1000 * (40 - dropped)
    folder.go.set()
    keeper.close()
    assert told.count("kept") == 40 - dropped
    assert admission.memory.used == 0


def test_a_folder_that_cannot_be_written_fails_no_answer(tiny_model_path: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "kept"
    blocked.write_text("a file where a folder should be")
    params, environment = {"review_threshold": 1.0}, {"EARSHOT_REVIEW_DIR": str(blocked)}
    with running(tmp_path / "home", tiny_model_path, params, **environment) as server:
        for seed in range(3):
            answer = httpx.post(f"{server.url}/classify", files={"file": flac(seed).getvalue()})
            assert answer.status_code == 200
        assert wait_for(lambda: server.metrics().get('earshot_review_clips_not_kept_total{reason="storage"}') == 3)
        assert "the folder of kept clips cannot be used" in server.log.read_text()
        assert "Traceback" not in server.log.read_text()


def test_old_clips_go_by_a_timer_and_an_odd_table_fails_no_request(tiny_model_path: Path, tmp_path: Path) -> None:
    """A real server whose clips may be kept for some seconds; nothing new is kept when the first one goes."""
    kept = tmp_path / "kept"
    params, environment = (
        {"review_threshold": 1.0, "review_max_age_days": 4 / 86400},
        {"EARSHOT_REVIEW_DIR": str(kept)},
    )
    with running(tmp_path / "home", tiny_model_path, params, **environment) as server:
        assert httpx.post(f"{server.url}/classify", files={"file": flac(1).getvalue()}).status_code == 200
        assert wait_for(lambda: server.metrics()["earshot_review_clips_total"] == 1)
        assert wait_for(lambda: not list(kept.glob("clips/*")))
        assert json.loads((kept / ".earshot" / "classes.json").read_text()) == sorted(tiny_model.CLASSES)
        (kept / "clips.csv").write_bytes(b"nothing;like\xff\xfe a table\n")
        assert httpx.post(f"{server.url}/classify", files={"file": flac(2).getvalue()}).status_code == 200
        assert wait_for(lambda: "no kept clip is deleted until" in server.log.read_text())
        assert len(list(kept.glob("clips/*"))) == 2  # without labels that can be read, nothing is deleted
        assert "Traceback" not in server.log.read_text()
