"""Clips per second of Earshot's front end beside librosa's, on the same WAV files, on one thread, in one process.

Both read a file, mix to mono, resample to 22,050 Hz and end in a 64-band log-mel spectrogram. They take turns file by
file, so that whatever else the machine does falls on both. Times are seconds that the processor spent; a file's time is
the best of the rounds, the one least disturbed by other programs (which slow a core down by its caches and its other
hardware thread even so); the ratio of the medians stands beside it. Earshot cuts or pads each clip to 4 s and rounds to
float16, librosa computes what is there.

    python benchmarks/features/benchmark.py                    # files it synthesises itself
    python benchmarks/features/benchmark.py --files DIRECTORY  # WAV files of your own
"""

import os

for _library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"  # before NumPy is imported: one thread for everyone

import argparse  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import librosa  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import soxr  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))

import record  # noqa: E402
from earshot.core.front_end import FrontEndParams  # noqa: E402
from earshot.hearing.clip import fit_length  # noqa: E402
from earshot.hearing.decode import decode, read_mono  # noqa: E402
from earshot.hearing.log_mel import LogMel  # noqa: E402

RESTS_ON = (*record.HEARING, "benchmarks/features")
PARAMS = FrontEndParams()
FRONT_END = LogMel(PARAMS)
RATE_HZ = PARAMS.sample_rate_hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, help="a directory of WAV files (default: synthesised ones)")
    parser.add_argument("--about", default="", help="what these files are, for the result")
    parser.add_argument("--rounds", type=int, default=25, help="turns that each file gets (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    machine = record.machine("numpy", "librosa", "soundfile", "soxr")
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(args.files.rglob("*.wav")) if args.files else synthesise(Path(scratch))
        if not files:
            parser.error(f"no .wav file in {args.files}")
        result = measure(files, args.rounds)
    result["files"]["about"] = args.about or ("a directory of WAV files" if args.files else synthesise.__doc__)
    print(text(result))
    if args.json:
        record.write(args.json, result, RESTS_ON, machine)


def synthesise(directory: Path) -> list[Path]:
    """24 WAV files of noise, 4 s each: 44.1, 48 and 96 kHz, mono and stereo, 16 and 24 bit, two of each."""
    random = np.random.default_rng(0)
    paths = []
    for rate_hz in (44_100, 48_000, 96_000):
        for channels in (1, 2):
            for subtype in ("PCM_16", "PCM_24"):
                for copy in (1, 2):
                    path = directory / f"{rate_hz}_{channels}_{subtype}_{copy}.wav"
                    sound = 0.1 * random.standard_normal((4 * rate_hz, channels))
                    soundfile.write(path, sound, rate_hz, subtype=subtype)
                    paths.append(path)
    return paths


def earshot_clip(path: Path) -> np.ndarray:
    """The whole of Earshot's front end, as the pipeline and the service run it."""
    return FRONT_END.clip(fit_length(read_mono(path, RATE_HZ), PARAMS.window_samples))


def librosa_clip(path: Path) -> np.ndarray:
    """The same with librosa's three calls."""
    samples, rate_hz = librosa.load(path, sr=RATE_HZ, mono=True)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate_hz, n_fft=1024, hop_length=512, n_mels=64)
    return librosa.power_to_db(mel)


