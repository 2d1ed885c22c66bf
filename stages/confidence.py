"""Stage: how far the INT8 candidate's confidence can be trusted, and which probabilities to act on."""

from pathlib import Path

from earshot.clips.config import DatasetParams
from earshot.core import params, stage
from earshot.core.files import exclusive, write_csv, write_json
from earshot.decisions.config import OperatingPointsParams
from earshot.decisions.review import threshold_of
from earshot.evaluation import answers, confidence, operating_points, plots
from earshot.evaluation.config import EvaluationParams
from earshot.model.card import Card

CANDIDATE = Path("models/candidate")


def main() -> None:
    dataset = params.load("dataset", DatasetParams, stage.PARAMS).called
    bins = params.load("evaluation", EvaluationParams, stage.PARAMS).calibration_bins
    wanted = params.load("operating_points", OperatingPointsParams, stage.PARAMS).as_dict()
    threshold = threshold_of(params.mapping("service", stage.PARAMS))
    with exclusive("confidence"):
        parts, events, classes = answers.load(CANDIDATE / answers.FILE)
        card = Card.from_json((CANDIDATE / "model.json").read_text(encoding="utf-8"))
        test = parts["test"]
        found, validation = (
            {
                **confidence.figures(parts[part], bins),
                "windowed": confidence.windowed_figures(parts[f"{part}_long"], bins),
                "events": confidence.event_figures(events[part], test.decisions, bins),
            }
            for part in ("test", "val")
        )
        write_json("metrics/confidence.json", {"dataset": dataset, **found, "validation": validation})
        review = confidence.review_rows(test, threshold)
        write_csv("metrics/review.csv", review, confidence.REVIEW_COLUMNS)
        rows = confidence.reliability_rows(test, classes)
        write_csv("metrics/reliability.csv", rows, confidence.RELIABILITY_COLUMNS)
        points = operating_points.rows(card.operating_points, wanted, parts["val_first"], test, classes)
        write_csv("metrics/operating_points.csv", points, operating_points.COLUMNS)
        curves = operating_points.curves(test, classes)
        plots.plot_operating_points(curves, points, "metrics/plots/operating_points.png")
    print(confidence.summary(found, review))


if __name__ == "__main__":
    stage.run(main)
