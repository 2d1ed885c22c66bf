"""What the network of one turn of a cross-validation answers to its test clips, kept for pooling."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_directory, write_json
from earshot.evaluation import answers
from earshot.evaluation.answers import Answers

FOLDS_DIR = Path("crossval/folds")
ANSWERS, PATHS, FIGURES = "answers.npz", "paths.npy", "metrics.json"


class FoldError(EarshotError):
    """Answers of a fold that are missing or of other clips; the message names the fold and what makes them."""


@dataclass(frozen=True)
class FoldAnswers:
    """Both files' answers to the clips of one fold, by networks that never met them.

    Attributes:
        classes: C names, in the order of the logits.
        paths: (n,) str, the clips' names in the table, in its order.
        int8, fp32: answers, as served.
    """

    classes: tuple[str, ...]
    paths: np.ndarray
    int8: Answers
    fp32: Answers

    def figures(self) -> dict[str, Any]:
        """How many test clips, shares in [0, 1] and the INT8 file's temperature; accuracy is that file's."""
        return {
            "test_clips": len(self.int8),
            "accuracy": float(self.int8.right.mean()),
            "fp32_accuracy": float(self.fp32.right.mean()),
            "agreement": float((self.int8.predicted == self.fp32.predicted).mean()),
            "temperature": self.int8.decisions.temperature,
        }


def rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    """`FoldAnswers.figures` as they are written: six digits after the point."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}


def write_fold(fold: int, found: FoldAnswers, about: Mapping[str, Any], root: Path = FOLDS_DIR) -> None:
    """Write the files of `fold` below `root`, atomically; `about` begins its figures."""
    with atomic_directory(root / str(fold)) as directory:
        answers.save({"int8": found.int8, "fp32": found.fp32}, found.classes, directory / ANSWERS)
        np.save(directory / PATHS, found.paths, allow_pickle=False)
        write_json(directory / FIGURES, {**about, **rounded(found.figures())})


def read_fold(fold: int, root: Path = FOLDS_DIR) -> FoldAnswers:
    """Read what `write_fold` wrote.

    Raises:
        FoldError: missing or damaged.
    """
    path = root / str(fold) / ANSWERS
    if not path.is_file():
        raise FoldError(f"fold {fold} has no answers ({path} not found): {_remedy(fold)}")
    try:
        by_file, _, classes = answers.load(path)
        paths = np.load(root / str(fold) / PATHS, allow_pickle=False)
        return FoldAnswers(classes, paths, by_file["int8"], by_file["fp32"])
    except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise FoldError(f"{path} is damaged ({error}): {_remedy(fold, force=True)}") from error


def check_fold(
    fold: int, found: FoldAnswers, classes: tuple[str, ...], paths: Sequence[str], labels: Sequence[str]
) -> None:
    """Make sure that `found` are of exactly the clips `paths` with the class names `labels`, among `classes`.

    Raises:
        FoldError: they are not.
    """
    theirs = [found.classes[label] for label in found.int8.labels]
    if (found.classes, found.paths.tolist(), theirs) != (classes, list(paths), list(labels)):
        raise FoldError(
            f"the answers of fold {fold} are to other clips or classes than those of data/features: {_remedy(fold)}"
        )


def _remedy(fold: int, force: bool = False) -> str:
    return f"run `dvc repro {'-f -s ' if force else ''}crossval/dvc.yaml:fold@{fold}`, which makes them"
