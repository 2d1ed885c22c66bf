"""What is wrong with a parameter, in a sentence that names the key, the value and what was expected."""

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

OLD_KEYS = {"train.auxiliary": "train.extra_clips"}  # a key that earlier versions had, to its name now
_QUOTED = 80  # characters of a refused value that a message quotes, at most


def problems(error: ValidationError, cls: type[BaseModel], section: str) -> list[str]:
    """A sentence for each key that does not fit."""
    schema = cls.model_json_schema()
    found: dict[tuple[str | int, ...], str] = {}
    for problem in error.errors(include_url=False):
        steps, expected = _descend(problem["loc"], schema)
        name = section + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        name = name.removeprefix(".")
        if problem["type"] in ("extra_forbidden", "invalid_key"):
            found[steps] = _unknown_key(name, expected["properties"])
        elif problem["loc"][-1:] == ("[key]",):
            found[steps] = f"the key of {name} must be a text: put it in quotes"
        elif problem["type"] == "missing":
            found[steps] = f"{name} is missing; it must be {words(expected)}"
        elif problem["type"] == "value_error":
            said = str(problem["ctx"]["error"])
            found[steps] = said if said.startswith(name) else f"{name}: {said}"
        else:
            found[steps] = f"{name} must be {words(expected)}, not {shown(problem['input'])}"
    # Of a list with a wrong element, every type of a union complains; the complaint about the element says most.
    inner = {steps[:length] for steps in found for length in range(len(steps))}
    return [sentence for steps, sentence in found.items() if steps not in inner]


def _unknown_key(name: str, known: Iterable[str]) -> str:
    """The sentence that refuses the key `name`, dotted."""
    if name in OLD_KEYS:
        return f"'{name}' is called '{OLD_KEYS[name]}' now: rename it"
    path, _, key = name.rpartition(".")
    return f"{path}: {unknown('key', key, known)}".removeprefix(": ")


def _descend(location: Sequence[str | int], schema: dict[str, Any]) -> tuple[tuple[str | int, ...], dict[str, Any]]:
    """Keys and indices of pydantic's `location`, which also names types of a union, and the JSON schema there.

    The schema of an unknown key is that of the mapping it is in.
    """
    steps: list[str | int] = []
    here = schema
    for step in location:
        options = [_resolved(option, schema) for option in here.get("anyOf", [here])]
        keys: dict[str, Any] = next((option["properties"] for option in options if "properties" in option), {})
        items = next((option["items"] for option in options if "items" in option), None)
        values = next(
            (option["additionalProperties"] for option in options if option.get("additionalProperties")), None
        )
        if isinstance(step, int) and items is not None:
            here = items
        elif step in keys:
            here = keys[step]
        elif values and step != "[key]":
            here, step = values, str(step)
        elif keys:
            here, step = next(option for option in options if "properties" in option), str(step)
        else:
            continue
        steps.append(step)
        here = _resolved(here, schema)
    return tuple(steps), here


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def words(schema: dict[str, Any]) -> str:
    """What a value of this JSON schema is, in words that end a sentence beginning with "must be"."""
    if "anyOf" in schema:
        return ", or ".join(words(option) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    match schema.get("type"):
        case "integer":
            return _bounded("a whole number", schema)
        case "number":
            return _bounded("a number", schema)
        case "boolean":
            return "true or false"
        case "string":
            return "a text"
        case "null":
            return "null"
        case "array":
            least = f"{schema['minItems']} or more " if "minItems" in schema else ""
            of = words(schema["items"]).removeprefix("a ")
            for one in ("number", "text", "mapping"):
                of = of.replace(one, f"{one}s")
            return f"a list of {least}{of}"
        case _:
            return "a mapping"


def _bounded(kind: str, schema: dict[str, Any]) -> str:
    bounds = (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    )
    said = " and ".join(f"{how} {schema[bound]:g}" for bound, how in bounds if bound in schema)
    said = f" of {said}" if said.startswith("at") else f" {said}".rstrip()
    return kind + said + (f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else "")


def unknown(kind: str, name: Any, known: Iterable[str]) -> str:
    """The end of a sentence that refuses a `kind` of thing called `name`, and says which there are."""
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"unknown {kind} '{name}'{hint}; known {kind}s are {', '.join(known)}"


def shown(value: Any) -> str:
    """`value` as params.yaml would have it, cut where it is long."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]} ..."
