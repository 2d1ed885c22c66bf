"""One answer for a whole sound, of any length.

A sound of at most a window is fitted to it exactly as clips are in training: its features are the row that the feature
cache would hold. A longer one is heard in windows, and the calibrated probabilities of those that hold any sound are
averaged. A mean of calibrated answers is not calibrated itself, so it is calibrated once more
(`earshot.decisions.decisions`).

The pieces are apart, so that a server can decode in one thread and infer in another:

    summary = Summary(model)
    for batch in read_batches(source, model.log_mel):
        summary.add(batch, model.scores(batch.features))
    summary.result()

A sound that is none of the classes is called "unknown": so say the mean of its windows' `known` scores and the
thresholds on the model's card, one for clips and one for longer sounds. What the classes' probabilities would be, if it
were one of them, is told all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from earshot.core.front_end import FrontEndParams
from earshot.core.labels import UNKNOWN
from earshot.decisions.answer import WindowMean
from earshot.decisions.decisions import Decisions
from earshot.hearing.clip import clip_features
from earshot.hearing.decode import DEFAULT_LIMITS, AudioLimits, MonoStream, Note, Source, stream_mono
from earshot.hearing.log_mel import LogMel
from earshot.model.card import Card
from earshot.stream.windows import HOP_FRAMES, Window, WindowStream

BATCH_WINDOWS = 8  # windows of a long sound given to the model at once: 10 MB of activations
CLIP_TOLERANCE_S = 0.1  # codecs pad: a clip this much longer than the window is still a clip, cut as in training


class Classifier(Protocol):
    """What answers: an `earshot.model.session.Model`, or a queue in front of one."""

    classes: tuple[str, ...]
    log_mel: LogMel
    card: Card

    def scores(self, features: np.ndarray) -> np.ndarray:
        """As `earshot.model.session.Model.scores`, float64 (n, classes + 1)."""
        ...


@dataclass(frozen=True)
class Batch:
    """Some consecutive windows of one sound.

    Attributes:
        features: float16 (n, n_mels, window_frames), in decibels; n is 1 to `BATCH_WINDOWS`.
        peak: float32 (n,), largest magnitude in each window, full scale at 1.
        windowed: False for a clip of at most a window: this batch then holds its one window, and no other follows.
        duration_s: seconds of the sound read so far; of all of it in the last batch.
        notes: what is to be said of the file so far; all of it in the last batch.
    """

    features: np.ndarray
    peak: np.ndarray
    windowed: bool
    duration_s: float
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Classification:
    """What a sound was recognised as.

    Attributes:
        predicted_class: the most probable class, or `UNKNOWN`.
        confidence: calibrated probability of the most probable class, if it is one of them.
        known: how surely it is one of them, in [0, 1]: `earshot.model.scores.known`.
        probabilities: class to probability, most probable first.
        duration_s: length of the sound.
        windowed: whether it was longer than the model hears at once, and `probabilities` are means over windows.
        windows: how many windows were averaged; 1 for a clip.
        silent: the sound's peak is below `earshot.hearing.silence.SILENCE_DB`, so that the answer means nothing.
        notes: what is wrong with the file, although it was heard.
    """

    predicted_class: str
    confidence: float
    known: float
    probabilities: dict[str, float]
    duration_s: float
    windowed: bool
    windows: int
    silent: bool
    notes: tuple[Note, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: probabilities to six digits, seconds to three."""
        return {
            "predicted_class": self.predicted_class,
            "confidence": round(self.confidence, 6),
            "known": round(self.known, 6),
            "probabilities": {label: round(value, 6) for label, value in self.probabilities.items()},
            "duration_s": round(self.duration_s, 3),
            "windowed": self.windowed,
            "windows": self.windows,
            "silent": self.silent,
            "notes": [note.as_dict() for note in self.notes],
        }


def classify(model: Classifier, source: Source, limits: AudioLimits = DEFAULT_LIMITS) -> Classification:
    """Recognise `source` as one of the model's classes, or as none. Memory does not grow with its length.

    Raises:
        AudioError: it cannot be read, as `earshot.hearing.decode.stream_mono`.
    """
    summary = Summary(model)
    for batch in read_batches(source, model.log_mel, limits):
        summary.add(batch, model.scores(batch.features))
    return summary.result()


