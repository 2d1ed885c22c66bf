"""Write a benchmark's result with its provenance: the command, the machine, the date and the code that it rests on.

`make tables` compares the code's hash with the working tree, and marks results of earlier code.
"""

import ast
import hashlib
import io
import json
import os
import platform
import shlex
import sys
import tokenize
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from earshot.core.files import write_json

ROOT = Path(__file__).resolve().parents[1]

# What benchmarks rest on beside their own code, from the project's root.
HEARING = ("src/earshot/core", "src/earshot/hearing")
LISTENING = (*HEARING, "src/earshot/model", "src/earshot/decisions", "src/earshot/stream")
SERVICE = (*LISTENING, "src/earshot/service")
TRAINING = (
    *HEARING,
    "src/earshot/model",
    "src/earshot/decisions",
    "src/earshot/sources",
    "src/earshot/clips",
    "src/earshot/training",
    "src/earshot/evaluation",
    "src/earshot/deployment",
)

PROVENANCE = ("command", "date", "machine", "rests_on", "code")
_DIGITS = 16
_IGNORED_SUFFIXES = {".pyc", ".md", ".json"}  # a result does not rest on itself, nor on what is written about it


def machine(*packages: str) -> dict[str, Any]:
    """The machine as it is now: processor, load average of the last minute, Python, and versions of `packages`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        cpu = f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}"
    except OSError:
        cpu = f"{os.cpu_count()} cores, {platform.machine()}"
    return {
        "cpu": cpu,
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def write(path: Path, result: dict[str, Any], rests_on: Sequence[str], measured_on: dict[str, Any]) -> None:
    """Write `result` as JSON to `path`, after the provenance, and replace an older file in one step.

    Args:
        path: the file to write.
        result: the figures; none of its keys may be one of the provenance's.
        rests_on: files and folders, relative to the project's root, whose code the figures depend on.
        measured_on: what `machine` returned before the measurement.

    Raises:
        ValueError: `result` has a key of the provenance.
        FileNotFoundError: a path in `rests_on` does not exist.
    """
    document = {
        "command": command(sys.argv),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": measured_on,
        "rests_on": sorted(rests_on),
        "code": code_hash(rests_on),
    }
    taken = sorted(set(PROVENANCE) & set(result))
    if taken:
        raise ValueError(f"the result has the key '{taken[0]}', which belongs to the provenance: rename it")
    write_json(path, document | result)


def begun(path: Path, rests_on: Sequence[str]) -> dict[str, Any]:
    """The figures at `path` to be completed: without provenance, and none if they are of other code or not there."""
    if not path.exists():
        return {}
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if document.get("code") != code_hash(rests_on):
        return {}
    return {key: value for key, value in document.items() if key not in PROVENANCE}


def command(arguments: Sequence[str], root: Path = ROOT) -> str:
    """The command line to be quoted: the script relative to `root`, and any other absolute path as ``DIR``."""
    words = ["python"]
    for argument in [str(Path(arguments[0]).resolve()), *arguments[1:]]:
        path = Path(argument)
        if path.is_absolute():
            argument = path.relative_to(root).as_posix() if path.is_relative_to(root) else "DIR"
        words.append(argument)
    return shlex.join(words)


def code_hash(rests_on: Sequence[str], root: Path = ROOT) -> str:
    """Hex hash of the files at `rests_on` and below; comments, docstrings and blank lines of Python do not count.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    digest = hashlib.sha256()
    for path in sorted({file for name in rests_on for file in _files(root / name)}):
        data = path.read_bytes()
        content = _code(data) if path.suffix == ".py" else data
        digest.update(f"{path.relative_to(root).as_posix()}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist: correct the list of what the result rests on")
    for file in path.rglob("*"):
        if file.is_file() and file.suffix not in _IGNORED_SUFFIXES:
            yield file


def _code(source: bytes) -> bytes:
    """Python source without comments, docstrings and blank lines, the same under every version of Python."""
    lines: list[str] = source.decode("utf-8").splitlines()
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            assert docstring.end_lineno is not None
            for number in range(docstring.lineno, docstring.end_lineno + 1):
                lines[number - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip()).encode()
