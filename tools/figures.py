"""The files that hold figures, and whether what made them is still what lies here."""

import csv
import hashlib
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from record import code_hash  # noqa: E402

PIPELINE = "`make repro`"
EARLIER = "with earlier code"
_CODE = ("src/", "stages/")
_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")


class Figures:
    """Figures below one project's root, each file read once."""

    def __init__(self, root: Path = ROOT) -> None:
        """Read ``dvc.lock`` and ``params.yaml``; other files are read when they are asked for."""
        self.root = root
        lock = root / "dvc.lock"
        self._stages: dict[str, Any] = yaml.safe_load(lock.read_text())["stages"] if lock.exists() else {}
        self._maker = {out["path"]: stage for stage, entry in self._stages.items() for out in entry.get("outs", ())}
        params = root / "params.yaml"
        self._params: dict[str, Any] = yaml.safe_load(params.read_text()) if params.exists() else {}
        self.json = cache(self._json)
        self._is_current = cache(self._stage_is_current)

    def _json(self, path: str) -> Any:
        """The document at `path`, relative to the root."""
        return json.loads((self.root / path).read_text(encoding="utf-8"))

    def exists(self, path: str) -> bool:
        """Whether the file at `path` is there."""
        return (self.root / path).exists()

    def csv(self, path: str) -> list[dict[str, str]]:
        """The rows of the CSV file at `path`."""
        with (self.root / path).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def value(self, path: str, keys: str) -> Any:
        """What the keys, separated by ``/``, lead to in the JSON file at `path`; a number among them counts a list."""
        found = self.json(path)
        for key in keys.split("/"):
            found = found[int(key)] if isinstance(found, list) else found[key]
        return found

    def measured(self, path: str) -> str:
        """When and how the figures at `path` came about, and whether the code has changed since."""
        if path.startswith("metrics/"):
            return PIPELINE if self._matches_pipeline(path) else f"{PIPELINE}, {EARLIER}"
        document = self.json(path)
        missing = [key for key in ("command", "machine", "date", "code") if key not in document]
        if missing:
            raise KeyError(f"{path} has no '{missing[0]}': write it with benchmarks/record.py")
        return document["date"] if self._same_code(document) else f"{document['date']}, {EARLIER}"

    def _same_code(self, document: dict[str, Any]) -> bool:
        if document["code"] is None:
            return False
        try:
            return code_hash(document["rests_on"], self.root) == document["code"]
        except FileNotFoundError:
            return False

    def _matches_pipeline(self, path: str) -> bool:
        """Whether the file is the one in dvc.lock, and the code and settings of all stages behind it are unchanged."""
        stage = next((s for out, s in self._maker.items() if path == out or path.startswith(f"{out}/")), None)
        if stage is None:
            return False
        recorded = {out["path"]: out["md5"] for out in self._stages[stage]["outs"]}
        return recorded.get(path, "") == _md5(self.root / path) and self._is_current(stage)

    def _stage_is_current(self, name: str) -> bool:
        stage = self._stages[name]
        for dep in stage.get("deps", ()):
            path = dep["path"]
            if path.startswith(_CODE):
                if not (self.root / path).exists() or _md5(self.root / path) != dep["md5"]:
                    return False
            elif path in self._maker:
                if not self._is_current(self._maker[path]):
                    return False
            elif (maker := self._above(path)) is not None and not self._is_current(maker):
                return False
        for file, values in stage.get("params", {}).items():
            if file == "params.yaml" and any(_plain(self._param(key)) != _plain(v) for key, v in values.items()):
                return False
        return True

    def _above(self, path: str) -> str | None:
        return next((stage for out, stage in self._maker.items() if path.startswith(f"{out}/")), None)

    def _param(self, key: str) -> Any:
        found: Any = self._params
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


def _plain(value: Any) -> Any:
    """`value` with numbers as floats, as PyYAML and DVC read ``3e-3`` differently."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _md5(path: Path) -> str:
    """DVC's hash of a file, or of a folder as the list of its files."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = sorted(
        (file.relative_to(path).as_posix(), file)
        for file in path.rglob("*")
        if file.is_file() and file.suffix != ".pyc" and "__pycache__" not in file.parts
    )
    listed = [{"md5": _md5(file), "relpath": name} for name, file in files]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
