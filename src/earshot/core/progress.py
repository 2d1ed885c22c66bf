"""Progress of long work: a bar for a person, a line now and then for a log."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

_LOG_INTERVAL_S = 15.0


def progress(iterable: Iterable[Any] | None = None, **kwargs: Any) -> "tqdm[Any]":
    """`tqdm`, which speaks every 15 seconds into a file or a pipe (a CI log, ``dvc repro > log``), not ten a second."""
    interval_s = 0.1 if sys.stderr.isatty() else _LOG_INTERVAL_S
    return tqdm(iterable, mininterval=interval_s, maxinterval=max(10.0, interval_s), **kwargs)
