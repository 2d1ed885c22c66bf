"""What a network answers about clips whose labels are known, as it is served: longer ones by several windows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from earshot.clips.parts import Part
from earshot.clips.paths import Root, locate
from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.decisions.answer import Answer, WindowMean
from earshot.decisions.decisions import Decisions
from earshot.evaluation.events import Events
from earshot.hearing.log_mel import LogMel
from earshot.model.scores import window_scores
from earshot.stream.classify import batches, is_clip, read_batches

FILE = "answers.npz"
UNCALIBRATED = Decisions()
_BATCH = 32

Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""Features, float16 (n, n_mels, frames), to logits (n, C) and background logits (n, 1), or None without such."""


@dataclass(frozen=True)
class Windows:
    """The network's input for n clips: w windows, in the order of the clips.

    Attributes:
        features: float16 (w, n_mels, frames), in decibels.
        peak: float32 (w,), largest magnitude, full scale at 1.
        clip: (w,) int, the clip that each is of.
        windowed: (n,) bool, whether a clip is longer than a window, so that its answer is a mean over windows.
    """

    features: np.ndarray
    peak: np.ndarray
    clip: np.ndarray
    windowed: np.ndarray


def windows_of(part: Part, root: Root, log_mel: LogMel) -> Windows:
    """The windows in which the service would answer to the clips of `part`.

    Of a clip of at most a window that is the row of the feature cache. A longer one is read from below `root`.
    """
    params = log_mel.params
    samples = params.window_samples + np.round(part.clips["truncated_s"].to_numpy(np.float64) * params.sample_rate_hz)
    windowed = ~is_clip(samples, params)
    if not windowed.any():
        peak = part.clips["peak"].to_numpy(np.float32)
        return Windows(part.features, peak, np.arange(len(peak)), windowed)
    features, peaks = [], []
    for row, (path, peak) in enumerate(zip(locate(part.clips, root), part.clips["peak"], strict=True)):
        if windowed[row]:
            of_clip = list(read_batches(path, log_mel))
            features.append(np.concatenate([batch.features for batch in of_clip]))
            peaks.append(np.concatenate([batch.peak for batch in of_clip]))
        else:
            features.append(part.features[row : row + 1])
            peaks.append(np.array([peak], np.float32))
    counts = [len(peak) for peak in peaks]
    return Windows(np.concatenate(features), np.concatenate(peaks), np.repeat(np.arange(len(counts)), counts), windowed)


def windows_of_sounds(sounds: Iterable[np.ndarray], log_mel: LogMel) -> Windows:
    """The same of samples, each float32 (m,) at the front end's rate."""
    of_sounds = [list(batches(iter([samples]), log_mel)) for samples in sounds]
    counts = [sum(len(batch.peak) for batch in of_sound) for of_sound in of_sounds]
    return Windows(
        np.concatenate([batch.features for of_sound in of_sounds for batch in of_sound]),
        np.concatenate([batch.peak for of_sound in of_sounds for batch in of_sound]),
        np.repeat(np.arange(len(counts)), counts),
        np.array([of_sound[0].windowed for of_sound in of_sounds]),
    )


@dataclass(frozen=True)
class Answers:
    """Answers to n clips, made of w windows.

    Attributes:
        logits: float32 (w, C), uncalibrated.
        background_logits: float32 (w, 1), of none of the classes; None for a network without.
        peak, clip, windowed: as `Windows`.
        labels: (n,) int, the true classes; one after the last class's for a sound of none.
        recordings: (n,) str.
        decisions: what turns them into answers.
    """

    logits: np.ndarray
    background_logits: np.ndarray | None
    peak: np.ndarray
    clip: np.ndarray
    windowed: np.ndarray
    labels: np.ndarray
    recordings: np.ndarray
    decisions: Decisions = UNCALIBRATED

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.labels)

    def with_decisions(self, decisions: Decisions) -> "Answers":
        """The same logits, decided otherwise."""
        return replace(self, decisions=decisions)

    def rows(self, chosen: np.ndarray) -> "Answers":
        """Those to some clips, bool (n,)."""
        windows = chosen[self.clip]
        number = np.cumsum(chosen) - 1
        return replace(
            self,
            logits=self.logits[windows],
            background_logits=None if self.background_logits is None else self.background_logits[windows],
            peak=self.peak[windows],
            clip=number[self.clip[windows]],
            windowed=self.windowed[chosen],
            labels=self.labels[chosen],
            recordings=self.recordings[chosen],
        )

    @cached_property
    def served(self) -> list[Answer]:
        """The answer to each clip, by the code that serves."""
        scores = window_scores(self.logits, self.background_logits, self.decisions.temperature)
        starts = np.searchsorted(self.clip, np.arange(len(self) + 1))
        found = []
        for row, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
            mean = WindowMean(self.logits.shape[1], self.decisions)
            mean.add(scores[start:end], self.peak[start:end])
            found.append(mean.answer(bool(self.windowed[row])))
        return found

    @property
    def probabilities(self) -> np.ndarray:
        """Calibrated, float64 (n, C)."""
        return np.array([answer.probabilities for answer in self.served]).reshape(len(self), self.logits.shape[1])

    @property
    def known(self) -> np.ndarray:
        """How surely each is of one of the classes, float64 (n,)."""
        return np.array([answer.known for answer in self.served])

    @property
    def unknown(self) -> np.ndarray:
        """Which are called unknown, bool (n,)."""
        return np.array([answer.unknown for answer in self.served], bool)

    @property
    def silent(self) -> np.ndarray:
        """Those that are silent, bool (n,)."""
        return np.array([answer.silent for answer in self.served], bool)

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each, int (n,), also where it is called unknown."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Whether that is the true one, bool (n,)."""
        return self.predicted == self.labels


