"""Two hours of 44.1 kHz stereo WAV through ``POST /timeline``: memory, the same events as in this process, and cuts.

- the worker's peak resident memory (the kernel's own mark, not samples) is less than 100 MB above idle
- the events are those of `earshot.stream.timeline` on the same file, to the last digit
- the recording cut on the grid of windows into files that overlap by a window plus a second: the same events, wherever
  they are a window and a second away from a cut

    python benchmarks/timeline_2h/run.py --json benchmarks/timeline_2h/result.json
"""

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.model.session import Model
from earshot.service.config import read_settings
from earshot.sources.synthetic.scene import SOURCES, render
from earshot.stream.timeline import timeline
from serving import ROOT, Server, add_model_argument, earshot, running

RESTS_ON = (*record.SERVICE, "src/earshot/sources", "benchmarks/timeline_2h", "benchmarks/serving.py")
RATE_HZ = 44_100
PEAK_BYTES = 100_000_000
SETTLE_S = 3.0  # the service hands free memory back when nobody asks for a second
_HEAD = (
    b'--timeline-8d1f\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n"
)
_TAIL = b"\r\n--timeline-8d1f--\r\n"

Event = tuple[str, float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    parser.add_argument("--hours", type=float, default=2.0, help="length of the recording (default: %(default)s)")
    parser.add_argument("--pieces", type=int, default=6, help="files it is cut into (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the recording (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    machine = record.machine("bentoml", "soundfile", "soxr")
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        recording = home / "recording.wav"
        record(recording, args.hours * 3600, args.seed)
        with running(earshot(home / "home", args.model)) as server:
            result |= over_http(server, recording)
            pieces = [ask(server, piece) for piece in cut(recording, args.model, args.pieces)]
            result["left_in_temporary_folder"] = server.left_over()
        events = result.pop("found")
        result["same_as_in_process"] = events == in_process(args.model, recording)
        result |= compare(events, pieces, starts_s(args.model, recording, args.pieces), window_s(args.model))
    result["passed"] = (
        result["peak_over_idle_mb"] < PEAK_BYTES / 1e6
        and result["same_as_in_process"]
        and result["events_away_from_cuts"] == result["of_them_the_same_in_pieces"] > 0
        and not result["only_in_pieces"]
        and not result["left_in_temporary_folder"]
    )
    print(json.dumps(result, indent=1))
    if args.json:
        record.write(args.json, result, RESTS_ON, machine)
    if not result["passed"]:
        sys.exit("failed")


def record(path: Path, seconds: float, seed: int) -> None:
    """Sounds of every class, 8 s at most, anywhere in faint noise: one in every 17 s, cuts or no cuts."""
    random = np.random.default_rng(seed)
    bank = [
        render(random, label, 1, 2, length_s, [(0.0, length_s)])
        for label in SOURCES
        for length_s in random.uniform(1.0, 8.0, 2)
    ]
    block = 17 * RATE_HZ
    with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16") as file:
        missing = round(seconds * RATE_HZ)
        while missing:
            sound = 1e-4 * random.standard_normal((block, 2))
            chosen = bank[random.integers(len(bank))] * 10 ** random.uniform(-1, 0)
            begin = random.integers(0, block - len(chosen))
            sound[begin : begin + len(chosen)] += chosen
            file.write(np.clip(sound[:missing], -1, 1))
            missing -= min(block, missing)


def over_http(server: Server, recording: Path) -> dict[str, Any]:
    """The events, and what the worker took for them."""
    beginning = server.home / "beginning.wav"
    samples, _ = soundfile.read(recording, frames=30 * RATE_HZ, dtype="int16")
    soundfile.write(beginning, samples, RATE_HZ)
    ask(server, beginning)
    time.sleep(SETTLE_S)
    process = server.worker()
    idle = process.memory_info().rss
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
    cpu, begun = process.cpu_times(), time.monotonic()
    found = ask(server, recording)
    seconds, cpu_after = time.monotonic() - begun, process.cpu_times()
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return {
        "found": found,
        "events": len(found),
        "labels": len({event[0] for event in found}),
        "upload_mb": round(recording.stat().st_size / 1e6),
        "seconds": round(seconds, 1),
        "worker_cpu_s": round(cpu_after.user + cpu_after.system - cpu.user - cpu.system, 1),
        "idle_mb": round(idle / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "peak_over_idle_mb": round((peak - idle) / 1e6, 1),
    }


def ask(server: Server, recording: Path) -> list[Event]:
    """The events of a file, by a multipart upload."""
    size = recording.stat().st_size
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=3600)
    connection.putrequest("POST", "/timeline")
    connection.putheader("Content-Type", "multipart/form-data; boundary=timeline-8d1f")
    connection.putheader("Content-Length", str(len(_HEAD) + size + len(_TAIL)))
    connection.endheaders(_HEAD)
    with recording.open("rb") as file:
        connection.sock.sendfile(file)
    connection.send(_TAIL)
    response = connection.getresponse()
    document = json.loads(response.read())
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {document}")
    return [tuple(event.values()) for event in document["events"]]


def in_process(model: Path, recording: Path) -> list[Event]:
    """The events that the library finds in this process."""
    params = read_settings(ROOT, {}).timeline
    return [tuple(event.as_dict().values()) for event in timeline(Model(model), recording, params)]


def window_s(model: Path) -> float:
    """What the network hears at once."""
    return Model(model).log_mel.params.window_s


def grid(model: Path) -> tuple[int, int]:
    """In samples of the recording: from one window to the next, and how far pieces overlap."""
    front_end = Model(model).log_mel.params
    step = read_settings(ROOT, {}).timeline.hop_frames * front_end.hop_length * RATE_HZ / front_end.sample_rate_hz
    if step != round(step):
        raise ValueError(f"windows do not begin on samples at {RATE_HZ} Hz")
    overlap = -int(-(front_end.window_s + 1) * RATE_HZ // step) * round(step)
    return round(step), overlap


def begins(model: Path, recording: Path, pieces: int) -> list[int]:
    """The first sample of each piece, on the grid."""
    step, _ = grid(model)
    length = soundfile.info(recording).frames // pieces // step * step
    return [number * length for number in range(pieces)]


def starts_s(model: Path, recording: Path, pieces: int) -> list[tuple[float, float]]:
    """Where each piece begins and ends, in seconds of the recording."""
    _, overlap = grid(model)
    first = begins(model, recording, pieces)
    last = [begin + overlap for begin in first[1:]] + [soundfile.info(recording).frames]
    return [(begin / RATE_HZ, end / RATE_HZ) for begin, end in zip(first, last, strict=True)]


def cut(recording: Path, model: Path, pieces: int) -> Iterator[Path]:
    """The pieces as files, one at a time."""
    piece = recording.with_name("piece.wav")
    for begin_s, end_s in starts_s(model, recording, pieces):
        begin, end = round(begin_s * RATE_HZ), round(end_s * RATE_HZ)
        samples, _ = soundfile.read(recording, start=begin, stop=end, dtype="int16")
        soundfile.write(piece, samples, RATE_HZ)
        yield piece
    os.unlink(piece)


def compare(
    whole: list[Event], pieces: list[list[Event]], spans_s: list[tuple[float, float]], window_s: float
) -> dict[str, Any]:
    """Events of the whole recording beside those of its pieces, where both are a window and a second from any cut."""
    away_s = window_s + 1.0
    last = spans_s[-1][1]
    expected, found, only_in_pieces, worst = [], [], 0, 0.0
    for (begin_s, end_s), events in zip(spans_s, pieces, strict=True):
        low = begin_s + away_s if begin_s else 0.0
        high = end_s - away_s if end_s < last else end_s
        inside = [event for event in whole if low <= event[1] and event[2] <= high]
        placed = [(label, on + begin_s, off + begin_s, sure) for label, on, off, sure in events]
        placed = [event for event in placed if low - 0.001 <= event[1] and event[2] <= high + 0.001]
        expected += inside
        for event in inside:
            twin = next((other for other in placed if _same(event, other)), None)
            if twin:
                placed.remove(twin)
                found.append(event)
                worst = max(worst, abs(twin[3] - event[3]))
        only_in_pieces += len(placed)
    return {
        "pieces": len(pieces),
        "events_away_from_cuts": len(expected),
        "of_them_the_same_in_pieces": len(found),
        "only_in_pieces": only_in_pieces,
        "largest_difference_in_confidence": worst,
    }


def _same(one: Event, other: Event) -> bool:
    """Label, and times to the millisecond they are told in."""
    return one[0] == other[0] and abs(one[1] - other[1]) < 0.0015 and abs(one[2] - other[2]) < 0.0015


if __name__ == "__main__":
    main()
