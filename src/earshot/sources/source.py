"""What every source of recordings has in common: its card, what is on disk, and how a listed file is found there."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from earshot.core.files import printable

# fmt: off
AUDIO_SUFFIXES = frozenset({
    ".3gp", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3", ".mp4",
    ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64", ".wav", ".webm", ".wma",
})
# fmt: on


@dataclass(frozen=True)
class Index:
    """What a source's table says, compared with what is on disk.

    Attributes:
        clips: the table of `earshot.clips.table.make_table`, with a row for every file listed.
        missing: paths in `clips` that are not on disk.
        unlisted: audio files on disk that the table does not list.
        notes: decisions taken for the user that they may want to know of.
        fold_notes: the same of folds; they hold as long as the folds of `clips` are used.
        joined: where names say that files in several folds are slices of one recording, the recording of every row of
            `clips` by those names; `clips.recording` then tells them apart by fold. None elsewhere.
    """

    clips: pd.DataFrame
    missing: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fold_notes: tuple[str, ...] = ()
    joined: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Verification:
    """The files on disk compared with the published ones.

    Attributes:
        against: what they were compared with, in words.
        published: number of published files.
        missing: published files that are not on disk, in any encoding.
        different: published files whose content on disk is not the published one (re-encoded ones are among them).
    """

    against: str
    published: int
    missing: tuple[str, ...] = ()
    different: tuple[str, ...] = ()

    @property
    def identical(self) -> int:
        """Number of files that are byte for byte the published ones."""
        return self.published - len(self.missing) - len(self.different)


@dataclass(frozen=True)
class Source:
    """A source of labelled recordings.

    Attributes:
        name: the value of ``dataset.name``.
        title, licence, citation, url: its card; they end in the model's lineage.
        index: reads the table of the copy at a root.
        validate: compares that copy with the published one; None where nothing is published.
        freesound: whether the recordings are numbers of Freesound, which name the same sound in every source.
        obtain: puts a copy into an empty directory, given (directory, seed, directory for downloads); None where only
            a copy of the user's will do.
    """

    name: str
    title: str
    licence: str
    citation: str
    url: str
    index: Callable[[Path, int], Index]
    validate: Callable[[Path], Verification] | None = None
    obtain: Callable[[Path, int, Path], None] | None = None
    freesound: bool = False


def walk_files(root: Path) -> Iterator[Path]:
    """All files below `root` but hidden ones and those in hidden directories; links lead to each directory once."""
    visited = set()
    for directory, subdirectories, names in os.walk(root, followlinks=True):
        real = os.path.realpath(directory)
        if real in visited:
            subdirectories.clear()
            continue
        visited.add(real)
        subdirectories[:] = sorted(name for name in subdirectories if not name.startswith("."))
        yield from (Path(directory, name) for name in names if not name.startswith("."))


@dataclass
class FilesOnDisk:
    """The audio files below `root`, as sorted POSIX paths relative to it.

    A name that is not UTF-8 is listed as
    `earshot.core.files.printable` writes it; the audit then names the file and what to do.
    """

    root: Path
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for file in walk_files(self.root):
            if file.suffix.lower() in AUDIO_SUFFIXES:
                self.paths.append(printable(file.relative_to(self.root).as_posix()))
        self.paths.sort()
        self._known = set(self.paths)
        self._by_stem: dict[PurePosixPath, list[str]] = defaultdict(list)
        for path in self.paths:
            self._by_stem[PurePosixPath(path).with_suffix("")].append(path)

    def find(self, listed: str) -> str | None:
        """The file listed as `listed`: itself, else the same name with another audio suffix (a re-encoded copy)."""
        if listed in self._known:
            return listed
        candidates = self._by_stem.get(PurePosixPath(listed).with_suffix(""), [])
        return candidates[0] if candidates else None


def match(
    rows: pd.DataFrame, disk: FilesOnDisk, inside: str = "."
) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    """Point `rows.path` at the files that are on disk. Returns the rows, the missing paths and the unlisted ones.

    Files that are not `inside` that directory are not called unlisted.
    """
    found = [disk.find(path) for path in rows["path"]]
    missing = tuple(sorted(path for path, there in zip(rows["path"], found, strict=True) if there is None))
    rows = rows.assign(path=[there or path for path, there in zip(rows["path"], found, strict=True)])
    unlisted = sorted(
        path for path in set(disk.paths) - set(rows["path"]) if PurePosixPath(path).is_relative_to(inside)
    )
    return rows, missing, tuple(unlisted)