def answer(
    network: Network,
    windows: Windows,
    labels: np.ndarray,
    recordings: Sequence[str] | np.ndarray,
    decisions: Decisions = UNCALIBRATED,
) -> Answers:
    """Ask `network` about all windows."""
    outputs = [network(windows.features[i : i + _BATCH]) for i in range(0, len(windows.peak), _BATCH)]
    background = [of_batch for _, of_batch in outputs if of_batch is not None]
    return Answers(
        np.concatenate([logits for logits, _ in outputs]),
        np.concatenate(background) if background else None,
        windows.peak,
        windows.clip,
        windows.windowed,
        np.asarray(labels),
        np.asarray(recordings).astype(str),
        decisions,
    )


def single_windows(features: np.ndarray, peak: np.ndarray | None = None) -> Windows:
    """Clips of one window each: features, float16 (n, n_mels, frames); without `peak`, above silence."""
    count = len(features)
    peak = np.ones(count, np.float32) if peak is None else peak
    return Windows(features, peak, np.arange(count), np.zeros(count, bool))


def join(parts: Sequence[Answers]) -> Answers:
    """Answers of several sets of clips as one, decided as the first ones are."""
    before = np.cumsum([0] + [len(part) for part in parts])[:-1]
    background = [part.background_logits for part in parts if part.background_logits is not None]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Answers(
        joined("logits"),
        np.concatenate(background) if background else None,
        joined("peak"),
        np.concatenate([part.clip + first for part, first in zip(parts, before.tolist(), strict=True)]),
        joined("windowed"),
        joined("labels"),
        joined("recordings"),
        parts[0].decisions,
    )


def save(
    answers: Mapping[str, Answers], classes: tuple[str, ...], path: Path, events: Mapping[str, Events] | None = None
) -> None:
    """Write answers and events by name; equal ones are equal bytes."""
    arrays = {
        f"{kind}/{name}/{field}": np.array(astuple(value)) if isinstance(value, Decisions) else np.asarray(value)
        for kind, group in (("answers", answers), ("events", events or {}))
        for name, one in group.items()
        for field, value in vars(one).items()
        if value is not None and field in type(one).__dataclass_fields__
    }
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, classes=np.array(classes), **arrays)  # type: ignore[arg-type]  # its stubs want no mapping


def load(path: Path) -> tuple[dict[str, Answers], dict[str, Events], tuple[str, ...]]:
    """What `save` wrote: answers, events, and the classes.

    Raises:
        EarshotError: there is no such file.
    """
    if not path.is_file():
        raise EarshotError(f"{path} not found: run `dvc repro quantize` first")
    with np.load(path, allow_pickle=False) as kept:
        values = {name: kept[name] for name in kept.files}
    found: dict[str, dict[str, dict[str, Any]]] = {"answers": {}, "events": {}}
    for name in sorted(set(values) - {"classes"}):
        kind, part, field = name.split("/")
        found[kind].setdefault(part, {})[field] = values[name]
    for of_part in found["answers"].values():
        of_part["decisions"] = Decisions(*of_part["decisions"].tolist())
        of_part.setdefault("background_logits", None)
    return (
        {part: Answers(**of_part) for part, of_part in found["answers"].items()},
        {part: Events(**of_part) for part, of_part in found["events"].items()},
        tuple(values["classes"].tolist()),
    )
