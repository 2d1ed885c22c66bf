"""Whether the data, parameters and code in a working tree are those that a model was made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from earshot.core.files import sha256
from earshot.core.params import read
from earshot.model.card import Card, without_paths


@dataclass(frozen=True)
class Check:
    """One thing the model was made from, compared with what lies in the working tree.

    Attributes:
        kind: `data`, `params` or `code`.
        name: path, or key of params.yaml.
        state: `same`, `changed`, or `absent` from the working tree.
        detail: for a parameter that changed, how.
    """

    kind: Literal["data", "params", "code"]
    name: str
    state: Literal["same", "changed", "absent"]
    detail: str = ""


def verify(card: Card, root: Path = Path()) -> list[Check]:
    """Compare all that `card` names with the project at `root`."""
    return [*_data(card, root), *_params(card, root), *_code(card, root)]


def _data(card: Card, root: Path) -> Iterator[Check]:
    for name, digest in sorted(card.dataset["sha256"].items()):
        yield Check("data", f"data/audited/{name}", _file(root / "data/audited" / name, digest))


def _code(card: Card, root: Path) -> Iterator[Check]:
    for name, digest in sorted(card.code.items()):
        yield Check("code", name, _file(root / name, digest))


def _file(path: Path, digest: str) -> Literal["same", "changed", "absent"]:
    if not path.is_file():
        return "absent"
    return "same" if sha256(path).startswith(digest) else "changed"


def _params(card: Card, root: Path) -> Iterator[Check]:
    path = root / "params.yaml"
    document = read(path) if path.is_file() else None
    for section, made_with in sorted(card.params.items()):
        if document is None:
            yield Check("params", section, "absent")
            continue
        now = document.get(section)
        if section == "dataset" and isinstance(now, dict):  # where the data lie says nothing of what they are
            now = without_paths(now)
        detail = "; ".join(differences(made_with, now, section))
        yield Check("params", section, "changed" if detail else "same", detail)


def differences(made_with: Any, now: Any, name: str) -> Iterator[str]:
    """Each key whose value differs, as "key: made with 60, now 5"."""
    if isinstance(made_with, dict) and isinstance(now, dict):
        for key in sorted({*made_with, *now}):
            yield from differences(made_with.get(key), now.get(key), f"{name}.{key}")
    elif made_with != now:
        yield f"{name}: made with {made_with!r}, now {now!r}"
