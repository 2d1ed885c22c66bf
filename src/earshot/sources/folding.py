"""Folds made by recording, for sources that have none and for users who want none of those given."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from earshot.clips.folds import fold_count, make_folds
from earshot.clips.table import DatasetError
from earshot.sources.source import Index

FEW = 3  # recordings of a class below which a result says little; mentioned in a note


def folds_by_recording(labels: Sequence[str], recordings: Sequence[str], seed: int) -> tuple[np.ndarray, list[str]]:
    """As many folds as the rarest class has recordings, at most ten; and notes on them.

    Raises:
        DatasetError: a class has one recording only.
    """
    held = pd.DataFrame({"label": labels, "recording": recordings}).groupby("label")["recording"].nunique()
    short = sorted(held.index[held < 2])
    if short:
        raise DatasetError(
            f"{', '.join(short)}: all clips come from one recording, so a model can be trained on it or tested on it "
            "but not both; add a second recording, or name the recordings in the column recording of clips.csv"
        )
    count = fold_count(labels, recordings)
    notes = [f"{count} were made by recording, stratified by class"]
    few = sorted(held.index[held < FEW])
    if few:
        notes.append(f"{', '.join(few)}: fewer than {FEW} recordings, so results for them say little")
    return make_folds(labels, recordings, count, seed), notes


def anew(index: Index, seed: int) -> Index:
    """`index` with folds by recording in place of those given."""
    clips = index.clips
    if index.joined is not None:
        clips = clips.assign(recording=list(index.joined))
    folds, notes = folds_by_recording(clips["label"].tolist(), clips["recording"].tolist(), seed)
    notes = [f"folds that are given are not used (dataset.folds: by_recording); {notes[0]}", *notes[1:]]
    return replace(index, clips=clips.assign(fold=folds), fold_notes=tuple(notes), joined=None)
