"""The whole pipeline over a small set of sounds: what it writes, and that what it writes is true."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from small_project import AWKWARD, BAD, CLASSES, PARAMS, STAGES, Project, ran, snapshot

FILES = (
    "data/raw/clips.csv",
    "data/raw/source.json",
    "data/audited/clips.csv",
    "data/audited/files.csv",
    "data/features/logmel.npy",
    "data/features/index.csv",
    "models/checkpoint.pt",
    "models/candidate/earshot.onnx",
    "models/candidate/earshot.int8.onnx",
    "models/candidate/model.json",
    "models/earshot.onnx",
    "models/earshot.int8.onnx",
    "models/model.json",
    "metrics/audit.json",
    "metrics/train.json",
    "metrics/history.csv",
    "metrics/evaluation.json",
    "metrics/per_class.csv",
    "metrics/per_class.json",
    "metrics/confusion.csv",
    "metrics/quantization.json",
    "metrics/parity.csv",
    "metrics/latency.json",
    "metrics/open_set.json",
    "metrics/open_set.csv",
    "metrics/plots/audit/durations.png",
    "metrics/plots/audit/rates.png",
    "metrics/plots/audit/classes_by_fold.png",
    "metrics/plots/confusion.png",
    "metrics/plots/per_class.png",
    "metrics/plots/reliability.png",
    "metrics/plots/training.png",
)
PARITY = {"fp32_accuracy", "int8_accuracy", "int8_ece", "accuracy_drop", "agreement", "max_class_recall_drop"}
KEYS = {
    "confidence": {"ece", "ece_if_calibrated", "nll", "nll_uncalibrated", "brier", "correctness_auroc", "validation"},
    "robustness": {"worst_condition", "change_points", "in_training"},
    "audit": {"clips_total", "clips_ok", "clips_rejected"},
    "train": {"best_epoch", "epochs", "val_accuracy"},
    "evaluation": {
        "accuracy",
        "accuracy_ci_low",
        "accuracy_ci_high",
        "balanced_accuracy",
        "macro_f1",
        "ece",
        "worst_class",
        "worst_class_recall",
        "test_clips",
        "test_recordings",
        "split",
    },
    "per_class": {"recall"},
    "quantization": {*PARITY, "gate", "fp32_bytes", "int8_bytes", "passed"},
    "latency": {"fp32", "int8"},
    "open_set": {"threshold", "known_called_unknown", "accuracy", "accuracy_with_unknown", "far", "verdicts"},
}


def test_every_stage_ran_and_none_runs_again(small_project):
    assert tuple(ran(small_project.output)) == STAGES
    again = small_project.copy("again")
    assert ran(again.dvc("repro")) == []


@pytest.mark.parametrize("path", FILES)
def test_the_file_is_there(small_project, path):
    assert (small_project.root / path).stat().st_size > 0


def test_no_unfinished_write_is_left(small_project):
    assert small_project.leftovers() == []


@pytest.mark.parametrize("name", KEYS)
def test_the_metrics_have_the_keys_that_other_tools_rely_on(small_project, name):
    metrics = small_project.json(f"metrics/{name}.json")
    assert metrics["dataset"] == "folder"
    assert set(metrics) >= KEYS[name]


def test_every_metrics_file_names_its_data(small_project):
    files = list((small_project.root / "metrics").glob("*.json"))
    assert {path.stem for path in files} == set(KEYS)


def test_bad_files_are_named_and_good_ones_used_to_the_end(small_project):
    found = small_project.json("metrics/audit.json")
    reasons = {bad["path"]: bad["reason"] for bad in found["rejected"]}
    assert set(reasons) == set(BAD)
    assert all(reasons[path] == reason for path, reason in BAD.items())
    cached = {row["path"] for row in small_project.rows("data/features/index.csv")}
    assert len(cached) == found["clips_ok"] == 63
    assert cached >= set(AWKWARD)
    assert not cached & set(BAD)
    train, quantization = small_project.json("metrics/train.json"), small_project.json("metrics/quantization.json")
    assert train["train_clips"] + train["val_clips"] + small_project.json("metrics/evaluation.json")["test_clips"] == 63
    assert quantization["gate"]["agreement"] <= 1


def test_the_network_learnt_something(small_project):
    """Three sounds that anyone could tell apart: far above a third, also on recordings it never heard."""
    assert small_project.json("metrics/evaluation.json")["accuracy"] >= 0.6


def test_history_and_headline_agree(small_project):
    history = [{key: float(value) for key, value in row.items()} for row in small_project.rows("metrics/history.csv")]
    train = small_project.json("metrics/train.json")
    assert [row["epoch"] for row in history] == list(range(1, PARAMS["train"]["epochs"] + 1))
    best = history[train["best_epoch"] - 1]
    for key in ("train_loss", "val_loss", "val_accuracy"):
        assert best[key] == pytest.approx(train[key], abs=1e-6)


def int8_accuracy(root: Path) -> tuple[float, dict[str, float]]:
    """On the last fold, from the ONNX file and the cache alone: nothing of the project's code."""
    session = onnxruntime.InferenceSession(str(root / "models/earshot.int8.onnx"), providers=["CPUExecutionProvider"])
    classes = json.loads(session.get_modelmeta().custom_metadata_map["earshot"])["classes"]
    features = np.load(root / "data/features/logmel.npy")
    with (root / "data/features/index.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    last = max(int(row["fold"]) for row in rows)
    right: dict[str, list[bool]] = {name: [] for name in classes}
    for clip, row in zip(features, rows, strict=True):
        if int(row["fold"]) == last:
            logits = session.run(["logits"], {"log_mel": clip[None].astype(np.float32)})[0]
            right[row["label"]].append(classes[int(logits.argmax())] == row["label"])
    accuracy = np.mean([hit for hits in right.values() for hit in hits])
    return float(accuracy), {name: float(np.mean(hits)) for name, hits in right.items()}


def test_the_reported_int8_accuracy_is_that_of_the_released_file(small_project):
    accuracy, recalls = int8_accuracy(small_project.root)
    assert small_project.json("metrics/quantization.json")["int8_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    rows = {row["class"]: row for row in small_project.rows("metrics/parity.csv") if row["part"] == "test"}
    assert set(rows) == set(CLASSES)
    for name, recall in recalls.items():
        assert float(rows[name]["int8_recall"]) == pytest.approx(recall, abs=1e-6)


def test_full_precision_figures_agree_between_stages(small_project):
    evaluation, quantization = (small_project.json(f"metrics/{name}.json") for name in ("evaluation", "quantization"))
    assert evaluation["accuracy"] == pytest.approx(quantization["fp32_accuracy"], abs=1e-6)
    confusion = small_project.rows("metrics/confusion.csv")
    right = [row["actual"] == row["predicted"] for row in confusion]
    assert (len(right), np.mean(right)) == (evaluation["test_clips"], pytest.approx(evaluation["accuracy"], abs=1e-6))


def test_the_sizes_are_those_of_the_files(small_project):
    quantization = small_project.json("metrics/quantization.json")
    for kind, name in (("fp32", "earshot.onnx"), ("int8", "earshot.int8.onnx")):
        assert quantization[f"{kind}_bytes"] == (small_project.root / "models" / name).stat().st_size
    assert quantization["int8_bytes"] < 350_000


def test_what_is_released_is_the_candidate(small_project):
    for name in ("earshot.onnx", "earshot.int8.onnx", "model.json"):
        assert small_project.sha256(f"models/{name}") == small_project.sha256(f"models/candidate/{name}")


def test_git_holds_figures_and_dvc_the_rest(small_project):
    tracked = small_project.run("git", "ls-files").splitlines()
    assert "dvc.lock" in tracked
    assert {f"metrics/{name}.json" for name in KEYS} <= set(tracked)
    assert not [
        path
        for path in tracked
        if path.startswith(("models/", "data/")) and not path.endswith((".gitignore", ".gitkeep"))
    ]
    assert small_project.run("git", "status", "--short") == ""


def test_nothing_committed_knows_the_machine(small_project):
    home = str(small_project.root.parent)
    for path in [*(small_project.root / "metrics").rglob("*"), small_project.root / "dvc.lock"]:
        if path.is_file():
            assert home.encode() not in path.read_bytes(), path


def test_the_same_inputs_give_the_same_bytes_anywhere(small_project):
    """Train and quantise again, in another directory: checkpoint, both ONNX files and every metric but latencies."""
    other = small_project.copy("elsewhere")
    (other.root / "models/checkpoint.pt").unlink()
    for stage in ("train", "evaluate", "quantize"):
        other.run("python", f"stages/{stage}.py")
    names = [name for name in FILES if name.startswith(("models/", "metrics/")) and "latency" not in name]
    assert {name for name in names if other.sha256(name) != small_project.sha256(name)} == set()


def test_the_users_folder_is_only_ever_read(small_project):
    """Through repro, checkout and gc; the folder is a dependency and nothing in the project links to it."""
    project = small_project.copy_with_sounds("kept")
    sounds = project.root.parent / "sounds"
    before = snapshot(sounds)
    project.dvc("repro", "--force", "features")
    for name in ("data/raw", "data/audited", "data/features", "models"):
        project.run("rm", "-r", name)
    project.dvc("checkout")
    project.set_param("audio.n_mels", 48)
    project.dvc("repro", "features")
    project.dvc("gc", "--workspace", "--force")
    project.run("rm", "-r", "data/raw", "data/features")
    project.dvc("checkout", "--force")
    assert snapshot(sounds) == before
    assert np.load(project.root / "data/features/logmel.npy").shape[1] == 48
    assert not [path for path in (project.root / "data").rglob("*") if path.is_symlink()]
    assert sorted(path.name for path in (project.root / "data/raw").iterdir()) == ["clips.csv", "source.json"]
    cached = {path.read_bytes() for path in (project.root / ".dvc/cache").rglob("*") if path.is_file()}
    assert not cached & {content for content, _ in before.values() if content}


def test_a_fresh_clone_pulls_runs_nothing_and_the_model_answers(small_project):
    project = small_project.copy("pushed")
    project.dvc("remote", "add", "--default", "store", "../store")
    project.commit("a remote")
    project.dvc("push")
    clone = Project(project.root.parent / "clone")
    project.run("git", "clone", "--quiet", str(project.root), str(clone.root))
    assert not (clone.root / "models/earshot.int8.onnx").exists()
    clone.dvc("pull")
    assert ran(clone.dvc("repro")) == []
    assert clone.run("git", "status", "--short") == ""
    program = """
import soundfile, numpy as np
from earshot.model.session import Model
from earshot.hearing.clip import fit_length
from earshot.hearing.decode import read_mono
model = Model("models/earshot.int8.onnx")
samples = fit_length(read_mono("../sounds/fold5/whistle 0ü.wav", 22050), 22050)
print(*np.round(model.probabilities(model.log_mel.clip(samples)[None])[0], 6))
"""
    answer = clone.run("python", "-c", program)
    assert sum(map(float, answer.split())) == pytest.approx(1, abs=1e-4)
    assert answer == project.run("python", "-c", program)
