"""What the network of one turn of a cross-validation answered to its test clips, kept for pooling."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_directory, write_json

FOLDS_DIR = Path("crossval/folds")
PREDICTIONS, FIGURES = "predictions.npz", "metrics.json"


class FoldError(EarshotError):
    """Predictions of a fold that are missing or of other clips; the message names the fold and what makes them."""


@dataclass(frozen=True)
class FoldPredictions:
    """Both files' answers to the clips of one fold, by networks that never met them.

    Attributes:
        classes: C names, in the order of the logits.
        paths: (n,) str, the clips' names in the table, in its order.
        labels: (n,) int, the true classes.
        int8_logits, fp32_logits: (n, C) float32.
        int8_temperature, fp32_temperature: what each file's logits are divided by.
    """

    classes: tuple[str, ...]
    paths: np.ndarray
    labels: np.ndarray
    int8_logits: np.ndarray
    fp32_logits: np.ndarray
    int8_temperature: float
    fp32_temperature: float

    def figures(self) -> dict[str, Any]:
        """How many test clips, shares in [0, 1] and the INT8 file's temperature; accuracy is that file's."""
        int8, fp32 = self.int8_logits.argmax(axis=1), self.fp32_logits.argmax(axis=1)
        return {
            "test_clips": len(self.labels),
            "accuracy": float((int8 == self.labels).mean()),
            "fp32_accuracy": float((fp32 == self.labels).mean()),
            "agreement": float((int8 == fp32).mean()),
            "temperature": self.int8_temperature,
        }


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """`FoldPredictions.figures` as they are written: six digits after the point."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}


def write_fold(fold: int, predictions: FoldPredictions, about: Mapping[str, Any], root: Path = FOLDS_DIR) -> None:
    """Write both files of `fold` below `root`, atomically; `about` begins its figures."""
    with atomic_directory(root / str(fold)) as directory:
        values = {**vars(predictions), "classes": np.array(predictions.classes)}
        np.savez(directory / PREDICTIONS, allow_pickle=False, **values)
        write_json(directory / FIGURES, {**about, **rounded(predictions.figures())})


def read_fold(fold: int, root: Path = FOLDS_DIR) -> FoldPredictions:
    """Read what `write_fold` wrote.

    Raises:
        FoldError: missing or damaged.
    """
    path = root / str(fold) / PREDICTIONS
    try:
        with np.load(path, allow_pickle=False) as archive:
            values = {name: archive[name] for name in FoldPredictions.__dataclass_fields__}
    except FileNotFoundError as error:
        raise FoldError(f"fold {fold} has no predictions ({path} not found): {_remedy(fold)}") from error
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise FoldError(f"{path} is damaged ({error}): {_remedy(fold, force=True)}") from error
    return FoldPredictions(
        classes=tuple(values["classes"].tolist()),
        paths=values["paths"],
        labels=values["labels"],
        int8_logits=values["int8_logits"],
        fp32_logits=values["fp32_logits"],
        int8_temperature=float(values["int8_temperature"]),
        fp32_temperature=float(values["fp32_temperature"]),
    )


def check_fold(
    fold: int, predictions: FoldPredictions, classes: tuple[str, ...], paths: Sequence[str], labels: Sequence[str]
) -> None:
    """Make sure that `predictions` are of exactly the clips `paths` with the class names `labels`, among `classes`.

    Raises:
        FoldError: they are not.
    """
    theirs = [predictions.classes[label] for label in predictions.labels]
    if (predictions.classes, predictions.paths.tolist(), theirs) != (classes, list(paths), list(labels)):
        raise FoldError(
            f"the predictions of fold {fold} are of other clips or classes than those of data/features: {_remedy(fold)}"
        )


def _remedy(fold: int, force: bool = False) -> str:
    return f"run `dvc repro {'-f -s ' if force else ''}crossval/dvc.yaml:fold@{fold}`, which makes them"
