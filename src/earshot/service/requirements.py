"""What the service needs installed: the project's base dependencies and theirs, pinned as in constraints.txt.

BentoML could lock versions itself, but would ask an index which are newest on the day: the tests run with other ones.
"""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from earshot.core.errors import EarshotError

_HEADER = "# Made by `make bento` from pyproject.toml's base dependencies and constraints.txt; not to be edited.\n"


class RequirementsError(EarshotError):
    """The requirements cannot be told."""


def requirements(pyproject: Path, constraints: Path) -> str:
    """The text of a requirements file: one `name==version` a line, sorted.

    The environment at work says which packages need which; `constraints` says the versions.

    Raises:
        RequirementsError: a package is not installed, or has no pin.
    """
    base = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    pins = read_pins(constraints)
    names = sorted(closure(base))
    loose = [name for name in names if name not in pins]
    if loose:
        raise RequirementsError(f"{constraints} has no pin for {', '.join(loose)}: add name==version lines for them")
    return _HEADER + "".join(f"{name}=={pins[name]}\n" for name in names)


def closure(roots: Iterable[str]) -> set[str]:
    """Canonical names of what `roots` (PEP 508) need on this platform, themselves included."""
    found: set[str] = set()
    todo = [(Requirement(root), "") for root in roots]
    done: set[tuple[str, str]] = set()
    while todo:
        requirement, extra_of = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra_of}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in done:
                continue
            done.add((name, extra))
            found.add(name)
            try:
                needed = requires(name) or []
            except PackageNotFoundError as error:
                raise RequirementsError(f"{name} is not installed: run `pip install -e .` first") from error
            todo += [(Requirement(text), extra) for text in needed]
    return found


def read_pins(constraints: Path) -> dict[str, str]:
    """Canonical name to version, of the lines `name==version` of a constraints file.

    Raises:
        RequirementsError: there is no such file.
    """
    if not constraints.is_file():
        raise RequirementsError(f"{constraints} not found: run from the project's root")
    lines = constraints.read_text(encoding="utf-8").splitlines()
    pins = (re.match(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line) for line in lines)
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}
