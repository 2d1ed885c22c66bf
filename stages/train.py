"""Stage: train the network, and out-of-fold models where no fold is left for validation."""

from functools import partial

from earshot.clips.config import DatasetParams
from earshot.clips.extra import EXTRA_CLIPS, extra_clips_of
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import atomic_directory, write_csv, write_json
from earshot.core.front_end import FrontEndParams
from earshot.core.hashes import hash_code
from earshot.training import checkpoint, parallel
from earshot.training.config import TrainParams
from earshot.training.loop import HISTORY_COLUMNS
from earshot.training.report import summarise
from earshot.training.resume import state_path
from earshot.training.validated import fit_parts

FEATURES = "data/features"


def main() -> None:
    seed = params.load_seed(stage.PARAMS)
    dataset = params.load("dataset", DatasetParams, stage.PARAMS)
    front_end = params.load("audio", FrontEndParams, stage.PARAMS)
    train = params.load("train", TrainParams, stage.PARAMS)
    parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed, FEATURES)
    with parallel.exclusive("train"):
        code = hash_code(("train",), "dvc.yaml")
        extra_clips = extra_clips_of(parts) if train.hears_extra_clips else None
        states = partial(state_path, (FEATURES, EXTRA_CLIPS), front_end, parts.split, train, seed, code)
        fitted = fit_parts(parts, front_end, train, seed, states, extra_clips=extra_clips)
        if not parallel.is_first():
            return
        write_csv("metrics/history.csv", fitted.trained.history, HISTORY_COLUMNS)
        summary = summarise(fitted.trained, dataset.called, parts.split, fitted.extra_clips)
        write_json("metrics/train.json", summary)
        with atomic_directory("models/out_of_fold") as directory:
            for number, model in enumerate(fitted.out_of_fold, 1):
                checkpoint.save(model, directory / f"{number}.pt")
        checkpoint.save(fitted.trained.checkpoint, "models/checkpoint.pt")


if __name__ == "__main__":
    stage.run(main)
