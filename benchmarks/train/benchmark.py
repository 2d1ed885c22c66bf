"""Seconds an epoch of both networks on the same clips, what a run over 7,000 clips would take, and its memory.

    python benchmarks/train/benchmark.py            # clips of data/features, after `dvc repro features`

Four epochs are trained, so that three are on crops and one on whole clips, as in the full schedule. Their time includes
validation and the state written after every epoch. The memory is that of one epoch of the compact network on 7,000
clips, the same ones again and again, and the 1,950 synthesised ones that are trained on beside them.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.front_end import FrontEndParams
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit

RESTS_ON = (*record.HEARING, "src/earshot/clips", "src/earshot/training", "benchmarks/train")
PROJECTED_CLIPS = 7_000
BESIDE = 1_950  # synthesised clips that a real set like UrbanSound8K is given
EPOCHS = 4


def main() -> None:
    """Measure, print, and write `--json` if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch")
    parts = load_parts(params.load("split", SplitParams, stage.PARAMS), params.load_seed(stage.PARAMS))
    train, val = parts.part("train"), parts.part("val")
    front_end = params.load("audio", FrontEndParams, stage.PARAMS)
    results = {}
    for model in ("compact", "tutorial"):
        settings = TrainParams(model=model, epochs=EPOCHS)
        with tempfile.TemporaryDirectory() as directory:
            start = time.perf_counter()
            fit(
                Clips(train.features, train.labels),
                Clips(val.features, val.labels),
                parts.classes,
                front_end,
                settings,
                seed=0,
                state_path=Path(directory) / "state.pt",
                progress=False,
            )
            epoch_s = (time.perf_counter() - start) / EPOCHS
        epochs = TrainParams(model=model).resolved(PROJECTED_CLIPS).epochs
        results[model] = {
            "epoch_s": round(epoch_s, 3),
            "ms_per_clip": round(epoch_s / len(train.labels) * 1e3, 3),
            "epochs": epochs,
            f"projected_minutes_{PROJECTED_CLIPS}_clips": round(
                epoch_s / len(train.labels) * PROJECTED_CLIPS * epochs / 60, 2
            ),
        }
    rows = np.arange(PROJECTED_CLIPS + BESIDE) % len(train.labels)
    many = Clips(train.features[rows], train.labels[rows])
    fit(many, None, parts.classes, front_end, TrainParams(model="compact", epochs=1), seed=0, progress=False)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    results["compact"][f"peak_mb_{len(rows)}_clips"] = round(peak_mb)
    document = {"train_clips": len(train.labels), "threads": torch.get_num_threads(), **results}
    print(json.dumps(document, indent=2))
    if arguments.json:
        record.write(arguments.json, document, RESTS_ON, machine)


if __name__ == "__main__":
    main()
