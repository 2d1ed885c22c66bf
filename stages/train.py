"""Stage: train the network; keep the epoch that is best on validation."""

from earshot import params, stage
from earshot.datasets.config import DatasetParams
from earshot.datasets.parts import load_parts
from earshot.datasets.split import SplitParams
from earshot.features import FrontEndParams
from earshot.files import exclusive, write_csv, write_json
from earshot.training import checkpoint
from earshot.training.config import TrainParams
from earshot.training.loop import HISTORY_COLUMNS, Clips, fit
from earshot.training.report import summarise
from earshot.training.resume import state_path

FEATURES = "data/features"


def main() -> None:
    seed = params.load_seed()
    dataset = params.load("dataset", DatasetParams)
    front_end = params.load("audio", FrontEndParams)
    train = params.load("train", TrainParams)
    parts = load_parts(params.load("split", SplitParams), seed, FEATURES)
    with exclusive("train"):
        train_part, val_part = parts.part("train"), parts.part("val")
        result = fit(
            Clips(train_part.features, train_part.labels),
            Clips(val_part.features, val_part.labels),
            parts.classes,
            front_end,
            train,
            seed,
            state_path(FEATURES, front_end, parts.split, train, seed),
        )
        write_csv("metrics/history.csv", result.history, HISTORY_COLUMNS)
        write_json("metrics/train.json", summarise(result, dataset.name, parts.split, len(train_part.labels)))
        checkpoint.save(result.checkpoint, "models/checkpoint.pt")


if __name__ == "__main__":
    stage.run(main)
