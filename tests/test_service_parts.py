"""Parts of the service that need no server: batching, budgets, work that is stopped, requirements."""

import asyncio
import io
import json
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
from earshot.core.errors import EarshotError
from earshot.model.session import Model
from earshot.service import answers, build
from earshot.service.about import cannot_hear
from earshot.service.admission import Admission, Allowance
from earshot.service.batching import MAX_WINDOWS, BatchedModel
from earshot.service.config import ServiceParams, Settings, read_settings
from earshot.service.engine import Engine, while_client_waits
from earshot.service.front import Front
from earshot.service.refusals import ClientGoneError, RefusedError
from earshot.service.requirements import RequirementsError, closure, requirements
from earshot.service.spool import Spool
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
    made = engine(tiny_model_path, max_clips=2, max_recordings=1)
    clips = made.admission.clips
    with clips.held(2), pytest.raises(RefusedError) as caught:
        clips.take(1)
    error = caught.value
    assert (error.status, error.reason, error.headers) == (503, "busy", {"Retry-After": "1"})
    assert clips.used == 0
    with made.admission.recordings.held(), clips.held():  # recordings take no clip's place
        assert clips.used == 1
    made.close()


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
    assert made._at_work == 0


def test_a_spool_gives_back_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = np.random.default_rng(0).bytes(100_000)
    for memory_bytes in (10, 200_000):
        admission = Admission(ServiceParams())
        allowance = Allowance(admission, memory_bytes, len(data))
        spool = Spool(allowance)
        for start in range(0, len(data), 7000):
            spool.write(data[start : start + 7000])
            if allowance.in_memory > allowance.memory_bytes:
                spool.flush()
                assert not any(tmp_path.iterdir())  # it has no name
        if spool.on_disk:
            spool.flush()
        assert spool.open().read() == data
        assert spool.open().read(3) == data[:3]
        assert admission.memory.used == min(memory_bytes, len(data))
        assert admission.disk.used == len(data) - admission.memory.used
        allowance.share()  # somebody else reads it too
        allowance.release()
        assert spool.open().read() == data
        allowance.release()
        assert [budget.used for budget in admission] == [0] * 5
        with pytest.raises(ValueError, match="closed"):
            spool.open()


def test_an_upload_of_unknown_length_takes_disk_as_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    admission = Admission(ServiceParams(uploads_disk_mb=20.0, recording_max_mb=20.0, clip_max_mb=20, batch_max_mb=20))
    allowance = Allowance(admission, 300_000, None)
    spool = Spool(allowance)
    assert admission.disk.used == 0

    def pour() -> None:
        for _ in range(100):
            spool.write(bytes(300_000))
            spool.flush()

    with pytest.raises(RefusedError, match="disk") as caught:
        pour()
    assert (caught.value.status, spool.size) == (503, 300_000 * 67)
    assert admission.disk.used <= 20e6
    allowance.release()
    assert [budget.used for budget in admission] == [0] * 5


def test_memory_is_shared_out_until_there_is_none() -> None:
    admission = Admission(ServiceParams(uploads_memory_mb=5.0))
    held = [Allowance(admission, 2_000_000, 50_000_000) for _ in range(3)]
    assert [one.memory_bytes for one in held] == [2_000_000, 2_000_000, 1_000_000]
    with pytest.raises(RefusedError, match="memory"):
        Allowance(admission, 2_000_000, 50_000_000)
    assert admission.disk.used == 145_000_000  # the refused one took nothing
    held[0].release()
    assert Allowance(admission, 2_000_000, 100).memory_bytes == 100


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
