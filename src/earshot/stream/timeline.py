"""Events in recordings of any length: what was heard, from when to when.

    for event in timeline(model, "street.wav"):
        print(event.label, event.onset_s, event.offset_s, event.confidence)

Windows overlap, and each gives logits over time (`Model.frame_logits`). Every frame of the grid takes the mean of all
that were said of it; calibrated, they are the probabilities that `earshot.stream.events` makes events of. Frames
below the silence level hold no event, and windows without any other are not even shown to the model.

A frame's mean is complete when no later window can reach it, and events are given out as soon as they are over: what
is kept in memory is one window of frames, however long the recording. Chunks of any size give the same events to the
last bit, and so do recordings cut out of one another at multiples of `hop_frames * hop_length` samples, a window and a
second away from the cuts: at the model's rate, or at another one where such a multiple is also one of the resampler's
blocks (every one is at 11.025, 44.1 and 88.2 kHz; at 48 kHz every 75 s).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from earshot.decisions.decisions import Decisions
from earshot.hearing.decode import DEFAULT_LIMITS, AudioLimits, Source, stream_mono
from earshot.hearing.log_mel import LogMel
from earshot.hearing.silence import SILENCE_PEAK
from earshot.model.card import Card
from earshot.stream.config import TimelineParams
from earshot.stream.events import Event, EventTracker
from earshot.stream.windows import Window, WindowStream

BATCH_WINDOWS = 8  # windows given to the model at once: 10 MB of activations, 4 s of sound


class Locator(Protocol):
    """What answers: an `earshot.model.session.Model`, or something in front of one."""

    classes: tuple[str, ...]
    log_mel: LogMel
    card: Card

    @property
    def locates(self) -> bool: ...

    @property
    def has_background(self) -> bool: ...

    def frame_logits(self, features: np.ndarray) -> np.ndarray: ...

    def window_logits(self, features: np.ndarray) -> np.ndarray: ...


def timeline(
    model: Locator, source: Source, params: TimelineParams | None = None, limits: AudioLimits = DEFAULT_LIMITS
) -> Iterator[Event]:
    """Events of `source`, in the order in which they end, while it is read.

    Raises:
        AudioError: it cannot be read, as `earshot.hearing.decode.stream_mono`; after some events, where the damage lies
            deep.
    """
    stream = Timeline(model, params)
    for block in stream_mono(source, model.log_mel.params.sample_rate_hz, limits):
        yield from stream.push(block)
    yield from stream.finish()


class Timeline:
    """Samples in chunks of any size in, events out.

    A network without `frame_logits` is asked for one score a window, which then counts for all its frames: it finds
    the same sounds and blurs when they begin and end.

    Attributes:
        sample_rate_hz: of the samples it takes.
    """

    def __init__(self, model: Locator, params: TimelineParams | None = None) -> None:
        self._params = params or TimelineParams()
        self._model = model
        front_end = model.log_mel.params
        self.sample_rate_hz = front_end.sample_rate_hz
        self._window_frames = front_end.window_frames
        self._windows = WindowStream(model.log_mel, self._params.hop_frames)
        self._tracker = EventTracker(model.classes, front_end.hop_s, Decisions.of(model.card), self._params)
        self._waiting: list[Window] = []
        # Frames that a later window may still reach, from _first on: sum of logits, how many, and whether any sound.
        self._first = 0
        self._sums = np.zeros((self._window_frames, len(model.classes) + model.has_background))
        self._counts = np.zeros(self._window_frames, np.int64)
        self._audible = np.zeros(self._window_frames, bool)

    @property
    def heard_s(self) -> float:
        """Seconds pushed so far."""
        return self._windows.samples / self.sample_rate_hz

    def push(self, samples: np.ndarray) -> list[Event]:
        """The events that `samples`, float32 (n,) at the model's rate, show to be over."""
        events = []
        for window in self._windows.push(samples):
            self._waiting.append(window)
            if len(self._waiting) == BATCH_WINDOWS:
                events += self._score()
        return events

    def finish(self) -> list[Event]:
        """The events that ended with the recording."""
        self._waiting += self._windows.finish()
        events = self._score()
        events += self._settle(self._first + self._window_frames)
        events += self._tracker.finish()
        # The last frame reaches over the end, and so do the zeros that fill a recording shorter than a window.
        return [replace(event, offset_s=min(event.offset_s, self.heard_s)) for event in events]

    def _score(self) -> list[Event]:
        events = []
        waiting, self._waiting = self._waiting, []
        loud = [window for window in waiting if window.peak.max() >= SILENCE_PEAK]
        answers: dict[int, np.ndarray] = {}
        if loud:
            features = np.stack([window.features for window in loud])
            model = self._model
            scores = model.frame_logits(features) if model.locates else model.window_logits(features)
            answers = {window.first_frame: score for window, score in zip(loud, scores, strict=True)}
        for window in waiting:
            events += self._settle(window.first_frame)
            self._audible |= window.peak >= SILENCE_PEAK
            if window.first_frame in answers:
                self._sums += spread(answers[window.first_frame], self._window_frames)
                self._counts += 1
        return events

    def _settle(self, until: int) -> list[Event]:
        """Hand on the frames before `until`, which no later window reaches."""
        done = until - self._first
        if done <= 0:
            return []
        counts = np.maximum(self._counts[:done, None], 1)
        events = self._tracker.push(self._sums[:done] / counts, self._audible[:done])
        for values in (self._sums, self._counts, self._audible):
            values[:-done] = values[done:]
            values[-done:] = 0
        self._first = until
        return events


def spread(vectors: np.ndarray, frames: int) -> np.ndarray:
    """Logits over time, (outputs, n), each vector for its share of `frames` frames: float64 (frames, outputs).

    Networks pool in steps of 2, which leave out the last frames where they do not fill a step: those take the last
    vector.
    """
    count = vectors.shape[1]
    step = 1 << ((frames // count).bit_length() - 1) if count > 1 else frames
    which = np.minimum(np.arange(frames) // step, count - 1)
    return vectors.T[which].astype(np.float64)
