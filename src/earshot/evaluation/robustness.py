"""What the INT8 file loses off the bench: the test clips disturbed in every way of `disturbances`, one at a time."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from earshot.clips.paths import Root, locate
from earshot.clips.table import SOURCE
from earshot.core.params import Params
from earshot.core.progress import progress
from earshot.decisions.decisions import Decisions
from earshot.evaluation import disturbances as disturb
from earshot.evaluation.answers import answer, windows_of_sounds
from earshot.evaluation.bootstrap import paired_accuracy_difference
from earshot.evaluation.report import rounded
from earshot.hearing.decode import read_mono
from earshot.model.session import Model

COLUMNS = [
    "condition",
    "in_training",
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
CLEAN = "clean"
SHORT = 0.9  # of the window: a clip at most this long leaves room to be placed
CODECS = {"MP3": ("mpeg_layer_iii", "mp3"), "Opus": ("opus",), "Vorbis": ("vorbis",)}  # as the audit names them


class RobustnessParams(Params):
    """How much is disturbed and judged: the ``robustness`` section of params.yaml."""

    clips: int = Field(400, ge=10, description="at most so many test clips are disturbed, drawn at random")


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
    """A name, what is done to a clip's samples (their window follows), and the clips that it can be done to.

    `in_training`: training's augmentation does the same to its clips, or its clips came so. Such a condition says
    little of what was never met.
    """

    name: str
    apply: Disturbance
    applies: Callable[[Sound], bool] = lambda sound: True
    in_training: bool = False


def conditions(rate_hz: int, window: int, training_codecs: Collection[str] = ()) -> list[Condition]:
    """Every condition but the clean one, for sounds at `rate_hz` and a window of `window` samples.

    `training_codecs`: of the files trained on, as the audit names them.
    """

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

    def coded(codec: str, words: str, apply: Disturbance) -> Condition:
        met = any(name in of_file.lower() for of_file in training_codecs for name in CODECS[codec])
        return Condition(f"{codec}{words}", apply, lossless, in_training=met)

    return [
        Condition("gain +30 dB", lambda x, _: disturb.gain(x, 30)),  # training goes to 20
        Condition("gain -30 dB", lambda x, _: disturb.gain(x, -30)),
        Condition("clipped, 12 dB over", lambda x, _: disturb.overdrive(x, 12)),
        *(Condition(f"ambience at {snr} dB", noisy(snr)) for snr in (20, 10, 0)),
        Condition("telephone band", lambda x, _: disturb.telephone(x, rate_hz)),
        Condition("mu-law at 8 kHz", lambda x, _: disturb.mu_law(x, rate_hz)),
        *(
            coded("MP3", f" {kbit} kbit/s", lambda x, _, kbit=kbit: disturb.mp3(x, rate_hz, kbit))  # type: ignore[misc]
            for kbit in (64, 32)
        ),
        *(
            coded("Opus", f" {kbit} kbit/s", lambda x, _, kbit=kbit: disturb.opus(x, rate_hz, kbit))  # type: ignore[misc]
            for kbit in (64, 24)
        ),
        coded("Vorbis", ", lowest quality", lambda x, _: disturb.vorbis(x, rate_hz)),
        Condition("other microphone", lambda x, random: disturb.microphone(x, rate_hz, random)),
        Condition("room", lambda x, random: disturb.room(x, rate_hz, random)),
        Condition("automatic gain", lambda x, _: disturb.automatic_gain(x, rate_hz)),
        Condition("begun 1 s later", lambda x, _: x[rate_hz:], lambda sound: len(sound.samples) > 2 * rate_hz),
        Condition(
            "short clips, anywhere in silence",
            lambda x, random: disturb.placed(x, window, int(random.integers(0, window - len(x) + 1))),
            short,
            in_training=True,  # clips are rolled, and stretches of them kept
        ),
        Condition(
            "short clips, at the right edge",
            lambda x, _: disturb.placed(x, window, window - len(x)),
            short,
            in_training=True,
        ),
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
class Predictions:
    """The classes that a model predicts under one condition.

    Attributes:
        condition: its name.
        rows: (n,) int, which of the sounds it was done to.
        predicted: (n,) int, numbers of classes.
        in_training: as `Condition`.
    """

    condition: str
    rows: np.ndarray
    predicted: np.ndarray
    in_training: bool = False


def predict(
    model: Model, sounds: Sequence[Sound], seed: int, training_codecs: Collection[str] = ()
) -> list[Predictions]:
    """Predictions for `sounds` as they are, under the name `CLEAN`, then under every condition that some allow."""
    front_end = model.log_mel.params
    found = [Predictions(CLEAN, np.arange(len(sounds)), _predicted(model, [sound.samples for sound in sounds]))]
    todo = conditions(front_end.sample_rate_hz, front_end.window_samples, training_codecs)
    for number, condition in enumerate(progress(todo, desc="disturb", unit="condition")):
        rows = np.flatnonzero([condition.applies(sound) for sound in sounds])
        if not len(rows):
            continue
        changed = [condition.apply(sounds[i].samples, np.random.default_rng([seed, number, i])) for i in rows.tolist()]
        found.append(Predictions(condition.name, rows, _predicted(model, changed), condition.in_training))
    return found


def table(
    predictions: Sequence[Predictions], sounds: Sequence[Sound], classes: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """Rows of ``metrics/robustness.csv``, under `COLUMNS`, of what `predict` gave for `sounds`.

    A row's change is in points against the same clips undisturbed, with its 95 % interval, paired by recording; the
    clean row, which is not compared, has none.
    """
    labels = np.array([sound.label for sound in sounds])
    recordings = np.array([sound.recording for sound in sounds])
    clean = predictions[0].predicted
    return [_row(one, clean[one.rows], labels[one.rows], recordings[one.rows], classes, seed) for one in predictions]


def headline(rows: list[dict[str, Any]], dataset: str) -> dict[str, Any]:
    """The content of ``metrics/robustness.json``: changes in points, by condition."""
    worst = min(rows, key=lambda row: row["change_points"])
    return {
        "dataset": dataset,
        "worst_condition": worst["condition"],
        "worst_change_points": worst["change_points"],
        "change_points": {row["condition"]: row["change_points"] for row in rows[1:]},
        "in_training": [row["condition"] for row in rows if row["in_training"]],
    }


def summary(rows: list[dict[str, Any]]) -> str:
    """The table in words for the terminal."""
    return "\n".join(
        f"{row['condition']:44} {row['accuracy']:.3f}  {row['change_points']:+6.1f} points  ({row['clips']} clips)"
        f"{'  as in training' if row['in_training'] else ''}"
        for row in rows
    )


def _row(
    one: Predictions, clean: np.ndarray, labels: np.ndarray, recordings: np.ndarray, classes: Sequence[str], seed: int
) -> dict[str, Any]:
    right, right_clean = one.predicted == labels, clean == labels
    change, low, high = paired_accuracy_difference(right, right_clean, recordings, labels, seed=seed)
    of_itself = one.condition == CLEAN
    recalls = {number: float(right[labels == number].mean()) for number in np.unique(labels).tolist()}
    worst = min(recalls, key=lambda number: recalls[number])
    return {
        "condition": one.condition,
        "in_training": one.in_training,
        "clips": len(labels),
        "recordings": len(np.unique(recordings)),
        "accuracy": rounded(float(right.mean())),
        "accuracy_clean": rounded(float(right_clean.mean())),
        "change_points": rounded(100 * change),
        "change_low": None if of_itself else rounded(100 * low),
        "change_high": None if of_itself else rounded(100 * high),
        "worst_class": classes[worst],
        "worst_class_recall": rounded(recalls[worst]),
    }


def _predicted(model: Model, samples: list[np.ndarray]) -> np.ndarray:
    """The most probable class of each sound, as served, (n,) int."""
    found = []
    for start in range(0, len(samples), 32):
        windows = windows_of_sounds(samples[start : start + 32], model.log_mel)
        nobody = np.zeros(len(windows.windowed), np.int64)  # neither labels nor recordings are asked for
        found.append(answer(model.outputs, windows, nobody, nobody, Decisions.of(model.card)).predicted)
    return np.concatenate(found)
