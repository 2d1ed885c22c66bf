"""The compact network beside the tutorial's on real recordings, each test fold in turn.

    python benchmarks/peers/run.py --data DIR --folds 1 2 3 --json benchmarks/peers/results.json

- compact: this project's network and recipe, with synthesised clips beside the recordings, and its INT8 file. The
  temperature is fitted as the pipeline does, on what networks trained without an inner fold say of that fold, but on
  two of the four, and with the first seed alone
- tutorial: the network of the tutorial, on the recordings alone

The training recordings of a test fold are divided into four inner folds by recording, for both alike. The tutorial's
learning rate is the one of three with the best accuracy on the first of them; it is then trained on all training clips,
as the compact network is. Test clips are predicted once, by the final networks, and choose nothing. Goes on where it
stopped: every training's predictions are kept under .earshot/peers, until the code of training changes.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.extra import open_extra_clips
from earshot.clips.parts import Part, Parts
from earshot.decisions.fitting.temperature import fit_temperature
from earshot.deployment.config import QuantizationParams
from earshot.deployment.convert import to_files
from earshot.deployment.quantize import run_logits
from earshot.evaluation.calibration import brier_score, negative_log_likelihood, reliability
from earshot.evaluation.report import calibration_error
from earshot.model.scores import softmax
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit
from earshot.training.predict import predict_logits

RESTS_ON = (*record.TRAINING, "benchmarks/peers", "benchmarks/trainings.py")

WORK = trainings.kept("peers")
PEERS = {"tutorial": (3e-4, 1e-3, 3e-3)}  # learning rates to choose among
CHOOSING_FOLDS, VALIDATING_FOLDS = 1, 2  # of four inner ones: for learning rates, and for the temperature


def main() -> None:
    """Train what is not there yet, in two processes, then pool and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--folds", type=int, nargs="+", required=True, help="test folds, in turn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of the trainings (default: 1 2)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="these peers (default: all)")
    parser.add_argument(
        "--no-out-of-fold", action="store_true", help="without calibration of the INT8 file's confidence"
    )
    parser.add_argument("--workers", type=int, help="processes, of a thread each (default: one a core)")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    features = trainings.features(arguments.data, WORK / "features")
    trainings.extra_clips(features)
    folds, seeds, peers = arguments.folds, arguments.seeds, arguments.peers
    trainings.run(_compact_jobs(features, folds, seeds), arguments.workers)
    trainings.run(_choosing_jobs(features, peers, folds), arguments.workers)
    chosen = {(name, fold): _chosen(features, name, fold) for name in peers for fold in folds}
    trainings.run(_peer_jobs(features, chosen, seeds), arguments.workers)
    results = _compare(features, peers, folds, seeds)
    if not arguments.no_out_of_fold:
        trainings.run(_out_of_fold_jobs(features, folds, seeds[0]), arguments.workers)
        results["int8"] |= _calibration(features, folds, seeds)
    results["learning_rates"] = {f"{name}, test fold {fold}": rate for (name, fold), rate in chosen.items()}
    record.write(arguments.json, results, RESTS_ON, machine)
    print(json.dumps(results, indent=2))


def _compact_jobs(features: Path, folds: list[int], seeds: list[int]) -> list[trainings.Job]:
    return [
        (answers_path("compact", fold, seed), partial(_compact, features, fold, seed))
        for fold in folds
        for seed in seeds
    ]


def _out_of_fold_jobs(features: Path, folds: list[int], seed: int) -> list[trainings.Job]:
    return [
        (answers_path("compact", fold, f"inner{inner}"), partial(_out_of_fold, features, fold, inner, seed))
        for fold in folds
        for inner in range(VALIDATING_FOLDS)
    ]


def _choosing_jobs(features: Path, peers: list[str], folds: list[int]) -> list[trainings.Job]:
    return [
        (answers_path(name, fold, f"inner{inner}-{rate:g}"), partial(_choose, features, name, fold, inner, rate))
        for fold in folds
        for name in peers
        for inner in range(CHOOSING_FOLDS)
        for rate in PEERS[name]
    ]


def _peer_jobs(features: Path, chosen: dict[tuple[str, int], float], seeds: list[int]) -> list[trainings.Job]:
    return [
        (answers_path(name, fold, seed), partial(_peer, features, name, fold, rate, seed))
        for (name, fold), rate in chosen.items()
        for seed in seeds
    ]


def answers_path(name: str, fold: int, what: object) -> Path:
    """Where the answers of one training are kept."""
    return WORK / f"{name}-fold{fold}-{what}.npz"


def _compact(features: Path, fold: int, seed: int) -> dict[str, np.ndarray]:
    parts = trainings.divided(features, fold)
    train, test = parts.part("train"), parts.part("test").features
    fp32, int8 = _files(features, parts, train, seed)
    return {"logits": run_logits(fp32, test), "int8": run_logits(int8, test), **_kept(fp32, int8)}


def _out_of_fold(features: Path, fold: int, inner: int, seed: int) -> dict[str, np.ndarray]:
    parts = trainings.divided(features, fold)
    judged = parts.validations[inner]
    fp32, int8 = _files(features, parts, judged.train, seed)
    recordings = judged.held.clips["recording"].to_numpy(dtype=str)
    said = {"int8": run_logits(int8, judged.held.features), **_kept(fp32, int8)}
    return {**said, "labels": judged.held.labels, "recordings": recordings}


def _kept(fp32: onnx.ModelProto, int8: onnx.ModelProto) -> dict[str, np.ndarray]:
    files = {"fp32_file": fp32, "int8_file": int8}  # to be asked about other sounds later
    return {name: np.frombuffer(file.SerializeToString(), np.uint8) for name, file in files.items()}


