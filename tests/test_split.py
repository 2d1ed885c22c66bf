"""Splits keep recordings on one side, and say what they did."""

import numpy as np
import pandas as pd
import pytest

from earshot.clips.folds import carve, fold_count, make_folds
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams, assign, describe, inner_folds, leaks, shared_recordings
from earshot.clips.table import DatasetError, make_table
from earshot.core.params import ParamsError, build


def clips(folds: int = 5, recordings: int = 4, slices: int = 3, labels: tuple[str, ...] = ("dog", "siren", "drill")):
    """`recordings` recordings of every class in every fold, of `slices` clips each."""
    rows = [
        {"path": f"{label}/{fold}-{r}-{s}.wav", "label": label, "fold": fold, "recording": f"{label}{fold}-{r}"}
        for label in labels
        for fold in range(1, folds + 1)
        for r in range(recordings)
        for s in range(slices)
    ]
    return make_table(pd.DataFrame(rows))


def folds_in(table: pd.DataFrame, parts: np.ndarray, part: str) -> list[int]:
    return sorted(set(table["fold"][parts == part].tolist()))


def test_auto_tests_on_the_last_fold_and_validates_on_the_one_before():
    table = clips()
    parts = assign(table, SplitParams(), seed=0)
    assert folds_in(table, parts, "test") == [5]
    assert folds_in(table, parts, "val") == [4]
    assert folds_in(table, parts, "train") == [1, 2, 3]


def test_lists_override_and_auto_validation_wraps_round():
    table = clips()
    parts = assign(table, SplitParams(test_folds=(2, 4), val_folds=(5,)), seed=0)
    assert (folds_in(table, parts, "test"), folds_in(table, parts, "val")) == ([2, 4], [5])
    parts = assign(table, SplitParams(test_folds=(1,)), seed=0)
    assert (folds_in(table, parts, "test"), folds_in(table, parts, "val")) == ([1], [5])


def test_val_fraction_overrides_val_folds_and_carves_by_recording():
    table = clips(recordings=10)
    params = SplitParams(val_fraction=0.2, val_folds=(1,))
    parts = assign(table, params, seed=3)
    assert folds_in(table, parts, "val") == [1, 2, 3, 4]
    assert leaks(table, parts) == []
    outside = (parts != "test").sum()
    assert (parts == "val").sum() / outside == pytest.approx(0.2, abs=0.02)
    for _, group in table.assign(part=parts).groupby("label"):
        assert (group["part"] == "val").sum() / (group["part"] != "test").sum() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("folds", [2, 3, 4])
def test_fewer_than_five_folds_give_none_away_for_validation(folds):
    table = clips(folds=folds, recordings=8)
    params = SplitParams()
    parts = assign(table, params, seed=0)
    assert folds_in(table, parts, "test") == [folds]
    assert folds_in(table, parts, "val") == []
    assert folds_in(table, parts, "train") == list(range(1, folds))
    inner = inner_folds(table, parts, seed=0)
    assert np.array_equal(inner > 0, parts == "train")
    held = table.assign(inner=inner)[inner > 0]
    assert held.groupby("recording")["inner"].nunique().max() == 1
    assert (held.groupby("inner")["label"].nunique() == 3).all()
    told = describe(table, parts, params, inner)
    assert (told["val_folds"], told["inner_folds"]) == ("out_of_fold", 4)
    assert told["val"] == told["train"]


def test_out_of_fold_can_be_asked_for_and_a_fold_too():
    table = clips()
    parts = assign(table, SplitParams(val_folds="out_of_fold"), seed=0)
    assert folds_in(table, parts, "train") == [1, 2, 3, 4]
    parts = assign(clips(folds=3), SplitParams(val_folds=(1,)), seed=0)
    assert not inner_folds(clips(folds=3), parts, seed=0).any()


def test_a_class_of_one_recording_is_not_judged_by_networks_that_never_heard_it():
    table = clips(folds=3, recordings=4)
    table = table[(table["label"] != "siren") | (table["fold"] == 3) | (table["recording"] == "siren1-0")]
    table = table.reset_index(drop=True)
    parts = assign(table, SplitParams(), seed=0)
    inner = inner_folds(table, parts, seed=0)
    assert set(table["label"][(inner == 0) & (parts == "train")]) == {"siren"}
    assert set(table["label"][inner > 0]) == {"dog", "drill"}


def test_nothing_to_hold_out_is_an_error():
    table = clips(folds=2, recordings=1)
    with pytest.raises(DatasetError, match="no class has two recordings to train on"):
        inner_folds(table, assign(table, SplitParams(), seed=0), seed=0)


