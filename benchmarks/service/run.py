"""Requests a second, latency, memory and start of the service, beside what it is measured against, in one run.

Servers take turns, a few seconds each, so that whatever else the machine does falls on all of them:

- earshot: `bentoml serve`, one worker
- tutorial_async, tutorial_threads: the same network built as tutorials do (`fastapi_tutorial.py`), its handler on the
  event loop, and in threads
- tuned: the same INT8 file over FastAPI, built well (`fastapi_tuned.py`)
- echo: BentoML taking the same uploads and doing nothing with them (`peers.py`)
- empty: BentoML doing nothing at all, for memory and start

    python benchmarks/service/run.py --json benchmarks/service/result.json
"""

import argparse
import http.client
import io
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import load
import numpy as np
import soundfile

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import record  # noqa: E402
from serving import Server, add_model_argument, bento, earshot, running  # noqa: E402

RESTS_ON = (*record.SERVICE, "benchmarks/service", "benchmarks/serving.py")
MB = 1e6
BARS = {  # what the service is held to
    "requests_per_s_over_tutorial": 2.5,
    "tutorial_p95_over_p95": 3.0,
    "requests_per_s_over_tuned": 1.0,
    "tuned_p95_over_p95": 1.0,
    "requests_per_s_over_echo": 0.55,
    "rss_over_empty_mb": 70.0,
    "ready_after_empty_s": 1.5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    parser.add_argument("--rounds", type=int, default=6, help="turns that each server gets (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=3, help="starts of each service (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    machine = record.machine("bentoml", "fastapi", "uvicorn", "onnxruntime", "torch")
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        result["start"] = starts(home / "starts", args.model, args.starts)
        show("seconds to ready", result["start"])
        result["memory"] = memory(home / "memory", args.model)
        show("memory of the worker", result["memory"])
        result["throughput"] = found = throughput(home / "throughput", args.model, args.rounds, args.seconds)
        result["answers_as_tuned"] = found.pop("answers_as_tuned")
    result["ratios"] = ratios = compare(result)
    result["bars"] = BARS
    show("ratios", {key: f"{value:g} (bar {BARS.get(key, '-')})" for key, value in ratios.items()})
    if args.json:
        record.write(args.json, result, RESTS_ON, machine)


def clips() -> list[bytes]:
    """Eight stereo WAV files of 4 s, 16 bit, at 44.1 and 48 kHz: tones in noise."""
    random = np.random.default_rng(0)
    files = []
    for number in range(8):
        rate_hz = (44_100, 48_000)[number % 2]
        time_s = np.arange(4 * rate_hz) / rate_hz
        tone = 0.3 * np.sin(2 * np.pi * 200 * (number + 1) * time_s)
        sound = tone[:, None] + 0.05 * random.standard_normal((len(time_s), 2))
        stream = io.BytesIO()
        soundfile.write(stream, sound, rate_hz, format="WAV", subtype="PCM_16")
        files.append(stream.getvalue())
    return files


def servers(home: Path, model: Path) -> dict[str, Server]:
    """All that answer `POST /classify`, started and not yet ready."""
    uvicorn = [sys.executable, "-m", "uvicorn", "--port", "{port}", "--no-access-log"]
    tutorial, tuned = [*uvicorn, "fastapi_tutorial:app"], [*uvicorn, "fastapi_tuned:app"]
    fp32 = {"PEER_MODEL": str(model.with_name(model.name.replace(".int8", "")))}
    return {
        "earshot": earshot(home / "earshot", model),
        "tutorial_async": Server(home / "async", tutorial, HERE, fp32 | {"PEER_HANDLER": "async"}),
        "tutorial_threads": Server(home / "threads", tutorial, HERE, fp32 | {"PEER_HANDLER": "threads"}),
        "tuned": Server(home / "tuned", tuned, HERE, {"PEER_MODEL": str(model), "OMP_NUM_THREADS": "1"}),
        "echo": Server(home / "echo", bento("peers:Echo"), HERE, {}),
    }


def throughput(home: Path, model: Path, rounds: int, seconds: float) -> dict[str, object]:
    """Each server at 1 and 16 clients, in turn; and the load generator against a server that does nothing."""
    requests = [load.multipart("/classify", clip) for clip in clips()]
    found: dict[str, object] = {}
    with ExitStack() as stack:
        ready = {name: stack.enter_context(running(server)) for name, server in servers(home, model).items()}
        sink = Server(home / "sink", [sys.executable, str(HERE / "sink.py"), "{port}"], HERE, {}, "/")
        ready["sink"] = stack.enter_context(running(sink))
        found["answers_as_tuned"] = alike(ready["earshot"], ready["tuned"])
        for server in ready.values():
            load.run(server.port, requests, 4, 2.0)  # threads, allocators and the peer's kernels begin
        for clients in (1, 16):
            measured = {name: load.Load() for name in ready}
            cpu_s = dict.fromkeys(ready, 0.0)
            for _ in range(rounds):
                for name, server in ready.items():
                    before = server.cpu_s()
                    measured[name] += load.run(server.port, requests, clients, seconds)
                    cpu_s[name] += server.cpu_s() - before
            summaries = {
                name: {**each.summary(), "server_cpu_ms_per_request": round(1e3 * cpu_s[name] / each.begun, 2)}
                for name, each in measured.items()
            }
            found[f"clients_{clients}"] = summaries
            for name, summary in summaries.items():
                show(f"{clients} clients, {name}", summary)
    return found


def alike(ours: Server, peer: Server) -> float:
    """Share of the clips that both give the same class: that they do the same work."""
    same = 0
    for clip in clips():
        answers = []
        for server in (ours, peer):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            request = load.multipart("/classify", clip)
            head, _, body = request.partition(b"\r\n\r\n")
            kind = next(line for line in head.decode().split("\r\n") if line.startswith("Content-Type: "))
            connection.request("POST", "/classify", body, {"Content-Type": kind.partition(": ")[2]})
            answers.append(json.loads(connection.getresponse().read())["top"])
            connection.close()
        likeliest = max(answers[1], key=answers[1].get)
        same += answers[0][0]["label"] == likeliest
    return same / len(clips())


def memory(home: Path, model: Path) -> dict[str, object]:
    """Of the worker after 400 uploads from 16 clients, and of an empty service's after as many calls."""
    uploads = [load.multipart("/classify", clip) for clip in clips()]
    text = b'{"text":"a"}'
    call = b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        text
    )
    found: dict[str, object] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(running(earshot(home / "earshot", model)))
        empty = stack.enter_context(running(Server(home / "empty", bento("peers:Empty"), HERE, {})))
        for name, server, requests in (("earshot", ours, uploads), ("empty", empty, [call + text])):
            idle = server.memory()
            done = 0
            while done < 400:
                done += len(load.run(server.port, requests, 16, 1.0).latencies_s)
            after = server.memory()
            found[name] = {
                "rss_mb": round(after.rss / MB, 1),
                "pss_mb": round(after.pss / MB, 1),
                "uss_mb": round(after.uss / MB, 1),
                "rss_before_requests_mb": round(idle.rss / MB, 1),
                "requests": done,
            }
    return found


def starts(home: Path, model: Path, times: int) -> dict[str, object]:
    """Seconds from the command to a 200 of `/readyz`, in turn."""
    seconds: dict[str, list[float]] = {"earshot": [], "empty": []}
    for number in range(times + 1):
        for name in seconds:
            where = home / f"{name}{number}"
            server = earshot(where, model) if name == "earshot" else Server(where, bento("peers:Empty"), HERE, {})
            with running(server):
                if number:  # the first start of all reads from disk what later ones have in memory
                    seconds[name].append(round(server.seconds_to_ready, 2))
    return {name: {"median_s": statistics.median(values), "all_s": values} for name, values in seconds.items()}


def compare(result: dict) -> dict[str, float]:
    """The figures that the bars are about; the tutorial's are those of the handler that did better."""
    loaded = result["throughput"]["clients_16"]
    ours, echo = loaded["earshot"], loaded["echo"]
    tutorial, tuned = [loaded["tutorial_async"], loaded["tutorial_threads"]], loaded["tuned"]
    memory, start = result["memory"], result["start"]
    return {
        "requests_per_s_over_tutorial": round(
            ours["requests_per_s"] / max(peer["requests_per_s"] for peer in tutorial), 2
        ),
        "tutorial_p95_over_p95": round(min(peer["p95_ms"] for peer in tutorial) / ours["p95_ms"], 2),
        "requests_per_s_over_tuned": round(ours["requests_per_s"] / tuned["requests_per_s"], 2),
        "tuned_p95_over_p95": round(tuned["p95_ms"] / ours["p95_ms"], 2),
        "requests_per_s_over_echo": round(ours["requests_per_s"] / echo["requests_per_s"], 2),
        "rss_over_empty_mb": round(memory["earshot"]["rss_mb"] - memory["empty"]["rss_mb"], 1),
        "pss_over_empty_mb": round(memory["earshot"]["pss_mb"] - memory["empty"]["pss_mb"], 1),
        "ready_after_empty_s": round(start["earshot"]["median_s"] - start["empty"]["median_s"], 2),
    }


def show(title: str, values: object) -> None:
    """One line of progress."""
    text = "; ".join(f"{key} {value}" for key, value in values.items()) if isinstance(values, dict) else str(values)
    print(f"{title}: {text}", flush=True)


if __name__ == "__main__":
    main()
