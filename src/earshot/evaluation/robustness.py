"""What the INT8 file loses off the bench: the test clips disturbed in every way of `disturbances`, one at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from earshot.clips.paths import Root, locate
from earshot.clips.table import SOURCE
from earshot.core.params import Params
from earshot.core.progress import progress
from earshot.evaluation import disturbances as disturb
from earshot.evaluation.bootstrap import paired_accuracy_difference
from earshot.evaluation.report import rounded
from earshot.hearing.clip import clip_features
from earshot.hearing.decode import read_mono
from earshot.hearing.log_mel import LogMel
from earshot.model.session import Model

COLUMNS = [
    "condition",
    "clips",
    "recordings",
    "accuracy",
    "accuracy_clean",
    "change_points",
    "change_low",
    "change_high",
    "worst_class",
    "worst_class_recall",
]
LOSSLESS = ("PCM_", "FLOAT", "DOUBLE", "ALAC")  # beginnings of libsndfile's names for what nothing was taken from
SHORT = 0.9  # of the window: a clip at most this long leaves room to be placed
AMBIENCE_WINDOWS = 200


class RobustnessParams(Params):
    """How much is disturbed and judged: the ``robustness`` section of params.yaml."""

    clips: int = Field(400, ge=10, description="at most so many test clips are disturbed, drawn at random")
    confidence: float = Field(0.6, ge=0, le=1, description="what a verdict on ambience needs to count")


@dataclass(frozen=True)
class Sound:
    """One test clip: its samples at the front end's rate, as long as they are, and whether its file was lossless."""

    samples: np.ndarray
    label: int
    recording: str
    lossless: bool


Disturbance = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """A name, what is done to a clip's samples (their window follows), and the clips that it can be done to."""

    name: str
    apply: Disturbance
    applies: Callable[[Sound], bool] = lambda sound: True


