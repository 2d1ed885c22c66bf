"""Which clips train, which validate, which test; and whether a recording sits on both sides."""

from collections import defaultdict
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from earshot.clips.folds import carve, make_folds
from earshot.clips.table import SOURCE, DatasetError
from earshot.core.labels import BACKGROUND
from earshot.core.params import Params

PARTS = ("train", "val", "test", "unknown", "background")
DEFAULT_VAL_FRACTION = 0.15  # of the clips not in test, for `random`
MIN_FOLDS_FOR_VAL = 5  # with fewer, a fold is too much to give away and too little to choose by
INNER_FOLDS = 4


Folds = Annotated[tuple[int, ...], Field(strict=False, min_length=1)]  # not strict: YAML has lists and no tuples


class SplitParams(Params):
    """Which clips train, validate and test: the ``split`` section of params.yaml."""

    strategy: Literal["folds", "random"] = Field(
        "folds",
        description="folds keeps every recording on one side. random deals out clips, as many tutorials do; it leaks "
        "recordings into the test and exists to show by how much that flatters",
    )
    test_folds: Literal["auto"] | Folds = Field(
        "auto",
        description="folds to test on; auto is the last one. Only for folds. Of several sources each has folds of its "
        "own: fold k of the source with the most, n, stands for fold ceil(k m / n) of one with m",
    )
    val_folds: Literal["auto", "out_of_fold"] | Folds = Field(
        "auto",
        description="folds to validate on. out_of_fold gives none away: four networks are trained beside the one that "
        "is kept, each without a quarter of the training recordings, and validation is what they say of those. auto is "
        "the fold before the test folds, or out_of_fold where there are fewer than five folds. Only for folds",
    )
    val_fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="carve validation out of the folds that are not tested instead, by recording and stratified by "
        "class: a share of the clips not in test. Overrides val_folds",
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="share of clips to test on. Only for random")
    unknown_classes: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (),
        description="classes that are left out of training, validation and test, and of every threshold. Their clips "
        "show what the model does with sounds of no class that it knows (metrics/open_set.json)",
    )


def assign(clips: pd.DataFrame, params: SplitParams, seed: int) -> np.ndarray:
    """Give every clip its part.

    Args:
        clips: the table of `earshot.clips.table.read_clips`.
        params: how to split.
        seed: for carving and for the random strategy; folds alone do not depend on it.

    Returns:
        str array, one of `PARTS` for each row of `clips`; none is `val` where validation is out of fold. `background`
        are clips labelled `BACKGROUND` that may be trained on; `unknown` are the others, in the folds for validation
        and test, and those of `params.unknown_classes`. A recording in several sources is on one side: in test if any
        source tests it, else in validation if any validates on it.

    Raises:
        DatasetError: a fold or a class that does not exist, a fold that is used twice, fewer than two classes to
            learn, a part with no clips, a class that has none to train on, or (strategy `folds`) a recording with clips
            of one class in more than one part.
    """
    known = learnt(clips, params.unknown_classes)
    divided = ~clips["label"].isin(params.unknown_classes).to_numpy()
    parts_of_all = np.full(len(clips), "unknown", dtype="<U10")
    divide = _by_clip if params.strategy == "random" else _by_fold
    parts_of_all[divided] = divide(clips[divided].reset_index(drop=True), params, seed)
    background = (clips["label"] == BACKGROUND).to_numpy()
    judged = clips["recording"].isin(clips["recording"][np.isin(parts_of_all, ("val", "test"))]).to_numpy()
    parts_of_all[background] = np.where(judged, "unknown", "background")[background]
    clips, parts = clips[known], parts_of_all[known]
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
    for keys, group in clips.groupby([*([SOURCE] if SOURCE in clips else []), "recording"], sort=True):
        folds = sorted(set(group["fold"].tolist()))
        if len(folds) > 1:
            rows.append({"recording": keys[-1], "folds": folds, "labels": sorted(set(group["label"]))})
    return rows


def describe(
    clips: pd.DataFrame, parts: np.ndarray, params: SplitParams, inner: np.ndarray | None = None
) -> dict[str, Any]:
    """The split as plain JSON-able values, for metrics and lineage.

    `inner` is that of `inner_folds`, where validation is out of fold: its clips are then training clips too.
    `test_clips_of_known_recordings` counts test clips whose recording and class also occur outside the test.
    """
    in_test = parts == "test"
    known = set(zip(clips["recording"][~in_test], clips["label"][~in_test], strict=True))
    pairs = zip(clips["recording"][in_test], clips["label"][in_test], strict=True)
    value: dict[str, Any] = {"strategy": params.strategy}
    validated = parts == "val"
    if params.strategy == "random":
        value["test_fraction"] = params.test_fraction
        value["val_fraction"] = params.val_fraction or DEFAULT_VAL_FRACTION
    else:
        value["test_folds"] = _folds(clips, in_test)
        if inner is not None and not validated.any():
            validated = inner > 0
            value.update(val_folds="out_of_fold", val_fraction=None, inner_folds=len(set(inner[validated].tolist())))
        elif params.val_fraction is not None:
            value.update(val_folds=None, val_fraction=params.val_fraction)
        else:
            value.update(val_folds=_folds(clips, validated), val_fraction=None)
    described = {"train": parts == "train", "val": validated, "test": in_test}
    if params.unknown_classes:
        value["unknown_classes"] = sorted(set(params.unknown_classes))
    for part in ("unknown", "background"):
        if (parts == part).any():
            described[part] = parts == part
    for part, rows in described.items():
        value[part] = {"clips": int(rows.sum()), "recordings": int(clips["recording"][rows].nunique())}
    value["test_clips_of_known_recordings"] = sum(pair in known for pair in pairs)
    return value


