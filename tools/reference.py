"""Tables of reference: commands, HTTP, parameters, stages and metrics, read from what the program itself uses."""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from figures import Figures
from results import NONE, table

_DEFAULT = re.compile(r" \(default: [^)]*\)$")  # it has a column of its own
_CODE = ("src/", "stages/")


def commands(figures: Figures) -> str:
    """Every subcommand of ``earshot``: what it does, its arguments and its examples."""
    from earshot.commands import cli

    root = cli.parser()
    subcommands = next(action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join(_command(name, parser) for name, parser in subcommands.choices.items())


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        names = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{_metavar(action)}`"
        if action.option_strings and action.nargs != 0:
            names += f" `{_metavar(action)}`"
        default = NONE if action.default in (None, False, [], argparse.SUPPRESS) else f"`{action.default}`"
        words = _DEFAULT.sub("", (action.help or "").replace("%%", "%"))
        rows.append([names, words, default])
    examples = (parser.epilog or "").removeprefix("examples:\n").rstrip()
    parts = [f"## earshot {name}", f"{parser.description}", table(["argument", "meaning", "default"], rows)]
    if examples:
        parts.append("```sh\n" + "\n".join(line.removeprefix("  ") for line in examples.splitlines()) + "\n```")
    return "\n\n".join(parts)


def _metavar(action: argparse.Action) -> str:
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return str(name)


def http(figures: Figures) -> str:
    """Every route of the OpenAPI document: request, statuses."""
    from earshot.service.openapi import document

    parts = []
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            parts.append(f"### {method.upper()} {path}\n\n{operation['summary']}.")
            if "requestBody" in operation:
                types = ", ".join(f"`{kind}`" for kind in operation["requestBody"]["content"])
                parts.append(f"Body: {types}.")
            parameters = [
                [f"`{one['name']}`", one["in"], one.get("description", NONE)] for one in operation.get("parameters", ())
            ]
            if parameters:
                parts.append(table(["parameter", "in", "meaning"], parameters))
            rows = [
                [status, answer["description"], _contents(answer)] for status, answer in operation["responses"].items()
            ]
            parts.append(table(["status", "meaning", "body"], rows))
    return "\n\n".join(parts)


def _contents(answer: dict[str, Any]) -> str:
    contents = [f"`{kind}`: {_type(content['schema'])}" for kind, content in answer.get("content", {}).items()]
    return "; ".join(contents) or NONE


def schemas(figures: Figures) -> str:
    """Every schema of the OpenAPI document with its fields."""
    from earshot.service.openapi import document

    parts = []
    for name, schema in document()["components"]["schemas"].items():
        parts.append(f"### {name}")
        if "description" in schema:
            parts.append(f"One of: {schema['description']}.")
        for variant in schema.get("oneOf", [schema]):
            rows = [
                [f"`{field}`", _type(value), value.get("description", NONE)]
                for field, value in variant.get("properties", {}).items()
            ]
            parts.append(table(["field", "type", "meaning"], rows))
    return "\n\n".join(parts)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in schema:
        return " or ".join(_type(option) for option in schema["oneOf"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and "properties" in schema:
        return "object of " + ", ".join(f"`{field}`" for field in schema["properties"])
    text = "bytes" if schema.get("format") == "binary" else kind
    limits = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([text, *limits]) + (" or null" if schema.get("nullable") else "")


def series(figures: Figures) -> str:
    """The service's own series for Prometheus."""
    from prometheus_client import REGISTRY

    from earshot.service.metrics import Metrics

    Metrics()
    rows = []
    for metric in REGISTRY.collect():
        if metric.name.startswith("earshot_"):
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            rows.append([f"`{name}`", metric.type, metric.documentation])
    return table(["series", "type", "what"], sorted(rows))


def parameters(figures: Figures) -> str:
    """Every key of params.yaml with its default, what it may be and what it means, by section."""
    from earshot.commands.params_file import schema

    document = schema()
    parts = []
    for name, part in document["properties"].items():
        rows = list(_parameters(name, part, document["$defs"]))
        parts.append(f"## {name}\n\n" + table(["key", "default", "may be", "meaning"], rows))
    return "\n\n".join(parts)


def _parameters(name: str, part: dict[str, Any], models: dict[str, Any]) -> Iterator[list[str]]:
    from earshot.core.params_words import words

    if "$ref" in part:
        for key, inner in models[part["$ref"].rsplit("/", 1)[-1]]["properties"].items():
            yield from _parameters(f"{name}.{key}", inner, models)
    else:
        default = json.dumps(part["default"]).strip('"')
        yield [f"`{name}`", f"`{default}`", words(part), part["description"]]


def stages(figures: Figures) -> str:
    """Every stage of dvc.yaml: what it does, the data it reads and what it writes."""
    rows = []
    for name, stage in _stages(figures).items():
        reads = [f"`{dep}`" for dep in stage.get("deps", ()) if not dep.startswith((*_CODE, "${"))]
        writes = [f"`{out}`" for kind in ("outs", "metrics", "plots") for out in _paths(stage.get(kind, ()))]
        rows.append([f"`{name}`", stage.get("desc", NONE), ", ".join(reads) or NONE, ", ".join(writes)])
    return table(["stage", "what it does", "reads", "writes"], rows)


def metrics(figures: Figures) -> str:
    """Every file under metrics/ with its stage, and the meaning of each key or column."""
    words = yaml.safe_load((figures.root / "docs" / "reference" / "metrics.yml").read_text(encoding="utf-8"))
    maker = {
        out: name
        for name, stage in _stages(figures).items()
        for kind in ("metrics", "plots")
        for out in _paths(stage.get(kind, ()))
    }
    parts = []
    for path in sorted(path for path in maker if path.endswith((".json", ".csv"))):
        if not figures.exists(path):
            continue
        said = words["files"].get(path, {})
        known = words["keys"] | said.get("keys", {})
        rows = [[f"`{key}`", known.get(key, UNDESCRIBED)] for key in _keys(figures, path, set(said.get("keys", {})))]
        parts.append(f"## {path}\n\n{said.get('about', UNDESCRIBED)} Stage: `{maker[path]}`.")
        parts.append(table(["key" if path.endswith(".json") else "column", "meaning"], rows))
    return "\n\n".join(parts)


UNDESCRIBED = "(not described)"


def _keys(figures: Figures, path: str, described: set[str]) -> list[str]:
    """The columns of a CSV file, or the keys of a JSON file; a key of nested values counts with its parts."""
    if path.endswith(".csv"):
        return list(figures.csv(path)[0])
    found = []
    for key, value in figures.json(path).items():
        found.append(key)
        if isinstance(value, dict) and not described & {key, f"{key}.*"}:
            found += [f"{key}.{part}" for part in value]
    return found


def _stages(figures: Figures) -> dict[str, Any]:
    return yaml.safe_load((figures.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def _paths(entries: Any) -> list[str]:
    """The paths of a list of outputs, each a text or a mapping of one path to its options."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


TABLES: dict[str, Callable[[Figures], str]] = {
    "commands": commands,
    "http": http,
    "schemas": schemas,
    "series": series,
    "parameters": parameters,
    "stages": stages,
    "metrics": metrics,
}
