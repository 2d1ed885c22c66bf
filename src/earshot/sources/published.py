"""Comparing a copy on disk with the list of published files that ships with this package."""

import csv
import gzip
import hashlib
import io
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from earshot.core.progress import progress
from earshot.sources.source import FilesOnDisk, Verification


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
    root: Path, published: dict[str, Published], algorithm: str, against: str, only: Collection[str] | None = None
) -> Verification:
    """Hash the files below `root` and compare them with `published`.

    Args:
        root: directory that the published paths are relative to.
        published: the list.
        algorithm: name of the digest for hashlib.
        against: the list in words, for the report.
        only: compare these paths and no others; None for all.
    """
    wanted = sorted(published if only is None else set(only) & set(published))
    disk = FilesOnDisk(root)

    def state(path: str) -> str:
        file = root / path
        if not file.is_file():
            return "missing" if disk.find(path) is None else "different"
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
