"""Writing files so that an interruption never leaves one that looks finished.

Everything a stage produces goes through `atomic_file` or `atomic_directory`: it is written beside its place under a
name that starts with ``.partial-`` and renamed when complete. `exclusive` keeps a stage that was orphaned by a killed
``dvc`` and the one started after it from working on the same thing at once.
"""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATE_DIR = Path(".earshot")  # resumable state and locks; ignored by Git and DVC, safe to delete at rest


@contextlib.contextmanager
def atomic_file(target: str | Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` on success, delete it on any exception.

    The file ends with the permissions `mode`, whatever the umask; until then only its owner can read it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(mode)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(target: str | Path) -> Iterator[Path]:
    """Yield a temporary directory beside `target`; put it in `target`'s place on success, delete it otherwise."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".partial-{target.name}-", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".partial-{target.name}-", dir=target.parent))
            os.replace(target, retired / "old")
            os.replace(temporary, target)
            shutil.rmtree(retired)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(target: str | Path, value: Any, mode: int = 0o644) -> None:
    """Write `value` as indented JSON with a final newline, atomically; NaN and infinity are errors."""
    with atomic_file(target, mode) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(target: str | Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Write `rows` under the header `columns`, atomically; a row with other keys is an error."""
    with (
        atomic_file(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of the file's content, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def printable(path: str) -> str:
    """A path that can be written as UTF-8: bytes that are not UTF-8 are escaped (backslash, x, two hex digits)."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def name_on_disk(root: str | Path, path: str) -> str | None:
    """The file below `root` whose name `printable` writes as `path`, or None. Only for names that are not UTF-8."""
    name = re.sub(rb"\\x([89a-f][0-9a-f])", lambda match: bytes.fromhex(match[1].decode()), path.encode())
    file = os.path.join(root, os.fsdecode(name))
    return file if name != path.encode() and os.path.exists(file) else None


@contextlib.contextmanager
def exclusive(name: str, state_dir: str | Path = STATE_DIR) -> Iterator[int]:
    """Hold the lock `name` of this project, waiting for whoever has it (an orphan of a killed run, usually).

    The lock is the kernel's (``flock``): it goes with the process that holds it, also after ``kill -9``. Yields its
    file descriptor, for a child process that is to hold the lock as well.
    """
    path = Path(state_dir) / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            print(f"{name}: waiting for process {holder}, which is still at work on it", file=sys.stderr, flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield stream.fileno()


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