def test_carving_follows_the_seed():
    table = clips(recordings=10)
    first, again, other = (assign(table, SplitParams(val_fraction=0.2), seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_random_leaks_and_describe_counts_it():
    table = clips(folds=10, recordings=10, slices=8)
    params = SplitParams(strategy="random")
    parts = assign(table, params, seed=0)
    assert (parts == "test").mean() == pytest.approx(0.2, abs=0.01)
    assert len(leaks(table, parts)) > 200
    told = describe(table, parts, params)
    assert told["test_clips_of_known_recordings"] > 0.9 * told["test"]["clips"]
    honest = SplitParams()
    assert describe(table, assign(table, honest, 0), honest) == {
        "strategy": "folds",
        "test_folds": [10],
        "val_folds": [9],
        "val_fraction": None,
        "train": {"clips": 1920, "recordings": 240},
        "val": {"clips": 240, "recordings": 30},
        "test": {"clips": 240, "recordings": 30},
        "test_clips_of_known_recordings": 0,
    }


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (SplitParams(test_folds=(6,)), r"test_folds: there is no fold 6; the clips have folds \[1, 2, 3, 4, 5\]"),
        (SplitParams(val_folds=(0,)), "val_folds: there is no fold 0"),
        (SplitParams(test_folds=(1, 2), val_folds=(2, 3)), "fold 2 is in both"),
        (SplitParams(test_folds=(1, 2, 3, 4, 5)), "takes every fold"),
        (SplitParams(test_folds=(1, 2), val_folds=(3, 4, 5)), "the train part of the split is empty"),
    ],
)
def test_folds_that_cannot_be_are_named(params, message):
    with pytest.raises(DatasetError, match=message):
        assign(clips(), params, seed=0)


def test_a_class_without_clips_to_train_on_is_named():
    table = clips()
    table = table[(table["label"] != "siren") | (table["fold"] >= 4)].reset_index(drop=True)
    with pytest.raises(DatasetError, match="no clip to train on for siren"):
        assign(table, SplitParams(), seed=0)


def test_one_fold_is_too_few():
    with pytest.raises(DatasetError, match="one fold only"):
        assign(clips(folds=1), SplitParams(), seed=0)


def test_a_recording_on_both_sides_stops_a_split_by_folds():
    table = clips()
    table.loc[table["fold"] == 5, "recording"] = table.loc[table["fold"] == 1, "recording"].to_numpy()
    with pytest.raises(DatasetError, match=r"12 recordings .*both sides.*dog1-0 \(dog\)"):
        assign(table, SplitParams(), seed=0)


def test_a_recording_in_two_folds_under_two_classes_is_listed_and_allowed():
    table = clips()
    here = (table["label"] == "dog") & (table["fold"] == 1) & (table["recording"] == "dog1-0")
    there = (table["label"] == "siren") & (table["fold"] == 5) & (table["recording"] == "siren5-0")
    table.loc[here | there, "recording"] = "shared"
    assert leaks(table, assign(table, SplitParams(), seed=0)) == []
    assert shared_recordings(table) == [{"recording": "shared", "folds": [1, 5], "labels": ["dog", "siren"]}]


def test_parameters_are_checked():
    for values in ({"val_fraction": 1.5}, {"test_folds": []}, {"test_folds": "last"}, {"strategy": "fold"}):
        with pytest.raises(ParamsError):
            build(SplitParams, values)
    assert build(SplitParams, {"test_folds": [3]}).test_folds == (3,)
    assert build(SplitParams, {"unknown_classes": ["dog", "siren"]}).unknown_classes == ("dog", "siren")
    for wrong in ("dog", [1]):
        with pytest.raises(ParamsError, match="unknown_classes"):
            build(SplitParams, {"unknown_classes": wrong})


WAYS = (
    SplitParams(unknown_classes=("siren",)),
    SplitParams(unknown_classes=("siren",), val_fraction=0.3),
    SplitParams(unknown_classes=("siren",), val_folds="out_of_fold"),
    SplitParams(unknown_classes=("siren",), strategy="random"),
)


