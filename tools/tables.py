"""Write every figure and table of README, docs and benchmarks from the JSON and CSV files that hold them.

    python tools/tables.py            # writes; `make tables` does the same
    python tools/tables.py --check    # changes nothing; exit status 1 where a file is not what this writes

A page marks the places::

    <!-- table: NAME -->
    (a table of `results.TABLES` or `reference.TABLES`)
    <!-- end -->

    <!-- value: FILE KEY/KEY FORMAT -->0.88<!-- end -->

FILE is relative to the project's root, the keys lead to a number or a text, and FORMAT is a Python format
specification, or ``s`` for a text.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import reference
import results
from figures import ROOT, Figures

PAGES = ("README.md", "docs/**/*.md", "benchmarks/*/README.md")
TABLES: dict[str, Callable[[Figures], str]] = results.TABLES | reference.TABLES

_MARKED = re.compile(r"<!-- (table|value): ([^>]+?) -->(.*?)<!-- end -->", re.DOTALL)
_OPENED = re.compile(r"<!-- (?:table|value):")


class TablesError(Exception):
    """A marker that cannot be filled; the message names the page, the marker and the remedy."""


def main() -> int:
    """Write or check every page; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="name the pages that are not up to date, and write nothing"
    )
    arguments = parser.parse_args()
    stale = []
    try:
        for path, text in written(ROOT):
            if path.read_text(encoding="utf-8") != text:
                stale.append(path.relative_to(ROOT).as_posix())
                if not arguments.check:
                    path.write_text(text, encoding="utf-8")
    except TablesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for page in stale:
        print(f"{page} {'is not what `make tables` writes' if arguments.check else 'written'}")
    return 1 if stale and arguments.check else 0


def written(root: Path) -> Iterator[tuple[Path, str]]:
    """Every page that has a marker, and its text with all markers filled.

    Raises:
        TablesError: a marker is not closed, names nothing, or names a figure that is not there.
    """
    figures = Figures(root)
    for path in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        if _OPENED.search(text):
            yield path, filled(text, figures, path.relative_to(root).as_posix())


def filled(text: str, figures: Figures, page: str) -> str:
    """`text` with every marker filled; `page` names it in errors."""
    if len(_OPENED.findall(text)) != len(_MARKED.findall(text)):
        raise TablesError(f"{page}: a marker is not closed: add <!-- end --> after it")
    if re.search(r"^ *<!-- value:", text, re.MULTILINE):
        raise TablesError(f"{page}: a line begins with <!-- value: -->, which Markdown takes for a block: move it")

    def fill(match: re.Match[str]) -> str:
        kind, name = match.group(1), match.group(2).strip()
        try:
            content = _table(name, figures) if kind == "table" else _value(name, figures)
        except (KeyError, OSError, ValueError, TypeError) as error:
            raise TablesError(f"{page}: <!-- {kind}: {name} -->: {type(error).__name__}: {error}") from error
        content = f"\n\n{content.strip()}\n\n" if kind == "table" else content
        return f"<!-- {kind}: {name} -->{content}<!-- end -->"

    return _MARKED.sub(fill, text)


def _table(name: str, figures: Figures) -> str:
    """A table by its name, or by its kind and an argument: ``evidence NAME``, ``provenance FILE``."""
    kind, _, argument = name.partition(" ")
    if kind in results.PARAMETRISED:
        return results.PARAMETRISED[kind](figures, argument)
    return TABLES[name](figures)


def _value(marker: str, figures: Figures) -> str:
    file, rest = marker.split(" ", 1)
    keys, form = rest.rsplit(" ", 1)
    return results.formatted(figures.value(file, keys), "" if form == "s" else form)


if __name__ == "__main__":
    sys.exit(main())
