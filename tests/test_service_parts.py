"""Parts of the service that need no server: batching, the queue, kept clips and their review, requirements."""

import asyncio
import csv
import io
import json
import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sounds
import tiny_model
from earshot.commands.cli import main
from earshot.core.errors import EarshotError
from earshot.model.session import Model
from earshot.service import answers, build
from earshot.service.about import cannot_hear
from earshot.service.batching import MAX_WINDOWS, BatchedModel
from earshot.service.config import ServiceParams, Settings, read_settings
from earshot.service.engine import Engine, while_client_waits
from earshot.service.front import Front
from earshot.service.kept import ReviewFolder
from earshot.service.refusals import ClientGoneError, RefusedError
from earshot.service.requirements import RequirementsError, closure, requirements
from earshot.service.spool import Spool
from earshot.sources.folder import index
from earshot.stream.config import TimelineParams
from service_server import ROOT

RATE = tiny_model.RATE


@pytest.fixture(scope="module")
def model(tiny_model_path: Path) -> Model:
    return Model(tiny_model_path)


class SlowModel:
    """A model that waits for a sign before each run, and tells how many windows it got."""

    def __init__(self, model: Model) -> None:
        self.classes, self.log_mel, self.card, self._model = model.classes, model.log_mel, model.card, model
        self.go, self.entered, self.runs = threading.Semaphore(0), threading.Semaphore(0), []  # type: ignore[var-annotated]

    def scores(self, features: np.ndarray) -> np.ndarray:
        self.entered.release()
        self.go.acquire()
        self.runs.append(len(features))
        return self._model.scores(features)


