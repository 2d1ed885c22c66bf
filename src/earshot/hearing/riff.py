"""Where the sound of a WAV file really ends, whatever its header says.

Recorders that are killed leave a size of 0; sizes above 4 GiB wrap around in the header's 32 bits; files are joined
with `cat`. Layout: Multimedia Programming Interface and Data Specifications 1.0 (IBM and Microsoft, 1991); RF64
and BW64: EBU Tech 3306 and ITU-R BS.2088.
"""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from earshot.hearing.notes import SIZE, TRUNCATED, Notes

UNKNOWN_BYTES = 0x7FFF0000  # writers to a pipe give a size this large, which promises nothing
_SLACK_BYTES = 16  # some writers count the padding byte or the header twice
_JUNK_BYTES = 4096  # so much behind the sound, without being a chunk, is not yet taken for sound


@dataclass(frozen=True)
class WavExtent:
    """What of a WAV file is to be read.

    Attributes:
        unreliable: the size in the header is wrong: the sound goes on to `end`.
        end: where it ends, in bytes from the beginning of the file.
        next_file: where another WAV file begins that was joined to this one; None where none does.
    """

    unreliable: bool
    end: int
    next_file: int | None = None


def wav_extent(stream: BinaryIO, notes: Notes) -> WavExtent:
    """Look through the chunks of the WAV file in `stream`; what is wrong with its sizes goes to `notes`."""
    file_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if stream.read(12)[8:] != b"WAVE":  # behind a tag, for example
        return WavExtent(False, file_bytes)
    begin, size, order = _data_chunk(stream, file_bytes)
    held = file_bytes - begin
    if begin == 0 or held <= 0:
        return WavExtent(False, file_bytes)
    if size == 0:
        if held <= _SLACK_BYTES or _chunks_until(stream, begin, file_bytes, order) == file_bytes:
            return WavExtent(False, file_bytes)  # a finished file without sound
        notes.add(SIZE, "the header was never finished (it says that there is no sound): heard to the end of the file")
        return WavExtent(True, file_bytes)
    if size > held:
        if size < UNKNOWN_BYTES and size > held + _SLACK_BYTES:
            notes.add(
                TRUNCATED, f"the file is cut off: it holds {held / size:.0%} of the sound that its header promises"
            )
        return WavExtent(False, file_bytes)
    wraps = (held - size) >> 32
    if wraps:
        notes.add(SIZE, "the sound is larger than its header can say (4 GiB): heard to the end of the file")
        return WavExtent(True, begin + size + (wraps << 32))
    behind = begin + size + (size & 1)
    explained = _chunks_until(stream, behind, file_bytes, order)
    stream.seek(explained)
    tail = stream.read(12)
    if tail[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and tail[8:12] == b"WAVE":
        return WavExtent(False, explained, explained)
    if explained == behind and file_bytes - behind > _JUNK_BYTES and not _zeros(stream, behind):
        notes.add(SIZE, "the file holds more sound than its header says: heard to the end of the file")
        return WavExtent(True, file_bytes)
    return WavExtent(False, file_bytes)


def _data_chunk(stream: BinaryIO, file_bytes: int) -> tuple[int, int, str]:
    """Where the sound begins (0 for nowhere), its size in the header, and the byte order of sizes."""
    stream.seek(0)
    head = stream.read(12)
    order = ">" if head[:4] == b"RIFX" else "<"
    at, long_size = 12, None
    for _ in range(1000):
        stream.seek(at)
        chunk = stream.read(8)
        if len(chunk) < 8:
            break
        (size,) = struct.unpack(f"{order}I", chunk[4:])
        if chunk[:4] == b"ds64":
            body = stream.read(16)
            if len(body) == 16:
                long_size = struct.unpack("<Q", body[8:])[0]
        if chunk[:4] == b"data":
            if long_size is not None and size in (0, 0xFFFFFFFF):
                size = long_size
            return at + 8, size, order
        at += 8 + size + (size & 1)
        if at >= file_bytes:
            break
    return 0, 0, order


def _chunks_until(stream: BinaryIO, at: int, file_bytes: int, order: str) -> int:
    """The end of the well-formed chunks from `at` on."""
    for _ in range(1000):
        stream.seek(at)
        chunk = stream.read(8)
        if len(chunk) < 8:
            return file_bytes if len(chunk) <= 1 else at
        name, size = chunk[:4], struct.unpack(f"{order}I", chunk[4:])[0]
        end = at + 8 + size
        if name in (b"RIFF", b"RIFX", b"RF64", b"BW64") or not all(0x20 <= c < 0x7F for c in name) or end > file_bytes:
            return at
        at = min(end + (size & 1), file_bytes)
    return at


def _zeros(stream: BinaryIO, at: int) -> bool:
    """Whether nothing but zero bytes follows."""
    stream.seek(at)
    while piece := stream.read(1 << 20):
        if piece.strip(b"\0"):
            return False
    return True
