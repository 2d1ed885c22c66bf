"""What several subcommands share."""

import argparse
from collections.abc import Sequence
from typing import Any

DEFAULT_MODEL = "models/earshot.int8.onnx"

Subparsers = Any  # what `ArgumentParser.add_subparsers` returns has no public name


def add_command(commands: Subparsers, name: str, summary: str, details: str, examples: str) -> argparse.ArgumentParser:
    """A subcommand whose help explains it and shows how it is used."""
    return commands.add_parser(
        name,
        help=summary,
        description=details,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """The option `--model`."""
    parser.add_argument(
        "--model", metavar="PATH", default=DEFAULT_MODEL, help=f"the ONNX file to ask (default: {DEFAULT_MODEL})"
    )


def in_folds(folds: Any) -> str:
    """A split's folds as the end of a sentence, ", fold 3" or ", out of fold"; of several sources those of each."""
    if isinstance(folds, dict):
        return "".join(f"{in_folds(own)} of {key}" for key, own in folds.items())
    if isinstance(folds, str):
        return f", {folds.replace('_', ' ')}"
    return f", fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}" if folds else ""


def table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """`rows` with their columns aligned, those numbered in `right` to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
