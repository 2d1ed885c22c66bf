"""Stage of crossval/dvc.yaml: train as for release, but to be tested on one fold; keep what the files answer to it."""

import argparse
from functools import partial
from pathlib import Path

from earshot.clips.cache import open_cache
from earshot.clips.config import DatasetParams
from earshot.clips.extra import EXTRA_CLIPS, extra_clips_of
from earshot.clips.parts import load_parts
from earshot.clips.paths import clips_root
from earshot.clips.split import SplitParams
from earshot.clips.turns import CrossvalParams, check_folds, turn
from earshot.core import params, stage
from earshot.core.front_end import FrontEndParams
from earshot.core.hashes import hash_code
from earshot.decisions.config import UnknownParams
from earshot.deployment.config import QuantizationParams
from earshot.deployment.convert import answers_to_part, convert
from earshot.evaluation.crossval_fold import FoldAnswers, write_fold
from earshot.training import parallel
from earshot.training.config import TrainParams
from earshot.training.resume import state_path
from earshot.training.validated import fit_parts

FEATURES = Path("data/features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fold", type=int)
    fold = parser.parse_args().fold
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS)
    front_end = params.load("audio", FrontEndParams, stage.PARAMS)
    training = params.load("train", TrainParams, stage.PARAMS)
    # All wanted folds, so that one that does not exist is named before the first training and not after the last.
    wanted = (fold, *params.load("crossval", CrossvalParams, stage.PARAMS).folds)
    check_folds(wanted, open_cache(FEATURES)[1]["fold"].tolist())
    parts = load_parts(turn(fold, params.load("split", SplitParams, stage.PARAMS)), seed, FEATURES)
    with parallel.exclusive("crossval"):
        code, test = hash_code(("train",), "dvc.yaml"), parts.part("test")
        extra_clips = extra_clips_of(parts) if training.hears_extra_clips else None
        states = partial(state_path, (FEATURES, EXTRA_CLIPS), front_end, parts.split, training, seed, code)
        fitted = fit_parts(parts, front_end, training, seed, states, extra_clips=extra_clips)
        if not parallel.is_first():
            return
        quantization = params.load("quantization", QuantizationParams, stage.PARAMS)
        unknown = params.load("unknown", UnknownParams, stage.PARAMS)
        network, paths = fitted.trained.checkpoint, test.clips["path"].to_numpy(dtype=str)
        pair = convert(network, fitted.out_of_fold, parts, (root := clips_root(dataset)), quantization, unknown, seed)
        both = (answers_to_part(file, network, test, root) for file in (pair.int8, pair.fp32))
        answers = FoldAnswers(parts.classes, paths, *both)
        about = {"dataset": dataset.called, "fold": fold, "split": parts.split, "best_epoch": fitted.trained.best_epoch}
        write_fold(fold, answers, about)
    found = answers.figures()
    print(f"fold {fold}: accuracy {found['accuracy']:.4f} in INT8, {found['fp32_accuracy']:.4f} in fp32")


if __name__ == "__main__":
    stage.run(main)