def _folds(clips: pd.DataFrame, rows: np.ndarray) -> list[int] | dict[str, list[int]]:
    """The folds of `rows`; where there are several sources, those of each."""
    if SOURCE not in clips:
        return sorted(set(clips["fold"][rows].tolist()))
    chosen = clips[rows].groupby(SOURCE, sort=True)["fold"]
    return {str(key): sorted(set(folds.tolist())) for key, folds in chosen}


def learnt(clips: pd.DataFrame, unknown_classes: tuple[str, ...]) -> np.ndarray:
    """Which clips are of classes to be learnt, bool (clips,); background is no class.

    Raises:
        DatasetError: an unknown class that does not exist, or fewer than two classes to learn.
    """
    existing = set(clips["label"]) - {BACKGROUND}
    absent = sorted(set(unknown_classes) - existing)
    if absent:
        raise DatasetError(
            f"split.unknown_classes: there is no class {absent[0]!r}; the classes are {', '.join(sorted(existing))}"
        )
    if len(existing - set(unknown_classes)) < 2:
        raise DatasetError("split.unknown_classes leaves fewer than two classes to learn; take some out of it")
    return ~clips["label"].isin([*unknown_classes, BACKGROUND]).to_numpy()


def _by_fold(clips: pd.DataFrame, params: SplitParams, seed: int) -> np.ndarray:
    """Every source by its own folds; then recordings of several sources, and a carved validation, over all of them."""
    keys = clips[SOURCE].to_numpy() if SOURCE in clips else np.full(len(clips), "")
    folds_of = {key: sorted(set(clips["fold"][keys == key].tolist())) for key in sorted(set(keys))}
    most = max(map(len, folds_of.values()))
    if most < 2:
        raise DatasetError(
            "the clips have one fold only, so there is nothing to test on; give at least two folds, or none"
        )
    scale = max(folds_of.values(), key=len)
    test = _existing(params.test_folds, scale, "test_folds") or scale[-1:]
    val = _existing(params.val_folds, scale, "val_folds")
    both = sorted(set(val or ()) & set(test)) if params.val_fraction is None else []
    if both:
        raise DatasetError(f"fold {both[0]} is in both split.test_folds and split.val_folds; a fold has one use")
    if len(test) == most:
        raise DatasetError(f"split.test_folds takes every fold ({scale}); leave some to train on")
    parts = np.full(len(clips), "train", dtype="<U5")
    for key, own in folds_of.items():
        chosen = keys == key
        parts[chosen] = _by_own_folds(clips[chosen], own, scale, test, val, params, seed)
    parts = _one_side(clips, keys, parts)
    if params.val_fraction is not None:
        _carve(clips, parts, params.val_fraction, seed)
    return parts


def _by_own_folds(
    clips: pd.DataFrame,
    own: list[int],
    scale: list[int],
    test: list[int],
    val: list[int] | None,
    params: SplitParams,
    seed: int,
) -> np.ndarray:
    """The parts of one source's clips. `test` and `val` are of `scale`, the folds of the source that has the most."""
    tested = _matching(test, scale, own)
    rest = [fold for fold in own if fold not in tested]
    if not rest:
        raise DatasetError(f"the split tests every fold that a source has ({own}); leave it some to train on")
    parts = np.where(clips["fold"].isin(tested), "test", "train").astype("<U5")
    if params.val_fraction is not None or params.val_folds == "out_of_fold":
        return parts
    if val is not None:
        wanted = [fold for fold in _matching(val, scale, own) if fold in rest]
        parts[clips["fold"].isin(wanted or [_before(tested[0], own, rest)]).to_numpy()] = "val"
    elif len(own) >= MIN_FOLDS_FOR_VAL and len(rest) > 1:
        parts[(clips["fold"] == _before(tested[0], own, rest)).to_numpy()] = "val"
    elif len(scale) >= MIN_FOLDS_FOR_VAL:
        _carve(clips, parts, DEFAULT_VAL_FRACTION, seed)
    return parts


def _carve(clips: pd.DataFrame, parts: np.ndarray, fraction: float, seed: int) -> None:
    """Mark about `fraction` of the training clips as validation, by recording and stratified by class."""
    outside = np.flatnonzero(parts == "train")
    labels, recordings = clips["label"].iloc[outside].tolist(), clips["recording"].iloc[outside].tolist()
    parts[outside[carve(labels, recordings, fraction, seed)]] = "val"


def _matching(folds: list[int], scale: list[int], own: list[int]) -> list[int]:
    """The folds of `own` that `folds` of `scale` stand for: of n and m folds, ceil(k m / n) for the k-th."""
    return sorted({own[-(-(scale.index(fold) + 1) * len(own) // len(scale)) - 1] for fold in folds})


def _one_side(clips: pd.DataFrame, keys: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Recordings that are in several sources go where they are judged, if anywhere."""
    recordings = clips["recording"].to_numpy()
    several = pd.Series(keys).groupby(recordings).nunique()
    for recording in several.index[several > 1]:
        rows = recordings == recording
        parts[rows] = next(part for part in ("test", "val", "train") if (parts[rows] == part).any())
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
