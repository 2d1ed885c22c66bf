"""What a change does: experiments, budgets that are broken, and data that changes under an unchanged path."""

import json

import numpy as np
import pytest
import soundfile

from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.training import checkpoint
from earshot.training.predict import predict_logits
from small_project import BAD, PARAMS, ran


def test_an_experiment_changes_the_metrics_and_the_diff_shows_it(small_project):
    project = small_project.copy("experiment")
    before = project.json("metrics/train.json")
    project.dvc("exp", "run", "-S", "train.epochs=1")
    after = project.json("metrics/train.json")
    epochs = PARAMS["train"]["epochs"]
    assert (before["epochs"], after["epochs"]) == (epochs, 1)
    assert after["val_loss"] != before["val_loss"]
    assert len(project.rows("metrics/history.csv")) == 1
    changes = json.loads(project.dvc("metrics", "diff", "--json"))
    assert changes["metrics/train.json"]["epochs"] == {"old": epochs, "new": 1, "diff": 1 - epochs}
    assert "nll" in changes["metrics/evaluation.json"]
    assert "temperature" in changes["metrics/quantization.json"]


def test_without_a_validation_fold_the_gate_hears_networks_that_never_heard_the_clips(small_project):
    project = small_project.copy("out-of-fold")
    project.set_param("split.val_folds", "out_of_fold")
    project.dvc("repro")
    card = project.json("models/model.json")
    split = SplitParams(val_folds="out_of_fold")
    parts = load_parts(split, card["params"]["seed"], project.root / "data/features")
    models = [checkpoint.load(path) for path in sorted((project.root / "models/out_of_fold").glob("*.pt"))]
    right = [
        predict_logits(model.model, fold.held.features).argmax(axis=1) == fold.held.labels
        for model, fold in zip(models, parts.validations, strict=True)
    ]
    assert sum(map(len, right)) == len(parts.part("train").labels) > 40
    judged = project.json("metrics/quantization.json")["gate"]
    assert judged["fp32_accuracy"] == pytest.approx(np.concatenate(right).mean(), abs=0.025)  # a clip on the border
    assert (card["split"]["val_folds"], card["split"]["inner_folds"]) == ("out_of_fold", 4)
    assert card["split"]["val"] == card["split"]["train"]
    assert card["split"]["train"]["clips"] == project.json("metrics/train.json")["train_clips"]


@pytest.mark.parametrize("key", ["train.epoch", "trian.epochs"])
def test_an_unknown_key_is_refused_by_name(small_project, key):
    project = small_project.copy(f"unknown-{key}")
    said = project.dvc("exp", "run", "-S", f"{key}=1", fails=True)
    assert key in said
    assert "not in struct" in said
    assert project.run("git", "status", "--short") == ""


def test_a_key_forced_into_the_parameters_is_refused_by_the_stage(small_project):
    project = small_project.copy("forced")
    said = project.dvc("exp", "run", "-S", "+train.epoch=1", fails=True)
    assert "train: unknown key 'epoch' (did you mean 'epochs'?); known keys are model, epochs" in said
    assert "Traceback" not in said


def test_a_candidate_over_budget_is_not_released(small_project):
    project = small_project.copy("gate")
    names = ("earshot.onnx", "earshot.int8.onnx", "model.json")
    released = {name: project.sha256(f"models/{name}") for name in names}
    project.set_param("gate.min_agreement", 1.25)
    project.set_param("gate.max_accuracy_drop", -2)
    project.set_param("quantization.calibration_clips", 12)
    said = project.dvc("repro", fails=True)
    assert sorted(ran(said)) == ["confidence", "open_set", "quantize", "release", "robustness"]
    assert "under gate.min_agreement = 1.25" in said
    assert "over gate.max_accuracy_drop = -2" in said
    quantization = project.json("metrics/quantization.json")
    assert quantization["passed"] is False
    short = 1.25 - quantization["gate"]["agreement"]
    assert f"agreement is {quantization['gate']['agreement']:.6g}, {short:.6g} under" in said
    assert len(quantization["broken"]) == 2
    assert json.loads(project.dvc("metrics", "diff", "--json"))["metrics/quantization.json"]["passed"] == {
        "old": True,
        "new": False,
        "diff": -1,
    }
    assert {name: project.sha256(f"models/{name}") for name in names} == released
    assert project.sha256("models/candidate/earshot.int8.onnx") != released["earshot.int8.onnx"]
    assert project.leftovers() == []
    # It stays refused until something changes, and with sane budgets the new candidate takes its place.
    assert ran(project.dvc("repro", fails=True)) == ["release"]
    project.set_param("gate.min_agreement", 0.5)
    project.set_param("gate.max_accuracy_drop", 0.5)
    project.dvc("repro")
    assert project.sha256("models/earshot.int8.onnx") == project.sha256("models/candidate/earshot.int8.onnx")
    assert project.sha256("models/earshot.int8.onnx") != released["earshot.int8.onnx"]


def test_a_changed_sound_under_an_unchanged_path_is_noticed(small_project):
    project = small_project.copy_with_sounds("changed")
    index = [row["path"] for row in project.rows("data/features/index.csv")]
    changed = "fold1/hiss 0ü.wav"
    before = np.load(project.root / "data/features/logmel.npy")
    samples = np.random.default_rng(1).normal(0, 0.1, 11_025)
    soundfile.write(project.root.parent / "sounds" / changed, samples, 22_050, subtype="PCM_16")
    assert ran(project.dvc("repro", "features")) == ["download", "audit", "features"]
    after = np.load(project.root / "data/features/logmel.npy")
    assert [path for path, old, new in zip(index, before, after, strict=True) if not np.array_equal(old, new)] == [
        changed
    ]


def test_too_many_bad_files_stop_the_pipeline_and_are_named(small_project):
    project = small_project.copy("strict")
    project.set_param("audit.max_rejected_fraction", 0.02)
    said = project.dvc("repro", fails=True)
    assert ran(said) == ["audit"]
    assert "max_rejected_fraction" in said
    assert all(path in said for path in BAD)
    assert "Traceback" not in said
    assert not (project.root / "data/audited/clips.csv").exists()
