"""Audio files as awkward as real ones, and the same bytes each time they are written."""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

OPUS_RATES_HZ = (8000, 12_000, 16_000, 24_000, 48_000)
_MIRROR = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class Format:
    """How the files of one recording are stored: names as libsndfile has them."""

    container: str
    subtype: str
    rate_hz: int
    channels: int

    @property
    def extension(self) -> str:
        """File name ending, with the dot."""
        return {"WAV": ".wav", "WAVEX": ".wav", "FLAC": ".flac", "OGG": ".ogg"}[self.container]

    def whole_frames(self, duration_s: float) -> int:
        """Frames for `duration_s`; fewer for MS-ADPCM, which stores whole blocks only and pads an incomplete one."""
        frames = max(round(duration_s * self.rate_hz), 1)
        if self.subtype != "MS_ADPCM":
            return frames
        block = _adpcm_block(self.rate_hz, self.channels)
        return max(frames // block, 1) * block


def write(path: Path, samples: NDArray[np.float64], form: Format) -> None:
    """Write (frames, channels) in [-1, 1]; two calls with the same samples write the same bytes."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, form.rate_hz, format=form.container, subtype=form.subtype)
    content = bytearray(buffer.getvalue())
    if form.container == "OGG":
        _fix_ogg_serial(content, serial=zlib.crc32(path.name.encode()))
    elif form.container in ("WAV", "WAVEX"):
        _fix_peak_time(content)
    path.write_bytes(content)


def _adpcm_block(rate_hz: int, channels: int) -> int:
    """Frames in one of libsndfile's MS-ADPCM blocks (``wavlike_srate2blocksize``)."""
    speed = rate_hz * channels
    block_bytes = 256 if speed < 12_000 else 512 if speed < 23_000 else 1024 if speed < 44_000 else 2048
    return 2 + 2 * (block_bytes - 7 * channels) // channels


def _fix_ogg_serial(content: bytearray, serial: int) -> None:
    """Replace libsndfile's random stream number in every Ogg page, and renew the page's checksum (RFC 3533)."""
    start = 0
    while start < len(content):
        segments = content[start + 26]
        stop = start + 27 + segments + sum(content[start + 27 : start + 27 + segments])
        content[start + 14 : start + 18] = struct.pack("<I", serial)
        content[start + 22 : start + 26] = bytes(4)
        # Ogg's CRC is zlib's polynomial, bits the other way round, without the inversions
        mirrored = zlib.crc32(content[start:stop].translate(_MIRROR), 0xFFFFFFFF) ^ 0xFFFFFFFF
        content[start + 22 : start + 26] = struct.pack(">I", mirrored).translate(_MIRROR)
        start = stop


def _fix_peak_time(content: bytearray) -> None:
    """Zero the time of writing that libsndfile puts into the PEAK chunk of float files."""
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        if name == b"PEAK":
            content[position + 12 : position + 16] = bytes(4)
            return
        position += 8 + size + size % 2
