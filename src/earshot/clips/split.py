"""Which clips train, which validate, which test; and whether a recording sits on both sides."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from earshot.clips.folds import carve, make_folds
from earshot.clips.table import DatasetError

PARTS = ("train", "val", "test", "unknown")
DEFAULT_VAL_FRACTION = 0.15  # of the clips not in test, for `random`
MIN_FOLDS_FOR_VAL = 5  # with fewer, a fold is too much to give away and too little to choose by
INNER_FOLDS = 4


@dataclass(frozen=True)
class SplitParams:
    """The ``split`` section of params.yaml.

    Attributes:
        strategy: `folds` keeps every recording on one side. `random` deals out clips, as many tutorials do; it leaks
            recordings into the test and exists to show by how much that flatters.
        test_folds: folds to test on; `auto` is the last one. Only for `folds`.
        val_folds: folds to validate on. `out_of_fold` gives none away: four networks are trained beside the one that is
            kept, each without a quarter of the training recordings, and validation is what they say of those. `auto`
            is the fold before the test folds, or `out_of_fold` where there are fewer than five folds. Only for
            `folds`.
        val_fraction: carve validation out of the folds that are not tested instead, by recording and stratified by
            class; 0 to 1, of the clips not in test. Overrides `val_folds`.
        test_fraction: share of clips to test on, 0 to 1. Only for `random`.
        unknown_classes: classes that are left out of training, validation and test, and of every threshold. Their
            clips show what the model does with sounds of no class that it knows (``metrics/open_set.json``).
    """

    strategy: Literal["folds", "random"] = "folds"
    test_folds: Literal["auto"] | tuple[int, ...] = "auto"
    val_folds: Literal["auto", "out_of_fold"] | tuple[int, ...] = "auto"
    val_fraction: float | None = None
    test_fraction: float = 0.2
    unknown_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("val_fraction", "test_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"split.{name} must lie between 0 and 1, not {value}")
        for name in ("test_folds", "val_folds"):
            if getattr(self, name) == ():
                raise ValueError(f"split.{name} must name at least one fold, or be auto")


def assign(clips: pd.DataFrame, params: SplitParams, seed: int) -> np.ndarray:
    """Give every clip its part.

    Args:
        clips: the table of `earshot.clips.table.read_clips`.
        params: how to split.
        seed: for carving and for the random strategy; folds alone do not depend on it.

    Returns:
        str array, one of `PARTS` for each row of `clips`; none is `val` where validation is out of fold, and
        `unknown` are those of `params.unknown_classes`.

    Raises:
        DatasetError: a fold or a class that does not exist, a fold that is used twice, fewer than two classes to
            learn, a part with no clips, a class that has none to train on, or (strategy `folds`) a recording with clips
            of one class in more than one part.
    """
    known = learnt(clips, params.unknown_classes)
    parts = np.full(len(clips), "unknown", dtype="<U7")
    divide = _by_clip if params.strategy == "random" else _by_fold
    parts[known] = divide(clips[known].reset_index(drop=True), params, seed)
    clips, parts_of_all, parts = clips[known], parts, parts[known]
    for part in ("train", "test"):
        if not (parts == part).any():
            raise DatasetError(f"the {part} part of the split is empty; change the split section of params.yaml")
    unseen = sorted(set(clips["label"]) - set(clips["label"][parts == "train"]))
    if unseen:
        raise DatasetError(
            f"no clip to train on for {', '.join(unseen)}: every recording of the class is in validation or test; "
            "add recordings, or choose other folds in the split section of params.yaml"
        )
    leaked = leaks(clips, parts) if params.strategy == "folds" else []
    if leaked:
        named = ", ".join(f"{recording} ({label})" for recording, label in leaked[:5])
        raise DatasetError(
            f"{len(leaked)} recordings have clips of one class on both sides of the split: {named}. Give clips of one "
            "recording the same fold, or leave the folds out so that they are made by recording"
        )
    return parts_of_all


def inner_folds(clips: pd.DataFrame, parts: np.ndarray, seed: int) -> np.ndarray:
    """Where validation is out of fold: which inner fold holds out each training clip, by recording.

    Returns:
        int64 array, 1 to `INNER_FOLDS` for clips that are held out once, else 0: clips of a class all of whose other
        recordings are held out with them would be judged by a network that never heard the class.
    """
    inner = np.zeros(len(clips), np.int64)
    if (parts == "val").any():
        return inner
    rows = np.flatnonzero(parts == "train")
    labels, recordings = clips["label"].to_numpy()[rows], clips["recording"].to_numpy()[rows]
    folds = make_folds(labels.tolist(), recordings.tolist(), INNER_FOLDS, seed)
    for fold in range(1, INNER_FOLDS + 1):
        known = np.unique(labels[folds != fold])
        held = (folds == fold) & np.isin(labels, known)
        inner[rows[held]] = fold
    if not inner.any():
        raise DatasetError(
            "no class has two recordings to train on, so nothing can be held out to validate on; add recordings, or "
            "name those that clips were cut from in a `recording` column"
        )
    return inner


def leaks(clips: pd.DataFrame, parts: np.ndarray) -> list[tuple[str, str]]:
    """(recording, label) pairs that have clips in more than one part, sorted; empty for an honest split."""
    sides = defaultdict(set)
    for recording, label, part in zip(clips["recording"], clips["label"], parts, strict=True):
        sides[recording, label].add(part)
    return sorted(pair for pair, found in sides.items() if len(found) > 1)


def shared_recordings(clips: pd.DataFrame) -> list[dict[str, Any]]:
    """Recordings with clips in more than one fold, with their folds and labels, sorted by name.

    Five of UrbanSound8K's sit in two official folds, under two classes each. They are listed, not moved: moving them
    would make results incomparable with published ones.
    """
    rows = []
    for recording, group in clips.groupby("recording", sort=True):
        folds = sorted(set(group["fold"].tolist()))
        if len(folds) > 1:
            rows.append({"recording": recording, "folds": folds, "labels": sorted(set(group["label"]))})
    return rows


def describe(
    clips: pd.DataFrame, parts: np.ndarray, params: SplitParams, inner: np.ndarray | None = None
) -> dict[str, Any]:
    """The split as plain JSON-able values, for metrics and lineage.

    `inner` is that of `inner_folds`, where validation is out of fold: its clips are then training clips too.
    `test_clips_of_known_recordings` counts test clips whose recording and class also occur outside the test.
    """
    folds = clips["fold"].to_numpy()
    in_test = parts == "test"
    known = set(zip(clips["recording"][~in_test], clips["label"][~in_test], strict=True))
    pairs = zip(clips["recording"][in_test], clips["label"][in_test], strict=True)
    value: dict[str, Any] = {"strategy": params.strategy}
    validated = parts == "val"
    if params.strategy == "random":
        value["test_fraction"] = params.test_fraction
        value["val_fraction"] = params.val_fraction or DEFAULT_VAL_FRACTION
    else:
        value["test_folds"] = sorted(set(folds[in_test].tolist()))
        if inner is not None and not validated.any():
            validated = inner > 0
            value.update(val_folds="out_of_fold", val_fraction=None, inner_folds=len(set(inner[validated].tolist())))
        elif params.val_fraction is not None:
            value.update(val_folds=None, val_fraction=params.val_fraction)
        else:
            value.update(val_folds=sorted(set(folds[validated].tolist())), val_fraction=None)
    described = {"train": parts == "train", "val": validated, "test": in_test}
    if params.unknown_classes:
        value["unknown_classes"] = sorted(set(params.unknown_classes))
        described["unknown"] = parts == "unknown"
    for part, rows in described.items():
        value[part] = {"clips": int(rows.sum()), "recordings": int(clips["recording"][rows].nunique())}
    value["test_clips_of_known_recordings"] = sum(pair in known for pair in pairs)
    return value


def learnt(clips: pd.DataFrame, unknown_classes: tuple[str, ...]) -> np.ndarray:
    """Which clips are of classes to be learnt, bool (clips,).

    Raises:
        DatasetError: an unknown class that does not exist, or fewer than two classes to learn.
    """
    existing = set(clips["label"])
    absent = sorted(set(unknown_classes) - existing)
    if absent:
        raise DatasetError(
            f"split.unknown_classes: there is no class {absent[0]!r}; the classes are {', '.join(sorted(existing))}"
        )
    if len(existing - set(unknown_classes)) < 2:
        raise DatasetError("split.unknown_classes leaves fewer than two classes to learn; take some out of it")
    return ~clips["label"].isin(unknown_classes).to_numpy()


def _by_fold(clips: pd.DataFrame, params: SplitParams, seed: int) -> np.ndarray:
    folds = clips["fold"].to_numpy()
    existing = sorted(set(folds.tolist()))
    if len(existing) < 2:
        raise DatasetError(
            "the clips have one fold only, so there is nothing to test on; give at least two folds, or none"
        )
    test = _existing(params.test_folds, existing, "test_folds") or existing[-1:]
    rest = [fold for fold in existing if fold not in test]
    if not rest:
        raise DatasetError(f"split.test_folds takes every fold ({existing}); leave some to train on")
    parts = np.where(np.isin(folds, test), "test", "train").astype("<U5")
    given = _existing(params.val_folds, existing, "val_folds")
    if params.val_fraction is not None:
        outside = np.flatnonzero(parts == "train")
        chosen = carve(
            clips["label"].iloc[outside].tolist(), clips["recording"].iloc[outside].tolist(), params.val_fraction, seed
        )
        parts[outside[chosen]] = "val"
    elif given is not None:
        both = sorted(set(given) & set(test))
        if both:
            raise DatasetError(f"fold {both[0]} is in both split.test_folds and split.val_folds; a fold has one use")
        parts[np.isin(folds, given)] = "val"
    elif params.val_folds == "auto" and len(existing) >= MIN_FOLDS_FOR_VAL and len(rest) > 1:
        parts[folds == _before(test[0], existing, rest)] = "val"
    return parts


def _by_clip(clips: pd.DataFrame, params: SplitParams, seed: int) -> np.ndarray:
    """Clips at random, stratified by class: at least one of each class stays in train."""
    random = np.random.default_rng(seed)
    parts = np.full(len(clips), "train", dtype="<U5")
    labels = clips["label"].to_numpy()
    for label in sorted(set(labels.tolist())):
        rows = random.permutation(np.flatnonzero(labels == label))
        test = round(len(rows) * params.test_fraction)
        val = round((len(rows) - test) * (params.val_fraction or DEFAULT_VAL_FRACTION))
        test, val = (max(1, test), max(1, val)) if len(rows) >= 3 else (test, 0)
        parts[rows[:test]] = "test"
        parts[rows[test : test + val]] = "val"
    return parts


def _existing(wanted: str | tuple[int, ...], existing: list[int], name: str) -> list[int] | None:
    """The folds of a list, sorted, after checking that they exist; None for `auto`."""
    if isinstance(wanted, str):
        return None
    for fold in wanted:
        if fold not in existing:
            raise DatasetError(f"split.{name}: there is no fold {fold}; the clips have folds {existing}")
    return sorted(set(wanted))


def _before(fold: int, existing: list[int], allowed: list[int]) -> int:
    """The nearest of `allowed` before `fold`, wrapping round from the first to the last."""
    position = existing.index(fold)
    return next(f for f in reversed(existing[position:] + existing[:position]) if f in allowed)
