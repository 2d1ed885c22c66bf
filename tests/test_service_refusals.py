"""What the service refuses, how it says so, and that nothing is left of it."""

import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import sounds
import tiny_model
from service_server import Server, running, wait_for

LIMITS = {"clip_max_mb": 2.0, "clip_max_s": 60.0, "batch_max_files": 3, "batch_max_mb": 4.0, "max_channels": 4}
LIMITS |= {"recording_max_mb": 60.0, "upload_idle_s": 1.0, "memory_mb": 0.1}
RATE = tiny_model.RATE
END = b"\r\n--x--\r\n"


@pytest.fixture(scope="module")
def server(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("service") / "home", tiny_model_path, LIMITS) as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(server: Server) -> Iterator[None]:
    """After every test: the same worker answers as before, nothing waits, and nothing is left in $TMPDIR."""
    workers, files = [worker.pid for worker in server.workers()], sorted(server.temporary.iterdir())
    yield
    good = httpx.post(f"{server.url}/classify", files={"file": whistle()})
    assert good.status_code == 200
    assert good.json()["predicted_class"] == "whistle"
    assert [worker.pid for worker in server.workers()] == workers
    assert sorted(server.temporary.iterdir()) == files
    assert wait_for(lambda: at_work(server) == 0)
    assert wait_for(lambda: not any("(deleted)" in name and "tmp" in name for name in _open_files(workers[0])))
    assert "Traceback" not in server.log.read_text()


def at_work(server: Server) -> float:
    shown = server.metrics()
    return shown['earshot_budget_used{budget="clips"}'] + shown['earshot_budget_used{budget="recordings"}']


def whistle(duration_s: float = 1.0) -> bytes:
    return sounds.wav(tiny_model.sound("whistle", duration_s), RATE, "PCM_16").getvalue()


def part(data: bytes, disposition: str = 'name="file"; filename="a.wav"') -> bytes:
    return f"--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + data


def error_of(response: httpx.Response, status: int) -> dict[str, str]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"reason", "message"}
    assert response.headers["x-request-id"]
    return document["error"]


def _open_files(pid: int) -> list[str]:
    names = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return names


NOT_FINITE = sounds.wav(np.array([[0.1], [np.nan], [0.2]] * 500), RATE, "FLOAT").getvalue()
EMPTY_WAV = sounds.wav(np.zeros((0, 1)), RATE, "PCM_16").getvalue()
MANY_CHANNELS = sounds.wav(sounds.noise(500, 5), RATE, "PCM_16").getvalue()
SILENCE_OF_A_MINUTE = sounds.wav(np.zeros((61 * 8000, 1)), 8000, "PCM_U8").getvalue()
HIGH_RATE = sounds.wav(sounds.noise(500), 500_000, "PCM_16").getvalue()


@pytest.mark.parametrize(
    ("data", "status", "reason", "says"),
    [
        (b"%PDF-1.7 and so on", 415, "undecodable", "a PDF document"),
        (b"", 415, "undecodable", "an empty file"),
        (b"#EXTM3U\nhttp://127.0.0.1/a.mp3", 415, "undecodable", "a playlist"),
        (whistle()[:30], 415, "undecodable", "WAV"),
        (EMPTY_WAV, 422, "no_samples", "no samples"),
        (NOT_FINITE, 422, "not_finite", "not finite"),
        (MANY_CHANNELS, 413, "too_many_channels", "5 channels"),
        (HIGH_RATE, 413, "sample_rate", "500000 Hz"),
        (SILENCE_OF_A_MINUTE, 413, "too_long", "60 s"),
    ],
)
def test_what_cannot_be_heard(server: Server, data: bytes, status: int, reason: str, says: str) -> None:
    for path in ("/classify", "/timeline") if reason != "too_long" else ("/classify",):
        error = error_of(httpx.post(f"{server.url}{path}", files={"file": ("a.wav", data)}), status)
        assert error["reason"] == reason
        assert says in error["message"]


def test_a_refusal_of_lines_has_its_status_too(server: Server) -> None:
    response = httpx.post(f"{server.url}/timeline?stream=1", files={"file": ("a.wav", b"nothing")})
    assert error_of(response, 415)["reason"] == "undecodable"


def test_hours_of_silence_in_a_small_file_cost_nothing(server: Server) -> None:
    data = sounds.wav(np.zeros((10 * 3600 * 2000, 1), np.int16), 2000, "PCM_16", "FLAC").getvalue()
    assert len(data) < 300_000
    (worker,) = server.workers()
    before = worker.memory_info().rss
    assert error_of(httpx.post(f"{server.url}/classify", files={"file": data}), 413)["reason"] == "too_long"
    assert worker.memory_info().rss - before < 20e6


@pytest.mark.parametrize("path", ["/classify", "/classify_batch", "/timeline"])
def test_no_file(server: Server, path: str) -> None:
    url = f"{server.url}{path}"
    assert error_of(httpx.post(url), 400)["reason"] == "no_file"
    assert error_of(httpx.post(url, json={"file": "http://127.0.0.1/a.wav"}), 400)["reason"] == "no_file"
    assert error_of(httpx.post(url, files={"other": whistle()}), 400)["reason"] == "no_file"
    assert error_of(httpx.post(url, data={"file": "a.wav"}), 400)["reason"] == "no_file"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert error_of(httpx.post(url, content=b"--x--\r\n", headers=form), 400)["reason"] in (
        "no_file",
        "malformed_multipart",
    )


