"""A published archive: is there room, fetch it, check it, unpack it without letting it write anywhere else."""

import errno
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from earshot.clips.table import DatasetError
from earshot.core.progress import progress
from earshot.sources.fetch import GB, REMEDY, fetch, kept_bytes

BLOCK = 1 << 20
GROWTH_LIMIT = 2  # an archive that unpacks to more than this many times what it should is not the published one


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        url: where it is published.
        filename: its name under the directory for downloads; the suffix says how to unpack it.
        size_bytes: its size, as published (about, where the server packs it on demand).
        unpacked_bytes: what it unpacks to, about.
        md5: published checksum, or None where its bytes are not stable and the files in it are checked instead.
    """

    url: str
    filename: str
    size_bytes: int
    unpacked_bytes: int
    md5: str | None


def obtain_archive(archive: Archive, target: Path, downloads: Path, title: str) -> None:
    """Download `archive` into `downloads`, check it and unpack it into the empty directory `target`.

    The archive is kept, so that another run of the stage does not fetch it again.
    Raises DatasetError, each with a remedy: no room, no network, another checksum, a damaged or an unsafe archive.
    """
    path = downloads / archive.filename
    check_free_space(archive, target, downloads, title)
    fetch(archive.url, path, title)
    if archive.md5 is not None:
        check_md5(path, archive.md5, title)
    unpack(path, target, limit_bytes=GROWTH_LIMIT * archive.unpacked_bytes)
    print(f"{path} ({path.stat().st_size / GB:.1f} GB) is kept for the next time; delete it if you need the room")


def check_free_space(
    archive: Archive, target: Path, downloads: Path, title: str, free_bytes: Callable[[Path], int] | None = None
) -> None:
    """Raise DatasetError unless the disks have room for the archive, what it unpacks to, and DVC's copy of that.

    What is already downloaded is not counted again. Directories on one disk share its room.
    """
    still = max(0, archive.size_bytes - kept_bytes(downloads / archive.filename))
    needs = [(downloads, still), (target, archive.unpacked_bytes), (Path(".dvc/cache"), archive.unpacked_bytes)]
    by_disk: dict[int, list[tuple[Path, int]]] = defaultdict(list)
    for path, needed in needs:
        place = _existing(path)
        by_disk[os.stat(place).st_dev].append((place, needed))
    for shares in by_disk.values():
        needed = sum(share for _, share in shares)
        free = (free_bytes or _free_bytes)(shares[0][0])
        if free < needed:
            raise DatasetError(
                f"{title} needs {needed / GB:.1f} GB free on the disk of {shares[0][0]} and {free / GB:.1f} GB are: "
                f"{still / GB:.1f} GB to download, {archive.unpacked_bytes / GB:.1f} GB unpacked and as much again in "
                f"DVC's cache; free some, or {REMEDY}"
            )


def check_md5(path: Path, expected: str, title: str) -> None:
    """Raise DatasetError, and delete the file, unless its MD5 is `expected` (hex)."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream, _bar(path, "checking") as bar:
        while block := stream.read(BLOCK):
            digest.update(block)
            bar.update(len(block))
    if digest.hexdigest() != expected:
        path.unlink()
        raise DatasetError(
            f"{title}: the archive that came has MD5 {digest.hexdigest()}, published is {expected}; it was deleted. "
            f"Run again, or {REMEDY}"
        )


def unpack(path: Path, target: Path, limit_bytes: int) -> None:
    """Unpack a .tar.gz or .zip file into the directory `target`; only plain files and directories, only inside it.

    Raises DatasetError at the first entry that is anything else (an absolute path, one with ``..``, a link, a device,
    a name that was there before), if more than `limit_bytes` come out, or if the archive is damaged; a damaged one is
    deleted. `target` may then hold some files: give a directory that is thrown away on failure.
    """
    entries = _zip_entries if path.suffix == ".zip" else _tar_entries
    written = 0
    try:
        with path.open("rb") as stream, _bar(path, "unpacking") as bar:
            for name, content in entries(stream):
                place = _inside(target, name, path)
                if content is None:
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, place.open("xb") as file:
                    while block := content.read(BLOCK):
                        written += len(block)
                        if written > limit_bytes:
                            raise DatasetError(f"{path} unpacks to more than {limit_bytes / GB:.1f} GB; it was refused")
                        file.write(block)
                bar.update(max(0, stream.tell() - bar.n))
    except FileExistsError as error:
        raise DatasetError(f"{path} holds {error.filename} twice; it was refused") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DatasetError(
                f"the disk is full: {path} could not be unpacked; free some room and run again"
            ) from error
        if error.errno is None:  # gzip.BadGzipFile
            raise _damaged(path, error) from error
        raise


def _tar_entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with gzip.GzipFile(fileobj=stream) as unzipped:
        with tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for member in archive:
                if member.isdir():
                    yield member.name, None
                elif member.isreg():
                    yield member.name, archive.extractfile(member)
                else:
                    kind = "a link" if member.issym() or member.islnk() else "a device or special file"
                    raise DatasetError(f"{member.name} in the archive is {kind}; the archive was refused")
        while unzipped.read(
            BLOCK
        ):  # to the end, where gzip's own checksum is: a cut archive must not pass for a whole one
            pass


def _zip_entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a link" if kind == stat.S_IFLNK else "a device or special file"
                raise DatasetError(f"{entry.filename} in the archive is {what}; the archive was refused")
            if entry.flag_bits & 1:
                raise DatasetError(f"{entry.filename} in the archive is encrypted; the archive was refused")
            yield entry.filename, None if entry.is_dir() else archive.open(entry)


def _inside(target: Path, name: str, archive: Path) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise DatasetError(f"{archive} holds {name!r}, which would be written outside its directory; it was refused")
    return target.joinpath(*parts)


def _damaged(path: Path, error: Exception) -> DatasetError:
    path.unlink(missing_ok=True)
    return DatasetError(f"{path} is damaged ({error}) and was deleted; run again to download it")


@contextmanager
def _bar(path: Path, description: str) -> Iterator[tqdm]:
    with progress(total=path.stat().st_size, desc=description, unit="B", unit_scale=True) as bar:
        yield bar


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free
