"""How good a classifier is on clips it has never met: one function from probabilities to everything reported.

Arrays in, frozen dataclasses out; nothing is read, written or printed here. The same function judges the PyTorch
network, the ONNX files and pooled folds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, roc_auc_score

from earshot.core.errors import EarshotError
from earshot.evaluation import bootstrap
from earshot.evaluation.calibration import Reliability, brier_score, negative_log_likelihood, reliability
from earshot.evaluation.config import EvaluationParams

FOREGROUND, BACKGROUND = 1, 2  # salience, as UrbanSound8K numbers it
TOO_FEW = "too few"
NO_CLIPS = "no clips"


class EvaluationError(EarshotError):
    """Predictions and clips that do not belong together; the message says how to bring them together."""


@dataclass(frozen=True)
class ClassReport:
    """One class on the evaluated clips. What cannot be computed is None, never 0.

    Attributes:
        name: as the data spells it.
        support: clips of this class.
        recordings: how many recordings they were cut from.
        predicted: clips classified as this class, rightly or not.
        correct: clips that are both.
        precision: correct / predicted.
        recall: correct / support.
        f1: 2 correct / (support + predicted), for a class with clips.
        recall_over_recordings: mean over recordings of the share that is right: each recording has one vote.
        interval: of the recall; None where `interval_note` is not empty.
        interval_note: "", "too few" (recordings) or "no clips".
    """

    name: str
    support: int
    recordings: int
    predicted: int
    correct: int
    precision: float | None
    recall: float | None
    f1: float | None
    recall_over_recordings: float | None
    interval: tuple[float, float] | None
    interval_note: str


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one set of clips. Shares lie in [0, 1].

    Attributes:
        clips: how many were classified.
        recordings: how many they were cut from.
        accuracy: share of correct clips.
        interval: of the accuracy, by recordings; None with fewer than `min_recordings` of them.
        balanced_accuracy: mean recall of the classes that have clips.
        macro_f1: mean F1 of the classes that have clips.
        recall_over_recordings: mean over these classes of their recall averaged over recordings.
        reliability: confidence against accuracy, with the calibration errors.
        nll: mean negative log-likelihood in nats.
        brier: in [0, 2].
        correctness_auroc: chance that a correct clip has more confidence than a wrong one; None if all are either.
        accuracy_foreground, accuracy_background: None where no clip has that salience.
        confusion: (C, C) int, rows true, columns predicted.
        per_class: in the order of the classes.
    """

    clips: int
    recordings: int
    accuracy: float
    interval: tuple[float, float] | None
    balanced_accuracy: float
    macro_f1: float
    recall_over_recordings: float
    reliability: Reliability
    nll: float
    brier: float
    correctness_auroc: float | None
    accuracy_foreground: float | None
    accuracy_background: float | None
    confusion: np.ndarray
    per_class: tuple[ClassReport, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of `confusion`."""
        return tuple(report.name for report in self.per_class)


def evaluate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    recordings: Sequence[str] | np.ndarray,
    salience: np.ndarray | None,
    classes: Sequence[str],
    params: EvaluationParams | None = None,
    seed: int = 0,
) -> Evaluation:
    """Judge the predictions of n clips.

    Args:
        probabilities: (n, C), rows summing to 1.
        labels: (n,) int, index into `classes`.
        recordings: (n,) names of what the clips were cut from.
        salience: (n,) 1 foreground, 2 background, NaN unknown; None where no clip's is known.
        classes: C names.
        params: resamples, bins and so on.
        seed: of the resamples.

    Raises:
        EvaluationError: shapes that do not fit, no clips, labels out of range, rows that are not probabilities.
    """
    params = params or EvaluationParams()
    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    recordings = np.asarray(recordings).astype(str)
    _check(probabilities, labels, recordings, classes)
    predicted = probabilities.argmax(axis=1)
    confidence, correct = probabilities.max(axis=1), predicted == labels
    confusion = confusion_matrix(labels, predicted, labels=np.arange(len(classes)))
    units = bootstrap.group(correct, recordings, labels)
    per_class = tuple(
        _class_report(name, index, confusion, units.of(index), params, seed) for index, name in enumerate(classes)
    )
    enough = len(units.label) >= params.min_recordings
    return Evaluation(
        clips=len(labels),
        recordings=len(set(recordings.tolist())),
        accuracy=float(correct.mean()),
        interval=_interval(units, params, seed) if enough else None,
        balanced_accuracy=_mean(report.recall for report in per_class),
        macro_f1=_mean(report.f1 for report in per_class),
        recall_over_recordings=_mean(report.recall_over_recordings for report in per_class),
        reliability=reliability(confidence, correct, recordings, params.calibration_bins, seed=seed),
        nll=negative_log_likelihood(probabilities, labels),
        brier=brier_score(probabilities, labels),
        correctness_auroc=float(roc_auc_score(correct, confidence)) if 0 < correct.sum() < len(correct) else None,
        accuracy_foreground=_share_where(correct, salience, FOREGROUND),
        accuracy_background=_share_where(correct, salience, BACKGROUND),
        confusion=confusion,
        per_class=per_class,
    )


def class_indices(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Positions (n,) of `labels` in `classes`. Raises EvaluationError for a label that the model does not know."""
    positions = {name: index for index, name in enumerate(classes)}
    unknown = sorted(set(labels) - set(positions))
    if unknown:
        raise EvaluationError(
            f"the model does not know the class {unknown[0]!r}; it knows {', '.join(classes)}. Train it on these clips "
            "with `dvc repro train`"
        )
    return np.array([positions[label] for label in labels], dtype=np.int64)


def _class_report(
    name: str, index: int, confusion: np.ndarray, units: bootstrap.Units, params: EvaluationParams, seed: int
) -> ClassReport:
    support, predicted = int(confusion[index].sum()), int(confusion[:, index].sum())
    correct, recordings = int(confusion[index, index]), len(units.label)
    note = NO_CLIPS if not support else TOO_FEW if recordings < params.min_recordings else ""
    return ClassReport(
        name=name,
        support=support,
        recordings=recordings,
        predicted=predicted,
        correct=correct,
        precision=correct / predicted if predicted else None,
        recall=correct / support if support else None,
        f1=2 * correct / (support + predicted) if support else None,
        recall_over_recordings=float((units.correct / units.clips).mean()) if support else None,
        interval=None if note else _interval(units, params, seed),
        interval_note=note,
    )


def _interval(units: bootstrap.Units, params: EvaluationParams, seed: int) -> tuple[float, float]:
    return bootstrap.ratio_interval(units, params.bootstrap_resamples, seed, params.confidence)


def _mean(values: Iterable[float | None]) -> float:
    """The mean of those that exist; with any clips at all there is one."""
    return float(np.mean([value for value in values if value is not None]))


def _share_where(correct: np.ndarray, salience: np.ndarray | None, value: int) -> float | None:
    chosen = np.zeros(len(correct), bool) if salience is None else np.asarray(salience, dtype=np.float64) == value
    return float(correct[chosen].mean()) if chosen.any() else None


def _check(probabilities: np.ndarray, labels: np.ndarray, recordings: np.ndarray, classes: Sequence[str]) -> None:
    if not len(labels):
        raise EvaluationError("there are no clips to evaluate; choose other test folds in the split section")
    if probabilities.shape != (len(labels), len(classes)) or recordings.shape != labels.shape:
        raise EvaluationError(
            f"{len(labels)} labels, {len(recordings)} recordings and {len(classes)} classes do not fit probabilities "
            f"of shape {probabilities.shape}; predict the same clips with the model of these classes"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= len(classes):
        raise EvaluationError(f"labels must be integers from 0 to {len(classes) - 1}, the positions in the classes")
    sums = probabilities.sum(axis=1)
    if not (np.isfinite(sums).all() and probabilities.min() >= 0 and np.allclose(sums, 1, atol=1e-3)):
        raise EvaluationError("rows of probabilities must be finite, not negative and sum to 1; apply softmax first")
