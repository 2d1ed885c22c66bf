"""Stage: what the INT8 candidate makes of sounds outside its classes."""

from pathlib import Path

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.paths import clips_root
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.decisions.review import threshold_of
from earshot.evaluation import open_set
from earshot.model.session import Model


def main() -> None:
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS)
    confidence = threshold_of(params.mapping("service", stage.PARAMS))
    with exclusive("open_set"):
        model = Model(Path("models/candidate/earshot.int8.onnx"))
        parts, root = load_parts(params.load("split", SplitParams, stage.PARAMS), seed), clips_root(dataset)
        known = open_set.answers_to_part(model, parts.part("test"), root)
        near = open_set.answers_to_near_sounds(model, parts.part("unknown"), root)
        far = open_set.answers_to_far_sounds(model, seed)
        found, rows = open_set.figures(known, near, far, model.classes, confidence)
        write_json("metrics/open_set.json", {"dataset": dataset.called, **found})
        write_csv("metrics/open_set.csv", rows, open_set.COLUMNS)
    print(open_set.summary(found))


if __name__ == "__main__":
    stage.run(main)
