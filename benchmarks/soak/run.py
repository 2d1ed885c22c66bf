"""Minutes of load from clients of every kind, then a killed worker under the same load.

- every answer is right, also to slow clients and beside vanishing ones: no error that is not the client's
- clients that drip a byte now and then get 408, and connections that are opened and left are closed
- of 64 large uploads at once, more than the budgets hold, each is answered or told when to come back (503), and the
  worker's memory stays within what is set for uploads (``--crowd-mb`` above it for their connections and decoding)
- memory is flat after the warm-up: the worker's median resident memory in the last third of the run is at most
  ``--flat-mb`` above that in the second third (its slope is reported beside it)
- nothing is left in the temporary folder, no traceback in the log, no request counted as still at work
- the worker, killed with -9 under load, is replaced, and every later request is answered

    python benchmarks/soak/run.py --minutes 10 --clients 32 --json benchmarks/soak/result.json
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from clients import Client, Report, answers, files, large_request, large_upload

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from serving import Server, add_model_argument, earshot, running

RESTS_ON = (*record.SERVICE, "benchmarks/soak", "benchmarks/serving.py")
REPLACED_S = 60.0  # a new worker must answer within
LARGE_UPLOADS = 64
ADMITTED = 25  # so many of them fit on the disk set for uploads
# Short deadlines, so that minutes see many of them; little memory for uploads, so that large ones fill it.
SETTINGS = {"upload_idle_s": 3.0, "head_timeout_s": 5.0, "uploads_memory_mb": 60.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load before the kill (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=32, help="at once (default: %(default)s)")
    parser.add_argument("--flat-mb", type=float, default=5.0, help="allowed growth (default: %(default)s)")
    parser.add_argument("--large-mb", type=float, default=10.0, help="of each large upload (default: %(default)s)")
    parser.add_argument("--crowd-mb", type=float, default=60.0, help="allowed beside them (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    machine = record.machine("bentoml")
    with tempfile.TemporaryDirectory() as scratch:
        params = Path(scratch) / "params.yaml"
        settings = SETTINGS | {"uploads_disk_mb": max(ADMITTED * args.large_mb, 100.0), "batch_max_mb": 100.0}
        params.write_text(json.dumps({"service": settings | {"recording_max_mb": 100.0}}))
        with running(earshot(Path(scratch) / "home", args.model, params)) as server:
            result = asyncio.run(soak(server, args.minutes * 60, args.clients, args.flat_mb, args.large_mb))
    result["crowd"]["allowed_mb"] = SETTINGS["uploads_memory_mb"] + args.crowd_mb
    result["passed"] = result["passed"] and result["crowd"]["growth_mb"] <= result["crowd"]["allowed_mb"]
    result = {"clients": args.clients, "minutes": args.minutes, **result}
    print(json.dumps(result, indent=1))
    if args.json:
        record.write(args.json, result, RESTS_ON, machine)
    if not result["passed"]:
        sys.exit("failed")


async def soak(server: Server, seconds: float, clients: int, flat_mb: float, large_mb: float) -> dict[str, Any]:
    """The load, the large uploads, the kill, and what was seen."""
    sent, request = files(), large_request(large_mb)  # before any client runs: making them takes a while
    owed = await answers(server.port, sent)
    report, over = Report(), asyncio.Event()
    crowd = [asyncio.ensure_future(Client(n, server.port, sent, owed).run(report, over)) for n in range(clients)]
    try:
        samples = await watch(server, seconds)
        answered = dict(report.answered)
        large = await crowd_in(server, report, request)
        replaced_s, pid = await kill(server, report)
        after_kill = sum(report.answered.values())
        await asyncio.sleep(min(20.0, seconds))
        after_kill = sum(report.answered.values()) - after_kill
    finally:
        over.set()
        await asyncio.wait(crowd)
    for client in crowd:
        client.result()  # a defect of the client itself
    await asyncio.sleep(2)
    memory = flatness(samples)
    at_work = counted_at_work(server)
    result = {
        "answered": answered,
        "requests_per_s": round(sum(answered.values()) / seconds, 1),
        "patient_p95_s": round(float(np.percentile(report.latencies_s, 95)), 3),
        "errors": report.errors[:20],
        "memory": memory,
        "crowd": large,
        "killed": {
            "replaced_after_s": replaced_s,
            "same_worker": server.worker().pid == pid,
            "requests_it_took_along": len(report.lost),
            "answered_afterwards": after_kill,
        },
        "left_in_temporary_folder": server.left_over(),
        "tracebacks_in_log": server.log.read_text().count("Traceback"),
        "still_at_work": at_work,
    }
    result["passed"] = (
        not report.errors
        and memory["growth_mb"] <= flat_mb
        and large["statuses"].keys() <= {"200", "503"}
        and large["refusals_without_retry_after"] == 0
        and replaced_s is not None
        and not result["killed"]["same_worker"]
        and after_kill > 0
        and not result["left_in_temporary_folder"]
        and not result["tracebacks_in_log"]
        and not any(at_work.values())
    )
    return result


async def crowd_in(server: Server, report: Report, request: bytes) -> dict[str, Any]:
    """Large uploads at once, beside all other clients: statuses, and the worker's memory before and at most."""
    worker = server.worker()
    before = most = worker.memory_info().rss
    report.crowded = True
    uploads = {asyncio.ensure_future(large_upload(server.port, request)) for _ in range(LARGE_UPLOADS)}
    waiting = set(uploads)
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=0.2)
        most = max(most, worker.memory_info().rss)
    report.crowded = False
    answers = [upload.result() for upload in uploads]
    return {
        "uploads": LARGE_UPLOADS,
        "mb_each": round(len(request) / 1e6, 1),
        "statuses": {str(status): count for status, count in sorted(Counter(status for status, _ in answers).items())},
        "refusals_without_retry_after": sum(status == 503 and not told for status, told in answers),
        "others_told_to_wait": report.told_to_wait,
        "before_mb": round(before / 1e6, 1),
        "most_mb": round(most / 1e6, 1),
        "growth_mb": round((most - before) / 1e6, 1),
    }


