"""Whether an MP3, ADTS (AAC), AC-3 or E-AC-3 file is one whole chain of frames, told from the frames' headers alone.

libmpg123 stops where the first of several joined files ends, gives up at damage, and complains of both on the terminal;
FFmpeg goes on, but does not know how much time is missing. Layout: ISO/IEC 11172-3 section 2.4.1.3, ISO/IEC 13818-3
section 2.4.2.3; ADTS: ISO/IEC 13818-7 section 6.2; AC-3 and E-AC-3: ETSI TS 102 366 sections 4.4 and E.1.3.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from earshot.hearing.signatures import id3v2_bytes

_CHUNK_BYTES = 1 << 20
_MOST_TAG_BYTES = 1 << 28
_MOST_TRIES = 1_000_000
_MOST_LISTED = 10_000  # stretches and tags; a file with more of them is no sound
_KBITS = {  # by version 1 or 2 and layer
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = (44_100, 48_000, 32_000)
_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_ADTS_RATES_HZ = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


@dataclass(frozen=True)
class Frame:
    """One frame's header: its length in bytes, its samples, their rate, and what all frames of a stream share."""

    length: int
    samples: int
    rate_hz: int
    kind: tuple[int, ...]


_Parse = Callable[[bytes], Frame | None]


@dataclass(frozen=True)
class Missing:
    """A stretch of bytes without frames: where it begins in the file, and how long it would have sounded."""

    at: int
    seconds: float


@dataclass(frozen=True)
class FrameChain:
    """What the frames say.

    Attributes:
        whole: one chain from the first frame to the last, as many as its own header (Xing, Info) counts.
        missing: stretches without frames, in order.
        silent: where a joined file begins with a tag or a header of its own, which are no sound and no damage.
    """

    whole: bool
    missing: tuple[Missing, ...] = ()
    silent: tuple[int, ...] = ()


def mp3_frame(head: bytes) -> Frame | None:
    """The MP3 header at the beginning of `head`; None where there is none, or one without a bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_index, bits_index = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or bits_index in (0, 15):
        return None
    old = version == 3  # MPEG 1; else MPEG 2 or 2.5, at a half or a quarter of its rates
    rate_hz = _RATES_HZ[rate_index] >> (0 if old else 1 if version == 2 else 2)
    bits = _KBITS[1 if old else 2, layer][bits_index] * 1000
    padding = head[2] >> 1 & 1
    if layer == 1:
        return Frame((12 * bits // rate_hz + padding) * 4, 384, rate_hz, (version, layer, rate_index))
    samples = 576 if layer == 3 and not old else 1152
    return Frame(samples // 8 * bits // rate_hz + padding, samples, rate_hz, (version, layer, rate_index))


def adts_frame(head: bytes) -> Frame | None:
    """The ADTS header at the beginning of `head`; None where there is none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate_index = head[2] >> 2 & 15
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate_index >= len(_ADTS_RATES_HZ) or length < 8:
        return None
    return Frame(length, 1024 * (1 + (head[6] & 3)), _ADTS_RATES_HZ[rate_index], (head[1] & 8, rate_index))


