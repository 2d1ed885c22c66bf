"""Classes left out of everything, through the whole pipeline: what becomes of their clips, by onnxruntime alone."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import scipy.special
from sklearn.metrics import roc_auc_score

from earshot.core.front_end import FrontEndParams
from earshot.core.labels import BACKGROUND
from earshot.decisions.fitting.unknown import fit_unknown_threshold
from earshot.evaluation.open_set import far_sounds
from earshot.hearing.log_mel import LogMel
from small_project import FOLDS, PARAMS, Project, ran


@pytest.fixture(scope="module")
def left_out(small_project) -> Project:
    """The small project without whistles. Read only: change a `copy`."""
    project = small_project.copy("left-out")
    project.set_param("split.unknown_classes", ["whistle"])
    project.output = project.dvc("repro")
    return project


class Asked:
    """The candidate's INT8 file and the cache of features, with nothing of the project's code."""

    def __init__(self, root: Path) -> None:
        path = str(root / "models/candidate/earshot.int8.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.card = json.loads(self.session.get_modelmeta().custom_metadata_map["earshot"])
        self.features = np.load(root / "data/features/logmel.npy")
        self.clips = pd.read_csv(root / "data/features/index.csv")

    def says(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each clip: the class, how surely it is of any, and the largest probability if it is."""
        logits, of_none = self.session.run(["logits", "background_logits"], {"log_mel": features.astype(np.float32)})
        temperature = self.card["temperature"]
        known = scipy.special.softmax(np.hstack([logits, of_none]).astype(np.float64) / temperature, axis=1)[:, :-1]
        softmax = scipy.special.softmax(logits.astype(np.float64) / temperature, axis=1)
        return np.array(self.card["classes"])[logits.argmax(axis=1)], known.max(axis=1), softmax.max(axis=1)


@pytest.fixture(scope="module")
def asked(left_out) -> Asked:
    return Asked(left_out.root)


def area(of_known: np.ndarray, of_unknown: np.ndarray) -> float:
    truth = np.repeat([1, 0], (len(of_known), len(of_unknown)))
    return roc_auc_score(truth, np.concatenate([of_known, of_unknown]))


def test_all_that_depends_on_the_classes_ran_and_nothing_else(left_out):
    assert set(ran(left_out.output)) == {
        "extra_clips",
        "train",
        "evaluate",
        "quantize",
        "confidence",
        "robustness",
        "open_set",
        "release",
    }


def test_a_class_left_out_is_in_no_figure_of_the_others(left_out, asked):
    assert asked.card["classes"] == ["buzz", "hiss"]
    split = asked.card["split"]
    kept = asked.clips[asked.clips["label"] != "whistle"]
    counts = {part: split[part]["clips"] for part in ("train", "val", "test", "unknown")}
    of_fold = kept["fold"].value_counts()
    assert counts == {
        "train": of_fold[[1, 2, 3]].sum(),
        "val": of_fold[4],
        "test": of_fold[5],
        "unknown": len(asked.clips) - len(kept),
    }
    assert split["unknown_classes"] == ["whistle"]
    assert left_out.json("metrics/evaluation.json")["test_clips"] == counts["test"]
    for name in ("per_class", "parity", "confusion"):
        assert "whistle" not in (left_out.root / f"metrics/{name}.csv").read_text(encoding="utf-8")


def test_the_network_was_trained_on_background_sounds(left_out, asked):
    made = pd.read_csv(left_out.root / "data/extra_clips/index.csv")
    assert set(made["label"]) == {BACKGROUND}  # the embedded set has neither buzz nor hiss
    train = asked.card["split"]["train"]["clips"]
    assert asked.card["dataset"]["extra_clips"] == {"classes": 0, "background": round(train / 4)}
    assert "background_logits" in [output.name for output in asked.session.get_outputs()]


def test_the_threshold_on_the_card_comes_from_validation_answers_alone(asked):
    val = ((asked.clips["fold"] == FOLDS - 1) & (asked.clips["label"] != "whistle")).to_numpy()
    said, known, _ = asked.says(asked.features[val])
    right = said == asked.clips["label"][val].to_numpy()
    line = asked.card["unknown_threshold"]
    assert line == pytest.approx(fit_unknown_threshold(known, right, 0.005), abs=2e-6)
    assert (right & (known < line)).sum() == 0  # a share of 0.005 of 8 clips is none


def test_the_figures_are_those_of_the_file(left_out, asked):
    found, line = left_out.json("metrics/open_set.json"), asked.card["unknown_threshold"]
    rows = {row["family"]: row for row in left_out.rows("metrics/open_set.csv")}
    near = (asked.clips["label"] == "whistle").to_numpy()
    test = (asked.clips["fold"] == FOLDS).to_numpy() & ~near
    said, known, softmax = asked.says(asked.features[test])
    right = said == asked.clips["label"][test].to_numpy()
    assert (found["dataset"], found["known_clips"], found["threshold"]) == ("folder", test.sum(), line)
    assert found["known_called_unknown"] == pytest.approx((known < line).mean(), abs=1e-6)
    assert found["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["accuracy_with_unknown"] == pytest.approx((right & (known >= line)).mean(), abs=1e-6)
    far = far_sounds(LogMel(FrontEndParams(**PARAMS["audio"])), seed=7)
    others = {"whistle": asked.features[near], **far}
    assert list(rows) == list(others)
    for family, features in others.items():
        _, of_family, softmax_of_family = asked.says(features)
        row = rows[family]
        assert (row["near"], int(row["clips"])) == (str(family == "whistle"), len(features))
        assert float(row["auroc"]) == pytest.approx(area(known, of_family), abs=1e-6)
        assert float(row["auroc_max_softmax"]) == pytest.approx(area(softmax, softmax_of_family), abs=1e-6)
        assert float(row["called_unknown"]) == pytest.approx((of_family < line).mean(), abs=1e-6)
    assert int(rows["whistle"]["recordings"]) == asked.clips["recording"][near].nunique()
    assert found["near"]["auroc_mean"] == pytest.approx(float(rows["whistle"]["auroc"]), abs=1e-6)
    assert found["far"]["auroc_mean"] == pytest.approx(np.mean([float(rows[one]["auroc"]) for one in far]), abs=1e-6)


def test_without_classes_left_out_there_are_far_sounds_alone(small_project):
    found = small_project.json("metrics/open_set.json")
    assert "near" not in found
    assert found["known_clips"] == small_project.json("metrics/evaluation.json")["test_clips"]
    assert found["threshold"] == small_project.json("metrics/quantization.json")["unknown_threshold"]
    assert {row["near"] for row in small_project.rows("metrics/open_set.csv")} == {"False"}


def test_a_misspelt_class_is_named_before_anything_is_made(small_project):
    project = small_project.copy("misspelt")
    project.set_param("split.unknown_classes", ["wistle"])
    said = project.dvc("repro", fails=True)
    assert ran(said) == ["extra_clips"]
    assert "split.unknown_classes: there is no class 'wistle'; the classes are buzz, hiss, whistle" in said
    assert "synthesise" not in said
    assert "Traceback" not in said
