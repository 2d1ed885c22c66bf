"""The work behind the routes: decode and classify, in threads, so that the event loop is always free.

Clips share a pool with a thread for every core and one queue in front of the model. Recordings have a pool of their
own, so that hours of sound never keep a clip waiting.
"""

import asyncio
import enum
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from earshot.core.files import sha256
from earshot.hearing.decode import AudioError, AudioLimits, Note, Source, stream_mono
from earshot.model.session import Model
from earshot.service.admission import Admission
from earshot.service.batching import BatchedModel
from earshot.service.config import Settings
from earshot.service.keeper import Keeper
from earshot.service.kept import ReviewFolder
from earshot.service.memory import give_back
from earshot.service.metrics import Metrics
from earshot.service.refusals import ClientGoneError, from_audio, timed_out, too_large
from earshot.stream.classify import Classification, Summary, read_batches
from earshot.stream.events import Event
from earshot.stream.timeline import Timeline

T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]  # of ASGI
PROGRESS_S = 30.0  # of sound between two reports of how far a recording was heard
_WATCH_AFTER_S = 0.3  # only then is it worth asking whether the client still waits
_REST_S = 1.0  # without work, before free memory is handed back


class RecordingEnd(float):
    """Seconds of a recording that was read to its end, with the notes on its file."""

    notes: tuple[Note, ...]

    def __new__(cls, seconds: float, notes: tuple[Note, ...]) -> "RecordingEnd":
        end = super().__new__(cls, seconds)
        end.notes = notes
        return end


class CancelledWorkError(Exception):
    """Nobody waits for this work any more."""


class Job:
    """A flag between the event loop, which cancels, and a thread, which looks at it between blocks."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the thread to stop."""
        self._cancelled.set()

    def check(self) -> None:
        """Stop here if nobody waits.

        Raises:
            CancelledWorkError: so it is.
        """
        if self._cancelled.is_set():
            raise CancelledWorkError


