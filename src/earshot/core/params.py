"""Read params.yaml into frozen dataclasses, and refuse what it should not hold.

Each package owns the dataclass of its own section (``earshot.core.front_end.FrontEndParams`` for ``audio``, and so on);
this module knows only how to fill one. An unknown key or a value of the wrong type is an error that names the key,
the value and what was expected: a misspelt parameter that is silently ignored costs a training run.
"""

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from earshot.core.errors import EarshotError

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
    "robustness",
    "service",
    "timeline",
)

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """PyYAML takes 3e-3 for a text, as YAML 1.1 says; DVC and everybody else take it for a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class ParamsError(EarshotError, ValueError):
    """params.yaml holds something it should not; the message names the key, the value and the remedy."""


def load(section: str, cls: type[T], path: str | Path = "params.yaml") -> T:
    """Fill the frozen dataclass `cls` from `section` of the YAML file at `path`.

    Keys that are absent take the dataclass's default. Raises ParamsError for an unknown section or key, a missing
    key without a default, a value of the wrong type, and whatever the dataclass's own ``__post_init__`` refuses.
    """
    return build(cls, mapping(section, path), where=f"{path}: {section}")


def mapping(section: str, path: str | Path = "params.yaml") -> dict[str, Any]:
    """The raw `section` of the YAML file at `path`, empty if it has none: to quote it without knowing its dataclass."""
    values = _document(path).get(section, {})
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: section '{section}' must be a mapping, not {values!r}")
    return values


def load_seed(path: str | Path = "params.yaml") -> int:
    """The one random seed of the project, a non-negative integer."""
    seed = _document(path).get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ParamsError(f"{path}: seed must be a non-negative integer, not {seed!r}")
    return seed


def build(cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """Make the dataclass `cls` from a plain mapping, checking names and types. `where` begins every message."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ParamsError(f"{where}: unknown key '{unknown[0]}'; known keys are {', '.join(sorted(fields))}")
    arguments = {name: _checked(value, hints[name], f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ParamsError(f"{where}: {error}") from error
    except ParamsError:
        raise
    except ValueError as error:
        raise ParamsError(f"{where}: {error}") from error


def as_dict(params: Any) -> dict[str, Any]:
    """The dataclass as plain JSON-able values, for lineage and hashing."""
    return dataclasses.asdict(params)


def _document(path: str | Path) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ParamsError(f"{path} not found: run from the project's root, where params.yaml lies") from error
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ParamsError(f"{path} must be a mapping of sections")
    unknown = sorted(set(document) - set(SECTIONS))
    if unknown:
        raise ParamsError(f"{path}: unknown section '{unknown[0]}'; known sections are {', '.join(SECTIONS)}")
    return document


def _checked(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            try:
                return _checked(value, option, where)
            except ParamsError as error:
                if not str(error).startswith(f"{where} "):  # of the right kind, and wrong inside
                    raise
        raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
        element = typing.get_args(hint)[0]
        return tuple(_checked(item, element, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
        element = typing.get_args(hint)[1]
        return {str(key): _checked(item, element, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
        return build(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is types.NoneType or hint is None:
        if value is None:
            return None
        raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ParamsError(f"{where} must be {_expected(hint)}, not {value!r}")
    return value


def _expected(hint: Any) -> str:
    """What a value of type `hint` is, in words that end a sentence beginning with "must be"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_expected(option) for option in arguments)
    if origin is typing.Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(map(str, arguments))
    if origin is tuple:
        return "a list"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "a mapping"
    return "null" if hint in (None, types.NoneType) else f"of type {hint.__name__}"
