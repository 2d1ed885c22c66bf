"""Stage: compute the log-mel spectrogram of every audited clip, once."""

from pathlib import Path

from earshot import params, stage
from earshot.datasets.config import DatasetParams
from earshot.datasets.extract import build, summary
from earshot.datasets.paths import clips_root
from earshot.datasets.table import read_clips
from earshot.features import FrontEndParams
from earshot.files import exclusive


def main() -> None:
    front_end = params.load("audio", FrontEndParams)
    root = clips_root(params.load("dataset", DatasetParams))
    with exclusive("features"):
        index = build(read_clips("data/audited/clips.csv"), root, front_end, Path("data/features"))
    print(summary(index, front_end))


if __name__ == "__main__":
    stage.run(main)
