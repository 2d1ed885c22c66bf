"""Stage: what the INT8 candidate loses off the bench, on disturbed test clips."""

from pathlib import Path

import pandas as pd

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.paths import clips_root
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.evaluation import plots, robustness
from earshot.evaluation.robustness import RobustnessParams
from earshot.model.session import Model


def main() -> None:
    seed = params.load_seed(stage.PARAMS)
    dataset = params.load("dataset", DatasetParams, stage.PARAMS)
    settings = params.load("robustness", RobustnessParams, stage.PARAMS)
    with exclusive("robustness"):
        model = Model(Path("models/candidate/earshot.int8.onnx"))
        parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed)
        test = parts.part("test")
        files = pd.read_csv("data/audited/files.csv", dtype=str)
        rate_hz = model.log_mel.params.sample_rate_hz
        sounds = robustness.read_sounds(
            test.clips, files, test.labels, clips_root(dataset), rate_hz, settings.clips, seed
        )
        trained = parts.clips["path"][parts.assignment == "train"]
        codecs = set(files["codec"][files["path"].isin(trained)].astype(str))
        predictions = robustness.predict(model, sounds, seed, codecs)
        rows = robustness.table(predictions, sounds, model.classes, seed)
        write_csv("metrics/robustness.csv", rows, robustness.COLUMNS)
        write_json("metrics/robustness.json", robustness.headline(rows, dataset.called))
        plots.plot_robustness(rows, "metrics/plots/robustness.png")
    print(robustness.summary(rows))


if __name__ == "__main__":
    stage.run(main)
