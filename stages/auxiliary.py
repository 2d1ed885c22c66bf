"""Stage: synthesised clips to train on beside the data set's own: unrelated sounds, and its classes where it can."""

from earshot.clips.config import DatasetParams
from earshot.clips.extra import AUXILIARY
from earshot.clips.split import SplitParams, learnt
from earshot.clips.table import read_clips
from earshot.core import params, stage
from earshot.core.files import exclusive
from earshot.hearing.log_mel import FrontEndParams
from earshot.sources import synthetic
from earshot.sources.extra_clips import make, make_none
from earshot.training.config import TrainParams, most_unrelated


def main() -> None:
    seed, dataset = params.load_seed(), params.load("dataset", DatasetParams).name
    front_end, train = params.load("audio", FrontEndParams), params.load("train", TrainParams)
    clips = read_clips("data/audited/clips.csv")
    classes = set(clips["label"][learnt(clips, params.load("split", SplitParams).unknown_classes)])
    with exclusive("auxiliary"):
        if not train.hears_auxiliary:
            return make_none(AUXILIARY)
        wanted = set() if dataset == synthetic.NAME else classes
        made = make(wanted, front_end, seed, AUXILIARY, unrelated=lambda beside: most_unrelated(len(clips) + beside))
    print(f"{sum(made.values())} synthesised clips to train on beside those of {dataset}: {made}")


if __name__ == "__main__":
    stage.run(main)
