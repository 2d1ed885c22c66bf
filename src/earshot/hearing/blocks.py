"""What every decoder hands on: a description of the file, and its sound in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

Source = str | Path | BinaryIO
"""A path, or a binary file object; one that can seek is read from its beginning, wherever it stands."""

Blocks = Iterator[np.ndarray]
"""Blocks of int16, int32 or float32, shape (frames, channels), each valid until the next one is asked for."""

BLOCK_SAMPLES = 1 << 16  # samples over all channels decoded at once: 256 KB as float32, which stay in the CPU's cache
FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31, np.dtype(np.float32): 1.0}


@dataclass(frozen=True)
class AudioInfo:
    """What the file says of itself.

    `bits` is 0 where the codec has no sample width (Vorbis, Opus, MP3, AAC); `frames` is the header's claim, 0 where
    it makes none.
    """

    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    bits: int
    frames: int