async def watch(server: Server, seconds: float) -> list[tuple[float, int, int, int]]:
    """Seconds since the beginning, resident bytes, open files and threads of the worker, about every second."""
    worker, begun, samples = server.worker(), time.monotonic(), []
    while (now := time.monotonic() - begun) < seconds:
        samples.append((now, worker.memory_info().rss, worker.num_fds(), worker.num_threads()))
        await asyncio.sleep(min(1.0, seconds / 30))
    return samples


def flatness(samples: list[tuple[float, int, int, int]]) -> dict[str, Any]:
    """Medians of the last two thirds in MB, and the slope over both."""
    time_s, rss, open_files, threads = (np.array(column, float) for column in zip(*samples, strict=True))
    third = len(rss) // 3
    middle, last = float(np.median(rss[third : 2 * third])), float(np.median(rss[2 * third :]))
    slope = float(np.polyfit(time_s[third:], rss[third:], 1)[0])
    return {
        "first_mb": round(rss[0] / 1e6, 1),
        "median_second_third_mb": round(middle / 1e6, 1),
        "median_last_third_mb": round(last / 1e6, 1),
        "most_mb": round(rss.max() / 1e6, 1),
        "growth_mb": round((last - middle) / 1e6, 1),
        "slope_mb_per_minute": round(slope * 60 / 1e6, 2),
        "open_files_second_third": int(np.median(open_files[third : 2 * third])),
        "open_files_last_third": int(np.median(open_files[2 * third :])),
        "threads": int(threads.max()),
    }


async def kill(server: Server, report: Report) -> tuple[float | None, int]:
    """Kill the worker; seconds until a request is answered again (None: it never was), and who was killed."""
    worker = server.worker()
    report.disturbed, killed = True, time.monotonic()
    worker.send_signal(signal.SIGKILL)
    with contextlib.suppress(psutil.TimeoutExpired):
        await asyncio.to_thread(worker.wait, 10)
    report.last_answer = 0.0
    while not report.last_answer and time.monotonic() - killed < REPLACED_S:
        await asyncio.sleep(0.05)
    seconds = round(report.last_answer - killed, 1) if report.last_answer else None
    await asyncio.sleep(1.0)  # who was cut off finds out
    report.disturbed = False
    return seconds, worker.pid


def counted_at_work(server: Server) -> dict[str, float]:
    """What the service itself says is not finished."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    gauges = ("earshot_budget_used", "earshot_requests_in_progress")
    values = {line.split()[0].replace('"', ""): float(line.split()[-1]) for line in lines if line.startswith(gauges)}
    values["earshot_requests_in_progress"] -= 1  # this one
    return values


if __name__ == "__main__":
    main()
