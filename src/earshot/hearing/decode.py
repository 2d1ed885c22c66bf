"""Sound files to mono float32 at one sampling rate: what training and serving both hear.

`stream_mono` is the one road: decode in blocks, mix to mono, resample. Resampling does not depend on how the signal is
cut into blocks, so a file read at once (`read_mono`) and hours read in blocks hold the same samples, and memory never
depends on a file's length or on what its header claims.

The type of a file is judged by its content, never by its name. libsndfile (soundfile) decodes what it knows; FFmpeg
(PyAV), with its demuxer fixed by the file's signature, decodes what phones and browsers make (m4a, mp4, webm, 3gp,
AAC). FFmpeg is never left to guess: some of its demuxers are playlists that open other files and addresses.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from earshot.core.errors import EarshotError
from earshot.hearing.resample import Resampler

Source = str | Path | BinaryIO
"""A path, or a binary file object that can seek (positioned anywhere; it is read from its beginning)."""

_BLOCK_SAMPLES = 1 << 16  # samples over all channels decoded at once: 256 KB as float32, which stay in the CPU's cache

# Encodings of at most 16 bits: decoded to int16 without loss, and converted once, after the mix to mono.
_INT16_SUBTYPES = {"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "MS_ADPCM", "IMA_ADPCM", "G721_32", "GSM610"}
_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31, np.dtype(np.float32): 1.0}
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}


# glibc hands freed memory back to the kernel until it has seen a larger block freed: its thresholds follow the largest.
# The page faults of taking it again are 30 to 40 % of the time for a clip in a fresh process.
np.empty(4 << 20, np.uint8)  # allocated, never touched and freed at once


class AudioError(EarshotError, ValueError):
    """A sound file that cannot be used. `reason` is a short code for counting; the message says it to a person."""

    reason = "audio"

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:  # so that it crosses process borders with its reason
        return type(self), (str(self), self.reason)


class UndecodableError(AudioError):
    """The content is not audio that can be decoded; the message names what it looks like."""

    reason = "undecodable"


class NoAudioError(AudioError):
    """It decodes, but there is nothing in it: no samples (`no_samples`) or NaN and infinity (`not_finite`)."""

    reason = "no_samples"


class AudioLimitError(AudioError):
    """More than the limits allow: `too_long`, `too_many_channels` or `sample_rate`."""

    reason = "too_long"


@dataclass(frozen=True)
class AudioLimits:
    """What is refused before it is decoded whole.

    Attributes:
        max_duration_s: longest sound in seconds. Checked in the header, and again while decoding, since headers lie.
        max_channels: most channels.
        min_sample_rate_hz: lowest sampling rate.
        max_sample_rate_hz: highest sampling rate.
    """

    max_duration_s: float = 24 * 3600.0
    max_channels: int = 32
    min_sample_rate_hz: int = 2_000
    max_sample_rate_hz: int = 384_000


DEFAULT_LIMITS = AudioLimits()


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


@dataclass(frozen=True)
class Decoded:
    """A whole file: `samples` is float32 of shape (frames, channels), full scale at +-1."""

    samples: np.ndarray
    info: AudioInfo


def decode(source: Source, limits: AudioLimits = DEFAULT_LIMITS) -> Decoded:
    """Decode every channel of `source` as it is, without mixing or resampling.

    Non-finite samples are returned, not refused, so that an audit can count them.

    Raises:
        UndecodableError, AudioLimitError: see there.
        NoAudioError: no samples at all.
    """
    with _open(source, limits) as (info, blocks):
        parts = [_to_float32(block) for block in blocks]
    if not parts:
        raise NoAudioError("the file decodes, but holds no samples")
    return Decoded(parts[0] if len(parts) == 1 else np.concatenate(parts), info)


def stream_mono(source: Source, sample_rate_hz: int, limits: AudioLimits = DEFAULT_LIMITS) -> Iterator[np.ndarray]:
    """Yield the sound of `source` as mono float32 blocks of shape (samples,) at `sample_rate_hz`, full scale at +-1.

    Raises:
        UndecodableError, AudioLimitError: see there.
        NoAudioError: no samples at all, or a NaN or infinity among them.
    """
    with _open(source, limits) as (info, blocks):
        same_rate = info.sample_rate_hz == sample_rate_hz
        resampler = None if same_rate else Resampler(info.sample_rate_hz, sample_rate_hz)
        heard = False
        for block in blocks:
            mono = _to_mono(block)
            if block.dtype == np.float32 and not np.isfinite(mono).all():
                raise NoAudioError("the file holds samples that are not finite numbers", "not_finite")
            heard = True
            yield mono if resampler is None else resampler.push(mono)
        if not heard:
            raise NoAudioError("the file decodes, but holds no samples")
        if resampler is not None:
            yield resampler.finish()


def read_mono(source: Source, sample_rate_hz: int, limits: AudioLimits = DEFAULT_LIMITS) -> np.ndarray:
    """The whole of `source` as mono float32 of shape (samples,) at `sample_rate_hz`. Raises as `stream_mono`."""
    return np.concatenate(list(stream_mono(source, sample_rate_hz, limits)))


def describe_content(head: bytes) -> str:
    """Name what a file's first bytes look like, for the message of a refusal."""
    if not head:
        return "an empty file"
    for offset, magic, name in _LOOKS_LIKE:
        if head[offset : offset + len(magic)] == magic:
            return name
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    try:
        text = head[:512].decode("utf-8")
    except UnicodeDecodeError:
        return "unknown binary data"
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return "plain text" if printable >= 0.9 * len(text) else "unknown binary data"


