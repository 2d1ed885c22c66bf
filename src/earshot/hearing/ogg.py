"""Whether an Ogg file is one whole stream, told from its pages alone.

libsndfile plays the first of several joined streams and says nothing of damaged pages and of jumps in time. FFmpeg
does neither, once it is known that it should be asked. Layout: RFC 3533; Opus: RFC 6716 section 3.1, RFC 7845;
Vorbis: Vorbis I specification, section 4.2.2.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20
_MOST_PAGE_BYTES = 27 + 255 + 255 * 255
_GAP_S = 0.1
_MOST_BAD = 1_000  # places that look like a page and are none, before the rest is not looked at
MOST_JOINED = 10_000  # files in one
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class OggPages:
    """What the pages say.

    Attributes:
        whole: one stream (or several at once) without damage or jumps in time, which libsndfile reads to its end.
        damaged: a page is missing or its checksum is wrong.
        begins_damaged: so is the first one with sound.
        truncated: the file ends within a page.
        end: where to stop, before what looks like pages and is none: decoders would search it for hours. None: nowhere.
        joined: the bytes at which further streams begin, which follow the first one.
    """

    whole: bool
    damaged: bool = False
    begins_damaged: bool = False
    truncated: bool = False
    end: int | None = None
    joined: tuple[int, ...] = ()


@dataclass
class _Stream:
    sequence: int
    packets: int = 0
    granule: int | None = None
    rate: int = 0
    most: int = 0  # samples in a packet, at most; 0 where it is not known
    opus: bool = False
    headers: int = 0  # packets before the sound


def read_pages(stream: BinaryIO) -> OggPages:
    """Look through all pages of the Ogg file in `stream`."""
    stream.seek(0)
    streams: dict[int, _Stream] = {}
    data, at, ended = b"", 0, False
    damaged = begins = jumps = sound = sound_since = truncated = False
    joined: list[int] = []
    begin = bad = first_bad = 0  # of `data` in the file; pages that are none; the first of them
    while True:
        if not ended and len(data) - at < _MOST_PAGE_BYTES:
            piece = stream.read(_CHUNK_BYTES)
            ended = not piece
            data, begin, at = data[at:] + piece, begin + at, 0
        if len(data) - at < 27:
            truncated |= len(data) > at
            break
        size = _page_bytes(data, at)
        if size == 0 and ended and data[at : at + 4] == b"OggS" and _claimed_bytes(data, at) > len(data) - at:
            truncated = True
            break
        if size == 0:
            first_bad = begin + at if bad == 0 else first_bad
            bad += 1
            if bad > _MOST_BAD:
                return OggPages(True, True, end=first_bad)
            damaged |= bool(streams)  # before the first page stands no sound
            begins |= damaged and not sound
            found = data.find(b"OggS", at + 1)
            at = found if found >= 0 else max(at + 1, len(data) - 3)
            continue
        page = data[at : at + size]
        at += size
        flags, granule, serial, sequence = struct.unpack_from("<BqII", page, 5)
        if flags & 2:  # a stream begins
            if sound_since and len(joined) < MOST_JOINED:
                joined.append(begin + at - size)
                streams.clear()
                sound_since = False
            streams[serial] = _begin(page, sequence)
            continue
        one = streams.get(serial)
        if one is None:  # its beginning is lost
            damaged = True
            continue
        if sequence != (one.sequence + 1) & 0xFFFFFFFF:
            damaged = True
            begins |= not sound
            one.granule = None
        one.sequence = sequence
        lengths = page[27 : 27 + page[26]]
        packets = sum(length < 255 for length in lengths)
        one.packets += packets
        if one.packets <= one.headers:
            continue
        if granule >= 0:
            sound = sound_since = True
            longest = one.most * packets
            if one.opus:
                longest = _opus_samples(page, lengths)
            if one.granule is not None and one.rate and one.most:
                jumps |= granule - one.granule > longest + _GAP_S * one.rate
            one.granule = granule
    return OggPages(not (damaged or joined or jumps), damaged, begins, truncated, joined=tuple(joined))


def _claimed_bytes(data: bytes, at: int) -> int:
    """Length of the page that begins at `at`, by its header."""
    segments = data[at + 26]
    return 27 + segments + sum(data[at + 27 : at + 27 + segments])


def _page_bytes(data: bytes, at: int) -> int:
    """Length of the page at `at`; 0 where there is none, or a damaged one."""
    if data[at : at + 4] != b"OggS" or data[at + 4] != 0:
        return 0
    end = at + _claimed_bytes(data, at)
    return end - at if end <= len(data) and _checksum(data[at:end]) == data[at + 22 : at + 26] else 0


def _checksum(page: bytes) -> bytes:
    """Ogg's CRC is zlib's with the bits of every byte, and of the sum, in the other order, and without inversions."""
    plain = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    value = ~zlib.crc32(plain, 0xFFFFFFFF) & 0xFFFFFFFF
    return value.to_bytes(4, "big").translate(_REVERSED)


def _begin(page: bytes, sequence: int) -> _Stream:
    body = page[27 + page[26] :]
    if body[:8] == b"OpusHead":
        return _Stream(sequence, 1, rate=48_000, most=5_760, opus=True, headers=2)
    if body[:7] == b"\x01vorbis" and len(body) >= 29:
        (rate,) = struct.unpack_from("<I", body, 12)
        return _Stream(sequence, 1, rate=rate, most=1 << (body[28] >> 4) >> 1, headers=3)
    return _Stream(sequence, 1, headers=1)


def _opus_samples(page: bytes, lengths: bytes) -> int:
    """Samples at 48 kHz in the packets that begin in a page."""
    total, at, begins = 0, 27 + page[26], not page[5] & 1
    for length in lengths:
        if begins and length:
            total += _opus_frame_samples(page[at]) * _opus_frames(page[at : at + 2])
        at += length
        begins = length < 255
    return total


def _opus_frame_samples(toc: int) -> int:
    config = toc >> 3
    if config < 12:  # SILK: 10, 20, 40, 60 ms
        return (480, 960, 1_920, 2_880)[config & 3]
    if config < 16:  # hybrid: 10, 20 ms
        return (480, 960)[config & 1]
    return 120 << (config & 3)  # CELT: 2.5, 5, 10, 20 ms


def _opus_frames(packet: bytes) -> int:
    code = packet[0] & 3
    if code == 3:
        return packet[1] & 0x3F if len(packet) > 1 else 1
    return 1 if code == 0 else 2
