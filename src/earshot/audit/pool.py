"""Inspect many files in parallel. A file that kills its worker process costs that file, not the run."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool

from earshot.audit.inspect import FileReport, inspect
from earshot.core.progress import progress
from earshot.core.workers import process_pool

Inspector = Callable[[str, str, float], FileReport]
BATCH = 8  # files handed to a worker at a time


def inspect_all(
    root: str, paths: Sequence[str], max_duration_s: float, workers: int | None = None, inspector: Inspector = inspect
) -> list[FileReport]:
    """Inspect `paths` below `root`, with a progress bar; one report for each, in their order.

    Args:
        root: directory that the paths are relative to.
        paths: unique.
        max_duration_s: see `earshot.audit.inspect.inspect`.
        workers: processes; one a processor by default.
        inspector: a function that can be pickled; another one only in tests.
    """
    reports: dict[str, FileReport] = {}
    workers = workers or os.cpu_count() or 1
    with progress(total=len(paths), desc="audit", unit="file") as bar:
        while left := [path for path in paths if path not in reports]:
            before = len(reports)
            try:
                for report in _together(root, left, max_duration_s, workers, inspector):
                    reports[report.path] = report
                    bar.update()
            except BrokenProcessPool:
                left = [path for path in paths if path not in reports]
                for report in _until_the_culprit(root, left, max_duration_s, inspector):
                    reports[report.path] = report
                    bar.update()
            if len(reports) == before:
                raise RuntimeError(f"no report on {left[0]}")
    return [reports[path] for path in paths]


def _together(
    root: str, paths: Sequence[str], max_duration_s: float, workers: int, inspector: Inspector
) -> Iterator[FileReport]:
    batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    with process_pool(min(workers, len(batches))) as pool:
        futures: list[Future[list[FileReport]]] = [
            pool.submit(_inspect_batch, inspector, root, batch, max_duration_s) for batch in batches
        ]
        try:
            for future in as_completed(futures):
                yield from future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _until_the_culprit(
    root: str, paths: Sequence[str], max_duration_s: float, inspector: Inspector
) -> Iterator[FileReport]:
    """One file at a time in one process, up to and including the file that kills it."""
    with process_pool(1) as pool:
        for path in paths:
            try:
                yield pool.submit(inspector, root, path, max_duration_s).result()
            except BrokenProcessPool:
                detail = "the process that decoded it died: a defect in the decoder, or not enough memory"
                yield FileReport(path, "crashed", detail)
                return


def _inspect_batch(inspector: Inspector, root: str, paths: Sequence[str], max_duration_s: float) -> list[FileReport]:
    return [inspector(root, path, max_duration_s) for path in paths]
