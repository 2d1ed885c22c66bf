"""``clips.csv``: paths and labels, as programs write them and as people save them again from a spreadsheet.

Commas, semicolons and tabs are told apart by the header, UTF-8, UTF-16 and Windows-1252 by the bytes.
"""

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from earshot.core.errors import EarshotError

_DELIMITERS = ",;\t"


class LabelTableError(EarshotError):
    """A table that cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class LabelTable:
    """Rows by column, every cell a stripped text, and the columns in their order."""

    columns: list[str]
    rows: list[dict[str, str]]


def read_label_table(path: Path, needed: tuple[str, ...] = ("path", "label")) -> LabelTable:
    """Read the table at `path`. Cells beyond the header are left out, missing ones are empty.

    Raises:
        LabelTableError: it cannot be read, or lacks a column of `needed`.
        FileNotFoundError: there is none.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LabelTableError(f"{path} cannot be read: {error.strerror}") from error
    text = _decoded(data)
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise LabelTableError(f"{path} cannot be read: {error}; save it as CSV in UTF-8") from error
    columns = [cell.strip() for cell in lines[0]] if lines else []
    missing = [column for column in needed if column not in columns]
    if missing:
        found = ", ".join(columns) or "none"
        raise LabelTableError(
            f"{path} must have the columns {' and '.join(needed)}, and its first line names {found}: save it as CSV "
            "with a header line"
        )
    rows = [
        {column: cells[i].strip() if i < len(cells) else "" for i, column in enumerate(columns)}
        for cells in lines[1:]
        if any(cell.strip() for cell in cells)
    ]
    for row in rows:
        row["path"] = row["path"].replace("\\", "/").removeprefix("./")
    return LabelTable(columns, rows)


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
