"""Decoding by libsndfile (soundfile): WAV, FLAC, Ogg, MP3, AIFF and their odd encodings."""

import contextlib
import os
from typing import Any, BinaryIO

import numpy as np
import soundfile

from earshot.hearing.blocks import BLOCK_SAMPLES, AudioInfo, Blocks
from earshot.hearing.views import Nameless

# Encodings of at most 16 bits: decoded to int16 without loss, and converted once, after the mix to mono.
_INT16_SUBTYPES = {"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "MS_ADPCM", "IMA_ADPCM", "G721_32", "GSM610"}
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
_MOST_FRAMES = 1 << 62  # libsndfile's count where a file does not say its own


class SndfileError(Exception):
    """libsndfile does not take the file, or stops in it."""


def open_sndfile(
    stream: BinaryIO, head: bytes, stack: contextlib.ExitStack, own_file: bool
) -> tuple[AudioInfo, Blocks]:
    """Description and blocks of the file in `stream`, which stands at its beginning; `head` is what it begins with.

    With `own_file`, `stream` has a descriptor that libsndfile reads by itself: that saves a Python call per read.

    Raises:
        SndfileError: here, or from the blocks after some of them.
    """
    # Without its name, from which soundfile would otherwise take a hint ("x.raw" would ask for a sampling rate).
    handle: Any = Nameless(stream)
    if own_file:
        handle = os.dup(stream.fileno())
        os.lseek(handle, 0, os.SEEK_SET)
    try:
        file = stack.enter_context(_Sequential(handle, closefd=True))
    except (soundfile.LibsndfileError, TypeError, ValueError, RuntimeError) as error:
        raise SndfileError(str(error)) from error
    frames = file.frames if file.frames < _MOST_FRAMES else 0
    info = AudioInfo(file.format, file.subtype, int(file.samplerate), file.channels, _BITS.get(file.subtype, 0), frames)
    if file.subtype == "PCM_24" and file.format in ("WAV", "WAVEX") and head[:4] == b"RIFF":
        file.seek(file.frames)
        end = stream.tell()
        file.seek(0)
        if end - stream.tell() == file.frames * file.channels * 3:  # as it is, unless samples are padded to 4 bytes
            return info, _pcm24_blocks(stream, file.frames, file.channels)
    return info, _blocks(file)


def _blocks(file: soundfile.SoundFile) -> Blocks:
    frames = max(1, BLOCK_SAMPLES // file.channels)
    buffer = np.empty((frames, file.channels), np.int16 if file.subtype in _INT16_SUBTYPES else np.float32)
    while True:
        try:
            block = file.read(frames, out=buffer)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise SndfileError(str(error)) from error
        if not len(block):
            return
        yield block


def _pcm24_blocks(stream: BinaryIO, frames: int, channels: int) -> Blocks:
    """Read 24-bit little-endian samples from where `stream` stands, as int32 with a low byte of zero.

    libsndfile yields the same values one by one, at ten times the cost. Here each sample is the upper three bytes of
    an overlapping 4-byte integer, which begins in the sample before it (the first one in the header).
    """
    width = 3 * channels
    position = stream.tell()
    most = max(1, BLOCK_SAMPLES // channels)
    buffer = np.empty((min(frames, most), channels), np.int32)
    while frames > 0:
        stream.seek(position - 1)
        data = stream.read(1 + width * min(frames, most))
        whole = (len(data) - 1) // width
        if whole <= 0:
            return
        overlapping = np.ndarray((whole, channels), "<i4", data, strides=(width, 3))
        yield np.bitwise_and(overlapping, np.int32(-256), out=buffer[:whole])
        position += whole * width
        frames -= whole


class _Sequential(soundfile.SoundFile):
    """A sound file that is read from front to back.

    soundfile seeks after every read of a file that can seek. MP3 and Opus decoders lose their state by that, and what
    follows would depend on the size of the blocks.
    """

    def seekable(self) -> bool:
        return False
