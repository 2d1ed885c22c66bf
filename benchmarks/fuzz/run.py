"""Thousands of mutated and random uploads against the service, and what it owes to each.

- no status of 500 and above, no answer later than 5 s, the same worker at the end as at the beginning
- a file that the decoder in this process still reads gets 200 and the library's answer; another gets the refusal that
  the library's error stands for
- every tenth is a valid control, whose answer must never change
- memory within 20 MB of what it was after every format was seen once; nothing left in the temporary folder

The same seed gives the same uploads. Failures are written to a folder, and sent again by their number:

    python benchmarks/fuzz/run.py --mutants 3000 --json benchmarks/fuzz/result.json
    python benchmarks/fuzz/run.py --only 1234
"""

import argparse
import contextlib
import io
import json
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutants

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.hearing.decode import AudioError
from earshot.model.session import Model
from earshot.service.config import Settings, read_settings
from earshot.service.refusals import from_audio
from earshot.stream.classify import classify
from earshot.stream.timeline import timeline
from serving import ROOT, Server, add_model_argument, earshot, running

HANG_S = 5.0
RESTS_ON = (*record.SERVICE, "benchmarks/fuzz", "benchmarks/serving.py")
STALLED_S = 0.5  # a broken request may promise bytes that never come: the client then hangs up
SETTLE_S = 3.0  # the service hands free memory back when nobody asks for a second
MEMORY_BYTES = 20_000_000
DOCUMENTED = {200, 400, 401, 404, 405, 408, 413, 415, 422}


@dataclass(frozen=True)
class Reply:
    """What came back: status 0 where the server hung up without an answer."""

    status: int
    document: Any
    seconds: float


class Oracle:
    """What the library in this process says to a file."""

    def __init__(self, model: Path) -> None:
        self._model = Model(model)
        self._settings: Settings = read_settings(ROOT, {"EARSHOT_MODEL": str(model)})

    def owed(self, path: str, data: bytes) -> tuple[int, Any]:
        """Status, and answer or reason."""
        try:
            if path == "/timeline":
                found = timeline(
                    self._model, io.BytesIO(data), self._settings.timeline, self._settings.params.recording_limits
                )
                return 200, [event.as_dict() for event in found]
            heard = classify(self._model, io.BytesIO(data), self._settings.params.clip_limits).as_dict()
            return 200, {key: heard[key] for key in ("predicted_class", "known", "probabilities")}
        except AudioError as error:
            refusal = from_audio(error)
            return refusal.status, refusal.reason


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    parser.add_argument("--mutants", type=int, default=3000, help="uploads (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default: %(default)s)")
    parser.add_argument("--only", type=int, help="send only this one, and show what comes back")
    parser.add_argument("--failures", type=Path, default=ROOT / ".earshot" / "fuzz", help="folder for failures")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    machine = record.machine("bentoml", "soundfile", "av")
    with tempfile.TemporaryDirectory() as scratch, running(earshot(Path(scratch) / "home", args.model)) as server:
        if args.only is not None:
            show_one(server, Oracle(args.model), mutants.upload(args.only, args.seed))
            return
        result, failures = fuzz(server, Oracle(args.model), args.mutants, args.seed)
    result = {"seed": args.seed, **result}
    for number, failure in failures.items():
        args.failures.mkdir(parents=True, exist_ok=True)
        (args.failures / f"{number:05}.request").write_bytes(mutants.upload(number, args.seed).request)
        print(f"FAILED {number}: {failure}")
    print(json.dumps(result, indent=1))
    if args.json:
        record.write(args.json, result, RESTS_ON, machine)
    if failures or not result["passed"]:
        sys.exit(f"failed; the requests are in {args.failures}")


