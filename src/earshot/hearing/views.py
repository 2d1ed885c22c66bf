"""File objects over file objects: without a name, a part of one, and a pipe that was read to its end."""

import io
import tempfile
from typing import Any, BinaryIO, cast

from earshot.hearing.limits import UndecodableError

_MEMORY_BYTES = 1 << 24  # of a pipe; what is longer goes to a temporary file without a name


def part(stream: BinaryIO, begin: int, end: int) -> BinaryIO:
    """The bytes from `begin` to `end` of a file, as a file of its own."""
    return cast(BinaryIO, _Part(stream, begin, end))


class _Part(io.RawIOBase):
    def __init__(self, stream: BinaryIO, begin: int, end: int) -> None:
        self._stream, self._begin, self._size, self._at = stream, begin, max(0, end - begin), 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        self._stream.seek(self._begin + self._at)
        data = self._stream.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Nameless(io.RawIOBase):
    """A file object without its name."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError):  # a damaged header points before the file: stay, and let libsndfile refuse it
            return self._stream.tell()

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def from_pipe(stream: BinaryIO) -> BinaryIO:
    """All that a stream without seeking still holds, as a file that can seek: formats have indexes at their ends.

    Raises:
        UndecodableError: it does not fit into the temporary folder (`storage`).
    """
    spool: Any = io.BytesIO()
    try:
        while piece := stream.read(1 << 20):
            if isinstance(spool, io.BytesIO) and spool.tell() + len(piece) > _MEMORY_BYTES:
                begun, spool = spool.getbuffer(), tempfile.TemporaryFile()  # noqa: SIM115 (it outlives this call)
                spool.write(begun)
            spool.write(piece)
    except OSError as error:
        spool.close()
        raise UndecodableError(
            f"what comes through the pipe cannot be stored in {tempfile.gettempdir()} ({error.strerror}): "
            "set TMPDIR to a folder with more space",
            "storage",
        ) from error
    return spool