def measure(files: list[Path], rounds: int) -> dict[str, Any]:
    """Time every file with both, and Earshot's parts alone; sums over files of one clip's seconds."""
    total_s: dict[str, float] = defaultdict(float)
    for path in files:
        with soundfile.SoundFile(path) as file:
            rate_hz, room, sixteen = file.samplerate, Room(file.frames, file.channels), file.subtype == "PCM_16"
        for name, seconds in take_turns(turns(path, rate_hz, room, sixteen), rounds).items():
            total_s[name] += min(seconds)
            total_s[f"{name}, median"] += statistics.median(seconds)
    count = len(files)
    parts_ms = {name: round(1000 * total_s[name] / count, 3) for name in ("decode", "resample", "mel")}
    result: dict[str, Any] = {
        "files": {"count": count},
        "rounds": rounds,
        "clips_per_second": {name: round(count / total_s[name], 1) for name in ("earshot", "librosa")},
        "ratio": round(total_s["librosa"] / total_s["earshot"], 2),
        "ratio_of_medians": round(total_s["librosa, median"] / total_s["earshot, median"], 2),
        "parts_ms_per_clip": parts_ms,
        "whole_ms_per_clip": round(1000 * total_s["earshot"] / count, 3),
        "share_of_what_the_parts_allow": round(sum(parts_ms.values()) * count / 1000 / total_s["earshot"], 2),
    }
    if total_s["int16"]:
        result["sixteen_bit"] = {
            "float_over_int16_converted_once": round(total_s["float"] / total_s["int16"], 2),
            "float_over_int16": round(total_s["float"] / total_s["int16 alone"], 2),
        }
    return result


def turns(path: Path, rate_hz: int, room: "Room", sixteen: bool) -> dict[str, Callable[[], Any]]:
    """What is timed for one file. The parts run on data that is ready.

    Decoding is libsndfile's to int16, converted once; 24 bits do not fit, and Earshot's own reader is fastest there.
    """
    mono = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    window = fit_length(read_mono(path, RATE_HZ), PARAMS.window_samples)
    calls: dict[str, Callable[[], Any]] = {
        "earshot": lambda: earshot_clip(path),
        "librosa": lambda: librosa_clip(path),
        "decode": (lambda: room.by_int16(path)) if sixteen else (lambda: decode(path)),
        "resample": lambda: soxr.resample(mono, rate_hz, RATE_HZ, quality="HQ"),
        "mel": lambda: FRONT_END.clip(window),
    }
    if sixteen:
        calls["int16"] = calls["decode"]
        calls["int16 alone"] = lambda: room.int16_alone(path)
        calls["float"] = lambda: room.by_float(path)
    return calls


def take_turns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of every call, `rounds` times in turn, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if number:
                times[name].append(time.process_time() - start)
    return times


class Room:
    """Memory for one file's samples, so that decoding alone is timed and not the kernel that hands out pages."""

    def __init__(self, frames: int, channels: int) -> None:
        self.int16, self.float32 = np.zeros((frames, channels), np.int16), np.zeros((frames, channels), np.float32)

    def by_int16(self, path: Path) -> np.ndarray:
        """Decode to int16 and convert once."""
        soundfile.read(path, out=self.int16)
        return np.multiply(self.int16, np.float32(2**-15), out=self.float32)

    def int16_alone(self, path: Path) -> np.ndarray:
        """Decode to int16."""
        return soundfile.read(path, out=self.int16)[0]

    def by_float(self, path: Path) -> np.ndarray:
        """Let libsndfile convert each sample."""
        return soundfile.read(path, out=self.float32)[0]


def text(result: dict[str, Any]) -> str:
    """The result for the terminal."""
    parts, speed = result["parts_ms_per_clip"], result["clips_per_second"]
    lines = [
        f"{result['files']['count']} files, {result['rounds']} rounds, one thread",
        f"earshot {speed['earshot']:8.1f} clips/s",
        f"librosa {speed['librosa']:8.1f} clips/s: ratio {result['ratio']:.2f} "
        f"({result['ratio_of_medians']:.2f} by the medians)",
        f"parts alone: decode {parts['decode']:.2f} ms, resample {parts['resample']:.2f} ms, mel {parts['mel']:.2f} ms",
        f"whole {result['whole_ms_per_clip']:.2f} ms: {result['share_of_what_the_parts_allow']:.2f} of what they allow",
    ]
    if "sixteen_bit" in result:
        lines.append(
            "16-bit files: decoding to float takes {float_over_int16:.1f} times as long as to int16, and "
            "{float_over_int16_converted_once:.1f} times as long as to int16 converted once".format(
                **result["sixteen_bit"]
            )
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
