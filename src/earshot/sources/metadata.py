"""Tables of clips as people have them: with commas, semicolons or tabs, from a spreadsheet or from a program."""

import codecs
import csv
import io
import re
from pathlib import Path

import pandas as pd

from earshot.clips.table import DatasetError

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATORS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
SAVE_AS = "save it as CSV in UTF-8 (in a spreadsheet: 'CSV UTF-8')"


def read_metadata(path: Path, required: tuple[str, ...], where: str, any_case: bool = False) -> pd.DataFrame:
    """Read a table of clips as text, its headers and cells stripped of blanks. Rows without any text are left out.

    The encoding is UTF-8, or what the file's byte order mark says. The separator is the one of comma, semicolon and
    tabulator that its first line has most of. Where it is not a comma, commas in numbers are read as decimal points.

    Args:
        path: the file.
        required: columns that must be there, with something in every row.
        where: begins every message.
        any_case: take the header in lower case, however it is written.

    Returns:
        Text columns. The index holds the number of each row in the file, for `numbers` and other messages; the first
        row after the header is row 2.

    Raises:
        DatasetError: the file is no such table; the message names row and column.
    """
    lines = _lines(path, where)
    header = [name.lower() for name in lines[0][1]] if any_case else lines[0][1]
    for column in required:
        if column not in header:
            raise DatasetError(f"{where} lacks the column {column}; it has {', '.join(filter(None, header))}")
    columns = [name for name in header if name]
    repeated = next((name for name in columns if columns.count(name) > 1), None)
    if repeated:
        raise DatasetError(f"{where} has the column {repeated} twice; delete or rename one")
    rows = {}
    for number, cells in lines[1:]:
        if any(cells[len(header) :]):
            raise DatasetError(
                f"{where}: row {number} has more cells than the header ({len(cells)}, not {len(header)}); "
                "put a cell that holds the separator into double quotes"
            )
        padded = cells + [""] * (len(header) - len(cells))
        rows[number] = {name: cell for name, cell in zip(header, padded, strict=False) if name}
    if not rows:
        raise DatasetError(f"{where} lists no files")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    for column in required:
        blank = table[column] == ""
        if blank.any():
            raise DatasetError(f"{where}: row {table.index[blank.to_numpy()][0]}: {column} is empty; fill it in")
    return table


def numbers(rows: pd.DataFrame, column: str, where: str, whole: bool = False) -> pd.Series:
    """A text column of `rows` as numbers (NaN where it is empty or absent); anything else is a DatasetError.

    Args:
        rows: as `read_metadata` gives them.
        column: its name.
        where: begins the message.
        whole: refuse numbers with a fraction.
    """
    if column not in rows:
        return pd.Series(float("nan"), index=rows.index)
    values = pd.to_numeric(rows[column], errors="coerce")
    wrong = (values.isna() | values.isin([float("inf"), float("-inf")])) & (rows[column] != "")
    if whole:
        wrong |= values.notna() & (values % 1 != 0)
    if wrong.any():
        kind = "whole numbers" if whole else "numbers (as 0.5)"
        row, value = rows.index[wrong.to_numpy()][0], rows[column][wrong].iloc[0]
        raise DatasetError(f"{where}: row {row}: {column} must hold {kind}, not {value!r}")
    return values


def _lines(path: Path, where: str) -> list[tuple[int, list[str]]]:
    """The rows that hold any text, each with its number in the file; the first is the header."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{where} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _ENCODINGS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{where}: row {row} is not in {encoding.removesuffix('-sig').upper()}; {SAVE_AS}"
        ) from error
    if "\0" in text:
        raise DatasetError(f"{where} is no text in UTF-8; {SAVE_AS}")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    told = re.match(r"sep=(.)\r?\n", text)  # a first line by which spreadsheets tell each other the separator
    separator = told[1] if told else max(_SEPARATORS, key=first.count)
    found = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for number, cells in enumerate(reader, start=1):
            cells = [cell.strip() for cell in cells]
            if separator != ",":
                cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
            if any(cells) and not (told and number == 1):
                found.append((number, cells))
    except csv.Error as error:
        raise DatasetError(f"{where}: line {reader.line_num} cannot be read as CSV: {error}") from error
    if not found:
        raise DatasetError(f"{where} is empty; it must have a header and a row for each file")
    return found