def _files(features: Path, parts: Parts, train: Part, seed: int) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The compact network's fp32 and INT8 file, trained on `train` and the synthesised clips for all epochs."""
    clips = Clips(train.features, train.labels)
    others = open_extra_clips(parts.classes, trainings.extra_clips(features))
    if others is not None:
        clips = clips.beside(Clips(*others), len(parts.classes))
    trained = fit(clips, None, parts.classes, trainings.FRONT_END, TrainParams(), seed, progress=False)
    return to_files(trained.checkpoint, train, QuantizationParams(), seed)


def _choose(features: Path, name: str, fold: int, inner: int, rate: float) -> dict[str, np.ndarray]:
    parts = trainings.divided(features, fold)
    judged = parts.validations[inner]
    network = _trained(parts, judged.train, name, rate, seed=0)
    return {"correct": predict_logits(network, judged.held.features).argmax(axis=1) == judged.held.labels}


def _chosen(features: Path, name: str, fold: int) -> float:
    def accuracy(rate: float) -> float:
        paths = [answers_path(name, fold, f"inner{inner}-{rate:g}") for inner in range(CHOOSING_FOLDS)]
        return float(np.concatenate([np.load(path)["correct"] for path in paths]).mean())

    return max(PEERS[name], key=accuracy)


def _peer(features: Path, name: str, fold: int, rate: float, seed: int) -> dict[str, np.ndarray]:
    parts = trainings.divided(features, fold)
    network = _trained(parts, parts.part("train"), name, rate, seed)
    return {"logits": predict_logits(network, parts.part("test").features)}


def _trained(parts: Parts, train: Part, name: str, rate: float, seed: int) -> torch.nn.Module:
    params = TrainParams(model=name, learning_rate=rate)
    clips = Clips(train.features, train.labels)
    return fit(clips, None, parts.classes, trainings.FRONT_END, params, seed, progress=False).checkpoint.model


def _compare(features: Path, peers: list[str], folds: list[int], seeds: list[int]) -> dict[str, Any]:
    labels, recordings = _tested(features, folds)
    names = ("compact", *peers)
    correct = {name: (_answers(name, "logits", folds, seeds).argmax(axis=2) == labels).mean(axis=0) for name in names}
    int8 = _answers("compact", "int8", folds, seeds)
    int8_correct = (int8.argmax(axis=2) == labels).mean(axis=0)
    same = int8.argmax(axis=2) == _answers("compact", "logits", folds, seeds).argmax(axis=2)
    return {
        "test_folds": folds,
        "test_clips": len(labels),
        "test_recordings": len(set(recordings.tolist())),
        "seeds": seeds,
        "accuracy": {name: trainings.accuracy(values, recordings, labels) for name, values in correct.items()},
        "compact_ahead_of": {
            name: trainings.difference(correct["compact"], correct[name], recordings, labels) for name in peers
        },
        "int8": {
            "accuracy": trainings.accuracy(int8_correct, recordings, labels),
            "drop": trainings.difference(correct["compact"], int8_correct, recordings, labels),
            "agreement": round(float(same.mean()), 4),
        },
    }


def _calibration(features: Path, folds: list[int], seeds: list[int]) -> dict[str, Any]:
    labels, recordings = _tested(features, folds)
    clips = [len(trainings.divided(features, fold).part("test").labels) for fold in folds]
    temperatures = [temperature(fold) for fold in folds]
    int8, of_clips = _answers("compact", "int8", folds, seeds), np.repeat(temperatures, clips)
    return {
        "temperatures": {str(fold): round(value, 4) for fold, value in zip(folds, temperatures, strict=True)},
        "confidence": [_confidence(int8[i], of_clips, labels, recordings) for i in range(len(seeds))],
    }


def _tested(features: Path, folds: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and recordings of the test clips of all folds."""
    tests = [trainings.divided(features, fold).part("test") for fold in folds]
    recordings = [test.clips["recording"].to_numpy(dtype=str) for test in tests]
    return np.concatenate([test.labels for test in tests]), np.concatenate(recordings)


def _answers(name: str, key: str, folds: list[int], seeds: list[int]) -> np.ndarray:
    """(seeds, clips, classes): what each seed's networks say of the test clips of all folds."""
    return np.stack(
        [np.concatenate([np.load(answers_path(name, fold, seed))[key] for fold in folds]) for seed in seeds]
    )


def temperature(fold: int) -> float:
    """Of the INT8 files that test on `fold`: fitted on what out-of-fold models say of clips that they never heard."""
    judged = [np.load(answers_path("compact", fold, f"inner{inner}")) for inner in range(VALIDATING_FOLDS)]
    keys = ("int8", "labels", "recordings")
    return fit_temperature(*(np.concatenate([of_inner[key] for of_inner in judged]) for key in keys))


def _confidence(
    logits: np.ndarray, temperatures: np.ndarray, labels: np.ndarray, recordings: np.ndarray
) -> dict[str, Any]:
    """How far the INT8 file's calibrated probabilities can be trusted, beside the uncalibrated ones."""
    plain, calibrated = softmax(logits), softmax(logits / temperatures[:, None])
    right = logits.argmax(axis=1) == labels
    found = reliability(calibrated.max(axis=1), right, bins=10, recordings=recordings)
    return {
        **calibration_error(found),
        "nll": round(negative_log_likelihood(calibrated, labels), 4),
        "nll_uncalibrated": round(negative_log_likelihood(plain, labels), 4),
        "brier": round(brier_score(calibrated, labels), 4),
        "brier_uncalibrated": round(brier_score(plain, labels), 4),
        "correctness_auroc": round(float(roc_auc_score(right, calibrated.max(axis=1))), 4),
    }


if __name__ == "__main__":
    main()
