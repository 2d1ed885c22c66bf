"""How long it takes to keep one flagged clip, where few are kept already and where many are.

Two folders take turns, so that whatever else the machine does falls on both. The clip is a WAV file of 4 s; the many
are small, since their number is what matters. Each clip is written to disk (fsync) before it counts.

    python benchmarks/keeping/run.py --json benchmarks/keeping/result.json
"""

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.service.kept import Outcome, ReviewFolder

RESTS_ON = (
    "src/earshot/core",
    "src/earshot/service/kept.py",
    "src/earshot/service/label_table.py",
    "benchmarks/keeping",
)
MOST_RATIO = 2.0
MOST_MB = 100_000.0
ANSWER = {"predicted_class": "dog_bark", "confidence": 0.41, "top": [{"label": "dog_bark", "probability": 0.41}]}


def main() -> None:
    """Fill both folders, let them take turns, and say how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=10, help="clips in the one folder (default: %(default)s)")
    parser.add_argument("--many", type=int, default=10_000, help="clips in the other (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=300, help="clips kept in each (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    machine = record.machine()
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"few": filled(Path(scratch) / "few", args.few), "many": filled(Path(scratch) / "many", args.many)}
        seconds: dict[str, list[float]] = {name: [] for name in folders}
        for turn in range(args.turns):
            clip = wav(turn)
            for name, folder in folders.items():
                seconds[name].append(seconds_to_keep(folder, clip))
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    result: dict[str, Any] = {
        "clips": {"few": args.few, "many": args.many},
        "turns": args.turns,
        "clip_kb": round(len(wav(0)) / 1e3, 1),
        "median_ms": {name: round(1e3 * value, 2) for name, value in medians.items()},
        "p95_ms": {name: round(1e3 * float(np.percentile(values, 95)), 2) for name, values in seconds.items()},
        "ratio": round(medians["many"] / medians["few"], 2),
        "most_ratio": MOST_RATIO,
    }
    print(result)
    if args.json:
        record.write(args.json, result, RESTS_ON, machine)
    if result["ratio"] >= MOST_RATIO:
        sys.exit("keeping takes longer the more is kept")


def filled(root: Path, count: int) -> ReviewFolder:
    """A folder with `count` kept clips, kept as the service keeps them."""
    folder = ReviewFolder(root, max_mb=MOST_MB)
    for number in range(count):
        folder.keep(io.BytesIO(b"RIFF" + number.to_bytes(8, "little") + bytes(1000)), ANSWER)
    return folder


def seconds_to_keep(folder: ReviewFolder, clip: bytes) -> float:
    """Keep `clip`, and take it away again, so that the number of kept ones stays."""
    before = {path.name for path in (folder.root / "clips").iterdir()}
    begun = time.perf_counter()
    outcome = folder.keep(io.BytesIO(clip), ANSWER)
    seconds = time.perf_counter() - begun
    if outcome is not Outcome.KEPT:
        raise RuntimeError(f"a new clip was not kept: {outcome.value}")
    for path in (folder.root / "clips").iterdir():
        if path.name not in before:
            path.unlink()
    return seconds


def wav(seed: int) -> bytes:
    """4 s of faint noise, 16 bit at 44.1 kHz, mono."""
    samples = np.random.default_rng(seed).integers(-200, 200, 4 * 44_100, np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, samples, 44_100, format="WAV", subtype="PCM_16")
    return stream.getvalue()


if __name__ == "__main__":
    main()
