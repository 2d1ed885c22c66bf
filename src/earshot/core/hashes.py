"""Names for contents: what cannot change without the name changing."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from earshot.core.files import sha256


def hash_json(value: Any) -> str:
    """Hex SHA-256 of `value` as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def hash_code(stages: Iterable[str], dvc_yaml: str | Path) -> dict[str, str]:
    """Path to content hash of every Python file that the given stages of `dvc_yaml` declare as dependencies.

    A folder that is declared stands for all Python files below it. Paths are relative to `dvc_yaml`'s folder.
    """
    root = Path(dvc_yaml).parent
    declared = yaml.safe_load(Path(dvc_yaml).read_text(encoding="utf-8"))["stages"]
    paths: set[str] = set()
    for dep in {dep for stage in stages for dep in declared[stage]["deps"]}:
        if dep.endswith(".py"):
            paths.add(dep)
        else:
            paths.update(path.relative_to(root).as_posix() for path in (root / dep).rglob("*.py"))
    return {path: sha256(root / path) for path in sorted(paths)}