def ac3_frame(head: bytes) -> Frame | None:
    """The AC-3 or E-AC-3 header at the beginning of `head`; None where there is none."""
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    rate_index, version = head[4] >> 6, head[5] >> 3
    if version > 10:
        rate_hz, blocks = (48_000, 44_100, 32_000, 24_000)[rate_index], 6
        if rate_index < 3:
            blocks = (1, 2, 3, 6)[head[4] >> 4 & 3]
        substream = head[2] >> 3  # others than the first sound at the same time
        length = ((head[2] & 7) << 8 | head[3]) * 2 + 2
        return Frame(length, 0 if substream else 256 * blocks, rate_hz, (1, rate_index)) if version <= 16 else None
    size = head[4] & 63
    if rate_index == 3 or size >> 1 >= len(_AC3_KBITS):
        return None
    kbits = _AC3_KBITS[size >> 1]
    length = (4 * kbits, (320 * kbits // 147 + (size & 1)) * 2, 6 * kbits)[rate_index]
    return Frame(length, 1536, (48_000, 44_100, 32_000)[rate_index], (0, rate_index))


_AC3_SYNC = re.compile(rb"\x0b\x77|ID3")
FRAMES = {
    "mp3": (mp3_frame, re.compile(rb"\xff[\xe2-\xff][\x00-\xef]|ID3")),
    "aac": (adts_frame, re.compile(rb"\xff[\xf0\xf1\xf8\xf9]|ID3")),
    "ac3": (ac3_frame, _AC3_SYNC),
    "eac3": (ac3_frame, _AC3_SYNC),
}
"""What reads the headers of frames, and what they and tags begin with, by FFmpeg's name of the format."""


def read_frames(stream: BinaryIO, demuxer: str) -> FrameChain:
    """Look through all frames of `stream`, a file of one of the formats of `FRAMES`."""
    parse, sync = FRAMES[demuxer]
    reader = _Reader(stream)
    missing: list[Missing] = []
    silent: list[int] = []
    kind: tuple[int, ...] | None = None
    frames, promised, sounding_bytes, sounding_s = 0, 0, 0, 0.0
    whole = True
    while head := reader.peek(10):
        tag = _tag_bytes(head, reader)
        if tag:
            if frames and len(silent) < _MOST_LISTED:
                silent.append(reader.at)
            reader.skip(abs(tag))
            whole &= tag < 0 or not frames or reader.is_at_end()
            continue
        frame = parse(head)
        if frame is not None and (kind is None or frame.kind == kind or _follows(reader, frame, parse)):
            if kind is not None and frame.kind != kind:
                whole = False
            kind = frame.kind
            counted = _counted_frames(reader.peek(frame.length)) if parse is mp3_frame else None
            if counted is not None:
                if frames and len(silent) < _MOST_LISTED:
                    silent.append(reader.at)
                whole &= frames == 0
                promised = promised or counted
            else:
                frames += 1
                sounding_bytes += frame.length
                sounding_s += frame.samples / frame.rate_hz
            reader.skip(frame.length)
            continue
        begin = reader.at
        found = _search(reader, kind, parse, sync)
        if not frames:  # whatever stands before the first frame is no sound
            if not found:
                return FrameChain(True)
            continue
        if not found:  # something behind the last frame
            break
        whole = False
        seconds = (reader.at - begin) * sounding_s / sounding_bytes
        frame_s = sounding_s / frames
        if len(missing) < _MOST_LISTED:
            missing.append(Missing(begin, round(seconds / frame_s) * frame_s))
    if promised and frames > promised + 1:
        whole = False
    return FrameChain(whole, tuple(missing), tuple(silent))


class _Reader:
    """Bytes ahead of a place in a file, read in large pieces."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._data, self._begin = stream, b"", 0
        self.at = 0
        self.tries = 0  # places that looked like a frame in what is none
        stream.seek(0)

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end of the file."""
        offset = self.at - self._begin
        if offset + count > len(self._data):
            if offset > len(self._data):
                self._stream.seek(self.at)
                self._data = b""
            else:
                self._data = self._data[offset:]
            self._begin, offset = self.at, 0
            while len(self._data) < count and (piece := self._stream.read(max(_CHUNK_BYTES, count))):
                self._data += piece
        return self._data[offset : offset + count]

    def skip(self, count: int) -> None:
        """Go on by `count` bytes."""
        self.at += count

    def is_at_end(self) -> bool:
        """Whether nothing but further tags or zeros follows."""
        rest = self.peek(64)
        return not rest.strip(b"\0") or rest[:3] in (b"TAG", b"APE") or rest[:9] == b"LYRICSBEG"


def _tag_bytes(head: bytes, reader: _Reader) -> int:
    """Length of a tag that `head` begins with, 0 for none; negative for one that belongs at the end of a file."""
    if head[:3] == b"ID3":
        size = id3v2_bytes(head)
        return size if size < _MOST_TAG_BYTES else 0
    if head[:8] == b"APETAGEX":
        whole = reader.peek(32)
        if len(whole) == 32:
            size = int.from_bytes(whole[12:16], "little")
            is_header = whole[23] & 0x20
            return -(size + 32 if is_header else 32) if size < _MOST_TAG_BYTES else 0
    if head[:3] == b"TAG":
        rest = reader.peek(128)
        return -len(rest)
    return 0


def _follows(reader: _Reader, frame: Frame, parse: _Parse) -> bool:
    """Whether another frame of the kind, or the end of the file, follows."""
    after = reader.peek(frame.length + 10)[frame.length :]
    following = parse(after)
    return not after or (following is not None and following.kind == frame.kind) or after[:3] in (b"TAG", b"ID3")


def _search(reader: _Reader, kind: tuple[int, ...] | None, parse: _Parse, sync: re.Pattern[bytes]) -> bool:
    """Go on to the next tag, or frame that another one follows; False where there is none."""
    reader.skip(1)
    while len(data := reader.peek(_CHUNK_BYTES // 16)) >= 4:
        begin = reader.at
        for match in sync.finditer(data):
            reader.at = begin + match.start()
            reader.tries += 1
            if reader.tries > _MOST_TRIES:
                return False
            head = reader.peek(10)
            if id3v2_bytes(head):
                return True
            frame = parse(head)
            if frame is not None and (kind is None or frame.kind == kind) and _follows(reader, frame, parse):
                return True
        reader.at = begin + max(1, len(data) - 9)
    return False


def _counted_frames(frame: bytes) -> int | None:
    """The number of frames in the header that LAME and others write as a first frame; None where this is none."""
    for place in (4 + 32, 4 + 17, 4 + 9):  # behind the side information, whose length depends on version and channels
        if frame[place : place + 4] in (b"Xing", b"Info"):
            flags = int.from_bytes(frame[place + 4 : place + 8], "big")
            return int.from_bytes(frame[place + 8 : place + 12], "big") if flags & 1 else 0
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big")
    return None
