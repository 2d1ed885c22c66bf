"""Memory that is free goes back to the kernel when nobody waits.

glibc keeps what a burst has freed, and keeps it apart for each thread that allocates: after thousands of strange
uploads a worker held 50 MB more than before, none of it in use. One heap for all threads costs no time here, since
they hold Python's lock for most of theirs. Where the C library is another one, nothing is done.
"""

import ctypes
from typing import Any

_M_ARENA_MAX = -8  # glibc's malloc.h


def share_one_heap() -> None:
    """Let threads that begin from now on share the heaps there are. Call it before they do."""
    _call("mallopt", _M_ARENA_MAX, 1)


def give_back() -> None:
    """Hand free pages back, in some milliseconds. Allocations thereafter cost a page fault each, so not in a hurry."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