def fuzz(server: Server, oracle: Oracle, count: int, seed: int) -> tuple[dict[str, Any], dict[int, str]]:
    """Send `count` uploads one after another; the figures, and what was wrong by number."""
    warm_up(server)
    time.sleep(SETTLE_S)
    worker, before = server.worker().pid, server.memory()
    seen: Counter[str] = Counter()
    failures: dict[int, str] = {}
    slowest_s, decoded, controls = 0.0, 0, 0
    for number in range(count):
        upload = mutants.upload(number, seed)
        reply = send(server.port, upload.request, HANG_S + 1 if upload.file is not None else STALLED_S)
        seen[str(reply.status or "hung up")] += 1
        slowest_s = max(slowest_s, reply.seconds)
        wrong = judge(reply, upload, oracle)
        if wrong:
            failures[number] = f"{upload.path}, {upload.about}: {wrong}"
        controls += upload.control
        decoded += upload.file is not None and not upload.control and reply.status == 200
        if number % 500 == 499:
            print(f"{number + 1} sent, {len(failures)} wrong", flush=True)
    time.sleep(SETTLE_S)
    after = server.memory()
    left_over, same_worker = server.left_over(), server.worker().pid == worker
    text = server.log.read_text()
    result = {
        "uploads": count,
        "controls": controls,
        "mutants_still_decoded": decoded,
        "statuses": dict(sorted(seen.items())),
        "wrong": len(failures),
        "slowest_s": round(slowest_s, 2),
        "rss_before_mb": round(before.rss / 1e6, 1),
        "rss_after_mb": round(after.rss / 1e6, 1),
        "same_worker": same_worker,
        "left_in_temporary_folder": left_over,
        "tracebacks_in_log": text.count("Traceback"),
    }
    result["passed"] = (
        not failures
        and same_worker
        and not left_over
        and after.rss - before.rss <= MEMORY_BYTES
        and not result["tracebacks_in_log"]
    )
    return result, failures


def judge(reply: Reply, upload: mutants.Upload, oracle: Oracle) -> str:
    """What is wrong with a reply, empty if nothing is."""
    if reply.seconds > HANG_S:
        return f"no answer within {HANG_S:g} s"
    if reply.status >= 500:
        return f"status {reply.status}: {reply.document}"
    if reply.status and reply.status not in DOCUMENTED:
        return f"status {reply.status} is not documented"
    if upload.file is None:
        return ""
    status, owed = oracle.owed(upload.path, upload.file)
    if upload.path == "/classify_batch":
        if reply.status != 200:
            return f"status {reply.status} for a batch: {reply.document}"
        told = reply.document["results"][0]
        answered = told["status"]
    else:
        told, answered = reply.document, reply.status
    if answered != status:
        return f"status {answered} where {status} ({owed}) was due: {told}"
    if status != 200:
        return "" if told["error"]["reason"] == owed else f"reason {told['error']['reason']} where {owed} was due"
    given, due = told.get("events"), owed
    if upload.path != "/timeline":
        ranked = {entry["label"]: entry["probability"] for entry in told["top"]}
        given = {"predicted_class": told["predicted_class"], "known": told["known"], "probabilities": ranked}
        due = {**owed, "probabilities": dict(list(owed["probabilities"].items())[: len(ranked)])}
    return "" if given == due else f"another answer: {given} where {due} was due"


def send(port: int, request: bytes, patience_s: float = HANG_S + 1) -> Reply:
    """Send `request` and read to the end. After `patience_s` without an answer, hang up: seconds count from there."""
    begun = time.perf_counter()
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(patience_s)
        try:
            connection.sendall(request)
            while piece := connection.recv(1 << 16):
                received += piece
        except TimeoutError:
            if patience_s < HANG_S and not received:
                begun = time.perf_counter()
                received += _after_hanging_up(connection)
        except ConnectionError:
            pass  # judged by what came until then
    seconds = time.perf_counter() - begun
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    status = int(head[9:12]) if head.startswith(b"HTTP/1.1 ") else 0
    try:
        return Reply(status, json.loads(body), seconds)
    except ValueError:
        return Reply(status, body[:500].decode("latin-1"), seconds)


def _after_hanging_up(connection: socket.socket) -> bytes:
    received = bytearray()
    connection.settimeout(HANG_S + 1)
    with contextlib.suppress(TimeoutError, ConnectionError):
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(1 << 16):
            received += piece
    return bytes(received)


def warm_up(server: Server) -> None:
    """Every format to every route, so that each decoder is loaded before memory is measured."""
    for _ in range(3):
        for data in mutants.seeds().values():
            for path in ("/classify", "/timeline", "/classify_batch"):
                reply = send(server.port, mutants.request(path, mutants.form(data)))
                if reply.status != 200:
                    raise RuntimeError(f"a valid file got status {reply.status}: {reply.document}")


def show_one(server: Server, oracle: Oracle, upload: mutants.Upload) -> None:
    """Send one upload and print everything about it."""
    reply = send(server.port, upload.request, HANG_S + 1 if upload.file is not None else STALLED_S)
    print(upload.path, upload.about, f"{len(upload.request)} bytes", sep=", ")
    print(upload.request[:400])
    print(reply)
    if upload.file is not None:
        print("due:", oracle.owed(upload.path, upload.file))
    print("verdict:", judge(reply, upload, oracle) or "right")


if __name__ == "__main__":
    main()
