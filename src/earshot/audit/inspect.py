"""Decode one file in full and measure it. Runs in worker processes, so it imports little."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earshot.core.files import name_on_disk
from earshot.hearing.decode import AudioError, AudioLimits, decode
from earshot.hearing.mix import mix
from earshot.hearing.notes import CHANNELS, DAMAGED, GAP, JOINED, SIZE, TRUNCATED, Note, Notes

FULL_SCALE = 0.999  # at or above this a sample is at full scale (16-bit full scale is 0.99997)
RENAME = "rename it (`convmv -f latin1 -t utf8 --notest <file>`)"
SILENCE_FLOOR_DB = -200.0  # stands for digital silence, whose level is minus infinity


@dataclass(frozen=True)
class FileReport:
    """What is in one file.

    Attributes:
        path: as in the table of clips.
        reason: why the file cannot be used (`missing`, `name_not_utf8`, `empty`, `undecodable`, `not_finite`,
            `crashed`, or a limit of `earshot.hearing.decode`); empty for a good file.
        detail: the reason in a sentence; empty for a good file.
        bytes: size on disk.
        sha256: of the file's bytes; empty if it cannot be read.
        samples_sha256: of the decoded samples, rate and channels: equal for copies in different lossless formats.
        container, codec: for example WAV and PCM_16.
        bits: per sample; 0 where the codec has no such thing.
        peak_db, rms_db: relative to full scale, over all channels; never below `SILENCE_FLOOR_DB`.
        dc_offset: mean of the channel that is furthest from zero; 1 is full scale.
        clipped_fraction: share of samples at full scale that follow another one there.
        truncated: the header promises more than the file holds; what is there was decoded.
        damaged: a stretch cannot be decoded, time is missing, the header's size is wrong, or another file follows.
        cancelling: the channels cancel each other in the mix, and one is heard alone.
        notes: the same in sentences.
    """

    path: str
    reason: str = ""
    detail: str = ""
    bytes: int = 0
    sha256: str = ""
    samples_sha256: str = ""
    container: str = ""
    codec: str = ""
    sample_rate_hz: int = 0
    channels: int = 0
    bits: int = 0
    duration_s: float = 0.0
    peak_db: float = 0.0
    rms_db: float = 0.0
    dc_offset: float = 0.0
    clipped_fraction: float = 0.0
    truncated: bool = False
    damaged: bool = False
    cancelling: bool = False
    notes: str = ""


def inspect(root: str, path: str, max_duration_s: float) -> FileReport:
    """Read and decode the file at `root`/`path` to its last sample; what is wrong with it comes back as `reason`."""
    file = Path(root) / path
    try:
        size = file.stat().st_size
        digest = _sha256(file)
    except FileNotFoundError:
        if name_on_disk(root, path):
            return FileReport(path, "name_not_utf8", f"its name is not UTF-8 and is shown with escapes; {RENAME}")
        return FileReport(path, "missing", "the table lists it, but there is no such file")
    except OSError as error:
        return FileReport(path, "unreadable", f"the file cannot be read: {error.strerror}")
    found = FileReport(path, bytes=size, sha256=digest)
    if size == 0:
        return _rejected(found, "empty", "the file has no bytes")
    try:
        decoded = decode(file, AudioLimits(max_duration_s=max_duration_s))
    except AudioError as error:
        return _rejected(found, "empty" if error.reason == "no_samples" else error.reason, str(error))
    samples, info = decoded.samples, decoded.info
    wrong = samples.size - int(np.count_nonzero(np.isfinite(samples)))
    if wrong:
        return _rejected(found, "not_finite", f"{wrong} of {samples.size} samples are not finite numbers")
    peak = float(np.abs(samples).max())
    means = samples.mean(axis=0, dtype=np.float64)
    at_full_scale = np.abs(samples) >= FULL_SCALE
    notes = decoded.notes + _mixed(samples, info.sample_rate_hz)
    noted = {note.reason for note in notes}
    contents = hashlib.sha256(f"{info.sample_rate_hz} {info.channels} ".encode())
    contents.update(np.ascontiguousarray(samples, dtype="<f4").data)
    return FileReport(
        path=path,
        bytes=size,
        sha256=digest,
        samples_sha256=contents.hexdigest(),
        container=info.container,
        codec=info.codec,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        bits=info.bits,
        duration_s=len(samples) / info.sample_rate_hz,
        peak_db=_db(peak),
        rms_db=_db(float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))),
        dc_offset=float(means[np.argmax(np.abs(means))]),
        clipped_fraction=float(np.count_nonzero(at_full_scale[1:] & at_full_scale[:-1]) / samples.size),
        truncated=TRUNCATED in noted,
        damaged=not noted.isdisjoint({DAMAGED, GAP, SIZE, JOINED}),
        cancelling=CHANNELS in noted,
        notes="; ".join(note.message for note in notes),
    )


def _mixed(samples: np.ndarray, sample_rate_hz: int) -> tuple[Note, ...]:
    """What is to be said of the mix to one channel."""
    notes = Notes()
    if samples.shape[1] > 1:
        for _ in mix(iter((samples,)), sample_rate_hz, notes):
            pass
    return notes.all()


def _rejected(found: FileReport, reason: str, detail: str) -> FileReport:
    return FileReport(found.path, reason, detail, found.bytes, found.sha256)


def _db(amplitude: float) -> float:
    return max(SILENCE_FLOOR_DB, 20 * float(np.log10(amplitude))) if amplitude > 0 else SILENCE_FLOOR_DB


def _sha256(file: Path) -> str:
    if not os.path.isfile(file):
        raise OSError(0, "it is not a regular file")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
