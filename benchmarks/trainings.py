"""Many trainings on a real copy of UrbanSound8K, in processes of their own, each kept so that a run goes on."""

import os
import time
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earshot.clips.cache import open_cache
from earshot.clips.extra import open_extra_clips
from earshot.clips.extract import build
from earshot.clips.parts import Parts, load_parts
from earshot.clips.split import SplitParams
from earshot.core.files import STATE_DIR, atomic_file
from earshot.core.front_end import FrontEndParams
from earshot.core.hashes import hash_code, hash_json
from earshot.core.labels import UNKNOWN
from earshot.deployment.provenance import Provenance
from earshot.evaluation.bootstrap import group, paired_accuracy_difference, ratio_interval
from earshot.sources import urbansound8k
from earshot.sources.extra_clips import make

ROOT = Path(__file__).parents[1]
FRONT_END = FrontEndParams()
EXTRA_SEED = 7
SPLIT_SEED = 0  # of the inner folds: the same division for all that is compared
PLAIN = Provenance(
    {**dict.fromkeys(("name", "title", "licence", "citation", "url"), "benchmark"), "sha256": {}}, {}, {}
)  # of files that are never released
Job = tuple[Path, Callable[[], dict[str, np.ndarray]]]


def run(jobs: list[Job], workers: int | None = None) -> None:
    """Do what has no file yet, in `workers` processes of one thread each, one for each core by default."""
    waiting = [(path, work) for path, work in jobs if not _finished(path)]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        running = {pool.submit(_keep, path, work): path for path, work in waiting}
        for number, done in enumerate(as_completed(running), 1):
            seconds = done.result()
            print(f"{number} of {len(waiting)}: {running[done].stem}, {seconds:.0f} s", flush=True)


def kept(name: str) -> Path:
    """Where the benchmark `name` keeps its trainings: another directory for another code of the stage that trains."""
    return ROOT / STATE_DIR / name / hash_json(hash_code(("train",), ROOT / "dvc.yaml"))[:12]


def features(data: Path, target: Path, front_end: FrontEndParams = FRONT_END) -> Path:
    """The feature cache of the clips that lie in `data`; made if it is not there."""
    if not target.exists():
        clips = urbansound8k.index(data).clips
        clips = clips[[(data / path).is_file() for path in clips["path"]]].reset_index(drop=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        build(clips, data, front_end, target)
    return target


def extra_clips(cache: Path, front_end: FrontEndParams = FRONT_END) -> Path:
    """The synthesised clips beside those in `cache`; made if they are not there."""
    target = cache.with_name("extra_clips")
    if not target.exists():
        make(set(open_cache(cache)[1]["label"]), front_end, EXTRA_SEED, target, work=cache.with_name("work"))
    return target


def extra_clips_of(cache: Path, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Those of some classes, and the background ones, as `earshot.clips.extra.open_extra_clips` gives them."""
    everything = sorted(set(open_cache(cache)[1]["label"]))
    made = open_extra_clips(everything, extra_clips(cache))
    assert made is not None
    features, labels = made[0], np.array([*everything, UNKNOWN])[made[1]]
    named = [*classes, UNKNOWN]
    kept = np.flatnonzero(np.isin(labels, named))
    return features[kept], np.array([named.index(label) for label in labels[kept]], np.int64)


def divided(cache: Path, fold: int) -> Parts:
    """The clips with `fold` to test on, and four inner folds by recording of the others."""
    return load_parts(SplitParams(test_folds=(fold,), val_folds="out_of_fold"), SPLIT_SEED, cache)


def accuracy(correct: np.ndarray, recordings: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Share of clips named rightly, (clips,) each 0 to 1, with its interval over recordings."""
    low, high = ratio_interval(group(correct, recordings, labels), resamples=2000)
    return {"mean": round(float(correct.mean()), 4), "interval": [round(low, 4), round(high, 4)]}


def difference(a: np.ndarray, b: np.ndarray, recordings: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """By how many points `a` is more often right than `b` on the same clips, with its interval over recordings."""
    points, low, high = (100 * value for value in paired_accuracy_difference(a, b, recordings, labels, resamples=2000))
    return {"points": round(points, 2), "interval": [round(low, 2), round(high, 2)]}


def _keep(path: Path, work: Callable[[], dict[str, np.ndarray]]) -> float:
    torch.set_num_threads(1)
    begun = time.perf_counter()
    outcome = work()
    seconds = time.perf_counter() - begun
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, seconds=seconds, **outcome)  # type: ignore[arg-type]  # its stubs take no mapping of arrays
    return seconds


def _finished(path: Path) -> bool:
    return path.exists() and zipfile.is_zipfile(path)
