"""An upload on its way: in memory while it is small, then in a temporary file that has no name.

A file without a name cannot be left behind: the kernel drops it with the last descriptor, also after ``kill -9``.
"""

import io
import tempfile
from typing import BinaryIO

_WRITE_BYTES = 1 << 20


class Spool:
    """Bytes in, a file object out.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, memory_bytes: int) -> None:
        self.size = 0
        self._memory_bytes = memory_bytes
        self._parts: list[bytes] = []
        self._pending = 0
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        """Take `data`. Nothing is written to disk here: see `wants_flush`."""
        self._parts.append(data)
        self._pending += len(data)
        self.size += len(data)

    @property
    def wants_flush(self) -> bool:
        """Whether `flush` should be called before more is taken."""
        return self._pending > (self._memory_bytes if self._file is None else _WRITE_BYTES)

    def flush(self) -> None:
        """Write what is in memory to the temporary file. Blocks, so it belongs in a thread."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (it outlives this call)
        for part in self._parts:
            view = memoryview(part)
            while view:  # an unbuffered file may write less than it is given
                view = view[self._file.write(view) :]
        self._parts, self._pending = [], 0

    def open(self) -> BinaryIO:
        """All that was written, from its beginning."""
        if self._file is None:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts = []
            self._file = io.BytesIO(data)
        elif self._parts:
            self.flush()
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Let go of it all. May be called more than once."""
        self._parts = []
        if self._file is not None:
            self._file.close()
