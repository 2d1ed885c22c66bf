"""Cross-validation pooled: every clip judged by a network that never met its fold.

A clip is judged once, but for a source of several with fewer folds than another: each of its folds is tested in as many
turns as it stands for, and its clips are judged in each.

Judged is the INT8 file as it is deployed, each fold's with its own temperature; fp32 stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from earshot.clips import turns
from earshot.evaluation import report
from earshot.evaluation import summary as words
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.crossval_fold import FOLDS_DIR, FoldAnswers, check_fold, read_fold, rounded
from earshot.evaluation.metrics import Evaluation, evaluate


@dataclass(frozen=True)
class Pooled:
    """All turns of a cross-validation.

    Attributes:
        evaluation: of the INT8 files on all tested clips. Its intervals resample recordings; what other weights from
            another seed would have answered is not in them.
        folds: for each fold `fold`, `test_clips`, `accuracy` (INT8), `fp32_accuracy`, `agreement`, `temperature`.
        fp32_accuracy: on all tested clips.
        agreement: share of them to which both files give the same class.
        left_out: folds of the clips that were not tested.
        known_clips: tested clips whose recording and class also occur in another fold.
    """

    evaluation: Evaluation
    folds: tuple[dict[str, Any], ...]
    fp32_accuracy: float
    agreement: float
    left_out: tuple[int, ...]
    known_clips: int

    @property
    def accuracy_mean(self) -> float:
        """Mean of the folds' INT8 accuracies: each fold has one vote, where the pooled accuracy gives one to a clip."""
        return float(np.mean([fold["accuracy"] for fold in self.folds]))

    @property
    def accuracy_std(self) -> float:
        """Standard deviation (divisor n) of the folds' INT8 accuracies: how folds differ, no error of the mean."""
        return float(np.std([fold["accuracy"] for fold in self.folds]))


def pool(
    folds: Sequence[int],
    clips: pd.DataFrame,
    settings: EvaluationParams,
    seed: int,
    root: Path = FOLDS_DIR,
) -> Pooled:
    """Read the answers of exactly `folds` and judge them together.

    Args:
        folds: at least one, each once.
        clips: the table of `earshot.clips.table.read_clips` that the features were made from, but for clips of
            `split.unknown_classes`.
        settings: resamples, bins and so on.
        seed: of the resamples.
        root: where the folds' directories lie.

    Raises:
        DatasetError: `folds` names one that the clips do not have.
        FoldError: a fold's answers are missing, damaged or of other clips.
    """
    turns.check_folds(folds, clips["fold"].tolist())
    classes = tuple(sorted(set(clips["label"])))
    found: list[FoldAnswers] = []
    tested: list[pd.DataFrame] = []
    known = 0
    for fold in sorted(folds):
        rows = turns.of_turn(fold, clips, seed)
        of_fold = clips[rows]
        outside = set(zip(clips["recording"][~rows], clips["label"][~rows], strict=True))
        known += sum(pair in outside for pair in zip(of_fold["recording"], of_fold["label"], strict=True))
        of_files = read_fold(fold, root)
        check_fold(fold, of_files, classes, of_fold["path"].tolist(), of_fold["label"].tolist())
        found.append(of_files)
        tested.append(of_fold)
    together = pd.concat(tested)
    labels = np.concatenate([of_files.int8.labels for of_files in found])
    int8 = np.concatenate([of_files.int8.probabilities for of_files in found])
    fp32_predicted = np.concatenate([of_files.fp32.predicted for of_files in found])
    return Pooled(
        evaluation=evaluate(
            int8,
            labels,
            together["recording"].to_numpy(),
            together["salience"].to_numpy(dtype=np.float64),
            classes,
            settings,
            seed,
        ),
        folds=tuple({"fold": fold, **of_files.figures()} for fold, of_files in zip(sorted(folds), found, strict=True)),
        fp32_accuracy=float((fp32_predicted == labels).mean()),
        agreement=float((fp32_predicted == int8.argmax(axis=1)).mean()),
        left_out=tuple(sorted(set(clips["fold"].tolist()) - set(folds))),
        known_clips=known,
    )


def headline(pooled: Pooled, dataset: str, most_confusions: int = 10) -> dict[str, Any]:
    """The content of ``metrics/crossval.json``; figures without a prefix are those of the INT8 files."""
    folds = [fold["fold"] for fold in pooled.folds]
    split = {"strategy": "folds", "test_folds": folds, "test_clips_of_known_recordings": pooled.known_clips}
    return {
        **report.headline(pooled.evaluation, dataset, split, most_confusions),
        "fp32_accuracy": report.rounded(pooled.fp32_accuracy),
        "agreement": report.rounded(pooled.agreement),
        "accuracy_mean": report.rounded(pooled.accuracy_mean),
        "accuracy_std": report.rounded(pooled.accuracy_std),
        "folds": [rounded(fold) for fold in pooled.folds],
        "folds_left_out": list(pooled.left_out),
    }


def summary(pooled: Pooled) -> str:
    """A few lines for the terminal: the folds, then what `earshot.evaluation.summary.summary` says of them together."""
    lines = [
        f"fold {fold['fold']:>2}            {words.percent(fold['accuracy'])} of {words.clips(fold['test_clips'])}, "
        f"fp32 {words.percent(fold['fp32_accuracy'])}"
        for fold in pooled.folds
    ]
    lines.append(
        f"mean of the folds  {words.percent(pooled.accuracy_mean)}, standard deviation {100 * pooled.accuracy_std:.1f} "
        f"points; fp32 on all clips {words.percent(pooled.fp32_accuracy)}"
    )
    if pooled.left_out:
        lines.append(f"folds not tested   {', '.join(map(str, pooled.left_out))}")
    return "\n".join([*lines, words.summary(pooled.evaluation)])
