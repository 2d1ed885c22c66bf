"""Stage: judge the trained network on the test clips, in full precision, and write what was found to `metrics/`."""

import json
from pathlib import Path

import numpy as np

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.paths import clips_root
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.evaluation import plots, report
from earshot.evaluation.answers import answer, windows_of
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.metrics import class_indices, evaluate
from earshot.evaluation.summary import summary
from earshot.hearing.log_mel import LogMel
from earshot.training import checkpoint
from earshot.training.predict import predict_logits


def main() -> None:
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS)
    settings = params.load("evaluation", EvaluationParams, stage.PARAMS)
    with exclusive("evaluate"):
        parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed)
        trained = checkpoint.load("models/checkpoint.pt")
        windows = windows_of(test := parts.part("test"), clips_root(dataset), LogMel(trained.front_end))
        labels = class_indices(test.clips["label"].tolist(), trained.classes)
        recordings = test.clips["recording"].to_numpy(dtype=str)
        answers = answer(lambda some: (predict_logits(trained.model, some), None), windows, labels, recordings)
        result = evaluate(
            answers.probabilities,
            answers.labels,
            answers.recordings,
            test.clips["salience"].to_numpy(dtype=np.float64),
            trained.classes,
            settings,
            seed,
        )
        headline = report.headline(result, dataset.called, parts.split, settings.top_confusions)
        write_json("metrics/evaluation.json", headline)
        write_csv("metrics/per_class.csv", report.per_class_rows(result), report.PER_CLASS_COLUMNS)
        write_json("metrics/per_class.json", report.per_class_recall(result, dataset.called))
        write_csv("metrics/confusion.csv", report.confusion_rows(result), report.CONFUSION_COLUMNS)
        plots.plot_confusion(result, "metrics/plots/confusion.png")
        plots.plot_per_class(result, "metrics/plots/per_class.png")
        plots.plot_reliability(result.reliability, "metrics/plots/reliability.png")
        kept = json.loads(Path("metrics/train.json").read_text(encoding="utf-8"))["best_epoch"]
        plots.plot_history("metrics/history.csv", kept, "metrics/plots/training.png")
    print(summary(result))
    print("\nfiles: metrics/evaluation.json, metrics/per_class.csv, metrics/confusion.csv, metrics/plots/*.png")


if __name__ == "__main__":
    stage.run(main)
