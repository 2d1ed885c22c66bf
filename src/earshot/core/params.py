"""Read params.yaml into frozen models, and refuse what it should not hold.

Each package owns the model of its own section (`earshot.core.front_end.FrontEndParams` for ``audio``, and so on); this
module knows only how to fill one. An unknown key or a value out of range is an error that names the file, the key, the
value and what was expected: a misspelt parameter that is silently ignored costs a training run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from earshot.core.errors import EarshotError
from earshot.core.params_words import problems, shown, unknown

SECTIONS = (
    "seed",
    "dataset",
    "audit",
    "audio",
    "split",
    "crossval",
    "train",
    "evaluation",
    "quantization",
    "gate",
    "unknown",
    "operating_points",
    "robustness",
    "service",
    "timeline",
)


class ParamsError(EarshotError, ValueError):
    """A parameter is not what it should be; the message names the file, the key, the value and what was expected."""


class Params(BaseModel):
    """A section of params.yaml: frozen, no key but its own, and no value converted but an integer to a float."""

    # Built when first used, since a command needs few of the models that it imports.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    def changed(self, **values: Any) -> Self:
        """The same with other values. Raises ParamsError if they do not fit."""
        return build(type(self), {**dict(self), **values})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, for hashes and for what is stored with a model."""
        return self.model_dump(mode="json")


P = TypeVar("P", bound=Params)


class _Loader(yaml.SafeLoader):
    """PyYAML takes 3e-3 for a text, as YAML 1.1 says; DVC and everybody else take it for a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(section: str, cls: type[P], path: str | Path) -> P:
    """Fill `cls` from `section` of the YAML file at `path`. Keys that are absent take their defaults.

    Raises ParamsError for a file that cannot be read, an unknown section or key, a missing key without a default, and
    a value that does not fit.
    """
    return build(cls, mapping(section, path), section, path)


def mapping(section: str, path: str | Path) -> dict[str, Any]:
    """The raw `section` of the YAML file at `path`, empty if it has none: to quote it without knowing its model."""
    values = read(path).get(section, {})
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: section '{section}' must be a mapping, not {shown(values)}")
    return values


def load_seed(path: str | Path) -> int:
    """The one random seed of the project, a non-negative integer."""
    seed = read(path).get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ParamsError(f"{path}: seed must be a whole number of at least 0, not {shown(seed)}")
    return seed


def read(path: str | Path) -> dict[str, Any]:
    """The raw sections of the YAML file at `path`; ParamsError if it cannot be read or has an unknown section."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ParamsError(f"{path} not found; commands run, and paths begin, in the project's root") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from error
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ParamsError(f"{path} must be a mapping of sections")
    for name in document:
        if name not in SECTIONS:
            raise ParamsError(f"{path}: {unknown('section', name, SECTIONS)}")
    return document


def build(cls: type[P], values: Mapping[str, Any], section: str = "", source: str | Path = "") -> P:
    """Make `cls` from a plain mapping.

    Raises ParamsError for all that does not fit. Its message begins with `source`, a file, and names ``section.key``.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        begin = f"{source}: " if source else ""
        raise ParamsError("; ".join(begin + problem for problem in problems(error, cls, section))) from error