@pytest.mark.parametrize("path", ["/classify", "/classify_batch", "/timeline"])
def test_an_address_in_place_of_a_file_is_never_fetched(server: Server, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bait:
        address = f"http://127.0.0.1:{bait.getsockname()[1]}/a.wav"
        response = httpx.post(
            f"{server.url}{path}",
            content=part(address.encode(), 'name="file"') + END,
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
        assert error_of(response, 400)["reason"] == "not_a_file"
        bait.settimeout(0.5)
        with pytest.raises(TimeoutError):
            bait.accept()


@pytest.mark.parametrize(
    "body",
    [
        part(whistle()),  # no end
        part(whistle()) + b"\r\n--x",
        b"--y\r\n" + part(whistle()) + END,
        b"no form at all",
        b"",
        b"--x\r\nContent-Disposition form-data\r\n\r\n" + END,
        b"--x\r\n" + b"A: " + b"b" * 20_000 + b"\r\n\r\n" + END,
        b"".join(part(b"1", f'name="n{i}"') + b"\r\n" for i in range(40)) + END,
        part(whistle())[:40],
    ],
)
def test_a_broken_form(server: Server, body: bytes) -> None:
    response = httpx.post(
        f"{server.url}/classify", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert error_of(response, 400)["reason"] in ("malformed_multipart", "no_file")


def test_a_form_without_a_boundary(server: Server) -> None:
    response = httpx.post(f"{server.url}/classify", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert error_of(response, 400)["reason"] == "malformed_multipart"


def test_two_files_are_not_one(server: Server) -> None:
    files = [("file", whistle()), ("file", whistle())]
    error = error_of(httpx.post(f"{server.url}/classify", files=files), 400)
    assert error["reason"] == "too_many_files"
    assert "/classify_batch" in error["message"]


def test_a_batch_has_limits(server: Server) -> None:
    url = f"{server.url}/classify_batch"
    assert error_of(httpx.post(url, files=[("file", whistle())] * 4), 413)["reason"] == "too_many_files"
    large = [("file", whistle()), ("file", bytes(2_100_000)), ("file", whistle())]
    results = httpx.post(url, files=large).json()["results"]
    assert [result["status"] for result in results] == [200, 413, 200]
    assert results[1]["error"]["reason"] == "too_large"
    assert error_of(httpx.post(url, files=[("file", bytes(1_900_000))] * 3), 413)["reason"] == "too_large"


def test_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    """The length alone is enough: not a byte of the body is waited for."""
    with server.send(b"", content_type="multipart/form-data; boundary=x\r\nContent-Length: 5000000000") as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert answer.status == 413
    assert body["error"]["reason"] == "too_large"


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "audio/wav"])
def test_too_large_is_refused_while_it_comes(server: Server, content_type: str) -> None:
    """A chunked body has no length; it would never end."""
    with server.send(b"", content_type=f"{content_type}\r\nTransfer-Encoding: chunked") as connection:
        answered = threading.Event()

        def pour() -> None:
            first = part(b"") if "multipart" in content_type else b""
            connection.sendall(b"%x\r\n%s\r\n" % (len(first), first) if first else b"")
            while not answered.is_set():
                try:
                    connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                except OSError:
                    return

        pouring = threading.Thread(target=pour)
        pouring.start()
        answer = connection.recv(65536)
        answered.set()
        pouring.join()
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_client_that_goes_halfway(server: Server) -> None:
    body = part(whistle(20.0)) + END
    for path in ("/classify", "/timeline"):
        for kept in (10, 300, len(body) - 5):
            head = f"multipart/form-data; boundary=x\r\nX-Request-ID: gone{path}-{kept}\r\nContent-Length: {len(body)}"
            server.send(body[:kept], path, head).close()
            logged = wait_for(lambda mark=f"gone{path}-{kept}": [x for x in _log(server) if x["request_id"] == mark])
            assert [line["status"] for line in logged] == [499]


def test_a_client_that_stalls(server: Server) -> None:
    length = "multipart/form-data; boundary=x\r\nContent-Length: 90000"
    with server.send(part(b"RIFF"), content_type=length) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert answer.status == 408
    assert body["error"]["reason"] == "upload_stalled"


def test_work_that_nobody_waits_for_stops(server: Server) -> None:
    data = sounds.wav(np.tile(sounds.noise(8000 * 60), (60, 1)), 8000, "PCM_U8").getvalue()  # an hour
    for path, read in (("/timeline?stream=1", True), ("/timeline", False)):
        mark = f"left-{read}"
        head = f"audio/wav\r\nX-Request-ID: {mark}\r\nContent-Length: {len(data)}"
        with server.send(data, path, head) as connection:
            if read:
                with connection.makefile("rb") as answer:
                    assert any(b"heard_s" in line for line in answer)
            else:
                assert wait_for(lambda: at_work(server) == 1)
        (line,) = wait_for(lambda mark=mark: [x for x in _log(server) if x["request_id"] == mark])
        assert (line["reason"], line["audio_s"] < 3600) == ("client_gone", True)


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/classify", 405, "method_not_allowed"),
        ("PUT", "/timeline", 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("DELETE", "/ui/", 405, "method_not_allowed"),
        ("BREW", "/classify", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/classify/", 404, "not_found"),
        ("GET", "/ui/../../params.yaml", 404, "not_found"),
        ("GET", "/ui/%2e%2e/app.py", 404, "not_found"),
    ],
)
def test_no_such_route(server: Server, method: str, path: str, status: int, reason: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["reason"] == reason


def _log(server: Server) -> list[dict[str, object]]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith('{"time"')]