_LOOKS_LIKE = (
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"MThd", "a MIDI file, which holds notes and no sound"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
    (8, b"WAVE", "a WAV file with a damaged or unknown content"),
    (0, b"RIFF", "a RIFF file that is not WAV"),
    (0, b"fLaC", "a damaged FLAC file"),
    (0, b"OggS", "an Ogg file with a damaged or unknown stream"),
    (0, b"FORM", "an AIFF file with a damaged or unknown content"),
    (0, b"ID3", "a damaged MP3 file"),
    (4, b"ftyp", "an MP4 file with damaged or no sound"),
    (0, b"\x1aE\xdf\xa3", "a WebM or Matroska file with damaged or no sound"),
)


def _to_float32(block: np.ndarray) -> np.ndarray:
    samples = block.astype(np.float32)  # a copy in any case: decoders use their block again
    samples *= np.float32(1 / _FULL_SCALE[block.dtype])
    return samples


def _to_mono(block: np.ndarray) -> np.ndarray:
    """Mean over channels of int16, int32 or float32 (frames, channels), as float32 at full scale +-1.

    Channels are added one after another: a BLAS product may round differently with the block's length, and then a
    stream would not equal a file.
    """
    channels = block.shape[1]
    samples = block.astype(np.float32)
    mono = samples[:, 0] + samples[:, 1] if channels > 1 else samples[:, 0]
    for channel in range(2, channels):
        mono += samples[:, channel]
    scale = _FULL_SCALE[block.dtype] * channels
    if scale != 1.0:
        mono *= np.float32(1 / scale)
    return mono


