"""Every network on one fold of real recordings with one seed, most of them also with extra clips.

    python benchmarks/peers/one_fold.py --data DIR --fold 1 --seed 1 --json benchmarks/peers/one_fold.json

All networks are trained by their own recipes on the same clips of the other folds, 15 % of which are kept by recording
for validation, and each keeps the epoch that is best there. The test fold is predicted once, by the chosen epoch, and
chooses nothing. Extra clips are those of the classes, and of background too for a network with a logit of it; SB-CNN
was published without. A network's front end is that of `configs/<network>.yaml`, where there is one, laid over
params.yaml. Goes on where it stopped.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.extra import open_extra_clips
from earshot.clips.parts import Parts, load_parts
from earshot.clips.split import SplitParams
from earshot.core.files import atomic_file
from earshot.core.front_end import FrontEndParams
from earshot.core.params import build
from earshot.deployment.config import QuantizationParams
from earshot.deployment.convert import to_files
from earshot.deployment.quantize import run_logits
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit
from earshot.training.networks import NETWORKS, network_class

VAL_FRACTION = 0.15
WITH_EXTRA = sorted(set(NETWORKS) - {"sb_cnn"})
RESTS_ON = (*record.TRAINING, "benchmarks/peers", "benchmarks/trainings.py", "configs")


def main() -> None:
    """Train what is not there yet, one network after the other, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--fold", type=int, default=1, help="the fold to test on (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the trainings (default: 1)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=sorted(NETWORKS), help="default: all")
    parser.add_argument("--with-extra", nargs="*", choices=NETWORKS, default=WITH_EXTRA, help="default: all but sb_cnn")
    parser.add_argument("--work", type=Path, help="where trainings are kept (default: below .earshot)")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    work = arguments.work or trainings.kept("one_fold")
    asked = [(name, "without") for name in arguments.networks] + [(name, "with") for name in arguments.with_extra]
    for name, extra in asked:
        path = work / f"{name}-{extra}-fold{arguments.fold}-seed{arguments.seed}.npz"
        if not path.exists():
            _train(arguments.data, work, name, extra == "with", arguments.fold, arguments.seed, path)
    rows = [work / f"{name}-{extra}-fold{arguments.fold}-seed{arguments.seed}.npz" for name, extra in asked]
    results = {"test_fold": arguments.fold, "seed": arguments.seed, **_compare(rows)}
    record.write(arguments.json, results, RESTS_ON, machine)
    print(json.dumps(results, indent=2))


def _train(data: Path, work: Path, name: str, extra: bool, fold: int, seed: int, path: Path) -> None:
    front_end = _front_end(name)
    cache = trainings.features(data, work / f"{front_end.n_mels}-bands" / "features", front_end)
    parts = load_parts(SplitParams(test_folds=(fold,), val_fraction=VAL_FRACTION), trainings.SPLIT_SEED, cache)
    train, val, test = parts.part("train"), parts.part("val"), parts.part("test")
    clips = Clips(train.features, train.labels)
    if extra:
        clips = clips.beside(_extra(trainings.extra_clips(cache, front_end), parts, name), len(parts.classes))
    print(f"{name}, {'with' if extra else 'without'} extra clips: {len(clips.labels)} clips", flush=True)
    held = Clips(val.features, val.labels)
    params = TrainParams(model=name, device="cpu")
    trained = fit(clips, held, parts.classes, front_end, params, seed, path.with_suffix(".pt"))
    fp32, int8 = to_files(trained.checkpoint, train, QuantizationParams(), seed)
    of_extra = clips.labels[len(train.labels) :]
    about = {
        "network": name,
        "extra_clips": int((of_extra < len(parts.classes)).sum()),
        "background_clips": int((of_extra == len(parts.classes)).sum()),
        "train_clips": len(train.labels),
        "val_clips": len(val.labels),
        "n_mels": front_end.n_mels,
        "sample_rate_hz": front_end.sample_rate_hz,
        "parameters": sum(weights.numel() for weights in trained.checkpoint.model.parameters()),
        "epochs": len(trained.history),
        "updates": len(trained.history) * params.resolved(len(clips.labels)).epoch_steps(len(clips.labels)),
        "best_epoch": trained.best_epoch,
        "val_accuracy": round(trained.history[trained.best_epoch - 1]["val_accuracy"], 4),
        "int8_bytes": len(int8.SerializeToString()),
    }
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            about=json.dumps(about),
            logits=run_logits(fp32, test.features),
            int8=run_logits(int8, test.features),
            labels=test.labels,
            recordings=test.clips["recording"].to_numpy(dtype=str),
        )


def _front_end(name: str) -> FrontEndParams:
    config = trainings.ROOT / "configs" / f"{name}.yaml"
    given = yaml.safe_load(config.read_text(encoding="utf-8")) if config.exists() else {}
    base = yaml.safe_load((trainings.ROOT / "params.yaml").read_text(encoding="utf-8"))["audio"]
    return build(FrontEndParams, {**base, **given.get("audio", {})}, str(config))


def _extra(directory: Path, parts: Parts, name: str) -> Clips:
    made = open_extra_clips(parts.classes, directory)
    assert made is not None
    kept = np.flatnonzero((made[1] < len(parts.classes)) | network_class(name).learns_background)
    return Clips(made[0][kept], made[1][kept])


def _compare(paths: list[Path]) -> dict[str, Any]:
    answers = [np.load(path) for path in paths]
    labels, recordings = answers[0]["labels"], answers[0]["recordings"]
    rows, right = [], {}
    for answer in answers:
        about = json.loads(str(answer["about"]))
        fp32, int8 = (answer[key].argmax(axis=1) for key in ("logits", "int8"))
        correct = (fp32 == labels).astype(float)
        right[about["network"], about["extra_clips"] > 0] = correct
        about["accuracy"] = trainings.accuracy(correct, recordings, labels)
        about["int8_accuracy"] = round(float((int8 == labels).mean()), 4)
        about["int8_agreement"] = round(float((int8 == fp32).mean()), 4)
        rows.append(about)
    for about in rows:
        other = right[about["network"], about["extra_clips"] > 0]
        compact = right.get(("compact", about["extra_clips"] > 0))
        if compact is not None and about["network"] != "compact":
            about["compact_ahead_by"] = trainings.difference(compact, other, recordings, labels)
    return {"test_clips": len(labels), "test_recordings": len(set(recordings.tolist())), "rows": rows}


if __name__ == "__main__":
    main()
