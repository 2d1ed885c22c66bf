"""When does the model say that a sound began, and how much of it must it have heard? On synthetic recordings.

    python benchmarks/onset/run.py --json benchmarks/onset/result.json

Sounds of every class, 0.3 to 4 s long, are synthesised with seeds that no data set has, and put into ambience 25 dB
below them. Two things are measured with the released INT8 model, the one that the embedded set made:

- onsets: of every sound that the timeline names rightly and anew, how far its onset lies from the true one
- entering: windows that end when a share of the sound has been heard, as a live window does, and what probability its
  class has then
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soxr

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.core.progress import progress
from earshot.evaluation.disturbances import ambience
from earshot.model.session import Model
from earshot.sources.synthetic.scene import SOURCES, render
from earshot.sources.synthetic.signals import RATE_HZ
from earshot.stream.timeline import Timeline
from serving import add_model_argument

RESTS_ON = (*record.TRAINING, "src/earshot/stream", "benchmarks/onset")
LENGTH_S = (0.3, 4.0)
LEAD_S = (6.0, 9.0)  # ambience before and after a sound: more than a window, so that sounds are alone
AMBIENCE_DB = -25.0
BEGUN_DB = -10.0  # against the loudest 20 ms: a bark or a blow may come a second after the recording of it begins
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def main() -> None:
    """Synthesise, listen, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_argument(parser)
    parser.add_argument("--sounds", type=int, default=30, help="of each class (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the sounds (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the result here")
    arguments = parser.parse_args()
    machine = record.machine("onnxruntime")
    model = Model(arguments.model)
    labels = [label for label in SOURCES if label in model.classes]
    random = np.random.default_rng([arguments.seed, 0x0E5E7])
    errors: dict[str, list[float]] = {label: [] for label in labels}
    entering: dict[float, list[float]] = {share: [] for share in SHARES}
    jobs = [(label, number) for label in labels for number in range(arguments.sounds)]
    for label, _ in progress(jobs, desc="listen", unit="sound"):
        recording, onset, length = scene(label, model.log_mel.params.sample_rate_hz, random)
        errors[label] += onset_error_s(model, recording, label, onset, length)
        for share in SHARES:
            entering[share].append(heard(model, recording, label, onset + round(share * length)))
    result = {
        "data": "synthetic",
        "sounds": len(jobs),
        **summary([error for found in errors.values() for error in found], len(jobs)),
        "by_class": {label: summary(found, arguments.sounds) for label, found in errors.items()},
        "entering": [
            {
                "share_heard": share,
                "probability": round(float(np.mean(values)), 3),
                "at_least_0.5": round(float(np.mean(np.array(values) >= 0.5)), 3),
            }
            for share, values in entering.items()
        ],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        record.write(arguments.json, result, RESTS_ON, machine)


def scene(label: str, rate_hz: int, random: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """A sound in ambience: samples at `rate_hz`, the first one of the sound, and how many it has."""
    length_s = random.uniform(*LENGTH_S)
    sound = render(random, label, 1, 1, length_s, [(0.0, length_s)])[:, 0]
    sound = begun(soxr.resample(sound, RATE_HZ, rate_hz).astype(np.float32), rate_hz)
    before, after = (round(random.uniform(*LEAD_S) * rate_hz) for _ in range(2))
    around = ambience(before + len(sound) + after, rate_hz, random)
    level = np.sqrt(np.mean(np.square(sound, dtype=np.float64)))
    recording = (level * 10 ** (AMBIENCE_DB / 20) * around).astype(np.float32)
    recording[before : before + len(sound)] += sound
    return recording, before, len(sound)


def begun(sound: np.ndarray, rate_hz: int) -> np.ndarray:
    """`sound` from the first 20 ms on that come within `BEGUN_DB` of its loudest."""
    step = round(0.02 * rate_hz)
    level = np.square(sound[: len(sound) // step * step], dtype=np.float64).reshape(-1, step).mean(axis=1)
    return sound[step * int(np.argmax(level >= level.max() * 10 ** (BEGUN_DB / 10))) :]


def onset_error_s(model: Model, recording: np.ndarray, label: str, onset: int, length: int) -> list[float]:
    """Seconds from the true onset to that of the first event of `label` that overlaps the sound; none was found: none.

    An event that goes on since long before the sound is no answer to it.
    """
    stream = Timeline(model)
    events = stream.push(recording) + stream.finish()
    onset_s, end_s = onset / stream.sample_rate_hz, (onset + length) / stream.sample_rate_hz
    found = [event.onset_s - onset_s for event in events if event.label == label and event.offset_s > onset_s]
    found = [error for error in found if -2.0 <= error < end_s - onset_s]
    return found[:1]


def heard(model: Model, recording: np.ndarray, label: str, end: int) -> float:
    """Probability of `label` in the window that ends at sample `end`."""
    window = recording[end - model.log_mel.params.window_samples : end]
    return float(model.probabilities(model.log_mel.clip(window)[None])[0, model.classes.index(label)])


def summary(errors_s: list[float], sounds: int) -> dict[str, Any]:
    """Share of sounds with an onset, and quantiles of how far it lies from the true one."""
    size = np.abs(errors_s)
    return {
        "found": round(len(errors_s) / sounds, 3),
        "onset_error_p50_s": round(float(np.quantile(size, 0.5)), 3) if errors_s else None,
        "onset_error_p95_s": round(float(np.quantile(size, 0.95)), 3) if errors_s else None,
        "onset_late_p50_s": round(float(np.median(errors_s)), 3) if errors_s else None,
    }


if __name__ == "__main__":
    main()
