"""Stage: synthesised clips to train on beside the data set's own, of the classes that both have."""

from earshot import params, stage
from earshot.datasets.auxiliary import AUXILIARY
from earshot.datasets.config import DatasetParams
from earshot.datasets.synthetic.auxiliary import make
from earshot.datasets.table import read_clips
from earshot.features import FrontEndParams
from earshot.files import exclusive
from earshot.training.config import TrainParams


def main() -> None:
    seed, dataset = params.load_seed(), params.load("dataset", DatasetParams).name
    front_end, train = params.load("audio", FrontEndParams), params.load("train", TrainParams)
    classes = set(read_clips("data/audited/clips.csv")["label"]) if train.hears_auxiliary(dataset) else set()
    with exclusive("auxiliary"):
        made = make(classes, front_end, seed, AUXILIARY)
    print(f"{made} synthesised clips to train on beside those of {dataset}")


if __name__ == "__main__":
    stage.run(main)