def test_questions_that_wait_are_one_run_and_the_same_bits(model: Model) -> None:
    labels = (*tiny_model.CLASSES, tiny_model.OUTSIDE)
    rows = [model.log_mel.clip(tiny_model.sound(labels[i % 4], 4.0, i))[None] for i in range(6)]
    alone = [model.scores(row) for row in rows]
    slow = SlowModel(model)
    told: list[int] = []
    batched = BatchedModel(slow, told.append)  # type: ignore[arg-type]
    answers: dict[int, np.ndarray] = {}

    def ask(i: int) -> None:
        answers[i] = batched.scores(rows[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    threads[0].start()
    slow.entered.acquire()  # the first is at work, alone
    for thread in threads[1:]:
        thread.start()
    deadline = time.monotonic() + 30
    while len(batched._waiting) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    slow.go.release(9)
    for thread in threads:
        thread.join()
    assert slow.runs == told == [1, 5]
    assert all((answers[i] == alone[i]).all() for i in range(6))


def test_a_run_has_at_most_so_many_windows(model: Model) -> None:
    told: list[int] = []
    batched = BatchedModel(model, told.append)
    some = np.repeat(model.log_mel.clip(tiny_model.sound("hum", 4.0))[None], MAX_WINDOWS - 1, axis=0)
    threads = [threading.Thread(target=batched.scores, args=(some,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [MAX_WINDOWS - 1] * 4


def test_an_error_of_the_model_reaches_who_asked(model: Model) -> None:
    batched = BatchedModel(model)
    with pytest.raises(Exception, match=r"(?i)rank|dimension"):
        batched.scores(np.zeros((1, 2), np.float16))
    good = model.log_mel.clip(tiny_model.sound("hum", 4.0))[None]
    assert (batched.scores(good) == model.scores(good)).all()


def test_an_unknown_sound_is_flagged_however_low_the_threshold(tiny_model_path: Path, model: Model) -> None:
    made = engine(tiny_model_path, review_threshold=0.0)

    def answered(label: str) -> dict[str, Any]:
        file = sounds.wav(tiny_model.sound(label, 3.0)[:, None], RATE)
        return answers.classification(made, asyncio.run(made.classify(file)))

    of_class, of_none = answered("hum"), answered(tiny_model.OUTSIDE)
    assert (of_class["predicted_class"], of_class["flag_for_review"]) == ("hum", False)
    assert of_class["known"] >= model.card.unknown_threshold > of_none["known"]
    assert (of_none["predicted_class"], of_none["flag_for_review"]) == ("unknown", True)
    assert {entry["label"] for entry in of_none["top"]} == set(tiny_model.CLASSES)
    made.close()


def test_what_it_cannot_hear_is_said_as_it_is(model: Model, tutorial_path: Path) -> None:
    tutorial = Model(tutorial_path)
    never = replace(model.card, unknown_threshold=0.0)
    said = [
        cannot_hear(card, has_background)[0]
        for card, has_background in (
            (model.card, model.has_background),
            (tutorial.card, tutorial.has_background),
            (never, True),
        )
    ]
    assert all("the class that is most like it, often with confidence" in text for text in said)
    assert "unlike enough it calls unknown" in said[0]
    assert "was taught none" in said[1]
    assert "unknown" not in said[2]


class NoMetrics:
    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


def engine(path: Path, **params: Any) -> Engine:
    return Engine(Settings(path, ServiceParams(**params), TimelineParams()), NoMetrics())  # type: ignore[arg-type]


def long_sound(minutes: int) -> io.BytesIO:
    return sounds.wav(np.tile(sounds.noise(8000 * 60), (minutes, 1)), 8000, "PCM_U8")


def test_it_is_ready_when_the_model_has_answered(tiny_model_path: Path) -> None:
    made = engine(tiny_model_path)
    assert not made.ready
    made.warm_up()
    assert made.ready
    made.close()
    assert not made.ready


def test_front_is_not_ready_before_the_engine_is() -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    ready = False
    routes = {"/readyz": frozenset({"GET"})}
    front = Front(app, routes, frozenset({"/readyz"}), (frozenset(), ""), "", lambda: None, lambda: ready)
    scope = {"type": "http", "method": "GET", "path": "/readyz", "headers": []}
    asyncio.run(front(dict(scope), None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["error"]["reason"] == "not_ready"
    ready = True
    sent.clear()
    asyncio.run(front(dict(scope), None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 200


def test_a_defect_is_500_in_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def send(message: Any) -> None:
        sent.append(message)

    front = Front(app, {"/": frozenset({"GET"})}, frozenset(), (frozenset(), ""), "", lambda: None, lambda: True)
    asyncio.run(front({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["error"]["reason"] == "internal"


def test_too_many_at_once_are_told_to_wait(tiny_model_path: Path) -> None:
    made = engine(tiny_model_path, max_waiting=2, threads=1)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(made.classify(long_sound(1)) for _ in range(3)), return_exceptions=True)

    refused = [answer for answer in asyncio.run(ask()) if isinstance(answer, RefusedError)]
    assert [(error.status, error.reason) for error in refused] == [(503, "busy")]


def test_work_without_end_is_stopped(tiny_model_path: Path) -> None:
    made = engine(tiny_model_path, clip_timeout_s=0.05, recording_timeout_s=0.05)

    async def never() -> dict[str, str]:
        await asyncio.sleep(1000)
        raise AssertionError

    async def hear() -> None:
        async for _ in made.timeline(long_sound(30), never):
            pass

    for work in (made.classify(long_sound(30)), hear()):
        with pytest.raises(RefusedError) as caught:
            asyncio.run(work)  # type: ignore[arg-type]
        assert (caught.value.status, caught.value.reason) == (504, "timeout")


def test_work_stops_when_the_client_goes(tiny_model_path: Path) -> None:
    made = engine(tiny_model_path)

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        asyncio.run(while_client_waits(gone, made.classify(long_sound(30))))
    assert made._waiting == 0


def test_a_spool_gives_back_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = np.random.default_rng(0).bytes(100_000)
    for memory_bytes in (10, 200_000):
        spool = Spool(memory_bytes)
        for start in range(0, len(data), 7000):
            spool.write(data[start : start + 7000])
            if spool.wants_flush:
                spool.flush()
                assert not any(tmp_path.iterdir())  # it has no name
        assert spool.open().read() == data
        assert spool.open().read(3) == data[:3]
        spool.close()
        spool.close()


def flac(seed: int) -> io.BytesIO:
    return sounds.wav(tiny_model.sound("hum", 1.0, seed), RATE, "PCM_16", "FLAC")


ANSWER = {"predicted_class": "hum", "confidence": 0.41, "duration_s": 1.0}


def test_old_clips_go_and_labelled_ones_stay(tmp_path: Path) -> None:
    folder = ReviewFolder(tmp_path, max_age_days=1.0)
    for seed in range(3):
        assert folder.keep(flac(seed), {**ANSWER, "seed": seed})
    first, second, third = sorted(tmp_path.glob("clips/*.flac"), key=lambda path: path.read_bytes() != b"")
    main(["review", str(tmp_path), "--label", f"{first.stem}=hum"])
    for path in (first, second):
        os.utime(path, (0, 0))
    folder.keep(flac(9), ANSWER)
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
    assert not folder.keep(io.BytesIO(b"RIFF" + bytes(round(4e6 * size))), ANSWER)  # alone too large


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
    new = read[read["path"].str.contains("T")]
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


def test_the_bento_needs_no_training_library() -> None:
    names = closure(["earshot"])
    assert {"bentoml", "onnxruntime", "numpy", "soundfile", "soxr", "av"} <= names
    assert not {"torch", "pandas", "scikit-learn", "scipy", "dvc", "matplotlib", "onnx"} & names


def test_the_bentos_requirements_are_up_to_date() -> None:
    text = requirements(ROOT / "pyproject.toml", ROOT / "constraints.txt")
    assert (ROOT / "requirements-service.txt").read_text() == text, "run `make bento`"


def test_a_package_without_a_pin_is_named(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    with pytest.raises(RequirementsError, match="bentoml"):
        requirements(ROOT / "pyproject.toml", tmp_path / "constraints.txt")


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("service: {review_threshold: 0.7}\n")
    environment = {
        "EARSHOT_TOKEN": "t",
        "EARSHOT_CORS_ORIGINS": "https://a.example,,https://b.example ",
        "EARSHOT_REVIEW_DIR": str(tmp_path / "kept"),
        "EARSHOT_MODEL": str(tmp_path / "m.onnx"),
    }
    settings = read_settings(tmp_path, environment)
    assert settings.params.review_threshold == 0.7
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.token, settings.review_dir) == ("t", tmp_path / "kept")
    assert settings.model == tmp_path / "m.onnx"
    plain = read_settings(tmp_path, {})
    assert (plain.token, plain.cors_origins, plain.review_dir) == ("", (), None)
    assert plain.model == tmp_path / "models" / "earshot.int8.onnx"


def test_a_bento_is_labelled_with_the_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert build.commit() == "unknown"
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "a")
    clean = build.commit()
    assert len(clean) == 40
    (tmp_path / "params.yaml").write_text("seed: 2\n")
    assert build.commit() == f"{clean}-dirty"


def test_no_bento_without_a_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bentofile.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    with pytest.raises(EarshotError, match="make repro"):
        build.main()
    assert not (tmp_path / "requirements-service.txt").exists()
