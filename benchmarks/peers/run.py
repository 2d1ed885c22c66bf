"""The compact network beside its peers on real recordings, each test fold in turn.

    python benchmarks/peers/run.py --data DIR --folds 1 2 3 --json benchmarks/peers/results.json

- compact: this project's network and recipe, and its INT8 file. The temperature is fitted as the pipeline does, on
  what networks trained without an inner fold say of that fold, but on two of the four, and with the first seed alone
- tutorial: the network of the tutorial
- sb_cnn: SB-CNN (Salamon and Bello 2017) as published
- sb_cnn_augmented: the same with this project's augmentation and synthesised clips, and Adam

The training recordings of a test fold are divided into four inner folds by recording, for all alike. A peer's learning
rate is the one of three with the best accuracy on the first of them; it is then trained on all training clips, as
the compact network is. Test clips are predicted once, by the final networks, and choose nothing. Goes on where it
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
from networks import PEERS, train
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.extra import open_extra_clips
from earshot.clips.parts import Part, Parts
from earshot.deployment.config import QuantizationParams
from earshot.deployment.convert import to_files
from earshot.deployment.quantize import run_logits
from earshot.evaluation.bootstrap import group, paired_accuracy_difference, ratio_interval
from earshot.evaluation.calibration import brier_score, fit_temperature, negative_log_likelihood, reliability
from earshot.model.scores import softmax
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit
from earshot.training.predict import predict_logits

RESTS_ON = (*record.TRAINING, "benchmarks/peers", "benchmarks/trainings.py")

WORK = trainings.kept("peers")
CHOOSING_FOLDS, JUDGING_FOLDS = 1, 2  # of four inner ones: for learning rates, and for the temperature


def main() -> None:
    """Train what is not there yet, in two processes, then pool and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--folds", type=int, nargs="+", required=True, help="test folds, in turn")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of the trainings (default: 1 2)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="these peers (default: all)")
    parser.add_argument("--no-judges", action="store_true", help="without calibration of the INT8 file's confidence")
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
        trainings.run(_judging_jobs(features, folds, seeds[0]), arguments.workers)
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


def _judging_jobs(features: Path, folds: list[int], seed: int) -> list[trainings.Job]:
    return [
        (answers_path("compact", fold, f"inner{inner}"), partial(_judge, features, fold, inner, seed))
        for fold in folds
        for inner in range(JUDGING_FOLDS)
    ]


def _choosing_jobs(features: Path, peers: list[str], folds: list[int]) -> list[trainings.Job]:
    return [
        (answers_path(name, fold, f"inner{inner}-{rate:g}"), partial(_choose, features, name, fold, inner, rate))
        for fold in folds
        for name in peers
        for inner in range(CHOOSING_FOLDS)
        for rate in PEERS[name].learning_rates
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


def _judge(features: Path, fold: int, inner: int, seed: int) -> dict[str, np.ndarray]:
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
    clips = _heard(features, parts, judged.train, name)
    network = train(PEERS[name], rate, clips, len(parts.classes), trainings.FRONT_END, seed=0)
    return {"correct": predict_logits(network, judged.held.features).argmax(axis=1) == judged.held.labels}


def _chosen(features: Path, name: str, fold: int) -> float:
    def accuracy(rate: float) -> float:
        paths = [answers_path(name, fold, f"inner{inner}-{rate:g}") for inner in range(CHOOSING_FOLDS)]
        return float(np.concatenate([np.load(path)["correct"] for path in paths]).mean())

    return max(PEERS[name].learning_rates, key=accuracy)


def _peer(features: Path, name: str, fold: int, rate: float, seed: int) -> dict[str, np.ndarray]:
    parts = trainings.divided(features, fold)
    clips = _heard(features, parts, parts.part("train"), name)
    network = train(PEERS[name], rate, clips, len(parts.classes), trainings.FRONT_END, seed)
    return {"logits": predict_logits(network, parts.part("test").features)}


def _heard(features: Path, parts: Parts, train: Part, name: str) -> Clips:
    """What the peer is trained on."""
    clips = Clips(train.features, train.labels)
    others = open_extra_clips(parts.classes, trainings.extra_clips(features))
    if not PEERS[name].augmented or others is None:
        return clips
    of_classes = others[1] < len(parts.classes)  # a peer has no answer for background sounds
    return clips.beside(Clips(others[0][of_classes], others[1][of_classes]), len(parts.classes))


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
        "accuracy": {name: _with_interval(values, recordings, labels) for name, values in correct.items()},
        "compact_ahead_of": {
            name: _difference(correct["compact"], correct[name], recordings, labels) for name in peers
        },
        "int8": {
            "accuracy": _with_interval(int8_correct, recordings, labels),
            "drop": _difference(correct["compact"], int8_correct, recordings, labels),
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
    """Of the INT8 files that test on `fold`: fitted on what the judges say of clips that they never heard."""
    judged = [np.load(answers_path("compact", fold, f"inner{inner}")) for inner in range(JUDGING_FOLDS)]
    keys = ("int8", "labels", "recordings")
    return fit_temperature(*(np.concatenate([of_inner[key] for of_inner in judged]) for key in keys))


def _with_interval(values: np.ndarray, recordings: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    low, high = ratio_interval(group(values, recordings, labels), resamples=2000)
    return {"mean": round(float(values.mean()), 4), "interval": [round(low, 4), round(high, 4)]}


def _difference(a: np.ndarray, b: np.ndarray, recordings: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    difference, low, high = paired_accuracy_difference(a, b, recordings, labels, resamples=2000)
    return {"points": round(100 * difference, 2), "interval": [round(100 * low, 2), round(100 * high, 2)]}


def _confidence(
    logits: np.ndarray, temperatures: np.ndarray, labels: np.ndarray, recordings: np.ndarray
) -> dict[str, Any]:
    """How far the INT8 file's calibrated probabilities can be trusted, beside the uncalibrated ones."""
    plain, calibrated = softmax(logits), softmax(logits / temperatures[:, None])
    right = logits.argmax(axis=1) == labels
    found = reliability(calibrated.max(axis=1), right, bins=10, recordings=recordings)
    return {
        "ece": round(found.ece, 4),
        "ece_corrected": round(found.ece_corrected, 4),
        "nll": round(negative_log_likelihood(calibrated, labels), 4),
        "nll_uncalibrated": round(negative_log_likelihood(plain, labels), 4),
        "brier": round(brier_score(calibrated, labels), 4),
        "brier_uncalibrated": round(brier_score(plain, labels), 4),
        "correctness_auroc": round(float(roc_auc_score(right, calibrated.max(axis=1))), 4),
    }


if __name__ == "__main__":
    main()
