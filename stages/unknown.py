"""Stage: what the INT8 candidate makes of sounds outside its classes."""

from pathlib import Path

import numpy as np

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.evaluation import outside
from earshot.model.session import Model


def main() -> None:
    seed, dataset = params.load_seed(), params.load("dataset", DatasetParams).name
    with exclusive("unknown"):
        model = Model(Path("models/candidate/earshot.int8.onnx"))
        parts = load_parts(params.load("split", SplitParams), seed)
        test, left_out = parts.part("test"), parts.part("unknown")
        known, near = (
            outside.hear(model, part.features, part.clips["recording"].to_numpy(dtype=str)) for part in (test, left_out)
        )
        far = {
            family: outside.hear(model, features, np.arange(len(features)).astype(str))
            for family, features in outside.far_sounds(model.log_mel, seed).items()
        }
        near_labels = left_out.clips["label"].to_numpy(dtype=str)
        found, rows = outside.figures(known, test.labels, near, near_labels, far, model.card.unknown_threshold)
        write_json("metrics/unknown.json", {"dataset": dataset, **found})
        write_csv("metrics/unknown.csv", rows, outside.COLUMNS)
    print(outside.summary(found))


if __name__ == "__main__":
    stage.run(main)
