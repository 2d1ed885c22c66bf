"""Stage: compute the log-mel spectrogram of every audited clip, once."""

from pathlib import Path

from earshot.clips.config import DatasetParams
from earshot.clips.extract import build, summary
from earshot.clips.paths import clips_root
from earshot.clips.table import read_clips
from earshot.core import params, stage
from earshot.core.files import exclusive
from earshot.core.front_end import FrontEndParams


def main() -> None:
    front_end = params.load("audio", FrontEndParams, stage.PARAMS)
    root = clips_root(params.load("dataset", DatasetParams, stage.PARAMS))
    with exclusive("features"):
        index = build(read_clips("data/audited/clips.csv"), root, front_end, Path("data/features"))
    print(summary(index, front_end))


if __name__ == "__main__":
    stage.run(main)
