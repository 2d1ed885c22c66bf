"""A user's own sounds, in any of four layouts. The folder is read, never written.

1. ``metadata/UrbanSound8K.csv``: UrbanSound8K's layout.
2. ``meta/esc50.csv``: ESC-50's layout.
3. ``clips.csv``: columns path (relative to the folder) and label; optionally fold, recording, start_s, end_s, salience.
4. ``<label>/<files>``: one directory a class, files at any depth inside it.

Where no column says which clips were cut from one recording, `earshot.sources.recordings` reads it off the names.
Where there are no folds they are made by recording.
"""

from pathlib import Path

import pandas as pd

from earshot.clips.folds import fold_count, make_folds
from earshot.clips.table import DatasetError, leaves_root, make_table
from earshot.sources import esc50, urbansound8k
from earshot.sources.recordings import infer_recordings
from earshot.sources.source import FilesOnDisk, Index, Source, match, numbers, read_metadata

NAME = "folder"
TITLE = "Your own recordings"
LICENCE = "not stated"
CITATION = "not stated"
URL = ""
CLIPS = "clips.csv"
FEW = 3  # recordings of a class below which a result says little; mentioned in a note


def index(root: Path, seed: int = 0) -> Index:
    """Read the folder at `root`, infer recordings and make folds where nothing gives them; paths are relative to it."""
    if urbansound8k.locate(root) is not None:
        return urbansound8k.index(root)
    if esc50.locate(root) is not None:
        return esc50.index(root)
    disk = FilesOnDisk(root)
    if (root / CLIPS).is_file():
        rows, missing, unlisted = match(_listed(root / CLIPS), disk)
        rows = rows.reset_index(drop=True)
    else:
        rows, unlisted = _by_directory(disk)
        missing = ()
    rows, recording_notes = _with_recordings(rows)
    rows, fold_notes = _with_folds(rows, seed)
    return Index(make_table(rows), missing, unlisted, (*recording_notes, *fold_notes))


def _listed(path: Path) -> pd.DataFrame:
    rows = read_metadata(path, ("path", "label"), CLIPS)
    rows["path"] = [value.replace("\\", "/").removeprefix("./") for value in rows["path"]]
    for value in rows["path"]:
        if leaves_root(value) or not value:
            raise DatasetError(f"{CLIPS}: path {value!r} must be relative to the folder and stay inside it")
    for column in ("start_s", "end_s", "salience"):
        rows[column] = numbers(rows, column, CLIPS)
    if "fold" in rows:
        rows["fold"] = numbers(rows, "fold", CLIPS, whole=True)
    return rows


def _by_directory(disk: FilesOnDisk) -> tuple[pd.DataFrame, tuple[str, ...]]:
    inside = [path for path in disk.paths if "/" in path]
    if not inside:
        raise DatasetError(
            f"{disk.root} holds no recordings in a layout that is known: put the files of each class into a directory "
            f"of that name (<label>/<files>), or list them in {CLIPS} with the columns path and label"
        )
    rows = pd.DataFrame({"path": inside, "label": [path.split("/", 1)[0] for path in inside]})
    return rows, tuple(path for path in disk.paths if "/" not in path)


def _with_recordings(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    if "recording" in rows and (rows["recording"] != "").all():
        return rows, []
    if "recording" in rows and (rows["recording"] != "").any():
        row = int((rows["recording"] == "").to_numpy().argmax())
        raise DatasetError(
            f"{CLIPS}: {rows['path'].iloc[row]} has no recording; fill the column for every file or none"
        )
    inferred = infer_recordings(rows["path"].tolist(), rows["label"].tolist())
    rows = rows.assign(recording=inferred)
    count = rows["recording"].nunique()
    notes = [f"no column names the recordings; {count} were inferred from the names of {len(rows)} files"]
    if "fold" in rows and rows["fold"].notna().all():
        folds_of = rows.groupby("recording")["fold"].nunique()
        crossing = set(folds_of.index[folds_of > 1])
        if crossing:  # the user's folds are a statement, a shared name is a guess
            rows["recording"] = [
                f"{name}@{fold:.0f}" if name in crossing else name
                for name, fold in zip(rows["recording"], rows["fold"], strict=True)
            ]
            notes.append(
                f"{len(crossing)} groups of files are named like slices of one recording but lie in several folds, "
                f"for example {min(crossing)}; the folds are kept as given"
            )
    return rows, notes


def _with_folds(rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, list[str]]:
    if "fold" in rows and rows["fold"].notna().all():
        lowest = int(rows["fold"].min())
        if lowest < 0:
            raise DatasetError(f"{CLIPS}: fold {lowest} is below zero; number folds from 1")
        if lowest == 0:
            return rows.assign(fold=rows["fold"] + 1), ["folds are numbered from 0 in the table, from 1 here"]
        return rows, []
    if "fold" in rows and rows["fold"].notna().any():
        row = int(rows["fold"].isna().to_numpy().argmax())
        raise DatasetError(f"{CLIPS}: {rows['path'].iloc[row]} has no fold; fill the column for every file or none")
    held = rows.groupby("label")["recording"].nunique()
    short = sorted(held.index[held < 2])
    if short:
        raise DatasetError(
            f"{', '.join(short)}: all clips come from one recording, so a model can be trained on it or tested on it "
            "but not both; add a second recording, or name the recordings in the column recording of clips.csv"
        )
    labels, recordings = rows["label"].tolist(), rows["recording"].tolist()
    folds = fold_count(labels, recordings)
    notes = [f"no column names the folds; {folds} were made by recording, stratified by class"]
    few = sorted(held.index[held < FEW])
    if few:
        notes.append(f"{', '.join(few)}: fewer than {FEW} recordings, so results for them say little")
    return rows.assign(fold=make_folds(labels, recordings, folds, seed)), notes


SOURCE = Source(NAME, TITLE, LICENCE, CITATION, URL, index)
