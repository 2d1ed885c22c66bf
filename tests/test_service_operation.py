"""What an operator sets and sees: token, origins, kept clips, health, a killed worker, a polite end."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import sounds
import tiny_model
from earshot.commands.cli import main
from earshot.service.kept import ReviewFolder
from service_server import Server, running, wait_for

RATE = tiny_model.RATE
TOKEN = {"Authorization": "Bearer s3cret"}


@pytest.fixture(scope="module")
def server(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("service") / "home"
    environment = {
        "EARSHOT_TOKEN": "s3cret",
        "EARSHOT_CORS_ORIGINS": "https://a.example, https://b.example",
        "EARSHOT_REVIEW_DIR": str(home / "review"),
    }
    with running(home, tiny_model_path, {"review_threshold": 1.0}, **environment) as server:
        yield server


def hum(seed: int = 0) -> bytes:
    return sounds.wav(tiny_model.sound("hum", 1.0, seed), RATE, "PCM_16", "FLAC").getvalue()


def classify(server: Server, data: bytes, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}/classify", files={"file": ("x.flac", data)}, headers={**TOKEN, **headers})


@pytest.mark.parametrize("path", ["/model", "/metrics", "/schema.json"])
def test_a_token_is_needed(server: Server, path: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "s3cret"},
    ):
        refused = httpx.get(f"{server.url}{path}", headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error"]["reason"] == "unauthorised"
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert httpx.get(f"{server.url}{path}", headers=TOKEN).status_code == 200


def test_without_a_token_nothing_is_read(server: Server) -> None:
    with server.send(b"", content_type="audio/wav\r\nContent-Length: 50000000") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/ui/", "/openapi.json"])
def test_probes_and_the_page_need_no_token(server: Server, path: str) -> None:
    assert httpx.get(f"{server.url}{path}").status_code == 200


def test_pages_of_listed_origins_may_ask(server: Server) -> None:
    asked = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization"
    preflight = httpx.options(f"{server.url}/classify", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://b.example"
    refused = httpx.get(f"{server.url}/model", headers={"Origin": "https://b.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://b.example")
    other = httpx.get(f"{server.url}/model", headers={**TOKEN, "Origin": "https://c.example"})
    assert "access-control-allow-origin" not in other.headers


def test_flagged_clips_are_kept_with_their_answer(server: Server) -> None:
    data = hum(7)
    answer = classify(server, data).json()
    assert answer["flag_for_review"]  # the threshold of this server is 1
    assert classify(server, data).status_code == 200  # the same again is kept once
    clips = server.home / "review" / "clips"
    (kept,) = wait_for(
        lambda: [p for p in clips.glob("*.flac") if p.read_bytes() == data and p.with_suffix(".json").exists()]
    )
    assert json.loads(kept.with_suffix(".json").read_text()) == answer
    assert {path.suffix for path in clips.iterdir()} == {".flac", ".json"}
    assert server.metrics(TOKEN)['earshot_review_clips_not_kept_total{reason="duplicate"}'] == 1


def test_an_unknown_clip_is_kept_and_labelled_however_low_the_threshold(
    tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    params, environment = {"review_threshold": 0.0}, {"EARSHOT_REVIEW_DIR": str(kept)}
    with running(tmp_path / "home", tiny_model_path, params, **environment) as server:
        assert not classify(server, hum()).json()["flag_for_review"]
        assert not list(kept.glob("clips/*"))
        data = sounds.wav(tiny_model.sound(tiny_model.OUTSIDE, 2.0), RATE, "PCM_16", "FLAC").getvalue()
        answer = classify(server, data).json()
        assert (answer["predicted_class"], answer["flag_for_review"]) == ("unknown", True)
        assert wait_for(lambda: server.metrics()["earshot_review_clips_total"] == 1)
        (clip,) = ReviewFolder(kept).clips()
        assert clip.answer == answer
    assert main(["review", str(kept)]) == 0
    assert f"unknown, most like {answer['top'][0]['label']}" in capsys.readouterr().out
    assert main(["review", str(kept), "--label", f"{Path(clip.path).stem}=horn"]) == 0
    assert ReviewFolder(kept).labels() == {clip.path: "horn"}


def test_a_killed_worker_is_replaced(server: Server) -> None:
    (worker,) = server.workers()
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(30)
    assert wait_for(lambda: [w.pid for w in server.workers()] and server.is_ready())
    assert [w.pid for w in server.workers()] != [worker.pid]
    assert classify(server, hum()).status_code == 200
    shown = httpx.get(f"{server.url}/metrics", headers=TOKEN).text
    assert "\nearshot_requests_in_progress 1.0\n" in shown  # this request; the dead worker's do not count


def test_the_end_waits_for_what_is_at_work(server: Server) -> None:
    """The last of this module: it ends the server."""
    data = sounds.wav(np.tile(sounds.noise(8000 * 60), (10, 1)), 8000, "PCM_U8").getvalue()
    head = f"audio/wav\r\n{'Authorization: ' + TOKEN['Authorization']}\r\nContent-Length: {len(data)}"
    with server.send(data, "/timeline?stream=1", head) as connection:
        answer = connection.recv(65536)
        os.kill(server.process.pid, signal.SIGTERM)
        while more := connection.recv(65536):
            answer += more
    assert json.loads(answer.split(b"\r\n")[-4])["duration_s"] == 600.0
    assert wait_for(lambda: server.process.poll() is not None)
    assert "Traceback" not in server.log.read_text()


def test_nothing_answers_before_the_model_has(tiny_model_path: Path, tmp_path: Path) -> None:
    """From the first moment a connection is taken until `/readyz` says 200, it says nothing or something else."""
    server = Server(tmp_path / "home", tiny_model_path, {}, {})
    try:
        first = None
        deadline = time.monotonic() + 120
        while first is None and time.monotonic() < deadline:
            try:
                first = httpx.get(f"{server.url}/readyz", timeout=120)
            except httpx.TransportError:
                time.sleep(0.05)
        assert first is not None
        if first.status_code != 200:
            assert first.json()["error"]["reason"] == "not_ready"
            server.wait_until_ready()
        assert server.metrics()["earshot_model_run_windows_count"] == 1  # the first clip, before any caller's
    finally:
        server.stop()


def test_without_a_model_it_does_not_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "home", tmp_path / "absent.onnx", {}, {})
    try:
        assert server.process.wait(120) != 0
        assert f"no model at {tmp_path / 'absent.onnx'}: run `make repro`" in server.log.read_text()
    finally:
        server.stop()


def test_a_misspelt_setting_is_named(tiny_model_path: Path, tmp_path: Path) -> None:
    server = Server(tmp_path / "home", tiny_model_path, {"revue_threshold": 0.5}, {})
    try:
        assert server.process.wait(120) != 0
        assert "unknown key 'revue_threshold'" in server.log.read_text()
    finally:
        server.stop()
