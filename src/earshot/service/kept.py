"""Flagged clips, kept for a person to label: a folder that becomes the `folder` data set of the next run.

``clips/<hash>.wav`` is the upload as it came, ``clips/<hash>.json`` the answer it got. The name is made of the content,
so the same content is kept once, and nobody has to look through the folder to see whether it is there. Labels go into
``clips.csv`` (`earshot review`); a clip without one is deleted after some time, or when the folder is full.

What people record is private: every file is 0600 and every folder that is made here 0700, whatever the umask.
"""

import contextlib
import csv
import enum
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from earshot.core.files import atomic_file, write_json
from earshot.service.label_table import LabelTable, LabelTableError, read_label_table

CLIPS, TABLE = "clips", "clips.csv"
COLUMNS = ["path", "label", "recording"]
_STATE = ".earshot"  # lock, bytes in use, class names
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700
_COPY_BYTES = 1 << 20
_KEEP_BYTES = 200 << 20  # a single upload above this is never kept
_FULL_TO = 0.9  # of the size allowed: a full folder is emptied so far, so that it is looked through rarely

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


class Outcome(enum.Enum):
    """What became of a clip that was to be kept."""

    KEPT = "kept"
    DUPLICATE = "duplicate"
    TOO_LARGE = "too_large"
    FULL = "full"


@dataclass(frozen=True)
class KeptClip:
    """One flagged clip: its path relative to the folder, and the answer it got."""

    path: str
    answer: dict[str, Any]


@dataclass(frozen=True)
class _Group:
    """The files of one clip: its sound, its answer, or what is left of them."""

    files: tuple[Path, ...]
    size: int
    born: float

    @property
    def sound(self) -> Path | None:
        return next((path for path in self.files if path.suffix != ".json"), None)

    @property
    def answer(self) -> Path | None:
        return next((path for path in self.files if path.suffix == ".json"), None)


