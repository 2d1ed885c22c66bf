"""Keeps flagged clips in a thread of its own: no answer waits for it, and none fails with it.

The same thread deletes what is too old, by a timer, also where nothing new is kept.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from earshot.service import logs
from earshot.service.admission import Allowance
from earshot.service.kept import Outcome, ReviewFolder
from earshot.service.label_table import LabelTableError

QUEUED = 32  # clips that wait to be kept, in the memory and on the disk set for uploads; further ones are not kept
_SWEEP_S = 600.0  # between two looks for old clips; sooner where they may only be kept for minutes
_CLOSE_S = 10.0  # for what is queued when the service ends


@dataclass(frozen=True)
class _Clip:
    source: BinaryIO
    answer: dict[str, Any]
    allowance: Allowance


class Keeper:
    """The thread, its queue and its timer."""

    def __init__(
        self,
        folder: ReviewFolder,
        classes: Sequence[str],
        on_kept: Callable[[], None],
        on_not_kept: Callable[[str], None],
    ) -> None:
        """Keep clips in `folder`; `classes` are those of the model that answers."""
        self._folder = folder
        self._classes = classes
        self._on_kept = on_kept
        self._on_not_kept = on_not_kept
        self._clips: queue.Queue[_Clip | None] = queue.Queue(QUEUED)
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def offer(self, source: BinaryIO, answer: dict[str, Any], allowance: Allowance) -> None:
        """Keep `source`, which lies in `allowance`, with its answer, soon. Nobody else may use `source` from now on."""
        allowance.share()
        try:
            self._clips.put_nowait(_Clip(source, answer, allowance))
        except queue.Full:
            allowance.release()
            self._on_not_kept("queue_full")

    def close(self) -> None:
        """Keep what is queued, if it does not take long."""
        try:
            self._clips.put(None, timeout=_CLOSE_S)
            self._thread.join(_CLOSE_S)
        except queue.Full:
            pass

    def _run(self) -> None:
        self._guarded(lambda: self._folder.note_classes(self._classes))
        every_s = min(_SWEEP_S, max(1.0, self._folder.max_age_s / 10))
        next_s = time.monotonic()
        while True:
            missing_s = next_s - time.monotonic()
            if missing_s <= 0:
                self._guarded(self._folder.sweep)
                next_s = time.monotonic() + every_s
                continue
            try:
                clip = self._clips.get(timeout=missing_s)
            except queue.Empty:
                continue
            if clip is None:
                return
            self._keep(clip)

    def _keep(self, clip: _Clip) -> None:
        try:
            outcome = self._guarded(lambda: self._folder.keep(clip.source, clip.answer))
            if outcome is Outcome.KEPT:
                self._on_kept()
            else:
                self._on_not_kept("storage" if outcome is None else outcome.value)
        finally:
            clip.allowance.release()

    def _guarded(self, work: Callable[[], Outcome | None]) -> Outcome | None:
        """Do `work`; what goes wrong is told in the log, and the thread goes on."""
        try:
            return work()
        except LabelTableError as error:
            words = "no kept clip is deleted until the table of labels can be read"
            logs.events.warning(words, extra={"fields": {"error": str(error)}})
        except OSError as error:
            words = "the folder of kept clips cannot be used"
            logs.events.warning(words, extra={"fields": {"error": f"{error.filename}: {error.strerror}"}})
        except Exception:
            logs.events.exception("keeping flagged clips failed")
        return None
