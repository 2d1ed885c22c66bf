"""An upload on its way: in memory while its request's allowance lasts, then in a temporary file that has no name.

A file without a name cannot be left behind: the kernel drops it with the last descriptor, also after ``kill -9``.
"""

import io
import tempfile
from typing import BinaryIO

from earshot.service.admission import Allowance


class Spool:
    """Bytes in, a file object out. Closed when its request's allowance ends.

    Attributes:
        size: bytes so far.
        pending: bytes of them that wait in memory to be read or flushed.
        on_disk: whether some of it lies in a temporary file.
    """

    def __init__(self, allowance: Allowance) -> None:
        self.size = 0
        self.pending = 0
        self.on_disk = False
        self._allowance = allowance
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None
        allowance.at_end(self.close)

    def write(self, data: bytes) -> None:
        """Take `data`. Nothing is written to disk here.

        Raises:
            RefusedError: there is no room for it.
        """
        self._allowance.came(len(data))
        self._parts.append(data)
        self.pending += len(data)
        self.size += len(data)

    def flush(self) -> None:
        """Write what is in memory to the temporary file. Blocks, so it belongs in a thread.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (it outlives this call)
            self.on_disk = True
        for part in self._parts:
            view = memoryview(part)
            while view:  # an unbuffered file may write less than it is given
                view = view[self._file.write(view) :]
        self._allowance.moved_to_disk(self.pending)
        self._parts, self.pending = [], 0

    def open(self) -> BinaryIO:
        """All that was written, from its beginning. What is `on_disk` must have been flushed."""
        if self._file is None:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts = []
            self._file = io.BytesIO(data)
        self._file.seek(0)
        return self._file

    def drop(self) -> None:
        """Forget what was written: nobody will read it."""
        self._allowance.dropped(self.size, self.pending)
        self.size = self.pending = 0
        self.close()

    def close(self) -> None:
        """Let go of it all. May be called more than once."""
        self._parts = []
        if self._file is not None:
            self._file.close()
