"""Where a training run keeps its state, so that the same run can go on after ``kill -9``, and no other takes it."""

import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from earshot.core.files import STATE_DIR, sha256
from earshot.core.front_end import FrontEndParams
from earshot.core.hashes import hash_json
from earshot.training import parallel
from earshot.training.config import TrainParams

KEEP_RUNS = 5


def state_path(
    features_dirs: Sequence[str | Path],
    front_end: FrontEndParams,
    split: dict[str, object],
    params: TrainParams,
    seed: int,
    code: dict[str, str],
    name: str = "state",
    state_dir: str | Path = STATE_DIR,
) -> Path:
    """The file `name` for the state of exactly this run: these inputs, parameters, code, torch, threads and processes.

    Inputs are the files of the feature caches `features_dirs`; `code` is what `earshot.core.hashes.hash_code` gives for
    the stage that trains. The directories of all but the latest `KEEP_RUNS` runs
    are deleted.
    """
    key = hash_json(
        {
            "features": [sha256(path) for inputs in features_dirs for path in sorted(Path(inputs).iterdir())],
            "front_end": front_end.as_dict(),
            "split": split,
            "train": params.as_dict(),
            "seed": seed,
            "code": code,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "processes": parallel.size(),
            "machine": platform.machine(),
        }
    )[:16]
    root = Path(state_dir) / "training"
    run = root / key
    run.mkdir(parents=True, exist_ok=True)
    run.touch()
    for old in sorted(root.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEEP_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return run / f"{name}.pt"
