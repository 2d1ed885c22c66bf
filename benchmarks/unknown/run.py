"""What the released file would make of sounds outside its classes: every class left out in turn.

    python benchmarks/unknown/run.py --data DIR --fold 1 --json benchmarks/unknown/result.json

With one fold to test on, a network is trained without the classes that are left out (nor their synthesised clips), and
becomes an INT8 file with its threshold as the pipeline makes it, from a quarter of the training recordings. The file is
asked about test clips of its own classes, about those of classes left out (near unknown sounds), and about generated
ambience, noise and tones (far ones), which neither training nor threshold had a part in. Goes on where it stopped: the
answers of every training are kept under .earshot/unknown, until the code of training changes.
"""

import argparse
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import record
import trainings
from earshot.clips.cache import open_cache
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.decisions.decisions import Decisions
from earshot.deployment.candidate import CandidateParams, make_candidate
from earshot.deployment.config import INT8, GateParams, QuantizationParams
from earshot.evaluation import open_set
from earshot.evaluation.answers import Answers, single_windows
from earshot.evaluation.bootstrap import paired_accuracy_difference
from earshot.model.session import Model
from earshot.training.config import TrainParams
from earshot.training.validated import fit_parts

RESTS_ON = (*record.TRAINING, "benchmarks/unknown", "benchmarks/trainings.py")

WORK = trainings.kept("unknown")
VAL_FRACTION = 0.25


def main() -> None:
    """Train what is not there yet, then judge each file and all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a copy of UrbanSound8K, whole or partial")
    parser.add_argument("--fold", type=int, required=True, help="test fold")
    parser.add_argument("--at-once", type=int, default=3, help="classes left out at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the trainings (default: %(default)s)")
    parser.add_argument("--workers", type=int, help="processes, of a thread each (default: one a core)")
    parser.add_argument("--json", type=Path, required=True, help="file for the results")
    arguments = parser.parse_args()
    machine = record.machine("torch", "onnxruntime")
    cache = trainings.features(arguments.data, WORK / "features")
    classes = sorted(set(open_cache(cache)[1]["label"]))
    step = -(-len(classes) // arguments.at_once)  # neighbours in the alphabet are no relatives, nor are these
    turns = [tuple(classes[i::step]) for i in range(step)]
    trainings.extra_clips(cache)
    paths = [WORK / f"without-{'-'.join(left_out)}-fold{arguments.fold}-{arguments.seed}.npz" for left_out in turns]
    jobs = [
        (path, partial(_answers, cache, arguments.data, arguments.fold, left_out, arguments.seed))
        for path, left_out in zip(paths, turns, strict=True)
    ]
    trainings.run(jobs, arguments.workers)
    results = {
        "test_fold": arguments.fold,
        "seed": arguments.seed,
        **_judge([np.load(path) for path in paths], arguments.fold),
    }
    record.write(arguments.json, results, RESTS_ON, machine)
    print(json.dumps(results, indent=2))


def _answers(cache: Path, data: Path, fold: int, left_out: tuple[str, ...], seed: int) -> dict[str, np.ndarray]:
    split = SplitParams(test_folds=(fold,), val_fraction=VAL_FRACTION, unknown_classes=left_out)
    parts = load_parts(split, trainings.SPLIT_SEED, cache)
    state = WORK / f"state-{'-'.join(left_out)}-fold{fold}-{seed}"
    state.mkdir(parents=True, exist_ok=True)
    others = trainings.extra_clips_of(cache, parts.classes)
    fitted = fit_parts(
        parts, trainings.FRONT_END, TrainParams(), seed, lambda name: state / f"{name}.pt", False, extra_clips=others
    )
    settings = CandidateParams(QuantizationParams(), GateParams(), UnknownParams(), OperatingPointsParams(), bins=10)
    network = fitted.trained.checkpoint
    made = make_candidate(network, fitted.out_of_fold, parts, data, trainings.PLAIN, settings, seed)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / INT8
        path.write_bytes(made.int8)
        model = Model(path)
    test, near = parts.part("test"), parts.part("unknown")
    far = open_set.far_sounds(model.log_mel, seed)
    said = {"line": np.array(model.card.unknown_threshold), "temperature": np.array(model.card.temperature)}
    said |= {"test_labels": test.labels, "near_labels": near.clips["label"].to_numpy(dtype=str)}
    said |= {"near_folds": near.clips["fold"].to_numpy(), "far_labels": np.repeat(list(far), open_set.FAR_WINDOWS)}
    val = made.answers["val_first"]
    said |= {"val_logits": val.logits, "val_background_logits": val.background_logits, "val_labels": val.labels}
    said |= {"val_recordings": val.recordings}
    said["int8_file"] = np.frombuffer(made.int8, np.uint8)  # to be asked about other sounds later
    sounds = {
        "test": (test.features, test.clips["recording"].to_numpy(dtype=str)),
        "near": (near.features, near.clips["recording"].to_numpy(dtype=str)),
        "far": (np.concatenate(list(far.values())), np.arange(len(far) * open_set.FAR_WINDOWS).astype(str)),
    }
    for name, (features, recordings) in sounds.items():
        batches = [features[i : i + 32] for i in range(0, len(features), 32)]
        said[f"{name}_logits"] = np.concatenate([model.logits(batch) for batch in batches])
        said[f"{name}_background_logits"] = np.concatenate([model.background_logits(batch) for batch in batches])
        said[f"{name}_recordings"] = recordings
    return said


def _judge(turns: list[Any], fold: int) -> dict[str, Any]:
    """Figures of the classes' own clips, turn by turn, and of all families of all turns."""
    rows: dict[str, list[dict[str, Any]]] = {"near": [], "far": []}
    pairs: dict[str, list[tuple[Answers, Answers]]] = {"near": [], "far": []}
    of_known, costs = [], []
    for number, said in enumerate(turns):
        test, near, far = (_answers_of(said, name) for name in ("test", "near", "far"))
        tested = said["near_folds"] == fold  # those of the other folds are left to compare scores by
        near, near_labels = near.rows(tested), said["near_labels"][tested]
        of_known.append(open_set.known_figures(test))
        costs.append((test.right & ~test.unknown, test.right, test.recordings, test.labels + 100 * number))
        for where, answers, names in (("near", near, near_labels), ("far", far, said["far_labels"])):
            for name in np.unique(names).tolist():
                family = answers.rows(names == name)
                rows[where].append(open_set.family_row(name, where == "near", test, family))
                pairs[where].append((test, family))
    cost, low, high = paired_accuracy_difference(*(np.concatenate(parts) for parts in zip(*costs, strict=True)))
    return {
        "known": of_known,
        "accuracy_change_points": round(100 * cost, 2),
        "accuracy_change_interval": [round(100 * low, 2), round(100 * high, 2)],
        **{where: open_set.side(rows[where], pairs[where]) for where in rows},
        "families": rows["near"] + rows["far"],
    }


def _answers_of(said: Any, name: str) -> Answers:
    """Kept logits as answers; all clips of UrbanSound8K are of one window."""
    logits, count = said[f"{name}_logits"], len(said[f"{name}_logits"])
    labels = said["test_labels"] if name == "test" else np.full(count, logits.shape[1])
    whole = single_windows(np.zeros((count, 0, 0), np.float16))
    rule = Decisions(temperature=float(said["temperature"]), unknown_threshold=float(said["line"]))
    background, names = said[f"{name}_background_logits"], said[f"{name}_recordings"]
    return Answers(logits, background, whole.peak, whole.clip, whole.windowed, labels, names, rule)


if __name__ == "__main__":
    main()
