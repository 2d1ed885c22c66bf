"""Stage: make `data/raw`, with the table of clips and, where the user has no copy, the recordings."""

from earshot.clips.config import DatasetParams
from earshot.core import params, stage
from earshot.core.files import exclusive
from earshot.sources.prepare import prepare, summary


def main() -> None:
    with exclusive("download"):
        card = prepare(params.load("dataset", DatasetParams, stage.PARAMS), params.load_seed(stage.PARAMS))
    print(summary(card))


if __name__ == "__main__":
    stage.run(main)
