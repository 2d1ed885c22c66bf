"""Budgets of a worker, asked before an upload is read: what does not fit gets 503 and ``Retry-After`` at once.

Each resource has a budget of its own, so that recordings never take the places of clips, and uploads that nobody has
heard yet never take more memory or disk than was set.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from earshot.service.config import ServiceParams
from earshot.service.refusals import busy

LEAST_MEMORY_BYTES = 256 << 10  # of an upload; what it holds beyond its share goes to disk
_DISK_STEP_BYTES = 16 << 20  # in which an upload of unknown length asks for disk

Report = Callable[[str, int], None]  # budget and change, or budget and limit


class Budget:
    """An amount of something, of which so much is taken and given back. Thread-safe."""

    def __init__(
        self,
        name: str,
        limit: int,
        what: str,
        retry_s: int,
        on_change: Report = lambda name, change: None,
        on_refusal: Callable[[str], None] = lambda name: None,
    ) -> None:
        """Allow `limit`; `what` is full, says the refusal, and that one may ask again in `retry_s`."""
        self.name = name
        self.limit = limit
        self._what = what
        self._retry_s = retry_s
        self._on_change = on_change
        self._on_refusal = on_refusal
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """What is taken now."""
        return self._used

    def take(self, wanted: int, least: int | None = None) -> int:
        """Take `wanted`, or as much as there is if that is at least `least` (default: `wanted`); how much it was.

        Raises:
            RefusedError: there is not enough (503, ``busy``).
        """
        with self._lock:
            taken = min(wanted, self.limit - self._used)
            enough = taken >= (wanted if least is None else least)
            if enough:
                self._used += taken
        if not enough:
            self._on_refusal(self.name)
            raise busy(self._what, self._retry_s)
        self._on_change(self.name, taken)
        return taken

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._used -= amount
        self._on_change(self.name, -amount)

    @contextmanager
    def held(self, amount: int = 1) -> Iterator[None]:
        """Take `amount` for as long as the block lasts."""
        self.take(amount)
        try:
            yield
        finally:
            self.give(amount)


class Admission:
    """The budgets of one worker.

    Attributes:
        uploads: bodies that are being received.
        memory: bytes of uploads in memory, until they are answered.
        disk: bytes of uploads in temporary files, announced ones included, until they are answered.
        clips: clips from their request's head to their answer.
        recordings: the same of recordings.
    """

    def __init__(
        self,
        params: ServiceParams,
        on_change: Report = lambda name, change: None,
        on_refusal: Callable[[str], None] = lambda name: None,
    ) -> None:
        def budget(name: str, limit: float, what: str, retry_s: int) -> Budget:
            return Budget(name, round(limit), what, retry_s, on_change, on_refusal)

        self.uploads = budget("uploads", params.max_uploads, "too many uploads are under way", 2)
        self.memory = budget("memory", params.uploads_memory_mb * 1e6, "uploads fill the memory set for them", 2)
        self.disk = budget("disk", params.uploads_disk_mb * 1e6, "uploads fill the disk space set for them", 30)
        self.clips = budget("clips", params.max_clips, "too many clips are waiting", 1)
        self.recordings = budget("recordings", params.max_recordings, "too many recordings are waiting", 30)

    def __iter__(self) -> Iterator[Budget]:
        return iter((self.uploads, self.memory, self.disk, self.clips, self.recordings))


class Allowance:
    """What the files of one request may hold in memory and on disk, from its head until nobody needs them.

    Attributes:
        memory_bytes: how much may lie in memory; the rest goes to disk.
        in_memory: bytes that lie there now, of all its files.
    """

    def __init__(self, admission: Admission, memory_bytes: int, length: int | None) -> None:
        """Take what a body of `length` bytes needs (None: not announced), at most `memory_bytes` of it in memory.

        Raises:
            RefusedError: a budget is full.
        """
        self._admission = admission
        wanted = memory_bytes if length is None else min(memory_bytes, length)
        self.memory_bytes = admission.memory.take(wanted, min(wanted, LEAST_MEMORY_BYTES))
        self.in_memory = 0
        self._disk_bytes = 0
        self._total = 0
        self._users = 1
        self._on_end: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        try:
            self._reserve(length or 0)
        except BaseException:
            self.release()
            raise

    def came(self, count: int) -> None:
        """Account for `count` bytes that are now in memory.

        Raises:
            RefusedError: there is no room for them on disk, where they or others must go.
        """
        self._reserve(self._total + count, _DISK_STEP_BYTES)
        self._total += count
        self.in_memory += count

    def moved_to_disk(self, count: int) -> None:
        """Account for `count` bytes that left memory for a temporary file."""
        self.in_memory -= count

    def dropped(self, size: int, in_memory: int) -> None:
        """Account for a file of `size` bytes that was thrown away, `in_memory` of them there."""
        self._total -= size
        self.in_memory -= in_memory

    def at_end(self, action: Callable[[], None]) -> None:
        """Call `action` when the last user lets go."""
        self._on_end.append(action)

    def share(self) -> None:
        """One more user: `release` must be called once more."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """One user less; the last one gives everything back."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            for action in self._on_end:
                action()
            self._admission.memory.give(self.memory_bytes)
            self._admission.disk.give(self._disk_bytes)

    def _reserve(self, total: int, step: int = 0) -> None:
        missing = total - self.memory_bytes - self._disk_bytes
        if missing > 0:
            self._disk_bytes += self._admission.disk.take(max(missing, step), missing)
