"""Probabilities over time to events: two thresholds, gaps closed, blips dropped."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from earshot.decisions.decisions import Decisions
from earshot.model.scores import softmax
from earshot.stream.config import TimelineParams


@dataclass(frozen=True)
class Event:
    """One sound in a recording.

    Attributes:
        label: its class.
        onset_s: beginning, in seconds from the recording's.
        offset_s: end.
        confidence: how surely it is right, in [0, 1]: the probability of the class for the event's mean logits,
            calibrated on events of validation sounds.
    """

    label: str
    onset_s: float
    offset_s: float
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: seconds to three digits, confidence to six."""
        return {
            "label": self.label,
            "onset_s": round(self.onset_s, 3),
            "offset_s": round(self.offset_s, 3),
            "confidence": round(self.confidence, 6),
        }


@dataclass(frozen=True)
class _Run:
    """Frames `start` to before `end` in which a class was heard; `heard` of them, if gaps were closed."""

    start: int
    end: int
    heard: int
    logits: np.ndarray  # their sum, float64 (outputs,)
    peak: float  # the class's largest probability

    def joined(self, later: "_Run") -> "_Run":
        logits, heard = self.logits + later.logits, self.heard + later.heard
        return _Run(self.start, later.end, heard, logits, max(self.peak, later.peak))


class EventTracker:
    """Logits of frames in order in, events out as soon as they are over.

    For each class: a run is the frames in a row with a probability of at least `off_threshold`. It counts if one of
    them reaches `on_threshold`. Counting runs at most `max_gap_s` apart are one event, which lasts at least
    `min_duration_s` or is dropped.
    """

    def __init__(self, classes: tuple[str, ...], hop_s: float, decisions: Decisions, params: TimelineParams) -> None:
        """Events of `classes`, from frames `hop_s` seconds apart, whose logits `decisions` calibrate."""
        self._tracks = [_Track(params.on_threshold, int(params.max_gap_s / hop_s)) for _ in classes]
        self._classes = classes
        self._hop_s = hop_s
        self._decisions = decisions
        self._params = params
        self._frame = 0  # number of the next frame

    def push(self, logits: np.ndarray, audible: np.ndarray) -> list[Event]:
        """Take the next frames: logits, float64 (n, outputs), and which of them may hold events at all, bool (n,).

        Outputs are the classes, and after them, of a network that knows it, none of them: it takes its share of the
        probability and makes no event.

        Returns:
            The events that are over, in the order in which they ended.
        """
        probabilities = np.where(audible[:, None], softmax(logits, self._decisions.temperature), 0.0)
        active = probabilities >= self._params.off_threshold
        ended: list[tuple[int, _Run]] = []
        for number, track in enumerate(self._tracks):
            runs = track.push(self._frame, logits, probabilities[:, number], active[:, number])
            ended.extend((number, run) for run in runs)
        self._frame += len(logits)
        return self._events(ended)

    def finish(self) -> list[Event]:
        """The recording is over: what lasted until now."""
        return self._events([(number, run) for number, track in enumerate(self._tracks) for run in track.finish()])

    def _events(self, ended: list[tuple[int, _Run]]) -> list[Event]:
        events = []
        for number, run in sorted(ended, key=lambda one: (one[1].end, one[1].start, one[0])):
            if (run.end - run.start) * self._hop_s >= self._params.min_duration_s:
                probability = float(softmax(run.logits / run.heard, self._decisions.temperature)[number])
                confidence = self._decisions.event_confidence(probability)
                label = self._classes[number]
                events.append(Event(label, run.start * self._hop_s, run.end * self._hop_s, confidence))
        return events


class _Track:
    """One class over time."""

    def __init__(self, on_threshold: float, max_gap: int) -> None:
        self._on = on_threshold
        self._max_gap = max_gap
        self._run: _Run | None = None  # lasts
        self._event: _Run | None = None  # a run that ended and counts, and may still be joined

    def push(self, first: int, logits: np.ndarray, probability: np.ndarray, active: np.ndarray) -> Iterator[_Run]:
        """Take frames from `first` on; yield what is over."""
        if not active.any():
            yield from self._end_run()
        else:
            changes = np.flatnonzero(np.diff(active, prepend=False, append=False)).tolist()
            for start, end in zip(changes[0::2], changes[1::2], strict=True):
                if start > 0:
                    yield from self._end_run()
                run = _Run(
                    first + start,
                    first + end,
                    end - start,
                    logits[start:end].sum(0),
                    float(probability[start:end].max()),
                )
                self._run = self._run.joined(run) if self._run else run
            if not active[-1]:
                yield from self._end_run()
        reachable = self._run.start if self._run else first + len(active)  # where what comes next begins at the soonest
        if self._event and reachable - self._event.end > self._max_gap:
            yield self._event
            self._event = None

    def finish(self) -> Iterator[_Run]:
        """Yield what is left."""
        yield from self._end_run()
        if self._event:
            yield self._event
            self._event = None

    def _end_run(self) -> Iterator[_Run]:
        run, self._run = self._run, None
        if run is None or run.peak < self._on:
            return
        if self._event and run.start - self._event.end <= self._max_gap:
            self._event = self._event.joined(run)
            return
        if self._event:
            yield self._event
        self._event = run
