"""What a worker takes at once: budgets asked before a body is read, slow clients, connections left open."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

import sounds
import tiny_model
from earshot.service import front as front_module
from earshot.service.front import WEBSOCKET, Front
from service_server import ROOT, Server, running, wait_for

RATE = tiny_model.RATE
LIMITS = {"max_uploads": 12, "max_clips": 6, "max_recordings": 2, "uploads_memory_mb": 3.0, "uploads_disk_mb": 30.0}
LIMITS |= {"clip_max_mb": 20.0, "batch_max_mb": 20.0, "recording_max_mb": 20.0, "memory_mb": 1.0}
LIMITS |= {"upload_idle_s": 1.0, "upload_min_kb_s": 5.0, "head_timeout_s": 1.0, "max_connections": 40}


@pytest.fixture(scope="module")
def server(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("service") / "home", tiny_model_path, LIMITS) as server:
        yield server


@pytest.fixture(autouse=True)
def all_given_back(server: Server) -> Iterator[None]:
    """After every test nothing is taken any more, and a clip is answered."""
    yield
    assert wait_for(lambda: not any(used(server).values())), used(server)
    assert classify(server) == 200
    assert "Traceback" not in server.log.read_text()


def used(server: Server) -> dict[str, float]:
    return {
        name.split('"')[1]: value for name, value in server.metrics().items() if name.startswith("earshot_budget_used")
    }


def classify(server: Server) -> int:
    data = sounds.wav(tiny_model.sound("hum", 1.0), RATE, "PCM_16").getvalue()
    return httpx.post(f"{server.url}/classify", files={"file": data}, timeout=60).status_code


def begun(server: Server, length: int, path: str = "/classify", sent: bytes = b"RIFF") -> socket.socket:
    """A connection on which `sent` of an upload of `length` bytes went."""
    return server.send(sent, path, f"audio/wav\r\nContent-Length: {length}")


def answered(connection: socket.socket) -> tuple[int, str, http.client.HTTPMessage]:
    """Status, reason and headers of the answer that comes."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read())["error"]["reason"], answer.headers


@contextlib.contextmanager
def many(connections: list[socket.socket]) -> Iterator[list[socket.socket]]:
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def pour(connection: socket.socket, stop: threading.Event) -> threading.Thread:
    """Go on sending 4 kB every 0.2 s, just fast enough to be waited for."""

    def run() -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.2):
                connection.sendall(bytes(4000))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@contextlib.contextmanager
def uploading(server: Server, count: int, length: int, path: str = "/classify") -> Iterator[None]:
    """`count` uploads that go on until the block is left."""
    stop = threading.Event()
    with many([begun(server, length, path) for _ in range(count)]) as connections:
        threads = [pour(connection, stop) for connection in connections]
        try:
            assert wait_for(lambda: used(server)["uploads"] == count)
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def refused(server: Server, budget: str) -> float:
    return server.metrics()[f'earshot_budget_refusals_total{{budget="{budget}"}}']


def test_clips_have_places_of_their_own(server: Server) -> None:
    before = refused(server, "clips")
    with uploading(server, 6, 400_000):
        with begun(server, 1_000_000, sent=b"") as connection:  # nothing of its body is sent
            status, reason, headers = answered(connection)
        assert (status, reason, headers["Retry-After"]) == (503, "busy", "1")
        assert refused(server, "clips") == before + 1
        recording = sounds.wav(tiny_model.sound("hum", 6.0), RATE, "PCM_16").getvalue()
        assert httpx.post(f"{server.url}/timeline", files={"file": recording}, timeout=60).status_code == 200


def test_recordings_have_places_of_their_own(server: Server) -> None:
    with uploading(server, 2, 10_000_000, "/timeline"):
        with begun(server, 10_000_000, "/timeline", b"") as connection:
            status, reason, headers = answered(connection)
        assert (status, reason, headers["Retry-After"]) == (503, "busy", "30")
        assert classify(server) == 200


def test_disk_is_reserved_by_the_announced_length(server: Server) -> None:
    before = refused(server, "disk")
    with uploading(server, 1, 20_000_000, "/timeline"):
        assert used(server)["disk"] == 19_000_000
        with begun(server, 15_000_000, "/timeline", b"") as connection:
            assert answered(connection)[:2] == (503, "busy")
        assert refused(server, "disk") == before + 1
        assert classify(server) == 200


