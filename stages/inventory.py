"""Stage: list by content what lies in one of several sources, `source0` for the first."""

import argparse

from earshot.clips.config import DatasetParams
from earshot.clips.paths import user_path
from earshot.core import params, stage
from earshot.core.files import exclusive
from earshot.sources.inventory import INVENTORY, write_inventory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("key")
    key = parser.parse_args().key
    source = params.load("dataset", DatasetParams, stage.PARAMS).sources[int(key.removeprefix("source"))]
    with exclusive("inventory"):
        count = write_inventory(user_path(source), INVENTORY / f"{key}.csv")
    print(f"{source.name}: {count} files in {source.path}")


if __name__ == "__main__":
    stage.run(main)