@contextlib.contextmanager
def _open(source: Source, limits: AudioLimits) -> Iterator[tuple[AudioInfo, Iterator[np.ndarray]]]:
    """Open `source` with the decoder its content asks for; yields its description and its blocks.

    A block is int16, int32 or float32 of shape (frames, channels), and valid until the next one is asked for.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | Path):
            try:
                stream: Any = stack.enter_context(open(source, "rb", buffering=0))
            except OSError as error:
                raise UndecodableError(f"cannot be opened: {error.strerror}", "missing") from error
        else:
            stream = source
        stream.seek(0)
        head = stream.read(4096)
        stream.seek(0)
        demuxer = _ffmpeg_demuxer(head)
        if demuxer is None:
            try:
                info, blocks = _open_soundfile(stream, head, stack, isinstance(source, str | Path))
            except UndecodableError:
                if head[:4] != b"OggS":
                    raise
                demuxer = "ogg"  # libsndfile refuses some Opus files of less than a second, which FFmpeg wrote
                stream.seek(0)
        if demuxer is not None:
            info, blocks = _open_ffmpeg(stream, head, demuxer, stack)
        yield info, _limited(info, blocks, limits)


def _limited(info: AudioInfo, blocks: Iterator[np.ndarray], limits: AudioLimits) -> Iterator[np.ndarray]:
    if not limits.min_sample_rate_hz <= info.sample_rate_hz <= limits.max_sample_rate_hz:
        raise AudioLimitError(
            f"a sampling rate of {info.sample_rate_hz} Hz is outside {limits.min_sample_rate_hz} to "
            f"{limits.max_sample_rate_hz} Hz",
            "sample_rate",
        )
    if info.channels > limits.max_channels:
        raise AudioLimitError(
            f"{info.channels} channels are more than the {limits.max_channels} allowed", "too_many_channels"
        )
    most = int(limits.max_duration_s * info.sample_rate_hz)
    frames = 0
    too_long = AudioLimitError(f"the sound is longer than the {limits.max_duration_s:g} s allowed")
    if info.frames > most:
        raise too_long
    for block in blocks:
        frames += len(block)
        if frames > most:
            raise too_long
        if len(block):
            yield block


def _open_soundfile(
    stream: BinaryIO, head: bytes, stack: contextlib.ExitStack, own_file: bool
) -> tuple[AudioInfo, Iterator[np.ndarray]]:
    # Without its name, from which soundfile would otherwise take a hint ("x.raw" would ask for a sampling rate).
    # A file opened here goes by its descriptor, which saves a Python call per read.
    handle: Any = _Nameless(stream)
    if own_file:
        handle = os.dup(stream.fileno())
        os.lseek(handle, 0, os.SEEK_SET)
    try:
        file = stack.enter_context(_Sequential(handle, closefd=True))
    except (soundfile.LibsndfileError, TypeError, ValueError, RuntimeError) as error:
        raise UndecodableError(f"not audio that can be decoded; it looks like {describe_content(head)}") from error
    info = AudioInfo(
        file.format, file.subtype, int(file.samplerate), file.channels, _BITS.get(file.subtype, 0), file.frames
    )
    if file.subtype == "PCM_24" and file.format in ("WAV", "WAVEX") and head[:4] == b"RIFF":
        file.seek(file.frames)
        end = stream.tell()
        file.seek(0)
        if end - stream.tell() == file.frames * file.channels * 3:  # as it is, unless samples are padded to 4 bytes
            return info, _pcm24_blocks(stream, file.frames, file.channels)
    return info, _soundfile_blocks(file)


def _soundfile_blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    frames = max(1, _BLOCK_SAMPLES // file.channels)
    buffer = np.empty((frames, file.channels), np.int16 if file.subtype in _INT16_SUBTYPES else np.float32)
    while True:
        try:
            block = file.read(frames, out=buffer)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise UndecodableError(f"a damaged {file.format} file: {error}") from error
        if not len(block):
            return
        yield block


def _pcm24_blocks(stream: BinaryIO, frames: int, channels: int) -> Iterator[np.ndarray]:
    """Read 24-bit little-endian samples from where `stream` stands, as int32 with a low byte of zero.

    libsndfile yields the same values one by one, at ten times the cost. Here each sample is the upper three bytes of
    an overlapping 4-byte integer, which begins in the sample before it (the first one in the header).
    """
    width = 3 * channels
    position = stream.tell()
    most = max(1, _BLOCK_SAMPLES // channels)
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


class _Nameless(io.RawIOBase):
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


def _ffmpeg_demuxer(head: bytes) -> str | None:
    """FFmpeg's name for the container, where libsndfile has no decoder for it; else None."""
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # ADTS: sync word, layer 0 (MP3's is never 0)
        return "aac"
    if head[:6] == b"#!AMR\n":
        return "amr"
    return None


def _open_ffmpeg(
    stream: BinaryIO, head: bytes, demuxer: str, stack: contextlib.ExitStack
) -> tuple[AudioInfo, Iterator[np.ndarray]]:
    import av  # 30 ms and some 20 MB that a service of WAV files never pays

    refused = UndecodableError(f"not audio that can be decoded; it looks like {describe_content(head)}")
    try:
        container = stack.enter_context(av.open(stream, format=demuxer, metadata_errors="ignore"))
        track: Any = next((s for s in container.streams if s.type == "audio"), None)
        if track is None or track.codec_context is None or not track.rate or not track.channels:
            raise refused
        codec = track.codec_context.name
    except (av.error.FFmpegError, ValueError) as error:
        raise refused from error
    info = AudioInfo(demuxer.upper(), codec.upper(), int(track.rate), int(track.channels), 0, 0)
    return info, _ffmpeg_blocks(container, track, info)


def _ffmpeg_blocks(container: Any, track: Any, info: AudioInfo) -> Iterator[np.ndarray]:
    import av

    resampler = av.AudioResampler(format="fltp", layout=track.layout.name, rate=info.sample_rate_hz)
    try:
        for frame in container.decode(track):
            for planar in resampler.resample(frame):
                yield np.ascontiguousarray(planar.to_ndarray().T, dtype=np.float32)
    except (av.error.FFmpegError, ValueError) as error:
        raise UndecodableError(f"a damaged {info.container} file: {error}") from error
