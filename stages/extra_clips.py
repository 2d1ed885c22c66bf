"""Stage: extra training clips, synthesised: background sounds, and the data set's classes where it can."""

from earshot.clips.config import DatasetParams
from earshot.clips.extra import EXTRA_CLIPS, are_wanted, most_background
from earshot.clips.split import SplitParams, learnt
from earshot.clips.table import read_clips
from earshot.core import params, stage
from earshot.core.files import exclusive
from earshot.core.front_end import FrontEndParams
from earshot.core.labels import BACKGROUND
from earshot.sources import synthetic
from earshot.sources.extra_clips import make, make_empty


def main() -> None:
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS)
    front_end = params.load("audio", FrontEndParams, stage.PARAMS)
    wanted = are_wanted(params.mapping("train", stage.PARAMS).get("extra_clips", "auto"))
    clips = read_clips("data/audited/clips.csv")
    classes = set(clips["label"][learnt(clips, params.load("split", SplitParams, stage.PARAMS).unknown_classes)])
    own = int((clips["label"] != BACKGROUND).sum())
    with exclusive("extra_clips"):
        if not wanted:
            return make_empty(EXTRA_CLIPS)
        embedded = synthetic.NAME in {source.name for source in dataset.by_key.values()}
        shared = set() if embedded else classes
        made = make(shared, front_end, seed, EXTRA_CLIPS, background=lambda others: most_background(own + others))
    print(f"{sum(made.values())} extra training clips for {dataset.called}: {made}")


if __name__ == "__main__":
    stage.run(main)
