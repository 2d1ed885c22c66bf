"""What commands read from, a path or `-`, and a terminal without the decoders' own lines."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

STDIN = "-"


def opened(name: str) -> str | BinaryIO:
    """The source for `name`: standard input for `-`, else the path itself."""
    return sys.stdin.buffer if name == STDIN else name


@contextlib.contextmanager
def without_decoders_lines() -> Iterator[None]:
    """Keep from standard error what C libraries write to it, as libmpg123 does; Python's own lines still reach it."""
    try:
        python_writes_there = sys.stderr.fileno() == 2
        kept = os.dup(2)
    except (OSError, ValueError, AttributeError):  # closed, or something else in its place
        yield
        return
    sys.stderr.flush()
    before = sys.stderr
    with open(kept, "w", encoding=before.encoding, errors="replace", buffering=1) as terminal:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        if python_writes_there:
            sys.stderr = terminal
        try:
            yield
        finally:
            sys.stderr = before
            terminal.flush()
            os.dup2(kept, 2)
