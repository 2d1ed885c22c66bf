"""Stage: what the INT8 candidate makes of sounds outside its classes."""

from pathlib import Path

import numpy as np

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.evaluation import open_set
from earshot.model.session import Model


def main() -> None:
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS).called
    with exclusive("open_set"):
        model = Model(Path("models/candidate/earshot.int8.onnx"))
        parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed)
        test, left_out = parts.part("test"), parts.part("unknown")
        known, near = (
            open_set.hear(model, part.features, part.clips["recording"].to_numpy(dtype=str))
            for part in (test, left_out)
        )
        far = {
            family: open_set.hear(model, features, np.arange(len(features)).astype(str))
            for family, features in open_set.far_sounds(model.log_mel, seed).items()
        }
        near_labels = left_out.clips["label"].to_numpy(dtype=str)
        found, rows = open_set.figures(known, test.labels, near, near_labels, far, model.card.unknown_threshold)
        write_json("metrics/open_set.json", {"dataset": dataset, **found})
        write_csv("metrics/open_set.csv", rows, open_set.COLUMNS)
    print(open_set.summary(found))


if __name__ == "__main__":
    stage.run(main)