class ReviewFolder:
    """The folder at `root`, shared by all workers and by `earshot review`."""

    def __init__(self, root: Path, max_age_days: float = 30.0, max_mb: float = 1000.0) -> None:
        self.root = root
        self.max_age_s = max_age_days * 86400
        self._max_bytes = round(max_mb * 1e6)

    def keep(self, source: BinaryIO, answer: dict[str, Any]) -> Outcome:
        """Copy the clip and write its answer beside it. Takes as long however many clips are kept already.

        Raises:
            OSError: the folder cannot be written.
        """
        source.seek(0)
        digest = hashlib.sha256()
        size = 0
        while block := source.read(_COPY_BYTES):
            digest.update(block)
            size += len(block)
        if not 0 < size <= min(self._max_bytes, _KEEP_BYTES):
            return Outcome.TOO_LARGE
        with self.locked():
            stem = self.root / CLIPS / digest.hexdigest()[:16]
            if stem.with_suffix(".json").exists():
                return Outcome.DUPLICATE
            used = self._used()
            if used is None or used + size > self._max_bytes:
                used = self._sweep(size)
            if used + size > self._max_bytes:
                return Outcome.FULL
            source.seek(0)
            target = stem.with_suffix(suffix(source.read(16)))
            with atomic_file(target, _PRIVATE_FILE) as temporary, temporary.open("wb") as stream:
                source.seek(0)
                while block := source.read(_COPY_BYTES):
                    stream.write(block)
            write_json(stem.with_suffix(".json"), answer, _PRIVATE_FILE)
            self._set_used(used + size + stem.with_suffix(".json").stat().st_size)
        return Outcome.KEPT

    def sweep(self) -> None:
        """Delete what is too old or too much, and sounds or answers without the other.

        Raises:
            LabelTableError: the table of labels cannot be read; nothing was deleted, since all may have a label.
            OSError: the folder cannot be read or written.
        """
        with self.locked():
            self.labels()
            self._sweep()

    def clips(self) -> Iterator[KeptClip]:
        """Every clip that has an answer beside it, oldest first."""
        for group in sorted(self._groups(), key=lambda group: (group.born, group.files)):
            if group.sound is not None and group.answer is not None:
                with contextlib.suppress(OSError, ValueError):  # deleted meanwhile, or not ours
                    answer = json.loads(group.answer.read_text(encoding="utf-8"))
                    if isinstance(answer, dict):
                        yield KeptClip(f"{CLIPS}/{group.sound.name}", answer)

    def labels(self) -> dict[str, str]:
        """Path to label, as ``clips.csv`` has them. Rows without a label are left out.

        Raises:
            LabelTableError: it cannot be read.
        """
        return {row["path"]: row["label"] for row in self.table().rows if row["path"] and row["label"]}

    def table(self) -> LabelTable:
        """``clips.csv``, empty where there is none.

        Raises:
            LabelTableError: it cannot be read.
        """
        try:
            return read_label_table(self.root / TABLE)
        except FileNotFoundError:
            return LabelTable(COLUMNS, [])

    def write_table(self, table: LabelTable) -> None:
        """Write ``clips.csv``; for the holder of the lock."""
        with (
            atomic_file(self.root / TABLE, _PRIVATE_FILE) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as stream,
        ):
            writer = csv.DictWriter(stream, table.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table.rows)

    def classes(self) -> set[str]:
        """The classes of the models that answered here, as far as they were noted."""
        try:
            return set(json.loads((self.root / _STATE / "classes.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return set()

    def note_classes(self, classes: Sequence[str]) -> None:
        """Note which classes a model knows, so that a misspelt label is found.

        Raises:
            OSError: the folder cannot be written.
        """
        with self.locked():
            write_json(self.root / _STATE / "classes.json", sorted(self.classes() | set(classes)), _PRIVATE_FILE)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which is made if it is not there; others wait.

        Raises:
            OSError: it cannot be made.
        """
        for folder in (self.root, self.root / CLIPS, self.root / _STATE):
            made = not folder.is_dir()
            folder.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            if made or folder is not self.root:  # a folder that was there before is its owner's to open
                _make_private(folder)
        handle = os.open(self.root / _STATE / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _sweep(self, room: int = 0) -> int:
        """Delete what must go, so that `room` more bytes fit; the bytes in use. Nothing if labels cannot be read."""
        groups = self._groups()
        try:
            labelled = self.labels()
        except LabelTableError:
            return self._set_used(sum(group.size for group in groups))
        groups = [group for group in groups if not any(f"{CLIPS}/{path.name}" in labelled for path in group.files)]
        groups.sort(key=lambda group: group.born)
        used = sum(group.size for group in groups)
        most = self._max_bytes if used + room <= self._max_bytes else round(self._max_bytes * _FULL_TO) - room
        now = time.time()
        for group in groups:
            if used <= most and now - group.born <= self.max_age_s:
                break
            for path in group.files:
                path.unlink(missing_ok=True)
            used -= group.size
        return self._set_used(used)

    def _groups(self) -> list[_Group]:
        """All files under ``clips/`` by their names without endings."""
        found: dict[str, list[os.DirEntry[str]]] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / CLIPS) as entries:
            for entry in entries:
                found.setdefault(Path(entry.name).stem, []).append(entry)
        groups = []
        for entries_of_clip in found.values():
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                status = [entry.stat(follow_symlinks=False) for entry in entries_of_clip]
                files = tuple(sorted(Path(entry.path) for entry in entries_of_clip))
                groups.append(_Group(files, sum(s.st_size for s in status), max(s.st_mtime for s in status)))
        return groups

    def _used(self) -> int | None:
        """Bytes of unlabelled clips; None where nobody has counted them yet."""
        try:
            return int((self.root / _STATE / "used_bytes").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _set_used(self, used: int) -> int:
        path = self.root / _STATE / "used_bytes"
        path.touch(_PRIVATE_FILE)
        path.write_text(str(used), encoding="ascii")
        return used


def suffix(head: bytes) -> str:
    """The file name's ending for content that begins with `head`."""
    for offset, magic, name in _SUFFIXES:
        if head[offset : offset + len(magic)] == magic:
            return name
    return ".mp3" if head[:1] == b"\xff" else ".wav"


def _make_private(folder: Path) -> None:
    if folder.stat().st_mode & 0o777 != _PRIVATE_FOLDER:
        folder.chmod(_PRIVATE_FOLDER)
