"""Does the INT8 file decide as the fp32 one does? Judged on decisions, not on the likeness of vectors."""

from dataclasses import dataclass
from typing import Any

from earshot.deployment.config import GateParams
from earshot.deployment.stream_parity import StreamParity
from earshot.evaluation.answers import Answers
from earshot.evaluation.calibration import cumulative_calibration_error, reliability

MIN_LOST_CLIPS = 2  # net clips a class must lose before its recall drop counts


@dataclass(frozen=True)
class Parity:
    """fp32 beside INT8 on one part of the clips. `classes` holds one row a class: recall, clips lost and gained.

    `calibration_error_increase` is of the error without bins, which is the one to judge by: a binned one jumps when a
    clip changes its bin.
    """

    fp32_accuracy: float
    int8_accuracy: float
    accuracy_drop: float
    agreement: float
    max_class_recall_drop: float
    max_class_recall_drop_class: str
    max_net_lost_clips: int
    fp32_ece: float
    int8_ece: float
    calibration_error_increase: float
    classes: list[dict[str, Any]]

    def figures(self) -> dict[str, Any]:
        """What goes into ``metrics/quantization.json``: everything but the rows, rounded."""
        values = {name: value for name, value in vars(self).items() if name != "classes"}
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def compare(fp32: Answers, int8: Answers, classes: tuple[str, ...], bins: int) -> Parity:
    """Compare the two files' answers to the same clips.

    `max_class_recall_drop` is over classes with at least `MIN_LOST_CLIPS` net lost clips, 0 where there is none.
    """
    labels, right = fp32.labels, {"fp32": fp32.right, "int8": int8.right}
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(classes):
        of_class = labels == number
        support = int(of_class.sum())
        lost = int((of_class & right["fp32"] & ~right["int8"]).sum())
        gained = int((of_class & ~right["fp32"] & right["int8"]).sum())
        recalls = {f"{kind}_recall": float(hit[of_class].mean()) if support else None for kind, hit in right.items()}
        rows.append({"class": name, "support": support, **recalls, "lost": lost, "gained": gained})
    counted = [row for row in rows if row["lost"] - row["gained"] >= MIN_LOST_CLIPS]
    worst = max(counted, key=lambda row: row["fp32_recall"] - row["int8_recall"], default=None)
    confidence = {"fp32": fp32.probabilities.max(axis=1), "int8": int8.probabilities.max(axis=1)}
    ece = {kind: reliability(of_file, right[kind], bins=bins, draws=1).ece for kind, of_file in confidence.items()}
    error = {kind: cumulative_calibration_error(of_file, right[kind]) for kind, of_file in confidence.items()}
    return Parity(
        fp32_accuracy=float(right["fp32"].mean()),
        int8_accuracy=float(right["int8"].mean()),
        accuracy_drop=float(right["fp32"].mean() - right["int8"].mean()),
        agreement=float((fp32.predicted == int8.predicted).mean()),
        max_class_recall_drop=worst["fp32_recall"] - worst["int8_recall"] if worst else 0.0,
        max_class_recall_drop_class=worst["class"] if worst else "",
        max_net_lost_clips=max(row["lost"] - row["gained"] for row in rows),
        fp32_ece=ece["fp32"],
        int8_ece=ece["int8"],
        calibration_error_increase=error["int8"] - error["fp32"],
        classes=rows,
    )


def over_budget(
    val: Parity,
    streams: StreamParity,
    export_difference: float,
    float_convolutions: int,
    saturating_pairs: int,
    gate: GateParams,
) -> list[str]:
    """Every budget that a candidate breaks on validation and by how much, in words; empty when it may be released."""
    found = []

    def at_most(what: str, value: float, budget: float, key: str) -> None:
        if not value <= budget:
            found.append(f"{what} is {value:.6g}, {value - budget:.6g} over gate.{key} = {budget:g}")

    def at_least(what: str, value: float, budget: float, key: str) -> None:
        if not value >= budget:
            found.append(f"{what} is {value:.6g}, {budget - value:.6g} under gate.{key} = {budget:g}")

    at_most("accuracy drop", val.accuracy_drop, gate.max_accuracy_drop, "max_accuracy_drop")
    of_class = f"recall drop of {val.max_class_recall_drop_class or 'any class'}"
    at_most(of_class, val.max_class_recall_drop, gate.max_class_recall_drop, "max_class_recall_drop")
    worse = val.calibration_error_increase
    at_most("calibration error increase", worse, gate.max_calibration_error_increase, "max_calibration_error_increase")
    at_most("PyTorch to ONNX difference", export_difference, gate.max_export_difference, "max_export_difference")
    pairs = "count of weight pairs that CPUs without VNNI cut off"
    at_most(pairs, saturating_pairs, gate.max_saturating_pairs, "max_saturating_pairs")
    at_most("share of crossed known", streams.known_crossings, gate.max_known_crossings, "max_known_crossings")
    at_most("share of crossed frames", streams.frame_crossings, gate.max_frame_crossings, "max_frame_crossings")
    at_least("agreement", val.agreement, gate.min_agreement, "min_agreement")
    at_least("agreement of events", streams.event_agreement, gate.min_event_agreement, "min_event_agreement")
    if float_convolutions:
        found.append(f"{float_convolutions} convolutions were not quantised; all must be")
    return found
