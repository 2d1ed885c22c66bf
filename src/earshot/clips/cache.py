"""The log-mel spectrograms of all clips in one memory-mapped file, computed once and read by every later stage.

`earshot.clips.extract` makes it. Reading needs nothing of audio, so that an edited decoder, once the features are
found to be the same, retrains nothing.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from earshot.clips.table import DatasetError, read_clips

LOGMEL = "logmel.npy"
INDEX = "index.csv"
_ADDED = ["frames", "truncated_s", "peak"]  # to the columns of the table of clips


def open_cache(directory: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Open what `earshot.clips.extract.build` wrote.

    Returns:
        Log-mel, float16 (clips, n_mels, frames) in decibels, memory-mapped and read-only: the file may be a link into
        DVC's cache, and a write would corrupt every copy. And the index, one row a clip.

    Raises:
        DatasetError: the cache is missing or its two files do not belong together.
    """
    index = read_clips(directory / INDEX)
    try:
        index[_ADDED] = pd.read_csv(directory / INDEX, usecols=_ADDED)[_ADDED]
        logmel = np.load(directory / LOGMEL, mmap_mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise DatasetError(f"{directory} is not a feature cache ({error}): run `dvc repro`, which makes it") from error
    if len(logmel) != len(index):
        raise DatasetError(
            f"{directory}: {LOGMEL} holds {len(logmel)} clips and {INDEX} {len(index)}: run `dvc repro` to make both"
        )
    return logmel, index
