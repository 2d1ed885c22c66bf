"""Stage: how far the INT8 candidate's confidence can be trusted, and which probabilities to act on."""

from pathlib import Path

from earshot.clips.config import DatasetParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.evaluation import answers, confidence, operating_points, plots
from earshot.evaluation.config import EvaluationParams


def main() -> None:
    dataset = params.load("dataset", DatasetParams, stage.PARAMS).called
    settings = params.load("evaluation", EvaluationParams, stage.PARAMS)
    with exclusive("confidence"):
        parts, classes = answers.load(Path("models/candidate") / answers.FILE)
        test = parts["test"]
        bins = settings.calibration_bins
        found = {part: confidence.figures(of_part, bins) for part, of_part in parts.items()}
        write_json("metrics/confidence.json", {"dataset": dataset, **found["test"], "validation": found["val"]})
        write_csv("metrics/review.csv", confidence.review_rows(test), confidence.REVIEW_COLUMNS)
        rows = confidence.reliability_rows(test, classes)
        write_csv("metrics/reliability.csv", rows, confidence.RELIABILITY_COLUMNS)
        wanted = (settings.wanted_precision, settings.wanted_recall)
        points = operating_points.rows(parts["val"], test, classes, *wanted)
        write_csv("metrics/operating_points.csv", points, operating_points.COLUMNS)
        curves = operating_points.curves(test, classes)
        plots.plot_operating_points(curves, points, "metrics/plots/operating_points.png")
    print(confidence.summary(found["test"], confidence.review_rows(test)))


if __name__ == "__main__":
    stage.run(main)
