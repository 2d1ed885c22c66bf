"""The one table of clips that every source ends in and every later stage starts from."""

from pathlib import Path, PurePosixPath

import pandas as pd

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.core.labels import BACKGROUND, UNKNOWN

SOURCE = "source"  # a column more, before the others, where a set has several sources
COLUMNS = ["path", "label", "fold", "recording", "start_s", "end_s", "salience"]
TEXT = ["path", "label", "recording"]
NUMBERS = ["start_s", "end_s", "salience"]  # may be empty


class DatasetError(EarshotError):
    """Recordings that cannot be used as they are; the message names them and the remedy."""


def make_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Put `rows` into the table's columns, types and order (sorted by path); absent optional columns become empty.

    Args:
        rows: at least path, label and recording. fold is an integer, or absent where folds are still to be made.

    Returns:
        path: POSIX, relative to the clips' root.
        label: class name, exactly as the source spells it.
        fold: integer from 1, or missing in every row.
        recording: what the clip was cut from; clips of one recording never sit on both sides of an honest split.
        start_s, end_s: position in the recording in seconds, or NaN.
        salience: 1 foreground, 2 background, or NaN.

    Where a set has several sources, its table has the column `source` besides: the key of the clip's source, below
    whose root the path is. Fold numbers are then those of each source. The label `BACKGROUND` marks clips of no class.
    """
    table = pd.DataFrame(index=rows.index)
    for column in COLUMNS:
        if column in TEXT:
            table[column] = rows[column].astype(str)
        elif column == "fold":
            table[column] = rows[column].astype("Int64") if column in rows else pd.array([pd.NA] * len(rows), "Int64")
        else:
            table[column] = rows[column].astype(float) if column in rows else float("nan")
    table = table.sort_values("path", kind="stable").reset_index(drop=True)
    if not table["fold"].isna().any():
        table["fold"] = table["fold"].astype("int64")
    return table


def read_clips(path: str | Path) -> pd.DataFrame:
    """Read and check the table at `path`. Labels and recordings stay text: a class called "nan" or "NA" is kept.

    Returns the columns of `make_table`: text, int64 (fold) and float64 (start_s, end_s, salience). Source, where there
    is such a column, is the first.
    Raises DatasetError if the file is absent or is not such a table.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError as error:
        raise DatasetError(f"{path} not found: run `dvc repro`, which makes it") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not a table of clips: {error}") from error
    absent = [column for column in COLUMNS if column not in rows]
    if absent:
        raise DatasetError(f"{path} lacks the column {absent[0]}; a table of clips has {', '.join(COLUMNS)}")
    for column in (*NUMBERS, "fold"):
        blank = (rows[column] == "") & (column != "fold")
        try:
            rows[column] = rows[column].where(~blank, "nan").astype("int64" if column == "fold" else "float64")
        except ValueError as error:
            raise DatasetError(f"{path}: column {column}: {error}") from error
    clips = rows[columns_of(rows)]
    check_clips(clips, where=str(path))
    return clips


def write_clips(target: str | Path, clips: pd.DataFrame, where: str = "") -> None:
    """Check `clips` and write them to `target` atomically, with integral numbers free of a trailing ``.0``.

    `where` begins the message of a table that cannot be used; `target` by default.
    """
    check_clips(clips, where or str(target))
    rows = clips[columns_of(clips)].copy()
    rows["salience"] = rows["salience"].astype("Int64")
    with atomic_file(target) as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def check_clips(clips: pd.DataFrame, where: str) -> None:
    """Raise DatasetError, beginning with `where`, unless `clips` is a usable table with folds."""
    if clips.empty:
        raise DatasetError(f"{where} holds no clips")
    for column in TEXT:
        blank = clips[column].isna() | (clips[column] == "")
        if blank.any():
            raise DatasetError(f"{where}: {column} is empty in row {int(blank.to_numpy().argmax()) + 2}")
    repeated = clips.loc[clips.duplicated([*columns_of(clips)[: -len(COLUMNS)], "path"]), "path"]
    if len(repeated):
        raise DatasetError(f"{where}: {repeated.iloc[0]} is listed twice; list each file once")
    outside = [path for path in clips["path"] if leaves_root(path)]
    if outside:
        raise DatasetError(f"{where}: {outside[0]} must be relative to the clips' root and stay inside it")
    if (clips["label"] == UNKNOWN).any():
        raise DatasetError(
            f"{where}: a class is named {UNKNOWN!r}, which is the answer to sounds of no class; rename it, or, if its "
            "clips are such sounds, give them names of their own and list those in split.unknown_classes"
        )
    classes = sorted(set(clips["label"]) - {BACKGROUND})
    if len(classes) < 2:
        only = f"the only class is {classes[0]!r}" if classes else "there is no class"
        raise DatasetError(f"{where}: {only}; a classifier needs at least two")
    if clips["fold"].isna().any() or (clips["fold"] < 1).any():
        raise DatasetError(f"{where}: folds must be whole numbers from 1")


def columns_of(clips: pd.DataFrame) -> list[str]:
    """`COLUMNS`, after `SOURCE` where `clips` has it."""
    return [SOURCE, *COLUMNS] if SOURCE in clips else COLUMNS


def leaves_root(path: str) -> bool:
    """Whether a POSIX `path` is absolute or climbs out of its root."""
    pure = PurePosixPath(path)
    return pure.is_absolute() or ".." in pure.parts
