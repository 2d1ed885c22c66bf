"""From audited clips to the cache of their log-mel spectrograms, in parallel."""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
import pandas as pd

from earshot.clips.cache import INDEX, LOGMEL
from earshot.clips.paths import Root, locate
from earshot.clips.table import DatasetError
from earshot.core.files import atomic_directory
from earshot.core.front_end import FrontEndParams
from earshot.core.progress import progress
from earshot.core.workers import process_pool
from earshot.hearing.clip import clip_features
from earshot.hearing.decode import AudioError, stream_mono
from earshot.hearing.log_mel import LogMel

_BATCH = 16  # clips handed to a worker at a time


def build(
    clips: pd.DataFrame, root: Root, params: FrontEndParams, target: Path, workers: int | None = None
) -> pd.DataFrame:
    """Write the directory `target` in one piece: ``logmel.npy`` and ``index.csv``, rows in the order of `clips`.

    Args:
        clips: the table of `earshot.clips.table.read_clips`.
        root: what its paths are relative to.
        params: the front end. Clips are cut or zero-padded to its window.
        target: replaced when everything is computed, and not touched before.
        workers: processes; one a processor by default. Their number changes no byte.

    Returns:
        The index: `clips` with three more columns, `frames` (frames centred on sound, the rest is padding),
        `truncated_s` (seconds cut off) and `peak` (largest magnitude of what was kept, full scale at 1).

    Raises:
        DatasetError: a file that cannot be decoded; the message names it.
    """
    for leftover in target.parent.glob(f".partial-{target.name}-*"):  # of a killed run; the stage's lock is held
        shutil.rmtree(leftover)
    with atomic_directory(target) as directory:
        logmel = directory / LOGMEL
        shape = (len(clips), params.n_mels, params.window_frames)
        whole = np.lib.format.open_memmap(logmel, mode="w+", dtype=np.float16, shape=shape)
        frames = np.zeros(len(clips), np.int64)
        truncated_s, peaks = np.zeros(len(clips)), np.zeros(len(clips))
        paths = locate(clips, root)
        with (
            process_pool(min(workers or os.cpu_count() or 1, -(-len(paths) // _BATCH))) as pool,
            progress(total=len(paths), desc="features", unit="clip") as bar,
        ):
            futures = {
                pool.submit(_compute, logmel, first, paths[first : first + _BATCH], params): first
                for first in range(0, len(paths), _BATCH)
            }
            try:
                for future in as_completed(futures):
                    for row, found in enumerate(future.result(), start=futures[future]):
                        frames[row], truncated_s[row], peaks[row] = found
                        bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        whole.flush()
        index = clips.assign(frames=frames, truncated_s=truncated_s, peak=peaks)
        index.astype({"salience": "Int64"}).to_csv(directory / INDEX, index=False, lineterminator="\n")
    return index


def summary(index: pd.DataFrame, params: FrontEndParams) -> str:
    """What standardisation did to the clips, in one line for the terminal."""
    padded = int((index["frames"] < params.window_frames).sum())
    cut = index["truncated_s"] > 0
    return (
        f"{len(index)} clips of {params.n_mels} x {params.window_frames}: {padded} shorter than {params.window_s:g} s "
        f"were padded with zeros, {int(cut.sum())} longer ones lost {index.loc[cut, 'truncated_s'].sum():.1f} s"
    )


def _compute(logmel: Path, first: int, paths: Sequence[str], params: FrontEndParams) -> list[tuple[int, float, float]]:
    """In a worker: fill the rows from `first` on; returns frames that hold sound, seconds cut off and peak of each."""
    rows = np.load(logmel, mmap_mode="r+")[first : first + len(paths)]
    front_end = LogMel(params)
    kept = []
    for row, path in zip(rows, paths, strict=True):
        try:
            samples, length = _beginning(path, params)
        except AudioError as error:
            raise DatasetError(
                f"{path}: {error}. The audit could decode it, so it has changed since: run `dvc repro` again"
            ) from error
        row[:] = clip_features(samples, front_end)
        sounding = min(params.window_frames, 1 + length // params.hop_length)
        peak = float(np.abs(samples[: params.window_samples]).max())
        cut_s = max(0, length - params.window_samples) / params.sample_rate_hz
        kept.append((sounding, round(cut_s, 6), round(peak, 9)))
    return kept


def _beginning(path: str, params: FrontEndParams) -> tuple[np.ndarray, int]:
    """The beginning of a sound, at least a window of it if it is as long, and the length in samples of all of it."""
    blocks, kept, length = [], 0, 0
    for block in stream_mono(path, params.sample_rate_hz):
        if kept < params.window_samples:
            blocks.append(block)
            kept += len(block)
        length += len(block)
    return np.concatenate(blocks), length
