"""An evaluation in sentences, for the terminal and for people who read the metrics."""

from dataclasses import dataclass

import numpy as np

from earshot.evaluation.metrics import NO_CLIPS, TOO_FEW, ClassReport, Evaluation


@dataclass(frozen=True)
class Confusion:
    """Clips of one class that were predicted as another."""

    actual: str
    predicted: str
    clips: int
    support: int

    def __str__(self) -> str:
        return f"{self.actual} predicted as {self.predicted}, {self.clips} of {self.support}"


def top_confusions(confusion: np.ndarray, classes: tuple[str, ...], most: int = 10) -> list[Confusion]:
    """The pairs with the most clips, at most `most`, by falling number, then by share of the class, then by order.

    Args:
        confusion: (C, C) int, rows true, columns predicted.
        classes: C names.
        most: how many.
    """
    support = confusion.sum(axis=1)
    pairs = [(i, j) for i, j in np.argwhere(confusion).tolist() if i != j]
    pairs.sort(key=lambda pair: (-confusion[pair], support[pair[0]], pair))
    return [Confusion(classes[i], classes[j], int(confusion[i, j]), int(support[i])) for i, j in pairs[:most]]


def worst_class(evaluation: Evaluation) -> ClassReport:
    """The class to look at first: the lowest recall; among equals the lower F1, then the larger support."""
    tested = [report for report in evaluation.per_class if report.recall is not None]
    return min(tested, key=lambda report: (report.recall, report.f1, -report.support))


def lowest_recall(evaluation: Evaluation) -> list[str]:
    """The class of the lowest recall and what it is predicted as, in one to three sentences."""
    report = worst_class(evaluation)
    if report.recall == 1:
        return [f"All {clips(evaluation.clips)} are classified correctly."]
    sentence = (
        f"{report.name} has the lowest recall: {report.correct} of its {clips(report.support)} are classified correctly"
    )
    if report.interval:
        low, high = report.interval
        sentence += f" ({percent(report.recall)}, {percent(low)} to {percent(high)})"
    else:
        sentence += f" ({percent(report.recall)})"
    mistaken = [
        c for c in top_confusions(evaluation.confusion, evaluation.classes, most=10**6) if c.actual == report.name
    ]
    sentences = [sentence + f", most often predicted as {mistaken[0].predicted} ({clips(mistaken[0].clips)})."]
    if report.interval_note == TOO_FEW:
        sentences.append(f"It has only {recordings(report.recordings)}: {TOO_FEW} for an interval.")
    wrongly = report.predicted - report.correct
    if wrongly > report.support - report.correct:
        sentences.append(f"{clips(wrongly)} of other classes are predicted as it.")
    return sentences


def summary(evaluation: Evaluation, most: int = 5) -> str:
    """A few lines for the terminal: accuracy, calibration, lowest recall, top confusions, what is missing."""
    interval = (
        f"{percent(evaluation.interval[0])} to {percent(evaluation.interval[1])}, resampling recordings"
        if evaluation.interval
        else f"{TOO_FEW} recordings for an interval"
    )
    bins = evaluation.reliability
    lines = [
        f"accuracy           {percent(evaluation.accuracy)} ({interval}) on {clips(evaluation.clips)} "
        f"of {recordings(evaluation.recordings)}",
        f"balanced accuracy  {percent(evaluation.balanced_accuracy)}; each recording one vote: "
        f"{percent(evaluation.recall_over_recordings)}; macro F1 {evaluation.macro_f1:.3f}",
        f"ECE                {bins.ece:.3f}; a perfectly calibrated model would show {bins.ece_if_calibrated:.3f} "
        f"({bins.ece_if_calibrated_low:.3f} to {bins.ece_if_calibrated_high:.3f})",
    ]
    if evaluation.accuracy_foreground is not None and evaluation.accuracy_background is not None:
        lines.append(
            f"salience           foreground {percent(evaluation.accuracy_foreground)}, "
            f"background {percent(evaluation.accuracy_background)}"
        )
    lines += ["", " ".join(lowest_recall(evaluation))]
    confusions = top_confusions(evaluation.confusion, evaluation.classes, most)
    if confusions:
        lines += ["most frequent confusions:", *(f"  {confusion}" for confusion in confusions)]
    few = [report.name for report in evaluation.per_class if report.interval_note == TOO_FEW]
    if few:
        lines.append(f"{TOO_FEW} recordings for an interval: {_listed(few)}")
    absent = [report.name for report in evaluation.per_class if report.interval_note == NO_CLIPS]
    if absent:
        lines.append(f"{NO_CLIPS} to judge these classes by: {_listed(absent)}")
    return "\n".join(lines)


def percent(share: float | None) -> str:
    """A share as "81.3 %"; "none" where there is no figure."""
    return "none" if share is None else f"{100 * share:.1f} %"


def clips(count: int) -> str:
    """As in "1 clip", "2 clips"."""
    return f"{count} clip" if count == 1 else f"{count} clips"


def recordings(count: int) -> str:
    """As in "1 recording", "2 recordings"."""
    return f"{count} recording" if count == 1 else f"{count} recordings"


def _listed(names: list[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
