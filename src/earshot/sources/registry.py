"""The sources of recordings, by the name that ``dataset.name`` gives them.

A source is a module of this package that is called as the source is, and holds its `earshot.sources.source.Source` as
``SOURCE``. A new one is such a module and its name in `NAMES`.
"""

import difflib
from importlib import import_module

from earshot.clips.table import DatasetError
from earshot.sources.source import Source

NAMES = (
    "synthetic",
    "urbansound8k",
    "esc50",
    "esc10",
    "folder",
)


def find_source(name: str) -> Source:
    """The source called `name`; DatasetError with those that there are. Its module is imported when it is asked for."""
    if name not in NAMES:
        near = difflib.get_close_matches(name, NAMES, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise DatasetError(f"dataset.name must be one of {', '.join(NAMES)}, not {name!r}{hint}")
    source: Source = import_module(f"earshot.sources.{name}").SOURCE
    return source
