"""Flagged clips, kept for a person to label: a folder that becomes the `folder` data set of the next run.

``clips/<time>-<hash>.wav`` is the upload as it came, ``clips/<time>-<hash>.json`` the answer it got. Labels go into
``clips.csv`` (`earshot.commands.review`); a clip without one is deleted after some time, or when the folder is full.
The same content is kept once.
"""

import contextlib
import csv
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from earshot.core.files import atomic_file, exclusive, write_json

CLIPS, TABLE = "clips", "clips.csv"
COLUMNS = ["path", "label", "recording"]
_COPY_BYTES = 1 << 20
_KEEP_BYTES = 200 << 20  # a single upload above this is never kept

_SUFFIXES = (  # what the content begins with (offset, bytes), and the name it gets
    (8, b"WAVE", ".wav"),
    (0, b"fLaC", ".flac"),
    (0, b"OggS", ".ogg"),
    (0, b"FORM", ".aiff"),
    (0, b"caff", ".caf"),
    (4, b"ftyp", ".m4a"),
    (0, b"\x1aE\xdf\xa3", ".webm"),
    (0, b"ID3", ".mp3"),
    (0, b".snd", ".au"),
)


@dataclass(frozen=True)
class KeptClip:
    """One flagged clip: its path relative to the folder, and the answer it got."""

    path: str
    answer: dict[str, Any]


class ReviewFolder:
    """The folder at `root`, shared by all workers."""

    def __init__(self, root: Path, max_age_days: float = 30.0, max_mb: float = 1000.0) -> None:
        self.root = root
        self._max_age_s = max_age_days * 86400
        self._max_bytes = round(max_mb * 1e6)

    def keep(self, source: BinaryIO, answer: dict[str, Any]) -> bool:
        """Copy the clip and write its answer beside it; whether it was new and small enough.

        Raises:
            OSError: the folder cannot be written.
        """
        source.seek(0)
        digest = hashlib.sha256()
        size = 0
        while block := source.read(_COPY_BYTES):
            digest.update(block)
            size += len(block)
        name = digest.hexdigest()[:16]
        if not 0 < size <= min(self._max_bytes, _KEEP_BYTES):
            return False
        clips = self.root / CLIPS
        clips.mkdir(parents=True, exist_ok=True)
        with exclusive("review", self.root / ".earshot"):
            if any(clips.glob(f"*-{name}.json")):
                return False
            self._make_room(size)
            source.seek(0)
            stem = clips / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{name}"
            with atomic_file(stem.with_suffix(suffix(source.read(16)))) as temporary, temporary.open("wb") as stream:
                source.seek(0)
                while block := source.read(_COPY_BYTES):
                    stream.write(block)
            write_json(stem.with_suffix(".json"), answer)
        return True

    def clips(self) -> Iterator[KeptClip]:
        """Every clip that has an answer beside it, oldest first."""
        for path in sorted((self.root / CLIPS).glob("*.json")):
            sound = _sound_of(path)
            if sound is not None:
                with contextlib.suppress(OSError, json.JSONDecodeError):  # deleted meanwhile, or not ours
                    yield KeptClip(f"{CLIPS}/{sound.name}", json.loads(path.read_text(encoding="utf-8")))

    def labels(self) -> dict[str, str]:
        """Path to label, as ``clips.csv`` has them."""
        return {path: row["label"] for path, row in self.table().items()}

    def table(self) -> dict[str, dict[str, str]]:
        """Path to row of ``clips.csv``."""
        try:
            with (self.root / TABLE).open(encoding="utf-8-sig", newline="") as stream:
                return {row["path"]: row for row in csv.DictReader(stream)}
        except FileNotFoundError:
            return {}

    def _make_room(self, size: int) -> None:
        """Delete unlabelled clips that are too old, and the oldest while `size` bytes more are too many."""
        labelled = self.labels()
        clips = []
        for path in sorted((self.root / CLIPS).glob("*.json")):
            sound = _sound_of(path)
            if sound is not None and f"{CLIPS}/{sound.name}" not in labelled:
                status = sound.stat()
                clips.append((path, sound, status.st_mtime, status.st_size + path.stat().st_size))
        clips.sort(key=lambda clip: clip[2])
        total = sum(clip[3] for clip in clips)
        for path, sound, born, bytes_ in clips:
            if total + size <= self._max_bytes and time.time() - born <= self._max_age_s:
                break
            sound.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            total -= bytes_


def suffix(head: bytes) -> str:
    """The file name's ending for content that begins with `head`."""
    for offset, magic, name in _SUFFIXES:
        if head[offset : offset + len(magic)] == magic:
            return name
    return ".mp3" if head[:1] == b"\xff" else ".wav"


def _sound_of(answer: Path) -> Path | None:
    return next((path for path in answer.parent.glob(f"{answer.stem}.*") if path.suffix != ".json"), None)