def read_batches(source: Source, log_mel: LogMel, limits: AudioLimits = DEFAULT_LIMITS) -> Iterator[Batch]:
    """Decode `source` into batches of windows, as they are asked for: one for a clip, more for a long sound.

    Raises:
        AudioError: as `earshot.hearing.decode.stream_mono`; after some batches, where a limit is reached.
    """
    yield from batches(stream_mono(source, log_mel.params.sample_rate_hz, limits), log_mel)


def batches(blocks: Iterator[np.ndarray], log_mel: LogMel) -> Iterator[Batch]:
    """The same of samples that are decoded: float32 (n,) at the front end's rate, at least one in all."""
    params = log_mel.params
    head, samples = [], 0
    for block in blocks:
        head.append(block)
        samples += len(block)
        if not is_clip(samples, params):
            break
    beginning = np.concatenate(head)
    if is_clip(samples, params):
        yield _clip(beginning, log_mel, _notes(blocks))
        return
    stream = WindowStream(log_mel, HOP_FRAMES)
    waiting: list[Window] = []
    for block in _chain(beginning, blocks):
        for window in stream.push(block):
            waiting.append(window)
            if len(waiting) > BATCH_WINDOWS:  # one is kept back, so that the last batch knows the whole duration
                yield _batch(waiting[:-1], stream.samples / params.sample_rate_hz, _notes(blocks))
                waiting = waiting[-1:]
    for window in stream.finish():
        waiting.append(window)
    for first in range(0, len(waiting), BATCH_WINDOWS):
        yield _batch(waiting[first : first + BATCH_WINDOWS], stream.samples / params.sample_rate_hz, _notes(blocks))


class Summary:
    """The answers to a sound's windows, as they come, to one `Classification`."""

    def __init__(self, model: Classifier) -> None:
        self._classes = model.classes
        self._mean = WindowMean(len(model.classes), Decisions.of(model.card))
        self._duration_s, self._windowed = 0.0, False
        self._notes: tuple[Note, ...] = ()

    def add(self, batch: Batch, scores: np.ndarray) -> None:
        """Count the model's answers, float64 (n, classes + 1), to `batch`. Batches come in order."""
        self._mean.add(scores, batch.peak)
        self._duration_s, self._windowed, self._notes = batch.duration_s, batch.windowed, batch.notes

    def result(self) -> Classification:
        """The answer: `earshot.decisions.answer.WindowMean`."""
        answer = self._mean.answer(self._windowed)
        order = np.argsort(-answer.probabilities, kind="stable")
        ranked = {self._classes[i]: float(answer.probabilities[i]) for i in order}
        best = self._classes[order[0]]
        return Classification(
            predicted_class=UNKNOWN if answer.unknown else best,
            confidence=ranked[best],
            known=answer.known,
            probabilities=ranked,
            duration_s=self._duration_s,
            windowed=self._windowed,
            windows=answer.windows,
            silent=answer.silent,
            notes=self._notes,
        )


def is_clip(samples: Any, params: FrontEndParams) -> Any:
    """Whether a sound of so many samples, an int or (n,), is answered as a clip and not as a mean over windows."""
    return samples <= params.window_samples + round(CLIP_TOLERANCE_S * params.sample_rate_hz)


def _notes(blocks: Iterator[np.ndarray]) -> tuple[Note, ...]:
    """What is to be said of the file that `blocks` come from; nothing of samples that come from none."""
    return blocks.notes if isinstance(blocks, MonoStream) else ()


def _clip(samples: np.ndarray, log_mel: LogMel, notes: tuple[Note, ...]) -> Batch:
    params = log_mel.params
    return Batch(
        clip_features(samples, log_mel)[None],
        np.abs(samples[: params.window_samples]).max(keepdims=True),
        windowed=False,
        duration_s=len(samples) / params.sample_rate_hz,
        notes=notes,
    )


def _batch(windows: list[Window], duration_s: float, notes: tuple[Note, ...]) -> Batch:
    features = np.stack([window.features for window in windows])
    return Batch(features, np.array([window.peak.max() for window in windows]), True, duration_s, notes)


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest
