"""What should be said about a sound that was heard all the same: notes, which travel with its answer."""

from dataclasses import dataclass
from typing import Any

_MOST = 20  # notes kept for one sound; one more says how many there were
_SAME_S = 0.1  # stretches of one kind at most this far apart are one

DAMAGED, GAP, TRUNCATED, SIZE, JOINED, CHANNELS = "damaged", "gap", "truncated", "size", "joined", "channels"
REASONS = (DAMAGED, GAP, TRUNCATED, SIZE, JOINED, CHANNELS)
"""The reasons: a stretch that cannot be decoded; time that is missing; less sound than the header promises; a header
whose size of the sound is wrong; a second file behind the first that is not heard; channels that cancel each other."""


@dataclass(frozen=True)
class Note:
    """One thing to know about an answer.

    Attributes:
        reason: a short code for programs, one of those above.
        message: the same for people, with its times.
        start_s, end_s: the stretch of the sound that it is about, in seconds, where it is about one. Silence stands
            there, so that what follows has its true time; `end_s` is None where nothing follows.
    """

    reason: str
    message: str
    start_s: float | None = None
    end_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the stretch only where there is one."""
        times = {"start_s": self.start_s, "end_s": self.end_s}
        return {
            "reason": self.reason,
            "message": self.message,
            **{name: round(time_s, 3) for name, time_s in times.items() if time_s is not None},
        }


class Notes:
    """The notes of one sound while it is decoded. Their number is bounded, however broken the file."""

    def __init__(self) -> None:
        self._whole: list[Note] = []
        self._stretches: list[tuple[str, float, float | None]] = []
        self._more = 0

    def add(self, reason: str, message: str) -> None:
        """Note something about the whole sound, once."""
        note = Note(reason, message)
        if note not in self._whole:
            self._whole.append(note)

    def stretch(self, reason: str, start_s: float, end_s: float | None) -> None:
        """Note a stretch without sound, `DAMAGED` or `GAP`; stretches come in order. `end_s` None: to the end."""
        if self._stretches:
            before, begun_s, ended_s = self._stretches[-1]
            if before == reason and ended_s is not None and start_s <= ended_s + _SAME_S:
                self._stretches[-1] = (reason, begun_s, end_s)
                return
        if len(self._stretches) < _MOST:
            self._stretches.append((reason, start_s, end_s))
        else:
            self._more += 1

    def all(self) -> tuple[Note, ...]:
        """All of them so far, those about the whole sound first."""
        notes = self._whole + [Note(reason, _words(reason, a, b), a, b) for reason, a, b in self._stretches]
        if self._more:
            notes.append(Note(DAMAGED, f"{self._more} more stretches are damaged or missing"))
        return tuple(notes)


def _words(reason: str, start_s: float, end_s: float | None) -> str:
    if end_s is None:
        return f"damaged: nothing can be decoded after {start_s:.2f} s"
    if reason == DAMAGED:
        if end_s - start_s < 0.005:
            return f"damaged at {start_s:.2f} s"
        return f"damaged from {start_s:.2f} to {end_s:.2f} s: silence stands there"
    return f"no sound was found from {start_s:.2f} to {end_s:.2f} s (a pause, or damage): silence stands there"
