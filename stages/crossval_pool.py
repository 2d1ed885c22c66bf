"""Stage of crossval/dvc.yaml: pool what the tested folds' files answered, and write what was found to `metrics/`."""

from earshot.clips.config import DatasetParams
from earshot.clips.split import SplitParams, learnt
from earshot.clips.table import read_clips
from earshot.clips.turns import CrossvalParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.evaluation import crossval_pool, plots, report
from earshot.evaluation.config import EvaluationParams


def main() -> None:
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS).called
    folds = params.load("crossval", CrossvalParams, stage.PARAMS).folds
    settings = params.load("evaluation", EvaluationParams, stage.PARAMS)
    with exclusive("crossval"):
        clips = read_clips("data/features/index.csv")
        clips = clips[learnt(clips, params.load("split", SplitParams, stage.PARAMS).unknown_classes)]
        pooled = crossval_pool.pool(folds, clips, settings, seed)
        result = pooled.evaluation
        write_json("metrics/crossval.json", crossval_pool.headline(pooled, dataset, settings.top_confusions))
        write_csv("metrics/crossval_per_class.csv", report.per_class_rows(result), report.PER_CLASS_COLUMNS)
        write_csv("metrics/crossval_confusion.csv", report.confusion_rows(result), report.CONFUSION_COLUMNS)
        plots.plot_confusion(result, "metrics/plots/crossval_confusion.png")
    print(crossval_pool.summary(pooled))
    print("\nfiles: metrics/crossval.json, metrics/crossval_*.csv, metrics/plots/crossval_confusion.png")


if __name__ == "__main__":
    stage.run(main)
