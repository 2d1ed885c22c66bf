"""Events of sounds whose truth is known: whether they are right, and whether two files find the same."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from earshot.evaluation.long_sounds import LongSound
from earshot.stream.events import Event
from earshot.stream.timeline import Locator, Timeline

WITHIN = 0.5  # of an event's duration must lie where its class is heard
OVERLAP = 0.5  # of the time that two events cover together must be in both, for them to be the same event


@dataclass(frozen=True)
class Events:
    """Events of some sounds, at the default settings of the timeline.

    Attributes:
        confidence: float64 (n,).
        right: (n,) bool: its class is heard during at least `WITHIN` of it.
        label: (n,) int, number of its class.
        sound: (n,) int, number of the sound.
        recordings: (n,) str, name of the sound's recording.
        onset_s, offset_s: float64 (n,).
    """

    confidence: np.ndarray
    right: np.ndarray
    label: np.ndarray
    sound: np.ndarray
    recordings: np.ndarray
    onset_s: np.ndarray
    offset_s: np.ndarray


def find_events(model: Locator, sounds: Sequence[LongSound]) -> Events:
    """What `model` finds in `sounds`."""
    found: list[tuple[Event, int]] = []
    for number, sound in enumerate(sounds):
        timeline = Timeline(model)
        found += [(event, number) for event in [*timeline.push(sound.samples), *timeline.finish()]]
    numbers = {name: number for number, name in enumerate(model.classes)}
    return Events(
        confidence=np.array([event.confidence for event, _ in found], np.float64),
        right=np.array([is_right(event, numbers[event.label], sounds[number]) for event, number in found], bool),
        label=np.array([numbers[event.label] for event, _ in found], np.int64),
        sound=np.array([number for _, number in found], np.int64),
        recordings=np.array([sounds[number].recording for _, number in found], str),
        onset_s=np.array([event.onset_s for event, _ in found], np.float64),
        offset_s=np.array([event.offset_s for event, _ in found], np.float64),
    )


def is_right(event: Event, label: int, sound: LongSound) -> bool:
    """Whether the class of `event`, number `label`, is heard in `sound` during at least `WITHIN` of it."""
    if label != sound.label:
        return False
    heard = sum(max(0.0, min(event.offset_s, end) - max(event.onset_s, begin)) for begin, end in sound.spans_s)
    return heard >= WITHIN * (event.offset_s - event.onset_s)


def join(parts: Sequence[Events], sounds: Sequence[int]) -> Events:
    """Events of several sets of sounds as one; `sounds` is how many there are in each."""
    before = np.cumsum([0, *sounds])[:-1]
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Events)}
    joined["sound"] = np.concatenate([part.sound + first for part, first in zip(parts, before, strict=True)])
    return Events(**joined)


def agreement(a: Events, b: Events) -> float:
    """Share of the events of both that the other has too, in [0, 1]: of one sound and class, at the same time.

    1 where neither has any.
    """
    total = len(a.label) + len(b.label)
    if not total:
        return 1.0
    free = set(range(len(b.label)))
    same = 0
    for i in range(len(a.label)):
        for j in sorted(free):
            if (a.sound[i], a.label[i]) == (b.sound[j], b.label[j]):
                both = min(a.offset_s[i], b.offset_s[j]) - max(a.onset_s[i], b.onset_s[j])
                either = max(a.offset_s[i], b.offset_s[j]) - min(a.onset_s[i], b.onset_s[j])
                if both >= OVERLAP * either:
                    same += 1
                    free.remove(j)
                    break
    return 2 * same / total