class Engine:
    """One model and the threads that use it.

    Attributes:
        model: the model itself.
        model_sha256: of its file.
        ready: whether it has answered a first clip, and the engine is not closed.
        admission: what may be taken of its resources.
        review: keeps flagged clips, if they are kept.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Load the model. It is `ready` after `warm_up`.

        Raises:
            ModelError: it cannot be used.
        """
        params = settings.params
        self.settings = settings
        self.metrics = metrics
        self.model = Model(settings.model)
        self.model_sha256 = sha256(settings.model)
        self.ready = False
        self.admission = Admission(params, metrics.budget_changed, metrics.budget_refused)
        for budget in self.admission:
            metrics.budget_limit(budget.name, budget.limit)
        self._classifier = BatchedModel(self.model, metrics.model_run)
        self._clips = ThreadPoolExecutor(params.threads or os.cpu_count() or 1, "clip")
        self._recordings = ThreadPoolExecutor(params.recording_jobs, "recording")
        self._at_work = 0
        self._last_s = 0.0  # when work ended last, on the event loop's clock
        self._rest: asyncio.TimerHandle | None = None
        self.review: Keeper | None = None
        if settings.review_dir is not None:
            folder = ReviewFolder(settings.review_dir, params.review_max_age_days, params.review_max_mb)
            self.review = Keeper(folder, self.model.classes, metrics.kept, metrics.not_kept)

    def warm_up(self) -> None:
        """Answer a second of silence, as the first caller's clip would be answered."""
        samples = np.zeros(self.model.log_mel.params.window_samples, np.float32)
        self._classifier.scores(self.model.log_mel.clip(samples)[None])
        self.ready = True

    def close(self) -> None:
        """Finish what is at work and take nothing more."""
        self.ready = False
        self._clips.shutdown()
        self._recordings.shutdown()
        if self.review is not None:
            self.review.close()

    async def classify(self, source: BinaryIO) -> Classification:
        """The answer for one clip. If the caller is cancelled, the work stops.

        Raises:
            RefusedError: there is none.
        """
        params = self.settings.params
        job = Job()
        with self._working():
            thread = self._clips.submit(self._classify, source, params.clip_limits, job)
            work = asyncio.wrap_future(thread)
            try:
                async with asyncio.timeout(params.clip_timeout_s):
                    return await asyncio.shield(work)
            except TimeoutError:
                raise timed_out(params.clip_timeout_s) from None
            finally:
                await _stop(thread, work, job)

    def classify_file(self, path: Path) -> Classification:
        """The same for a call in this process, from any thread but the event loop's.

        Raises:
            RefusedError: there is no answer.
            OSError: the file cannot be read.
        """
        params = self.settings.params
        refuse_large(path, params.clip_max_mb)
        job = Job()
        with self.admission.clips.held():
            thread = self._clips.submit(self._classify, path, params.clip_limits, job)
            return _within(params.clip_timeout_s, thread, job)

    def timeline_file(self, path: Path) -> tuple[list[Event], float]:
        """Events and length in seconds of a recording, for a call in this process.

        Raises:
            RefusedError: it cannot be heard, or not to its end.
            OSError: the file cannot be read.
        """
        params = self.settings.params
        refuse_large(path, params.recording_max_mb)
        job = Job()
        found: list[Event | float] = []
        with self.admission.recordings.held():
            _within(params.recording_timeout_s, self._recordings.submit(self._hear, path, job, found.append), job)
        *_, heard_s = 0.0, *(item for item in found if not isinstance(item, Event))
        return [item for item in found if isinstance(item, Event)], heard_s

    async def timeline(self, source: BinaryIO, receive: Receive) -> AsyncGenerator[Event | float]:
        """Events of a recording while it is heard, and in between, and last, the seconds heard so far.

        The work stops when the client goes, and when the iterator is closed.

        Raises:
            RefusedError: it cannot be heard, or not to its end.
        """
        loop = asyncio.get_running_loop()
        found: asyncio.Queue[Event | float | _Over] = asyncio.Queue()
        job = Job()
        limit_s = self.settings.params.recording_timeout_s
        deadline = loop.time() + limit_s

        def work() -> None:
            try:
                self._hear(source, job, lambda item: loop.call_soon_threadsafe(found.put_nowait, item))
            finally:
                loop.call_soon_threadsafe(found.put_nowait, _Over.HEARD)

        with self._working():
            gone = asyncio.ensure_future(disconnected(receive))
            gone.add_done_callback(lambda _: found.put_nowait(_Over.GONE))
            thread = self._recordings.submit(work)
            future = asyncio.wrap_future(thread)
            try:
                while not isinstance(item := await _before(deadline, found.get()), _Over):
                    yield item
                if item is _Over.GONE:
                    raise ClientGoneError
                await future
            except TimeoutError:
                raise timed_out(limit_s) from None
            finally:
                gone.cancel()
                await _stop(thread, future, job)

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            loop = asyncio.get_running_loop()
            self._last_s = loop.time()
            if self._rest is None:
                self._rest = loop.call_later(_REST_S, self._at_rest, loop)

    def _at_rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand memory back if there was no work for a while; else look again. One timer, however many requests."""
        missing_s = self._last_s + _REST_S - loop.time()
        if self._at_work or missing_s > 0.01:
            self._rest = loop.call_later(max(missing_s, _REST_S / 2), self._at_rest, loop)
            return
        self._rest = None
        give_back()

    def _classify(self, source: Source, limits: AudioLimits, job: Job) -> Classification:
        summary = Summary(self._classifier)
        try:
            job.check()
            for batch in read_batches(source, self.model.log_mel, limits):
                job.check()
                summary.add(batch, self._classifier.scores(batch.features))
            return summary.result()
        except AudioError as error:
            raise from_audio(error) from error

    def _hear(self, source: Source, job: Job, report: Callable[[Event | float], object]) -> None:
        limits = self.settings.params.recording_limits
        timeline = Timeline(self.model, self.settings.timeline)
        told_s = 0.0
        try:
            job.check()
            sound = stream_mono(source, self.model.log_mel.params.sample_rate_hz, limits)
            for block in sound:
                job.check()
                for event in timeline.push(block):
                    report(event)
                if timeline.heard_s >= told_s + PROGRESS_S:
                    told_s = timeline.heard_s
                    report(told_s)
            for event in timeline.finish():
                report(event)
            report(RecordingEnd(timeline.heard_s, sound.notes))
        except AudioError as error:
            raise from_audio(error) from error


def refuse_large(path: Path, max_mb: float) -> None:
    """Raise RefusedError for a file above `max_mb` megabytes of 10^6 bytes."""
    if path.stat().st_size > max_mb * 1e6:
        raise too_large(round(max_mb * 1e6))


def _within(limit_s: float, thread: "Future[T]", job: Job) -> T:
    try:
        return thread.result(limit_s)
    except TimeoutError:
        job.cancel()
        raise timed_out(limit_s) from None


class _Over(enum.Enum):
    HEARD = 1
    GONE = 2


async def _before(deadline: float, answer: Awaitable[T]) -> T:
    async with asyncio.timeout_at(deadline):
        return await answer


async def disconnected(receive: Receive) -> None:
    """Return when the client goes; the body of its request must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_client_waits(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The outcome of `work`, which is cancelled if the client goes.

    Raises:
        ClientGoneError: it went.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=_WATCH_AFTER_S)
        if not task.done():
            gone = asyncio.ensure_future(disconnected(receive))
            try:
                await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
        if task.done():
            return task.result()
        raise ClientGoneError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _stop(thread: "Future[Any]", work: "asyncio.Future[Any]", job: Job) -> None:
    """Wait for the thread to let go of its file, whatever it says and whoever cancels the waiting."""
    if work.done():
        return
    job.cancel()
    if thread.cancel():  # it had not begun
        return
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            cancelled = True
    work.exception()  # seen: nobody waits for it
    if cancelled:
        raise asyncio.CancelledError
