"""Both networks on a real copy of UrbanSound8K (or a part of it), through the very pipeline, one test fold at a time.

    python benchmarks/real/run.py --data DIR --folds 1 2 3 --name us8k_sample

Works in a clone of this project under .earshot/real/<name>, so that nothing of the working tree changes, and goes on
where it stopped. For each setting it keeps the metrics files as docs/results/<name>/<setting>/*.json, and writes a
summary that pools the test folds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.clips.cache import open_cache
from earshot.core.files import STATE_DIR
from earshot.evaluation.bootstrap import group, paired_accuracy_difference, ratio_interval
from earshot.training import checkpoint
from earshot.training.predict import predict_logits

ROOT = Path(__file__).resolve().parents[2]
RESTS_ON = (*record.TRAINING, "src/earshot/audit", "benchmarks/real")
KEPT = ("train.json", "evaluation.json", "per_class.json", "quantization.json", "latency.json")


def main() -> None:
    """Run every setting that has no results yet, then pool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--folds", type=int, nargs="+", required=True, help="test folds, in turn")
    parser.add_argument("--name", required=True, help="name under docs/results/")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    results = ROOT / "docs" / "results" / arguments.name
    clone = _clone(ROOT / STATE_DIR / "real" / arguments.name)
    settings = {}
    for model in ("compact", "tutorial"):
        for fold in arguments.folds:
            settings[f"{model}-fold{fold}"] = {"train.model": model, "split.test_folds": f"[{fold}]"}
    settings["tutorial-random"] = {"train.model": "tutorial", "split.strategy": "random"}
    data = {
        "dataset.name": "urbansound8k",
        "dataset.path": str(arguments.data.resolve()),
        "dataset.verify": "false",
        "split.val_fraction": "0.15",
    }
    for name, values in settings.items():
        if not (clone / f"{name}.npy").exists():
            _run(clone, {**data, **values})
            (results / name).mkdir(parents=True, exist_ok=True)
            for file in KEPT:
                shutil.copy(clone / "metrics" / file, results / name / file)
            np.save(clone / f"{name}.npy", _right(clone, values.get("split.test_folds", "[]")))
    record.write(results / "summary.json", _pool(results, clone, arguments.folds), RESTS_ON, machine)
    print(json.dumps(json.loads((results / "summary.json").read_text()), indent=2))


def _clone(target: Path) -> Path:
    if not target.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


def _run(clone: Path, values: dict[str, str]) -> None:
    # `-S` would leave the last setting in params.yaml; each run starts from the committed one.
    subprocess.run(["git", "checkout", "--quiet", "params.yaml"], cwd=clone, check=True)
    changes = [part for key, value in values.items() for part in ("-S", f"{key}={value}")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # PYTHONPATH: the clone's own code, not the working tree's that is installed in this environment.
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(clone / "src")}
    # Not as far as the release: nothing is to be released here, and a peer need not pass the gate to be measured.
    command = ["dvc", "exp", "run", "--quiet", *changes, "evaluate", "quantize"]
    subprocess.run(command, cwd=clone, check=True, env=environment)


def _right(clone: Path, folds: str) -> np.ndarray:
    """Whether the run's fp32 network names each clip of the test folds rightly, in the order of the table."""
    features, clips = open_cache(clone / "data" / "features")
    rows = np.flatnonzero(clips["fold"].isin(json.loads(folds)))
    trained = checkpoint.load(clone / "models" / "checkpoint.pt")
    if not len(rows):
        return np.zeros(0, bool)
    predicted = predict_logits(trained.model, features[rows]).argmax(axis=1)
    return np.array(trained.classes)[predicted] == clips["label"].to_numpy()[rows]


def _pool(results: Path, clone: Path, folds: list[int]) -> dict[str, object]:
    """Accuracy over the test clips of all folds, with its interval, and the paired difference of the networks."""
    clips = pd.read_csv(clone / "data" / "audited" / "clips.csv", dtype={"recording": str})
    clips = pd.concat([clips[clips["fold"] == fold] for fold in folds])
    labels, recordings = pd.factorize(clips["label"], sort=True)[0], clips["recording"].to_numpy(dtype=str)
    correct, pooled = {}, {}
    for model in ("tutorial", "compact"):
        correct[model] = np.concatenate([np.load(clone / f"{model}-fold{fold}.npy") for fold in folds]).astype(float)
        low, high = ratio_interval(group(correct[model], recordings, labels))
        quantized = [json.loads((results / f"{model}-fold{f}" / "quantization.json").read_text()) for f in folds]
        weights = np.array([sum(clips["fold"] == fold) for fold in folds])
        pooled[model] = {
            "accuracy": round(float(correct[model].mean()), 4),
            "interval": [round(low, 4), round(high, 4)],
            "int8_accuracy": round(float(np.average([q["int8_accuracy"] for q in quantized], weights=weights)), 4),
            "onnx_fp32_accuracy": round(float(np.average([q["fp32_accuracy"] for q in quantized], weights=weights)), 4),
            "agreement": round(float(np.average([q["agreement"] for q in quantized], weights=weights)), 4),
            "int8_bytes": max(q["int8_bytes"] for q in quantized),
        }
    difference, low, high = paired_accuracy_difference(
        correct["compact"], correct["tutorial"], recordings, labels, resamples=2000, seed=0
    )
    random = json.loads((results / "tutorial-random" / "evaluation.json").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True)
    return {
        "commit": head.stdout.strip(),
        "test_folds": folds,
        "test_clips": len(clips),
        "test_recordings": int(clips["recording"].nunique()),
        **pooled,
        "compact_minus_tutorial": {
            "points": round(100 * difference, 2),
            "interval": [round(100 * low, 2), round(100 * high, 2)],
        },
        "tutorial_on_a_random_split": {
            "accuracy": random["accuracy"],
            "interval": [random["accuracy_ci_low"], random["accuracy_ci_high"]],
        },
    }


if __name__ == "__main__":
    main()
