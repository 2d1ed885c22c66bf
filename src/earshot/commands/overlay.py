"""A part of params.yaml laid over the file while something runs, and the file put back as it was."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earshot.commands.params_file import ParamsFile
from earshot.core.files import STATE_DIR, atomic_file
from earshot.core.params import ParamsError, build

STATE = STATE_DIR / "overlay"  # both texts while they differ from each other


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`: mappings key by key, all else, lists too, in place of what was there."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def checked(document: Mapping[str, Any], above: Mapping[str, Any], source: str | Path) -> dict[str, Any]:
    """`above`, which is from `source`, laid over the valid `document`; ParamsError if the result is not valid."""
    result = merged(document, above)
    build(ParamsFile, result, source=source)
    return result


@contextmanager
def laid_over(params_yaml: Path, document: Mapping[str, Any], state: Path = STATE) -> Iterator[None]:
    """Have `document` in `params_yaml` meanwhile, and the file as it was afterwards, byte for byte.

    After ``kill -9`` or a power failure it is `put_back` that restores the file.
    """
    during = f"# For one run; the file as it was is {state / 'before.yaml'} and is put back when the run ends.\n"
    # JSON is YAML of which the versions 1.1 and 1.2, PyYAML's and DVC's, think alike.
    during += json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # In this order: `before` is there from before the file changes until after it was put back.
    _write(state / "during.yaml", during.encode())
    _write(state / "before.yaml", params_yaml.read_bytes())
    _write(params_yaml, during.encode())
    try:
        yield
    finally:
        put_back(params_yaml, state)


def put_back(params_yaml: Path, state: Path = STATE) -> bool:
    """Restore `params_yaml` after a run over which something was laid; whether there was something to restore.

    Raises ParamsError if the file was edited during the run: nothing is overwritten then.
    """
    before, during = state / "before.yaml", state / "during.yaml"
    if not before.exists():
        return False
    now = params_yaml.read_bytes() if params_yaml.exists() else None
    changed = now != before.read_bytes()
    if changed and now is not None and now != during.read_bytes():
        raise ParamsError(
            f"{params_yaml} was edited while other parameters were laid over it, and is left as it is; as it was "
            f"before, it lies in {before}: take over what is to stay, and delete {before}"
        )
    if changed:
        _write(params_yaml, before.read_bytes())
    before.unlink()
    return changed


def _write(path: Path, text: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(text)
