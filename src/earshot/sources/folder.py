"""A user's own sounds, in any of five layouts. The folder is read, never written.

1. ``UrbanSound8K.csv``, in the folder or in ``metadata/``: UrbanSound8K's layout.
2. ``esc50.csv``, in the folder or in ``meta/``: ESC-50's layout.
3. ``clips.csv``: columns path (relative to the folder) and label; optionally fold, recording, start_s, end_s, salience.
4. ``<label>/<files>``: one directory a class, files at any depth inside it.
5. ``train/<label>/<files>`` beside ``val`` and ``test``, or ``fold1/<label>/<files>``: the same with splits or folds.

Where no column says which clips were cut from one recording, `earshot.sources.recordings` reads it off the names.
Where there are no folds they are made by recording.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from earshot.clips.folds import MAX_FOLDS, fold_count, make_folds
from earshot.clips.split import MIN_FOLDS_FOR_VAL
from earshot.clips.table import DatasetError, leaves_root, make_table
from earshot.sources import esc50, urbansound8k
from earshot.sources.folding import folds_by_recording
from earshot.sources.layout import SPLITS, Layout, fold_number, join_spellings, recognise
from earshot.sources.metadata import numbers, read_metadata
from earshot.sources.recordings import describe, infer_recordings
from earshot.sources.source import FilesOnDisk, Index, Source, match

NAME = "folder"
TITLE = "Your own recordings"
LICENCE = "not stated"
CITATION = "not stated"
URL = ""
CLIPS = "clips.csv"


def index(root: Path, seed: int = 0) -> Index:
    """Read the folder at `root`, infer recordings and make folds where nothing gives them; paths are relative to it."""
    if urbansound8k.locate(root) is not None:
        return urbansound8k.index(root)
    if esc50.locate(root) is not None:
        return esc50.index(root)
    disk = FilesOnDisk(root)
    layout = None
    if (root / CLIPS).is_file():
        rows, missing, unlisted = match(_listed(root / CLIPS), disk)
    else:
        layout = recognise(root, disk.paths)
        rows, missing, unlisted = pd.DataFrame({"path": layout.paths, "label": layout.labels}), (), layout.unlisted
    notes, inferred = [], "recording" not in rows
    if inferred:
        paths, labels = rows["path"].tolist(), rows["label"].tolist()
        rows["recording"] = infer_recordings(layout.bare if layout else paths, labels, paths)
        notes = describe(paths, labels, rows["recording"].tolist())
    rows["label"], spellings = join_spellings(rows["label"].tolist())
    rows, fold_notes = _by_groups(rows, layout, seed) if layout and layout.groups else _with_folds(rows, seed)
    joined = tuple(rows.sort_values("path", kind="stable")["recording"])
    if inferred:
        rows, crossing = _apart(rows)
        fold_notes += crossing
    return Index(make_table(rows), missing, unlisted, (*spellings, *notes), tuple(fold_notes), joined)


def _listed(path: Path) -> pd.DataFrame:
    rows = read_metadata(path, ("path", "label"), CLIPS, any_case=True)
    rows["path"] = [value.replace("\\", "/").removeprefix("./") for value in rows["path"]]
    for row, value in rows["path"].items():
        if leaves_root(value):
            raise DatasetError(f"{CLIPS}: row {row}: path {value!r} must be relative to the folder and stay inside it")
    for column in ("start_s", "end_s", "salience"):
        rows[column] = numbers(rows, column, CLIPS)
    for column in ("fold", "recording"):
        if column in rows and (rows[column] == "").any():
            if (rows[column] == "").all():
                del rows[column]
                continue
            row = rows.index[(rows[column] == "").to_numpy()][0]
            raise DatasetError(
                f"{CLIPS}: row {row}: {rows['path'][row]} has no {column}; fill the column for every file or none"
            )
    if "fold" in rows:
        rows["fold"] = numbers(rows, "fold", CLIPS, whole=True)
    return rows


def _with_folds(rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, list[str]]:
    if "fold" in rows:
        lowest = int(rows["fold"].min())
        if lowest < 0:
            raise DatasetError(f"{CLIPS}: fold {lowest} is below zero; number folds from 1")
        if lowest == 0:
            return rows.assign(fold=rows["fold"] + 1), ["folds are numbered from 0 in the table, from 1 here"]
        return rows, []
    labels, recordings = rows["label"].tolist(), rows["recording"].tolist()
    folds, notes = folds_by_recording(labels, recordings, seed)
    return rows.assign(fold=folds), [f"no column names the folds; {notes[0]}", *notes[1:]]


def _by_groups(rows: pd.DataFrame, layout: Layout, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Folds out of directories that are folds or splits. Validation and test are last, as `auto` takes them."""
    groups = list(layout.groups or ())
    numbered = [fold_number(name) for name in groups]
    if None not in numbered:
        return rows.assign(fold=np.array(numbered, np.int64)), [
            f"the directories {', '.join(sorted(set(groups)))} are taken for folds"
        ]
    kinds = np.array([SPLITS[name.lower()] for name in groups])
    held = [kind for kind in ("val", "test") if kind in kinds]
    train = kinds == "train"
    labels, recordings = rows["label"][train].tolist(), rows["recording"][train].tolist()
    count = fold_count(labels, recordings, MAX_FOLDS - len(held))
    if len(held) > 1:
        count = max(count, MIN_FOLDS_FOR_VAL - len(held))  # so that `auto` validates on the val directory
    folds = np.zeros(len(rows), np.int64)
    folds[train] = make_folds(labels, recordings, count, seed)
    for number, kind in enumerate(held, start=count + 1):
        folds[kinds == kind] = number
    last = f"{held[-1]} is fold {count + len(held)}, which split.test_folds: auto tests on"
    before = f"val is fold {count + 1}, which is validated on; " if len(held) > 1 else ""
    return rows.assign(fold=folds), [
        f"the directories {', '.join(sorted(set(groups)))} are taken for the parts of a split: train is dealt to "
        f"folds 1 to {count} by recording; {before}{last}. dataset.folds: by_recording joins them and splits anew"
    ]


def _apart(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Tell files of one inferred recording in several folds apart: given folds are a statement, a name is a guess."""
    folds_of = rows.groupby("recording")["fold"].nunique()
    crossing = set(folds_of.index[folds_of > 1])
    if not crossing:
        return rows, []
    names = [
        f"{name}@{fold:.0f}" if name in crossing else name
        for name, fold in zip(rows["recording"], rows["fold"], strict=True)
    ]
    return rows.assign(recording=names), [
        f"warning: {len(crossing)} groups of files are named like slices of one recording but lie in several folds, "
        f"for example {min(crossing)}; the folds are kept as given. If they are slices, results are too good: set "
        "dataset.folds: by_recording"
    ]


SOURCE = Source(NAME, TITLE, LICENCE, CITATION, URL, index)
