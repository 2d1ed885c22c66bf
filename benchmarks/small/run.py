"""Both networks on very few recordings: 40 clips a class from 8 recordings, tested on clips of all other recordings.

    python benchmarks/small/run.py --json benchmarks/small/synthetic.json                 # the embedded, synthetic set
    python benchmarks/small/run.py --data DIR --json benchmarks/small/us8k_sample.json    # a copy of UrbanSound8K

For each seed, 8 recordings of each class are drawn among those with most clips, and 40 of their clips. Both networks
are trained for all the epochs that their recipe takes for so many clips, without validation; what is looked at is
whether anything breaks. Goes on where it stopped: every training's answers are kept under .earshot/small.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.cache import open_cache
from earshot.clips.extra import open_extra_clips
from earshot.evaluation.bootstrap import group, ratio_interval
from earshot.evaluation.calibration import negative_log_likelihood
from earshot.model.scores import softmax
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit
from earshot.training.predict import predict_logits

RESTS_ON = (*record.TRAINING, "benchmarks/small", "benchmarks/trainings.py")

CLIPS, RECORDINGS = 40, 8  # of each class
POOL = 12  # recordings of each class, those with most clips, that 8 are drawn from
NETWORKS = ("compact", "tutorial")


def main() -> None:
    """Train what is not there yet, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a copy of UrbanSound8K, whole or partial; none: the embedded set")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    parser.add_argument("--workers", type=int, help="processes, of a thread each (default: one a core)")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    work = trainings.kept("small") / (arguments.data.name if arguments.data else "synthetic")
    cache = Path("data/features") if arguments.data is None else trainings.features(arguments.data, work / "features")
    real = arguments.data is not None
    if real:
        trainings.extra_clips(cache)
    jobs = {(name, seed): work / f"{name}-{seed}.npz" for name in NETWORKS for seed in arguments.seeds}
    trainings.run([(path, partial(_answers, cache, real, *job)) for job, path in jobs.items()], arguments.workers)
    result: dict[str, Any] = {
        "data": "synthetic" if arguments.data is None else arguments.data.name,
        "train_clips_of_a_class": CLIPS,
        "train_recordings_of_a_class": RECORDINGS,
    }
    result |= {f"{name}, seed {seed}": _figures(dict(np.load(path))) for (name, seed), path in jobs.items()}
    record.write(arguments.json, result, RESTS_ON, machine)
    print(json.dumps(result, indent=1))


def _answers(cache: Path, real: bool, network: str, seed: int) -> dict[str, np.ndarray]:
    features, clips = open_cache(cache)
    classes = tuple(sorted(set(clips["label"])))
    labels = np.array([classes.index(label) for label in clips["label"]], np.int64)
    chosen, known = draw(clips, seed)
    rest = np.flatnonzero(~clips["recording"].isin(known))
    params = TrainParams(model="compact" if network == "compact" else "tutorial")
    train = Clips(np.ascontiguousarray(features[chosen]), labels[chosen])
    others = open_extra_clips(classes, trainings.extra_clips(cache)) if real else open_extra_clips(classes)
    if params.hears_extra_clips and others is not None:
        train = train.beside(Clips(*others), len(classes))
    trained = fit(train, None, classes, trainings.FRONT_END, params, seed, progress=False)
    return {
        "logits": predict_logits(trained.checkpoint.model, features[rest]),
        "labels": labels[rest],
        "recordings": clips["recording"].to_numpy(dtype=str)[rest],
        "train_loss": np.array([row["train_loss"] for row in trained.history]),
    }


def draw(clips: pd.DataFrame, seed: int) -> tuple[np.ndarray, set[str]]:
    """Rows of `CLIPS` clips of each class from `RECORDINGS` recordings, and the names of these recordings.

    Clips are taken from the recordings in turn, so that a long one does not stand for all.
    """
    random = np.random.default_rng(seed)
    rows: list[int] = []
    known: set[str] = set()
    for _, of_class in clips.groupby("label", sort=True):
        drawn = random.permutation(of_class["recording"].value_counts().index[:POOL])[:RECORDINGS]
        known |= set(drawn.tolist())
        own = of_class[of_class["recording"].isin(drawn)]
        own = own.iloc[random.permutation(len(own))]
        turn = own.groupby("recording").cumcount().to_numpy()
        rows += own.index[np.argsort(turn, kind="stable")][:CLIPS].tolist()
    return np.sort(np.array(rows)), known


def _figures(answers: dict[str, np.ndarray]) -> dict[str, Any]:
    logits, labels, recordings = answers["logits"], answers["labels"], answers["recordings"]
    right = logits.argmax(axis=1) == labels
    low, high = ratio_interval(group(right, recordings, labels))
    classes = logits.shape[1]
    return {
        "test_clips": len(labels),
        "test_recordings": len(np.unique(recordings)),
        "accuracy": round(float(right.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "nll": round(negative_log_likelihood(softmax(logits), labels), 4),
        "nll_of_guessing": round(float(np.log(classes)), 4),
        "lowest_recall": round(min(float(right[labels == k].mean()) for k in range(classes) if (labels == k).any()), 4),
        "epochs": len(answers["train_loss"]),
        "finite": bool(np.isfinite(answers["train_loss"]).all() and np.isfinite(logits).all()),
        "seconds": round(float(answers["seconds"])),
    }


if __name__ == "__main__":
    main()
