"""Names for contents: what cannot change without the name changing."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from earshot.core.files import sha256


def hash_json(value: Any) -> str:
    """Hex SHA-256 of `value` as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def hash_code(stages: tuple[str, ...], dvc_yaml: str | Path = "dvc.yaml") -> dict[str, str]:
    """Path to content hash of every Python file that the given stages of dvc.yaml declare as dependencies."""
    declared = yaml.safe_load(Path(dvc_yaml).read_text(encoding="utf-8"))["stages"]
    root = Path(dvc_yaml).parent
    paths = sorted({dep for stage in stages for dep in declared[stage]["deps"] if dep.endswith(".py")})
    return {path: sha256(root / path) for path in paths}