@pytest.mark.parametrize("params", WAYS, ids=["fold", "fraction", "out of fold", "random"])
def test_unknown_classes_are_in_no_part_and_change_no_other(params):
    table = clips()
    parts = assign(table, params, seed=3)
    assert np.array_equal(parts == "unknown", table["label"] == "siren")
    # The other clips are divided as if there were no sirens.
    without = table[table["label"] != "siren"].reset_index(drop=True)
    alone = params.changed(unknown_classes=())
    expected = assign(without, alone, seed=3)
    assert np.array_equal(parts[parts != "unknown"], expected)
    inner, inner_alone = inner_folds(table, parts, seed=3), inner_folds(without, expected, seed=3)
    assert not inner[parts == "unknown"].any()
    assert np.array_equal(inner[parts != "unknown"], inner_alone)
    told = describe(table, parts, params, inner)
    sirens = {"unknown_classes": ["siren"], "unknown": {"clips": 60, "recordings": 20}}
    assert told == describe(without, expected, alone, inner_alone) | sirens


@pytest.mark.parametrize("strategy", ["folds", "random"])
def test_unknown_classes_that_cannot_be_are_named(strategy):
    for names, message in (
        (("sirren",), "there is no class 'sirren'; the classes are dog, drill, siren$"),
        (("siren", "dog"), "leaves fewer than two classes to learn"),
    ):
        with pytest.raises(DatasetError, match=rf"split\.unknown_classes.*{message}"):
            assign(clips(), SplitParams(strategy=strategy, unknown_classes=names), seed=0)


def test_a_fold_of_unknown_classes_alone_is_none():
    table = clips(folds=6)
    table = table[(table["fold"] < 6) | (table["label"] == "siren")].reset_index(drop=True)
    parts = assign(table, SplitParams(unknown_classes=("siren",)), seed=0)
    assert (folds_in(table, parts, "test"), folds_in(table, parts, "val")) == ([5], [4])


def test_unknown_classes_are_none_of_the_classes(tmp_path):
    table = clips()
    np.save(tmp_path / "logmel.npy", np.arange(len(table), dtype=np.float16).reshape(-1, 1, 1))
    table.assign(frames=1, truncated_s=0.0, peak=0.5).to_csv(tmp_path / "index.csv", index=False)
    parts = load_parts(SplitParams(unknown_classes=("drill",)), 0, tmp_path)
    assert parts.classes == ("dog", "siren")
    for name in ("train", "val", "test"):
        part = parts.part(name)
        assert [parts.classes[label] for label in part.labels] == part.clips["label"].tolist()
    left_out = parts.part("unknown")
    assert set(left_out.clips["label"]) == {"drill"}
    assert set(left_out.labels.tolist()) == {2}
    assert left_out.features.ravel().tolist() == np.flatnonzero(table["label"] == "drill").tolist()
    assert len(load_parts(SplitParams(), 0, tmp_path).part("unknown").labels) == 0


def heavy_tailed(seed: int, recordings: int = 120) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(seed)
    labels, names = [], []
    for r in range(recordings):
        label = f"class{r % 6}"
        for _ in range(1 + int(random.pareto(1.0) * 3) % 60):
            labels.append(label)
            names.append(f"r{r}")
    return labels, names


@pytest.mark.parametrize("seed", range(5))
def test_made_folds_hold_every_class_and_whole_recordings(seed):
    labels, names = heavy_tailed(seed)
    folds = make_folds(labels, names, 10, seed)
    table = pd.DataFrame({"label": labels, "recording": names, "fold": folds})
    assert (table.groupby("recording")["fold"].nunique() == 1).all()
    assert (pd.crosstab(table["label"], table["fold"]) > 0).all(axis=None)
    assert (folds == make_folds(labels, names, 10, seed)).all()


def test_the_rarest_class_limits_the_folds():
    assert fold_count(["a"] * 30 + ["b"] * 8, [f"a{i}" for i in range(30)] + [f"b{i // 2}" for i in range(8)]) == 4
    assert fold_count(["a"] * 30 + ["b"] * 30, [f"r{i}" for i in range(60)]) == 10


@pytest.mark.parametrize("seed", range(5))
def test_carving_takes_and_leaves_some_of_every_class(seed):
    labels, names = heavy_tailed(seed, recordings=24)
    chosen = carve(labels, names, 0.15, seed)
    table = pd.DataFrame({"label": labels, "recording": names, "chosen": chosen})
    assert (table.groupby("recording")["chosen"].nunique() == 1).all()
    for _, group in table.groupby("label"):
        assert group["chosen"].any()
        assert not group["chosen"].all()


def test_carving_never_takes_the_last_recording_of_a_class():
    labels = ["a", "b", "a", "a", "c", "c"]
    names = ["shared", "shared", "r1", "r2", "r3", "r4"]
    for seed in range(20):
        chosen = carve(labels, names, 0.9, seed)
        assert set(np.array(labels)[~chosen]) == {"a", "b", "c"}
