"""What Prometheus is told beside BentoML's own figures. Labels come from fixed sets, so that memory stays bounded.

`prometheus_client` decides at its import whether several processes share their figures, by a variable that BentoML
sets for its workers: so it is imported when the first `Metrics` is made, in a worker.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from earshot.core.labels import UNKNOWN

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)
_TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


class Metrics:
    """The counters. Shared by all workers, thread-safe."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        _forget_dead_workers()
        self._requests = Counter(
            "earshot_requests", "Requests answered, by route, method and status", ["route", "method", "status"]
        )
        self._latency = Histogram(
            "earshot_request_seconds",
            "Seconds from a request to its answer",
            ["route"],
            buckets=_SECONDS,
        )
        self._in_progress = Gauge("earshot_requests_in_progress", "Requests at work", multiprocess_mode="livesum")
        self._rejected = Counter("earshot_rejected", "Inputs refused, by reason", ["reason"])
        self._predictions = Counter(
            "earshot_predictions", f"Clips classified, by class, or as {UNKNOWN}", ["predicted_class"]
        )
        self._flagged = Counter(
            "earshot_flagged",
            "Clips flagged for review, by predicted class; over predictions: the flagged share",
            ["predicted_class"],
        )
        self._confidence = Histogram(
            "earshot_confidence",
            f"Confidence of the answers to clips; of those called {UNKNOWN}, in the class that is most like them",
            buckets=_TENTHS,
        )
        self._events = Counter("earshot_events", "Events found in recordings, by class", ["label"])
        self._audio = Counter("earshot_audio_seconds", "Seconds of sound heard", ["route"])
        self._used = Gauge(
            "earshot_budget_used", "What is taken of each budget now", ["budget"], multiprocess_mode="livesum"
        )
        self._limit = Gauge(
            "earshot_budget_limit", "What each budget allows, of all workers", ["budget"], multiprocess_mode="livesum"
        )
        self._refusals = Counter("earshot_budget_refusals", "Requests that found a budget full", ["budget"])
        self._run = Histogram(
            "earshot_model_run_windows", "Windows answered in one run of the model", buckets=(1, 2, 4, 8, 16)
        )
        self._kept = Counter("earshot_review_clips", "Flagged clips kept for labelling")
        self._not_kept = Counter("earshot_review_clips_not_kept", "Flagged clips that could not be kept", ["reason"])

    def begin(self) -> None:
        """A request came."""
        self._in_progress.inc()

    def end(self, route: str, method: str, status: int, seconds: float) -> None:
        """Its answer went."""
        self._in_progress.dec()
        self._requests.labels(route, method, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def rejected(self, reason: str) -> None:
        """An input was refused."""
        self._rejected.labels(reason).inc()

    def predicted(self, label: str, confidence: float, flagged: bool) -> None:
        """A clip was classified; `label` is a class, or `UNKNOWN`."""
        self._predictions.labels(label).inc()
        self._confidence.observe(confidence)
        if flagged:
            self._flagged.labels(label).inc()

    def event(self, label: str) -> None:
        """An event was found in a recording."""
        self._events.labels(label).inc()

    def heard(self, route: str, seconds: float) -> None:
        """So much sound was heard."""
        self._audio.labels(route).inc(seconds)

    def budget_limit(self, budget: str, limit: int) -> None:
        """A budget allows so much."""
        self._limit.labels(budget).set(limit)
        self._used.labels(budget).set(0)
        self._refusals.labels(budget).inc(0)

    def budget_changed(self, budget: str, change: int) -> None:
        """More or less is taken of a budget."""
        self._used.labels(budget).inc(change)

    def budget_refused(self, budget: str) -> None:
        """A request found a budget full."""
        self._refusals.labels(budget).inc()

    def model_run(self, windows: int) -> None:
        """The model ran once, on `windows` windows."""
        self._run.observe(windows)

    def kept(self) -> None:
        """A flagged clip was kept."""
        self._kept.inc()

    def not_kept(self, reason: str) -> None:
        """A flagged clip was not kept: `duplicate`, `too_large`, `full`, `queue_full` or `storage`."""
        self._not_kept.labels(reason).inc()


def _forget_dead_workers() -> None:
    """Drop the gauges of workers that were killed: nobody else does, and they would count for ever."""
    from prometheus_client import multiprocess

    for pid in _pids(os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")):
        if not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            multiprocess.mark_process_dead(pid)


def _pids(directory: str) -> Iterator[int]:
    if directory and Path(directory).is_dir():
        for path in Path(directory).glob("gauge_live*_*.db"):
            pid = path.stem.rpartition("_")[2]
            if pid.isdigit():
                yield int(pid)
