"""Stage: make `data/raw`, with the table of clips and, where the user has no copy, the recordings."""

from earshot import params, stage
from earshot.datasets.config import DatasetParams
from earshot.datasets.sources import prepare, summary
from earshot.files import exclusive


def main() -> None:
    with exclusive("download"):
        card = prepare(params.load("dataset", DatasetParams), params.load_seed())
    print(summary(card))


if __name__ == "__main__":
    stage.run(main)
