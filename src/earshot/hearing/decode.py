"""Sound files to mono float32 at one sampling rate: what training and serving both hear.

`stream_mono` is the one road: decode in blocks, mix to mono, resample. Resampling does not depend on how the signal is
cut into blocks, so a file read at once (`read_mono`) and hours read in blocks hold the same samples, and memory never
depends on a file's length or on what its header claims.

The type of a file is judged by its content, never by its name. libsndfile decodes what it knows, and FFmpeg the rest,
with its demuxer fixed by the file's signature. FFmpeg also gets the files that libsndfile would not play to their ends
(joined, damaged, with a wrong size or a pause in them): what such a file holds is heard, and `Note`s tell the rest.
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from earshot.hearing.blocks import FULL_SCALE, AudioInfo, Blocks, Source
from earshot.hearing.ffmpeg import FfmpegError, Plan, open_ffmpeg
from earshot.hearing.limits import (
    DEFAULT_LIMITS,
    AudioError,
    AudioLimitError,
    AudioLimits,
    NoAudioError,
    UndecodableError,
)
from earshot.hearing.mix import mix
from earshot.hearing.mpeg import FRAMES, read_frames
from earshot.hearing.notes import DAMAGED, JOINED, TRUNCATED, Note, Notes
from earshot.hearing.ogg import MOST_JOINED, read_pages
from earshot.hearing.resample import Resampler
from earshot.hearing.riff import WavExtent, wav_extent
from earshot.hearing.signatures import CONVERT, decoders, describe_content, read_head
from earshot.hearing.sndfile import SndfileError, open_sndfile
from earshot.hearing.views import from_pipe, part

__all__ = [
    "DEFAULT_LIMITS",
    "AudioError",
    "AudioInfo",
    "AudioLimitError",
    "AudioLimits",
    "Decoded",
    "MonoStream",
    "NoAudioError",
    "Note",
    "Source",
    "UndecodableError",
    "decode",
    "describe_content",
    "read_mono",
    "stream_mono",
]

_TRUNCATED_S = 0.1  # less sound than the header promises by more than this
_IGNORE_SIZE = (("ignore_length", "1"), ("max_size", "262144"))  # of FFmpeg's WAV demuxer

# glibc hands freed memory back to the kernel until it has seen a larger block freed: its thresholds follow the largest.
# The page faults of taking it again are 30 to 40 % of the time for a clip in a fresh process.
np.empty(4 << 20, np.uint8)  # allocated, never touched and freed at once


@dataclass(frozen=True)
class Decoded:
    """A whole file: `samples` is float32 of shape (frames, channels), full scale at +-1."""

    samples: np.ndarray
    info: AudioInfo
    notes: tuple[Note, ...] = ()


def decode(source: Source, limits: AudioLimits = DEFAULT_LIMITS) -> Decoded:
    """Decode every channel of `source` as it is, without mixing or resampling.

    Non-finite samples are returned, not refused, so that an audit can count them.

    Raises:
        UndecodableError, AudioLimitError: see there.
        NoAudioError: no samples at all.
    """
    notes = Notes()
    with _open(source, limits, notes) as (info, blocks):
        parts = [_to_float32(block) for block in blocks]
    if not parts:
        raise NoAudioError("the file decodes, but holds no samples")
    return Decoded(parts[0] if len(parts) == 1 else np.concatenate(parts), info, notes.all())


class MonoStream(Iterator[np.ndarray]):
    """The blocks of one sound, and what is to be said about it.

    Attributes:
        notes: of what was read so far; all of them once the stream has ended.
    """

    def __init__(self, source: Source, sample_rate_hz: int, limits: AudioLimits) -> None:
        self._notes = Notes()
        self._blocks = _mono_blocks(source, sample_rate_hz, limits, self._notes)

    def __next__(self) -> np.ndarray:
        return next(self._blocks)

    @property
    def notes(self) -> tuple[Note, ...]:
        return self._notes.all()


def stream_mono(source: Source, sample_rate_hz: int, limits: AudioLimits = DEFAULT_LIMITS) -> MonoStream:
    """The sound of `source` as mono float32 blocks of shape (samples,) at `sample_rate_hz`, full scale at +-1.

    Damage in the middle of a file is no error: what can be decoded is, and the stream's notes name the rest.

    Raises:
        UndecodableError, AudioLimitError: see there; while the blocks are read.
        NoAudioError: no samples at all, or a NaN or infinity among them.
    """
    return MonoStream(source, sample_rate_hz, limits)


def read_mono(source: Source, sample_rate_hz: int, limits: AudioLimits = DEFAULT_LIMITS) -> np.ndarray:
    """The whole of `source` as mono float32 of shape (samples,) at `sample_rate_hz`. Raises as `stream_mono`."""
    return np.concatenate(list(stream_mono(source, sample_rate_hz, limits)))


def _mono_blocks(source: Source, sample_rate_hz: int, limits: AudioLimits, notes: Notes) -> Iterator[np.ndarray]:
    with _open(source, limits, notes) as (info, blocks):
        same_rate = info.sample_rate_hz == sample_rate_hz
        resampler = None if same_rate else Resampler(info.sample_rate_hz, sample_rate_hz)
        heard = False
        for mono in mix(blocks, info.sample_rate_hz, notes):
            if not np.isfinite(mono).all():
                raise NoAudioError("the file holds samples that are not finite numbers", "not_finite")
            heard = True
            yield mono if resampler is None else resampler.push(mono)
        if not heard:
            raise NoAudioError("the file decodes, but holds no samples")
        if resampler is not None:
            yield resampler.finish()


def _to_float32(block: np.ndarray) -> np.ndarray:
    samples = block.astype(np.float32)  # a copy in any case: decoders use their block again
    samples *= np.float32(1 / FULL_SCALE[block.dtype])
    return samples


@contextlib.contextmanager
def _open(source: Source, limits: AudioLimits, notes: Notes) -> Iterator[tuple[AudioInfo, Blocks]]:
    """Open `source` with the decoder that its content asks for; yields its description and its blocks."""
    with contextlib.ExitStack() as stack:
        own_file = isinstance(source, str | Path)
        stream: Any = source
        if isinstance(source, str | Path):
            try:
                stream = stack.enter_context(open(source, "rb", buffering=0))
            except OSError as error:
                raise UndecodableError(f"cannot be opened: {error.strerror}", "missing") from error
        try:
            if not stream.seekable():
                stream = stack.enter_context(from_pipe(stream))
                own_file = False
            info, blocks = _File(stream, notes, stack, own_file).open()
        except OSError as error:
            raise UndecodableError(f"cannot be read: {error.strerror}", "unreadable") from error
        yield info, limits.held(info.sample_rate_hz, info.channels, info.frames, blocks)


class _File:
    """One file that can seek, and the decoders for it."""

    def __init__(self, stream: BinaryIO, notes: Notes, stack: contextlib.ExitStack, own_file: bool = False) -> None:
        self._stream, self._notes, self._stack, self._own_file = stream, notes, stack, own_file
        self._head = read_head(stream)

    def open(self) -> tuple[AudioInfo, Blocks]:
        """Description and blocks.

        Raises:
            UndecodableError: no decoder takes it.
        """
        asked = decoders(self._head)
        plan = None if asked.demuxer is None else Plan(asked.demuxer)
        trusted = True  # libsndfile would play it to its end
        if asked.demuxer == "wav":
            parts = _joined_wavs(self._stream, self._notes)
            if len(parts) > 1:
                return self._open_joined(list(accumulate(extent.end for extent in parts)))
            if parts[0].unreliable:
                self._stream, self._own_file = part(self._stream, 0, parts[0].end), False
                trusted, plan = False, Plan("wav", _IGNORE_SIZE)
        elif asked.demuxer == "ogg":
            pages = read_pages(self._stream)
            if pages.joined:
                return self._open_joined([*pages.joined, self._stream.seek(0, io.SEEK_END)])
            trusted, plan = pages.whole, Plan("ogg", damaged=pages.damaged)
            if pages.end is not None:
                self._stream, self._own_file, plan = part(self._stream, 0, pages.end), False, None
                self._notes.add(DAMAGED, "most of the file is damaged: heard to there")
            if pages.begins_damaged:
                self._notes.stretch(DAMAGED, 0.0, 0.0)
            if pages.truncated:
                self._notes.add(TRUNCATED, "the file is cut off: it ends in the middle of a page")
        elif asked.demuxer in FRAMES:
            chain = read_frames(self._stream, asked.demuxer)
            trusted, plan = chain.whole, Plan(asked.demuxer, missing=chain.missing, silent=chain.silent)
        return self._decoded(asked.libsndfile, trusted, plan)

    def _decoded(self, libsndfile: bool, trusted: bool, plan: Plan | None) -> tuple[AudioInfo, Blocks]:
        why = ""
        for by_libsndfile in (True, False) if trusted else (False, True):
            self._stream.seek(0)
            try:
                if by_libsndfile and libsndfile:
                    info, blocks = open_sndfile(self._stream, self._head, self._stack, self._own_file)
                    return info, self._to_the_end(info, blocks, plan)
                if not by_libsndfile and plan is not None:
                    info, blocks = open_ffmpeg(self._stream, plan, self._notes, self._stack)
                    return info, self._some(blocks)
            except SndfileError:
                pass
            except FfmpegError as error:
                why = str(error)
        raise UndecodableError(self._refusal() + (f"; {why}: {CONVERT}" if why else ""))

    def _refusal(self) -> str:
        return f"not audio that can be decoded; it looks like {describe_content(self._head)}"

    def _some(self, blocks: Blocks) -> Blocks:
        """FFmpeg's blocks, of which there are some."""
        try:
            yield from blocks
        except FfmpegError as error:
            raise UndecodableError(self._refusal()) from error

    def _to_the_end(self, info: AudioInfo, blocks: Blocks, plan: Plan | None) -> Blocks:
        """Libsndfile's blocks; where it stops at damage, FFmpeg's from there on."""
        frames = 0
        try:
            for block in blocks:
                frames += len(block)
                yield block
        except SndfileError as error:
            more = 0
            for block in self._behind(info, frames, plan):
                more += len(block)
                yield block
            if not frames + more:
                raise UndecodableError(f"a damaged {info.container} file: {error}") from error
            if not more:
                self._notes.stretch(DAMAGED, frames / info.sample_rate_hz, None)
            frames += more
        if info.frames > frames + _TRUNCATED_S * info.sample_rate_hz:
            promised_s, held_s = info.frames / info.sample_rate_hz, frames / info.sample_rate_hz
            message = (
                f"the header promises {promised_s:.2f} s and the file holds {held_s:.2f} s: it is cut off or damaged"
            )
            self._notes.add(TRUNCATED, message)

    def _behind(self, info: AudioInfo, frames: int, plan: Plan | None) -> Blocks:
        """What FFmpeg decodes behind the first `frames`."""
        if plan is None:
            return
        self._stream.seek(0)
        with contextlib.ExitStack() as stack:
            try:
                other, blocks = open_ffmpeg(self._stream, replace(plan, damaged=True), self._notes, stack)
            except FfmpegError:
                return
            if (other.sample_rate_hz, other.channels) != (info.sample_rate_hz, info.channels):
                return
            with contextlib.suppress(FfmpegError):
                for block in blocks:
                    if len(block) > frames:
                        yield block[frames:]
                    frames = max(0, frames - len(block))

    def _open_joined(self, ends: list[int]) -> tuple[AudioInfo, Blocks]:
        info, first = _File(part(self._stream, 0, ends[0]), self._notes, self._stack).open()
        return replace(info, frames=0), self._joined(info, first, ends)

    def _joined(self, info: AudioInfo, first: Blocks, ends: list[int]) -> Blocks:
        """The sound of files that end at the bytes `ends`, as long as their rates and channels agree."""
        frames = 0
        for block in first:
            frames += len(block)
            yield block
        for begin, end in pairwise(ends):
            with contextlib.ExitStack() as stack:
                window = part(self._stream, begin, end)
                try:
                    other, blocks = _File(window, self._notes, stack).open()
                except UndecodableError:
                    other, blocks = None, iter(())
                if other is None or (other.sample_rate_hz, other.channels) != (info.sample_rate_hz, info.channels):
                    at_s = frames / info.sample_rate_hz
                    self._notes.add(JOINED, f"what follows after {at_s:.2f} s is a file of another format: not heard")
                    return
                for block in blocks:
                    frames += len(block)
                    yield block


def _joined_wavs(stream: BinaryIO, notes: Notes) -> list[WavExtent]:
    """The extents of all WAV files in `stream`, each from where the one before it ends. Mostly there is one."""
    parts = [wav_extent(stream, notes)]
    begin = parts[0].end
    while parts[-1].next_file is not None and len(parts) < MOST_JOINED:
        size = stream.seek(0, io.SEEK_END)
        parts.append(wav_extent(part(stream, begin, size), notes))
        begin += parts[-1].end
    return parts
