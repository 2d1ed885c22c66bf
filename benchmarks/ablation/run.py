"""What each ingredient of the compact network's recipe is worth, on recordings inside the training part alone.

    python benchmarks/ablation/run.py --data DIR --folds 1 2 3 --json benchmarks/ablation/results.json
    python benchmarks/ablation/run.py ... --schedule 0.5 --only "no mixing" "no roll"    # a screen of some

For each test fold, the recordings of the other folds are divided into four inner folds; each setting is trained on
three and asked about the fourth: of every training clip it is known what a network that never heard its recording takes
it for. Test clips are not read. A setting's figures are those of all these answers, its difference is against the
recipe as it ships, paired by recording, with the interval of a bootstrap over recordings. Goes on where it stopped:
every training's answers are kept under .earshot/ablation, until the code of training changes.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.extra import open_extra_clips
from earshot.evaluation.bootstrap import group, paired_accuracy_difference, ratio_interval
from earshot.model.scores import softmax
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit
from earshot.training.networks.compact import RelaxedInstanceNorm
from earshot.training.predict import predict_logits

RESTS_ON = (*record.TRAINING, "benchmarks/ablation", "benchmarks/trainings.py")

WORK = trainings.kept("ablation")
INNER_FOLDS = 4
EPOCHS = 60  # of the recipe, for so many clips
RECIPE = "the recipe"


def without(**changes: Any) -> Callable[[TrainParams], TrainParams]:
    """The recipe with other values in its augmentation."""
    return lambda params: params.changed(augment=params.augment.changed(**changes))


def with_recipe(**changes: Any) -> Callable[[TrainParams], TrainParams]:
    """The recipe with other values of its own."""
    return lambda params: params.changed(**changes)


SETTINGS: dict[str, Callable[[TrainParams], TrainParams]] = {
    RECIPE: lambda params: params,
    "no synthesised clips": with_recipe(extra_clips="never"),
    "no synthesised clips of the classes": lambda params: params,  # among the others: see `_answers`
    "no background sounds": lambda params: params,  # likewise
    "no relaxed instance norm": lambda params: params,  # in the network, not in the parameters: see `_answers`
    "no mixed styles": without(style_probability=0.0),
    "no mixing": without(mixup_probability=0.0),
    "no gain": without(gain_db=0.0),
    "no ambience": without(ambience_probability=0.0),
    "no stretches": without(stretch_probability=0.0),
    "no roll": without(roll=False),
    "no mel shift": without(mel_shift=0),
    "no masks": without(masks=0),
    "no crops": without(crop_s=0.0),
    "no label smoothing": with_recipe(label_smoothing=0.0),
    "no dropout": with_recipe(dropout=0.0),
}


def main() -> None:
    """Train what is not there yet, then compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--folds", type=int, nargs="+", required=True, help="test folds, whose clips are left alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the trainings (default: 1)")
    parser.add_argument("--schedule", type=float, default=1.0, help="share of the epochs (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="these settings")
    parser.add_argument("--workers", type=int, help="processes, of a thread each (default: one a core)")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    cache = trainings.features(arguments.data, WORK / "features")
    trainings.extra_clips(cache)
    names = list(dict.fromkeys([RECIPE, *arguments.only]))
    epochs = max(1, round(EPOCHS * arguments.schedule))
    every = [(fold, inner) for fold in arguments.folds for inner in range(INNER_FOLDS)]

    def paths(name: str, seed: int) -> list[Path]:
        stem = name.replace(" ", "-")
        return [WORK / f"{stem}-{epochs}-epochs-seed{seed}-fold{fold}-{inner}.npz" for fold, inner in every]

    trainings.run(
        [
            (path, partial(_answers, cache, name, fold, inner, epochs, seed))
            for name in names
            for seed in arguments.seeds
            for path, (fold, inner) in zip(paths(name, seed), every, strict=True)
        ],
        arguments.workers,
    )
    rows = _compare({name: [paths(name, seed) for seed in arguments.seeds] for name in names})
    results = {"test_folds": arguments.folds, "seeds": arguments.seeds, "epochs": epochs, "settings": rows}
    record.write(arguments.json, results, RESTS_ON, machine)
    print(json.dumps(results, indent=2))


def _answers(cache: Path, name: str, fold: int, inner: int, epochs: int, seed: int) -> dict[str, np.ndarray]:
    parts = trainings.divided(cache, fold)
    judged = parts.validations[inner]
    # Set either way: one process does many jobs.
    RelaxedInstanceNorm.relaxation = 1.0 if name == "no relaxed instance norm" else 0.5
    params = SETTINGS[name](TrainParams()).changed(epochs=epochs)
    clips = Clips(judged.train.features, judged.train.labels)
    others = open_extra_clips(parts.classes, trainings.extra_clips(cache))
    if params.hears_extra_clips and others is not None:
        background = others[1] == len(parts.classes)
        left_out = {"no synthesised clips of the classes": ~background, "no background sounds": background}.get(name)
        kept = np.ones(len(background), bool) if left_out is None else ~left_out
        clips = clips.beside(Clips(others[0][kept], others[1][kept]), len(parts.classes))
    trained = fit(clips, None, parts.classes, trainings.FRONT_END, params, seed, progress=False)
    return {
        "logits": predict_logits(trained.checkpoint.model, judged.held.features),
        "labels": judged.held.labels,
        "recordings": judged.held.clips["recording"].to_numpy(dtype=str),
    }


def _compare(files: dict[str, list[list[Path]]]) -> dict[str, dict[str, Any]]:
    """Figures of each setting, from the files of its seeds; accuracy is the mean of the seeds, clip by clip."""

    def gather(paths: list[Path], key: str) -> np.ndarray:
        return np.concatenate([np.load(path)[key] for path in paths])

    first = files[RECIPE][0]
    labels, recordings = gather(first, "labels"), gather(first, "recordings")
    rows: dict[str, dict[str, Any]] = {}
    right: dict[str, np.ndarray] = {}
    for name, of_seeds in files.items():
        logits = [gather(paths, "logits") for paths in of_seeds]
        right[name] = np.mean([one.argmax(axis=1) == labels for one in logits], axis=0)
        low, high = ratio_interval(group(right[name], recordings, labels), resamples=2000)
        difference = paired_accuracy_difference(right[name], right[RECIPE], recordings, labels, resamples=2000)
        rows[name] = {
            "accuracy": round(float(right[name].mean()), 4),
            "interval": [round(low, 4), round(high, 4)],
            "points": round(100 * difference[0], 2),
            "points_interval": [round(100 * difference[1], 2), round(100 * difference[2], 2)],
            "correctness_auroc": round(float(np.mean([_correctness_auroc(one, labels) for one in logits])), 4),
            "minutes": round(sum(float(np.load(path)["seconds"]) for paths in of_seeds for path in paths) / 60, 1),
        }
    return rows


def _correctness_auroc(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(roc_auc_score(logits.argmax(axis=1) == labels, softmax(logits).max(axis=1)))


if __name__ == "__main__":
    main()
