"""A copy of a published set: where its parts lie, and how it compares with the list of published files."""

import csv
import gzip
import hashlib
import io
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from earshot.core.progress import progress
from earshot.sources.source import FilesOnDisk, Verification


@dataclass(frozen=True)
class Copy:
    """A copy on disk, whose parts may lie elsewhere than in the published archive.

    Attributes:
        home: the directory that holds it.
        metadata: its table, relative to `home`.
        audio: the directory of its sounds, relative to `home`; empty for `home` itself.
    """

    home: Path
    metadata: str
    audio: str

    def listed(self, root: Path, name: str) -> str:
        """The POSIX path, relative to `root`, of the sound that is called `name` below the directory of sounds."""
        return (self.home.relative_to(root) / self.audio / name).as_posix()

    def inside(self, root: Path) -> str:
        """`home` relative to `root`."""
        return self.home.relative_to(root).as_posix()

    def place(self, published: str) -> str:
        """Where the file lies, relative to `home`, that the published archive has at `published`."""
        if published.startswith("audio/"):
            return (PurePosixPath(self.audio) / published.removeprefix("audio/")).as_posix()
        return self.metadata if published.endswith(f"/{PurePosixPath(self.metadata).name}") else published


def find_copy(homes: Sequence[Path], metadata: str, sounds: str) -> Copy | None:
    """The first of `homes` that holds the table; None if none does.

    Mirrors have the table beside the sounds, and the sounds without ``audio/`` or in ``audio/audio/``.

    Args:
        homes: directories to look in.
        metadata: the table's path in the published archive; it may also lie in the directory itself.
        sounds: a pattern of what is in the directory of sounds, as for ``Path.glob``.
    """
    for home in homes:
        for table in (metadata, PurePosixPath(metadata).name):
            if (home / table).is_file():
                places = (place for place in ("audio", "audio/audio", "") if next((home / place).glob(sounds), None))
                return Copy(home, table, next(places, "audio"))
    return None


@dataclass(frozen=True)
class Published:
    """One published file: hex digest, and size in bytes where the list has it."""

    digest: str
    size: int | None


def read_published(filename: str) -> dict[str, Published]:
    """Read a list beside this module: gzipped CSV of path (below the data set's root), digest and size (or empty)."""
    packed = resources.files("earshot.sources").joinpath(filename).read_bytes()
    rows = list(csv.reader(io.StringIO(gzip.decompress(packed).decode("utf-8"))))
    return {path: Published(digest, int(size) if size else None) for path, digest, size in rows[1:]}


def compare(
    copy: Copy, published: dict[str, Published], algorithm: str, against: str, only: Collection[str] | None = None
) -> Verification:
    """Hash the files of `copy` and compare them with `published`.

    Args:
        copy: where it lies.
        published: the list.
        algorithm: name of the digest for hashlib.
        against: the list in words, for the report.
        only: compare these published paths and no others; None for all.
    """
    wanted = sorted(published if only is None else set(only) & set(published))
    disk = FilesOnDisk(copy.home)

    def state(path: str) -> str:
        place = copy.place(path)
        file = copy.home / place
        if not file.is_file():
            return "missing" if disk.find(place) is None else "different"
        size = published[path].size
        if size is not None and os.path.getsize(file) != size:
            return "different"
        return "identical" if _digest(file, algorithm) == published[path].digest else "different"

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        states = list(progress(pool.map(state, wanted), total=len(wanted), desc="verifying", unit="file"))
    found = dict(zip(wanted, states, strict=True))
    return Verification(
        against=against,
        published=len(wanted),
        missing=tuple(path for path in wanted if found[path] == "missing"),
        different=tuple(path for path in wanted if found[path] == "different"),
    )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
