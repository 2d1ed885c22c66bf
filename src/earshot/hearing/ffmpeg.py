"""Decoding by FFmpeg (PyAV), with the demuxer fixed: what phones, browsers and cameras make, and damaged files.

A packet that cannot be decoded costs itself and nothing after it. Silence stands where sound is missing, so that what
follows keeps its time: by the time stamps where the container has them, else by `missing`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from earshot.hearing.blocks import BLOCK_SAMPLES, AudioInfo, Blocks
from earshot.hearing.mpeg import Missing
from earshot.hearing.notes import DAMAGED, GAP, TRUNCATED, Notes

_FRAMES_ALONE = {"mp3", "aac", "loas", "ac3", "eac3", "dts", "amr"}  # no time stamps: FFmpeg only counts what it finds
_JUMP_S = 0.005  # a stamp this much later than the end of the sound before it; stamps are rounded to milliseconds
_GAP_S = 0.02  # sound that is missing by the stamps, before silence is put in its place
_LONGEST_GAP_S = 600.0  # a longer one is a clock that was set anew
_TRUNCATED_S = 0.5  # less sound than the container promises by more than this
_MOST_FAILURES = 64  # of the demuxer, one after another, without a packet


class FfmpegError(Exception):
    """FFmpeg does not take the file. The message is empty, or says what sound it holds that cannot be decoded."""


@dataclass(frozen=True)
class Plan:
    """How FFmpeg is to read a file.

    Attributes:
        demuxer: FFmpeg's name of the container.
        options: of the demuxer.
        missing: stretches without sound, where the format has no time stamps.
        silent: byte offsets of what is no sound and no damage, as `earshot.hearing.mpeg.FrameChain`.
        damaged: it is known that something is missing; else missing time is a pause.
    """

    demuxer: str
    options: tuple[tuple[str, str], ...] = ()
    missing: Sequence[Missing] = ()
    silent: Sequence[int] = ()
    damaged: bool = False


def open_ffmpeg(stream: BinaryIO, plan: Plan, notes: Notes, stack: contextlib.ExitStack) -> tuple[AudioInfo, Blocks]:
    """Description and blocks of the first sound track in `stream`, which stands at its beginning.

    Raises:
        FfmpegError: it has none that can be decoded; from the blocks, where all of it is damaged.
    """
    import av  # 30 ms and some 20 MB that a service of WAV files never pays

    options = {"protocol_whitelist": "", **dict(plan.options)}  # nothing else is opened, whatever the file asks for
    try:
        container = stack.enter_context(av.open(stream, format=plan.demuxer, metadata_errors="ignore", options=options))
        tracks: list[Any] = [track for track in container.streams if track.type == "audio"]
        usable = [track for track in tracks if track.codec_context is not None and track.rate and track.channels]
        if not usable:
            codecs = ", ".join(sorted({_codec(track) for track in tracks}))
            raise FfmpegError(f"its sound is coded as {codecs}, which is not decoded here" if codecs else "")
        track = usable[0]
        if plan.demuxer == "flac":  # a frame whose checksum is wrong would be a burst of noise
            track.codec_context.options = {"err_detect": "crccheck+explode"}
        codec = track.codec_context.name
    except (av.error.FFmpegError, ValueError) as error:
        raise FfmpegError("") from error
    info = AudioInfo(plan.demuxer.upper(), codec.upper(), int(track.rate), int(track.channels), 0, 0)
    return info, _Reader(container, track, info, plan, notes).blocks()


def _codec(track: Any) -> str:
    return getattr(track.codec_context, "name", None) or "an unknown format"


class _Reader:
    """Reads one track, and keeps its time."""

    def __init__(self, container: Any, track: Any, info: AudioInfo, plan: Plan, notes: Notes) -> None:
        self._container, self._track, self._info, self._plan, self._notes = container, track, info, plan, notes
        self._position = 0  # frames handed on so far, silence included
        self._origin_s: float | None = None  # time stamp of the beginning
        self._next_s: float | None = None  # time stamp at which the sound so far ends
        self._failed = False  # something could not be decoded since the last sound
        self._failures = 0
        self._lost_s = 0.0  # of packets that failed since the last sound, where there are no time stamps
        self._missing = list(plan.missing)
        self._converter: Any = None
        self._format: tuple[Any, ...] = ()

    def blocks(self) -> Blocks:
        import av

        stamped = self._plan.demuxer not in _FRAMES_ALONE
        sound = False
        for packet in self._packets():
            if not stamped:
                yield from self._missing_before(packet)
            try:
                frames = packet.decode() if packet is not None else self._track.codec_context.decode(None)
            except (av.error.FFmpegError, ValueError):
                self._failure(packet, stamped)
                continue
            for frame in frames:
                yield from self._catch_up(frame) if stamped else self._silence(self._lost_s, DAMAGED)
                yield from self._converted(frame)
                sound, self._failed, self._lost_s = True, False, 0.0
        yield from self._rest()
        if self._failures and not sound:
            raise FfmpegError("")
        if sound and stamped:
            self._end()

    def _packets(self) -> Iterator[Any]:
        """All packets of the track; the demuxer is asked again where it stumbles over damage."""
        import av

        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._track):
                    failures = 0
                    yield packet
            except (av.error.FFmpegError, ValueError):
                self._failed = True
                self._failures += 1
                failures += 1
                if failures < _MOST_FAILURES:
                    continue
                yield None  # what the decoder still holds
            return

    def _failure(self, packet: Any, stamped: bool) -> None:
        """A packet that was not decoded: the stamp of what follows tells how much is missing, or else its duration."""
        self._failed = True
        self._failures += 1
        if packet is None or not packet.size:
            return
        if stamped:
            if self._origin_s is None and packet.pts is not None:
                self._origin_s = float(packet.pts * packet.time_base)
            return
        inside = range(packet.pos or 0, (packet.pos or 0) + packet.size)
        if packet.duration and not any(place in inside for place in self._plan.silent):
            self._lost_s += float(packet.duration * packet.time_base)

    def _missing_before(self, packet: Any) -> Blocks:
        while self._missing and packet is not None and packet.pos is not None and packet.pos >= self._missing[0].at:
            yield from self._silence(self._missing.pop(0).seconds, DAMAGED)

    def _catch_up(self, frame: Any) -> Blocks:
        """Silence for the time that is missing before `frame`."""
        duration_s = frame.samples / frame.sample_rate
        if frame.pts is None:
            if self._next_s is not None:
                self._next_s += duration_s
            return
        begin_s = float(frame.pts * frame.time_base)
        if self._origin_s is None:
            self._origin_s = begin_s
        jump_s = begin_s - (self._origin_s if self._next_s is None else self._next_s)
        missing_s = begin_s - self._origin_s - self._position / self._info.sample_rate_hz
        if jump_s > _LONGEST_GAP_S or jump_s < -_GAP_S:
            self._origin_s += missing_s  # a clock that was set anew: a joined file, or a broken stamp
        elif jump_s > _JUMP_S and missing_s > _GAP_S:
            yield from self._silence(missing_s, DAMAGED if self._failed or self._plan.damaged else GAP)
        elif self._failed:
            at_s = self._position / self._info.sample_rate_hz
            self._notes.stretch(DAMAGED, at_s, at_s)
        self._next_s = begin_s + duration_s

    def _silence(self, duration_s: float, reason: str) -> Blocks:
        rate_hz = self._info.sample_rate_hz
        frames = round(duration_s * rate_hz)
        if not frames:
            return
        self._notes.stretch(reason, self._position / rate_hz, (self._position + frames) / rate_hz)
        most = max(1, BLOCK_SAMPLES // self._info.channels)
        while frames > 0:
            block = np.zeros((min(frames, most), self._info.channels), np.float32)
            self._position += len(block)
            frames -= len(block)
            yield block

    def _converted(self, frame: Any) -> Blocks:
        """The frame as float32; one of another rate or with other channels, as in joined files, as the first ones."""
        import av

        this = (frame.format.name, frame.layout.name, frame.sample_rate)
        if this != self._format:
            yield from self._rest()
            self._format = this
            self._converter = av.AudioResampler(
                format="fltp", layout=self._track.layout.name, rate=self._info.sample_rate_hz
            )
        for planar in self._converter.resample(frame):
            yield self._block(planar)

    def _rest(self) -> Blocks:
        """What the converter still holds: nothing, unless it changes the rate."""
        if self._format and self._format[2] != self._info.sample_rate_hz:
            for planar in self._converter.resample(None):
                yield self._block(planar)

    def _block(self, planar: Any) -> np.ndarray:
        self._position += planar.samples
        return np.ascontiguousarray(planar.to_ndarray().T, dtype=np.float32)

    def _end(self) -> None:
        """Note what is missing at the end."""
        heard_s = self._position / self._info.sample_rate_hz
        track, container = self._track, self._container
        promised_s = float(track.duration * track.time_base) if track.duration else 0.0
        if not promised_s and container.duration and len(container.streams) == 1:
            promised_s = container.duration / 1e6
        if promised_s > heard_s + _TRUNCATED_S:
            message = f"the file promises {promised_s:.2f} s and holds {heard_s:.2f} s: it is cut off or damaged"
            self._notes.add(TRUNCATED, message)
        elif self._failed and promised_s > heard_s + _GAP_S:
            self._notes.stretch(DAMAGED, heard_s, None)