def test_memory_is_shared_out(server: Server) -> None:
    with uploading(server, 3, 1_500_000):
        assert used(server)["memory"] == 3_000_000
        with begun(server, 1_500_000, sent=b"") as connection:
            assert answered(connection)[:2] == (503, "busy")


def test_a_batch_keeps_no_more_in_memory_than_one_file(server: Server) -> None:
    clip = sounds.wav(tiny_model.sound("hum", 4.0), RATE, "PCM_24").getvalue()
    (worker,) = server.workers()
    files = [("file", clip)] * 64
    assert 16e6 < 64 * len(clip) < 20e6
    body = httpx.Request("POST", server.url, files=files)
    data = body.read()
    stop = threading.Event()
    head = f"{body.headers['Content-Type']}\r\nContent-Length: {len(data)}"
    before = worker.memory_info().rss
    with server.send(data[:-1000], "/classify_batch", head) as connection:
        assert wait_for(lambda: len(nameless(server)) >= 50)
        assert used(server)["memory"] == 1_000_000
        assert worker.memory_info().rss - before < 8e6
        connection.sendall(data[-1000:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        results = json.loads(answer.read())["results"]
    stop.set()
    assert [result["status"] for result in results] == [200] * 64
    assert len({json.dumps({**result, "file": ""}) for result in results}) == 1


def nameless(server: Server) -> list[Path]:
    (worker,) = server.workers()
    found = []
    for entry in Path(f"/proc/{worker.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = entry.readlink()
            if target.name.endswith("(deleted)") and target.is_relative_to(server.temporary):
                found.append(target)
    return found


def test_a_drip_ends(server: Server) -> None:
    """A byte now and then is not silence, and not enough."""
    with begun(server, 1_000_000) as connection:
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.1):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        error = json.loads(answer.read())["error"]
        stop.set()
        thread.join()
    assert (answer.status, error["reason"]) == (408, "upload_stalled")
    assert "5000 are needed" in error["message"]


def test_what_a_refused_client_still_sends_ends(server: Server) -> None:
    """It is read for a while, so that the refusal reaches the client, and then the connection is closed."""
    with server.send(b"", content_type="text/plain\r\nContent-Length: 10000000") as connection:
        assert answered(connection)[0] == 400
        assert closed(connection, b"x")


def closed(connection: socket.socket, drip: bytes = b"") -> bool:
    """Whether the server hangs up, however long one byte after the other is sent."""

    def gone() -> bool:
        try:
            if drip:
                connection.sendall(drip)
            connection.settimeout(0.1)
            return connection.recv(1000) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    return bool(wait_for(gone, 30))


@pytest.mark.parametrize("head", [b"", b"POST /classify HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_a_connection_without_a_request_is_closed(server: Server, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head)
        assert closed(connection, b"x" if head else b"")


def test_a_second_request_has_a_deadline_too(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /livez HT")
        assert closed(connection)


def test_too_many_connections(server: Server) -> None:
    with many([socket.create_connection(("127.0.0.1", server.port)) for _ in range(45)]) as connections:
        connections[-1].settimeout(30)
        status, reason, headers = answered(connections[-1])
        assert (status, reason, headers["Retry-After"], headers["Connection"]) == (503, "busy", "2", "close")
    assert wait_for(lambda: open_connections(server) <= 1)


def open_connections(server: Server) -> int:
    (worker,) = server.workers()
    return sum(connection.status == "ESTABLISHED" for connection in worker.net_connections("tcp"))


@pytest.mark.parametrize("length", ["²", "-1", "1e3", "0x10", "1, 2"])
def test_a_length_that_is_none(server: Server, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = "POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: audio/wav\r\nContent-Length: "
        connection.sendall(head.encode() + length.encode("latin-1") + b"\r\n\r\n")
        assert answered(connection)[:2] == (400, "malformed_request")


def test_no_websocket_without_a_token(tiny_model_path: Path, tmp_path: Path) -> None:
    """The real service, which has no route for one yet."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    with running(tmp_path / "home", tiny_model_path, {}, EARSHOT_TOKEN="s3cret") as server:
        for path, status in (("/classify", 401), ("/model", 401), ("/nothing", 404), ("/livez", 405)):
            assert httpx.get(f"{server.url}{path}", headers=upgrade).status_code == status
        with_token = {**upgrade, "Authorization": "Bearer s3cret"}
        assert httpx.get(f"{server.url}/classify", headers=with_token).status_code == 405
        assert server.metrics({"Authorization": "Bearer s3cret"})['earshot_rejected_total{reason="unauthorised"}'] == 2


@contextlib.contextmanager
def serving(app: Any) -> Iterator[int]:
    """A real server for an ASGI application; its port."""
    made = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        assert wait_for(lambda: made.started)
        yield made.servers[0].sockets[0].getsockname()[1]
    finally:
        made.should_exit = True
        thread.join()


def test_a_websocket_route_needs_the_token() -> None:
    """With an application that accepts whatever passes `Front`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    front = Front(app, {"/live": frozenset({WEBSOCKET})}, frozenset(), (frozenset(), ""), "s3cret", lambda: None, bool)
    upgrade = (
        b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    with serving(front) as port:
        for line, status in (
            (b"", b"401"),
            (b"Authorization: Bearer wrong\r\n", b"401"),
            (b"Authorization: Bearer s3cret\r\n", b"101"),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(upgrade + line + b"\r\n")
                assert connection.recv(65536).split()[1] == status


def test_an_answer_that_nobody_reads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "_UNREAD_S", 0.5)
    over = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        finally:
            over.set()

    front = Front(app, {"/": frozenset({"GET"})}, frozenset(), (frozenset(), ""), "", lambda: None, bool)
    with serving(front) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert over.wait(60)


IN_PROCESS = """
import json, sys, threading, time
from pathlib import Path
from earshot.service import app
from earshot.service.refusals import RefusedError

service = app.Earshot()
engine = app.engine_of_this_worker()
good, large, long, text = map(Path, sys.argv[1:])

def outcome(call, *arguments):
    try:
        return call(*arguments)
    except RefusedError as error:
        return [error.status, error.reason]

found = {
    "good": outcome(service.classify, good)["predicted_class"],
    "large": outcome(service.classify, large),
    "long": outcome(service.classify, long),
    "text": outcome(service.classify, text),
    "many": outcome(service.classify_batch, [good] * 4),
    "large batch": outcome(service.classify_batch, [good, large, large]),
    "batch": [answer["status"] for answer in outcome(service.classify_batch, [good, text, long])["results"]],
    "timeline": outcome(service.timeline, long),
    "large recording": outcome(service.timeline, large),
}
with engine.admission.clips.held(2):
    found["busy"] = outcome(service.classify, good)
with engine.admission.recordings.held():
    found["busy recordings"] = outcome(service.timeline, long)
found["timeline"] = found["timeline"]["duration_s"]
found["taken"] = [budget.used for budget in engine.admission]
engine.close()
print(json.dumps(found))
"""


def test_calls_in_one_process_have_the_same_limits(tiny_model_path: Path, tmp_path: Path) -> None:
    limits = {"clip_max_mb": 2.0, "clip_max_s": 20.0, "batch_max_files": 3, "batch_max_mb": 3.0}
    limits |= {"recording_max_mb": 2.0, "max_clips": 2, "max_recordings": 1}
    (tmp_path / "params.yaml").write_text(json.dumps({"service": limits}))
    for name, seconds, rate in (("good", 1, RATE), ("large", 60, RATE), ("long", 60, 8000)):
        sound = np.tile(tiny_model.sound("hum", 1.0)[:rate], seconds)
        (tmp_path / name).write_bytes(sounds.wav(sound, rate, "PCM_16").getvalue())
    (tmp_path / "text").write_text("no sound")
    files = [str(tmp_path / name) for name in ("good", "large", "long", "text")]
    environment = {"EARSHOT_MODEL": str(tiny_model_path), "EARSHOT_PARAMS": str(tmp_path / "params.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS, *files],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "good": "hum",
        "large": [413, "too_large"],
        "long": [413, "too_long"],
        "text": [415, "undecodable"],
        "many": [413, "too_many_files"],
        "large batch": [413, "too_large"],
        "batch": [200, 415, 413],
        "timeline": 60.0,
        "large recording": [413, "too_large"],
        "busy": [503, "busy"],
        "busy recordings": [503, "busy"],
        "taken": [0, 0, 0, 0, 0],
    }