def conditions(rate_hz: int, window: int) -> list[Condition]:
    """Every condition but the clean one, for sounds at `rate_hz` and a window of `window` samples."""

    def noisy(snr_db: float) -> Disturbance:
        return lambda x, random: disturb.add(x, disturb.ambience(len(x), rate_hz, random), snr_db)

    def embedded(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
        start = int(random.integers(0, window - len(x) + 1))
        level = np.sqrt(np.mean(np.square(x, dtype=np.float64)))
        noise = disturb.ambience(window, rate_hz, random)
        return disturb.placed(x, window, start) + (level * 10 ** (-10 / 20) * noise).astype(np.float32)

    def short(sound: Sound) -> bool:
        return len(sound.samples) <= SHORT * window

    def lossless(sound: Sound) -> bool:
        return sound.lossless

    return [
        Condition("gain +20 dB", lambda x, _: disturb.gain(x, 20)),
        Condition("gain -20 dB", lambda x, _: disturb.gain(x, -20)),
        Condition("clipped, 12 dB over", lambda x, _: disturb.overdrive(x, 12)),
        *(Condition(f"ambience at {snr} dB", noisy(snr)) for snr in (20, 10, 0)),
        Condition("telephone band", lambda x, _: disturb.telephone(x, rate_hz)),
        Condition("mu-law at 8 kHz", lambda x, _: disturb.mu_law(x, rate_hz)),
        *(
            Condition(f"MP3 {kbit} kbit/s", lambda x, _, kbit=kbit: disturb.mp3(x, rate_hz, kbit), lossless)  # type: ignore[misc]
            for kbit in (64, 32)
        ),
        *(
            Condition(f"Opus {kbit} kbit/s", lambda x, _, kbit=kbit: disturb.opus(x, rate_hz, kbit), lossless)  # type: ignore[misc]
            for kbit in (64, 24)
        ),
        Condition("Vorbis, lowest quality", lambda x, _: disturb.vorbis(x, rate_hz), lossless),
        Condition("other microphone", lambda x, random: disturb.microphone(x, rate_hz, random)),
        Condition("room", lambda x, random: disturb.room(x, rate_hz, random)),
        Condition("automatic gain", lambda x, _: disturb.automatic_gain(x, rate_hz)),
        Condition("begun 1 s later", lambda x, _: x[rate_hz:], lambda sound: len(sound.samples) > 2 * rate_hz),
        Condition(
            "short clips, anywhere in silence",
            lambda x, random: disturb.placed(x, window, int(random.integers(0, window - len(x) + 1))),
            short,
        ),
        Condition("short clips, at the right edge", lambda x, _: disturb.placed(x, window, window - len(x)), short),
        Condition("short clips, anywhere in ambience at 10 dB", embedded, short),
    ]


def read_sounds(
    clips: pd.DataFrame, files: pd.DataFrame, labels: np.ndarray, root: Root, rate_hz: int, most: int, seed: int
) -> list[Sound]:
    """Read at most `most` of `clips`, drawn at random, in their order.

    Args:
        clips: rows of the test part.
        files: the audit's row for every file, with `path` (and `source`, where the clips have it) and `codec`.
        labels: class number of each of `clips`.
        root: what their paths are relative to.
        rate_hz: to be read at.
        most: number.
        seed: of the draw.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(clips))[:most])
    named = [SOURCE, "path"] if SOURCE in clips else ["path"]
    codec = files.set_index(named)["codec"].astype(str).reindex(clips.set_index(named).index).tolist()
    paths = locate(clips, root)
    return [
        Sound(
            read_mono(paths[row], rate_hz),
            int(labels[row]),
            str(clips["recording"].iloc[row]),
            codec[row].startswith(LOSSLESS),
        )
        for row in progress(rows.tolist(), desc="read", unit="clip")
    ]


@dataclass(frozen=True)
class Heard:
    """What a model answers under one condition: to which of the sounds, (n,), and which class, (n,)."""

    condition: str
    rows: np.ndarray
    answers: np.ndarray


def listen(model: Model, sounds: Sequence[Sound], seed: int) -> list[Heard]:
    """The answers to `sounds` as they are, under the name "clean", then under every condition that some allow."""
    front_end = model.log_mel.params
    heard = [Heard("clean", np.arange(len(sounds)), _answers(model, [sound.samples for sound in sounds]))]
    todo = conditions(front_end.sample_rate_hz, front_end.window_samples)
    for number, condition in enumerate(progress(todo, desc="disturb", unit="condition")):
        rows = np.flatnonzero([condition.applies(sound) for sound in sounds])
        if not len(rows):
            continue
        changed = [condition.apply(sounds[i].samples, np.random.default_rng([seed, number, i])) for i in rows.tolist()]
        heard.append(Heard(condition.name, rows, _answers(model, changed)))
    return heard


def table(heard: Sequence[Heard], sounds: Sequence[Sound], classes: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Rows of ``metrics/robustness.csv``, under `COLUMNS`, of what `listen` gave for `sounds`.

    A row's change is in points against the same clips undisturbed, with its 95 % interval, paired by recording.
    """
    labels = np.array([sound.label for sound in sounds])
    recordings = np.array([sound.recording for sound in sounds])
    clean = heard[0].answers
    return [_row(one, clean[one.rows], labels[one.rows], recordings[one.rows], classes, seed) for one in heard]


def ambience_verdicts(model: Model, sounds: Sequence[Sound], confidence: float, seed: int) -> dict[str, Any]:
    """How often nothing at all, generated ambience, is taken for a class whose clips are short.

    A class is short if half of its clips here are at most half a window. `confidence` is what a verdict needs.
    """
    front_end = model.log_mel.params
    window, rate_hz = front_end.window_samples, front_end.sample_rate_hz
    lengths = {number: [len(s.samples) for s in sounds if s.label == number] for number in range(len(model.classes))}
    short = [number for number, found in lengths.items() if found and np.median(found) <= window / 2]
    random = np.random.default_rng([seed, len(sounds)])
    windows = [
        disturb.gain(disturb.ambience(window, rate_hz, random), random.uniform(-60, -20))
        for _ in range(AMBIENCE_WINDOWS)
    ]
    probabilities = np.concatenate(
        [model.probabilities(_features(model.log_mel, windows[i : i + 32])) for i in range(0, len(windows), 32)]
    )
    named, sure = probabilities.argmax(axis=1), probabilities.max(axis=1) >= confidence
    return {
        "windows": len(windows),
        "short_classes": [model.classes[number] for number in short],
        "confidence": confidence,
        "share_with_short_sound_verdict": rounded(float((np.isin(named, short) & sure).mean())),
    }


def headline(rows: list[dict[str, Any]], ambience: dict[str, Any], dataset: str) -> dict[str, Any]:
    """The content of ``metrics/robustness.json``: changes in points, by condition, and verdicts on ambience alone."""
    worst = min(rows, key=lambda row: row["change_points"])
    return {
        "dataset": dataset,
        "worst_condition": worst["condition"],
        "worst_change_points": worst["change_points"],
        "change_points": {row["condition"]: row["change_points"] for row in rows[1:]},
        "ambience_alone": ambience,
    }


def summary(rows: list[dict[str, Any]], ambience: dict[str, Any]) -> str:
    """The table in words for the terminal."""
    lines = [
        f"{row['condition']:44} {row['accuracy']:.3f}  {row['change_points']:+6.1f} points  ({row['clips']} clips)"
        for row in rows
    ]
    share = ambience["share_with_short_sound_verdict"]
    lines.append(f"ambience alone is taken for a short sound in {share:.1%} of {ambience['windows']} windows")
    return "\n".join(lines)


def _row(
    heard: Heard, clean: np.ndarray, labels: np.ndarray, recordings: np.ndarray, classes: Sequence[str], seed: int
) -> dict[str, Any]:
    right, right_clean = heard.answers == labels, clean == labels
    change, low, high = paired_accuracy_difference(right, right_clean, recordings, labels, seed=seed)
    recalls = {number: float(right[labels == number].mean()) for number in np.unique(labels).tolist()}
    worst = min(recalls, key=lambda number: recalls[number])
    return {
        "condition": heard.condition,
        "clips": len(labels),
        "recordings": len(np.unique(recordings)),
        "accuracy": rounded(float(right.mean())),
        "accuracy_clean": rounded(float(right_clean.mean())),
        "change_points": rounded(100 * change),
        "change_low": rounded(100 * low),
        "change_high": rounded(100 * high),
        "worst_class": classes[worst],
        "worst_class_recall": rounded(recalls[worst]),
    }


def _answers(model: Model, samples: list[np.ndarray]) -> np.ndarray:
    batches = (samples[i : i + 32] for i in range(0, len(samples), 32))
    return np.concatenate([model.logits(_features(model.log_mel, batch)).argmax(axis=1) for batch in batches])


def _features(log_mel: LogMel, samples: list[np.ndarray]) -> np.ndarray:
    return np.stack([clip_features(one, log_mel) for one in samples])
