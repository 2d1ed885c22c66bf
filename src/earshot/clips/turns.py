"""Cross-validation: which folds are tested in turn, and how the clips are divided while one of them is."""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from earshot.clips.split import SplitParams, assign
from earshot.clips.table import DatasetError
from earshot.core.params import Params


class CrossvalParams(Params):
    """Which folds are tested in turn: the ``crossval`` section of params.yaml."""

    folds: Annotated[tuple[int, ...], Field(strict=False, min_length=2)] = Field(
        tuple(range(1, 11)),
        description="tested in turn, at least two. Always a list: DVC makes a stage of each while it reads "
        "crossval/dvc.yaml, when no data need exist yet that could say which folds there are",
    )

    @field_validator("folds")
    @classmethod
    def _once(cls, folds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(folds)) < len(folds):
            raise ValueError(f"a fold is named twice: {list(folds)}")
        return folds


def check_folds(wanted: Iterable[int], of_clips: Iterable[int]) -> None:
    """Compare the `wanted` folds with those `of_clips`, where each may occur often.

    Raises:
        DatasetError: a wanted fold does not exist; the message lists those that do.
    """
    existing = sorted(set(of_clips))
    missing = sorted(set(wanted) - set(existing))
    if missing:
        raise DatasetError(
            f"crossval.folds in params.yaml names {_named(missing)}, which the clips do not have; they have "
            f"{_named(existing)}: set it to {existing}, or to some of these"
        )


def turn(fold: int, split: SplitParams) -> SplitParams:
    """The split that tests `fold`, of several sources the fold of each that stands for it.

    Validation is the fold before it, out of fold where there are fewer than five, or
    carved where ``split.val_fraction`` says so.

    Of `split` only `val_fraction` and `unknown_classes` are taken over: no list of folds fits every turn, and a random
    split has no turns. Clips of unknown classes are tested in none.
    """
    return split.changed(strategy="folds", test_folds=(fold,), val_folds="auto")


def of_turn(fold: int, clips: pd.DataFrame, seed: int) -> np.ndarray:
    """Which of `clips`, all of classes to be learnt, the turn of `fold` tests, bool (clips,)."""
    return assign(clips, turn(fold, SplitParams()), seed) == "test"


def _named(folds: list[int]) -> str:
    return f"fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}"
