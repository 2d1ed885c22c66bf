"""Cross-validation: each fold tested once, pooled as anybody would pool it, and never run unasked."""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, log_loss

from answered import answered
from earshot.clips.split import SplitParams, assign
from earshot.clips.table import DatasetError
from earshot.clips.turns import CrossvalParams, check_folds, turn
from earshot.core.params import ParamsError, build
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.crossval_fold import FoldAnswers, FoldError, read_fold, write_fold
from earshot.evaluation.crossval_pool import headline, pool, summary
from import_closure import ROOT, import_closure
from small_project import CLASSES, TIMEOUT_S, Project, alive, ran, snapshot

DVC = yaml.safe_load((ROOT / "crossval/dvc.yaml").read_text(encoding="utf-8"))
CROSSVAL = "crossval/dvc.yaml"
FOLDS = (1, 2, 3)
WRITTEN = (
    "metrics/crossval.json",
    "metrics/crossval_per_class.csv",
    "metrics/crossval_confusion.csv",
    "metrics/plots/crossval_confusion.png",
)


def stages(output: str) -> list[str]:
    return [name.rpartition(":")[2] for name in ran(output)]


@pytest.fixture(scope="module")
def crossed(small_project) -> Project:
    """Three of the five folds, one epoch each. Read only: change a `copy`."""
    project = small_project.copy("crossed")
    (project.root / "crossval").mkdir()
    shutil.copy2(ROOT / CROSSVAL, project.root / CROSSVAL)
    project.set_param("train.epochs", 1)
    project.set_param("crossval.folds", list(FOLDS))
    project.commit("cross-validation")
    project.output = project.dvc("repro", CROSSVAL)
    project.commit("cross-validated")
    return project


def pooled_by_hand(project: Project, folds: tuple[int, ...]) -> pd.DataFrame:
    """A row for each tested clip, with nothing of the project's code."""
    index = pd.read_csv(project.root / "data/features/index.csv").set_index("path")
    tables = []
    for fold in folds:
        home = project.root / f"crossval/folds/{fold}"
        paths = np.load(home / "paths.npy")
        with np.load(home / "answers.npz") as archive:
            names = archive["classes"]
            int8, fp32 = (archive[f"answers/{kind}/logits"] for kind in ("int8", "fp32"))  # one window a clip
            table = pd.DataFrame({"fold": fold, "int8": names[int8.argmax(axis=1)]})
            table["fp32"] = names[fp32.argmax(axis=1)]
            logs = log_softmax(int8.astype(float) / archive["answers/int8/decisions"][0], axis=1)
            table[[f"p {name}" for name in names]] = np.exp(logs)
            tables.append(table.assign(actual=index.loc[paths, "label"].to_numpy(), path=paths))
    return pd.concat(tables, ignore_index=True)


def test_only_the_folds_and_their_pooling_ran(crossed):
    assert stages(crossed.output) == ["fold@1", "fold@2", "fold@3", "pool"]
    for path in WRITTEN:
        assert (crossed.root / path).stat().st_size > 0, path
    assert crossed.leftovers() == []


def test_a_second_run_runs_nothing(crossed):
    assert ran(crossed.copy("crossed-again").dvc("repro", CROSSVAL)) == []


def test_a_killed_run_goes_on_with_the_fold_it_was_at(crossed):
    project = crossed.copy("crossed-killed")
    project.set_param("train.epochs", 2)
    project.set_param("crossval.folds", [1, 2])
    group = project.kill(("repro", CROSSVAL), lambda: "fold@2" in project.log(), whole_group=True)
    deadline = time.monotonic() + TIMEOUT_S
    while alive(group):
        assert time.monotonic() < deadline, f"{alive(group)} outlived the pipeline"
        time.sleep(0.02)
    finished = snapshot(project.root / "crossval/folds/1")
    assert len(finished) == 3
    assert stages(project.dvc("repro", CROSSVAL)) == ["fold@2", "pool"]
    assert snapshot(project.root / "crossval/folds/1") == finished
    assert [fold["fold"] for fold in project.json("metrics/crossval.json")["folds"]] == [1, 2]


def test_another_judgement_pools_anew_and_trains_nothing(crossed):
    project = crossed.copy("crossed-judged")
    project.set_param("evaluation.calibration_bins", 5)
    assert stages(project.dvc("repro", CROSSVAL)) == ["pool"]
    assert project.json("metrics/crossval.json")["ece_bins"] == 5


def test_repro_alone_never_cross_validates(crossed):
    project = crossed.copy("crossed-alone")
    shutil.rmtree(project.root / "crossval/folds")
    (project.root / "crossval/dvc.lock").unlink()
    # The epochs are other ones.
    again = ["train", "evaluate", "quantize", "confidence", "robustness", "open_set", "release"]
    assert sorted(ran(project.dvc("repro"))) == sorted(again)
    assert not (project.root / "crossval/folds").exists()
    assert "up to date" in project.dvc("status", "dvc.yaml")
    # Folds that were never run are in nobody's way.
    project.dvc("checkout")
    project.dvc("remote", "add", "--default", "store", "../crossed-store")
    project.dvc("push")
    project.dvc("pull")


def test_every_clip_is_tested_by_a_network_that_never_met_its_fold(crossed):
    table = pooled_by_hand(crossed, FOLDS)
    index = pd.read_csv(crossed.root / "data/features/index.csv")
    assert sorted(table["path"]) == sorted(index.loc[index["fold"].isin(FOLDS), "path"])
    for fold, before in ((1, 5), (2, 1), (3, 2)):
        about = crossed.json(f"crossval/folds/{fold}/metrics.json")
        assert (about["dataset"], about["fold"]) == ("folder", fold)
        assert (about["split"]["test_folds"], about["split"]["val_folds"]) == ([fold], [before])
        assert about["split"]["train"]["clips"] == (~index["fold"].isin([fold, before])).sum()
        assert about["split"]["test_clips_of_known_recordings"] == 0


def test_the_pooled_figures_are_those_of_the_predictions(crossed):
    table, metrics = pooled_by_hand(crossed, FOLDS), crossed.json("metrics/crossval.json")
    assert metrics["dataset"] == "folder"
    assert metrics["accuracy"] == pytest.approx(accuracy_score(table["actual"], table["int8"]), abs=1e-6)
    assert metrics["fp32_accuracy"] == pytest.approx(accuracy_score(table["actual"], table["fp32"]), abs=1e-6)
    assert metrics["agreement"] == pytest.approx((table["int8"] == table["fp32"]).mean(), abs=1e-6)
    probabilities = table[[f"p {name}" for name in CLASSES]].to_numpy()
    assert metrics["nll"] == pytest.approx(log_loss(table["actual"], probabilities, labels=list(CLASSES)), abs=1e-6)
    by_fold = (table["int8"] == table["actual"]).groupby(table["fold"]).mean()
    assert metrics["accuracy_mean"] == pytest.approx(by_fold.mean(), abs=1e-6)
    assert metrics["accuracy_std"] == pytest.approx(by_fold.std(ddof=0), abs=1e-6)
    assert [fold["fold"] for fold in metrics["folds"]] == list(FOLDS)
    assert [fold["accuracy"] for fold in metrics["folds"]] == pytest.approx(by_fold.tolist(), abs=1e-6)
    assert metrics["folds_left_out"] == [4, 5]
    assert metrics["accuracy_ci_low"] <= metrics["accuracy"] <= metrics["accuracy_ci_high"]
    assert 0 <= metrics["ece"] <= 1


def test_the_pooled_tables_are_those_of_the_predictions(crossed):
    table = pooled_by_hand(crossed, FOLDS)
    written = pd.read_csv(crossed.root / "metrics/crossval_confusion.csv")
    expected = confusion_matrix(table["actual"], table["int8"], labels=CLASSES)
    assert np.array_equal(confusion_matrix(written["actual"], written["predicted"], labels=CLASSES), expected)
    report = classification_report(table["actual"], table["int8"], output_dict=True, zero_division=0)
    for row in crossed.rows("metrics/crossval_per_class.csv"):
        assert int(row["support"]) == report[row["class"]]["support"]
        assert float(row["recall"]) == pytest.approx(report[row["class"]]["recall"], abs=1e-6)


def test_clips_of_unknown_classes_are_tested_in_no_turn(crossed):
    project = crossed.copy("crossed-unknown")
    project.set_param("split.unknown_classes", ["hiss"])
    project.set_param("crossval.folds", [1, 2])
    assert stages(project.dvc("repro", CROSSVAL)) == ["extra_clips", "fold@1", "fold@2", "pool"]
    index = pd.read_csv(project.root / "data/features/index.csv")
    tested = index[index["fold"].isin([1, 2]) & (index["label"] != "hiss")]
    metrics = project.json("metrics/crossval.json")
    assert metrics["test_clips"] == len(tested)
    assert [row["class"] for row in project.rows("metrics/crossval_per_class.csv")] == ["buzz", "whistle"]
    table = pooled_by_hand(project, (1, 2))
    assert sorted(table["path"]) == sorted(tested["path"])
    assert metrics["accuracy"] == pytest.approx(accuracy_score(table["actual"], table["int8"]), abs=1e-6)
    split = project.json("crossval/folds/1/metrics.json")["split"]
    assert split["unknown"]["clips"] == (index["label"] == "hiss").sum()


def test_git_ignores_the_folds_and_sees_the_figures(crossed):
    tracked = crossed.run("git", "ls-files").splitlines()
    assert {CROSSVAL, "crossval/dvc.lock", *WRITTEN} <= set(tracked)
    assert not [path for path in tracked if path.startswith("crossval/folds")]
    assert crossed.run("git", "status", "--short") == ""


def test_fewer_folds_pool_exactly_those_and_train_none(crossed):
    project = crossed.copy("crossed-two")
    project.set_param("crossval.folds", [1, 2])
    assert stages(project.dvc("repro", CROSSVAL)) == ["pool"]
    metrics = project.json("metrics/crossval.json")
    assert [fold["fold"] for fold in metrics["folds"]] == [1, 2]
    table = pooled_by_hand(project, (1, 2))
    assert metrics["test_clips"] == len(table)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(table["actual"], table["int8"]), abs=1e-6)
    assert metrics["folds_left_out"] == [3, 4, 5]


def test_a_missing_fold_is_named_with_the_command_that_makes_it(crossed):
    project = crossed.copy("crossed-missing")
    before = project.sha256("crossval/folds/2/answers.npz")
    shutil.rmtree(project.root / "crossval/folds/2")
    said = project.run("python", "stages/crossval_pool.py", fails=True)
    assert "fold 2 has no answers" in said
    assert "Traceback" not in said
    command = re.search(r"`dvc (repro [^`]+)`", said)
    assert command, said
    assert stages(project.dvc(*command[1].split())) == ["fold@2"]
    assert project.sha256("crossval/folds/2/answers.npz") == before
    project.run("python", "stages/crossval_pool.py")
    assert project.sha256("metrics/crossval.json") == crossed.sha256("metrics/crossval.json")


def test_a_fold_that_does_not_exist_stops_before_any_training(crossed):
    project = crossed.copy("crossed-absent")
    project.set_param("crossval.folds", [4, 5, 6])
    said = project.dvc("repro", CROSSVAL, fails=True)
    assert stages(said) == ["fold@4"]
    assert "names fold 6, which the clips do not have; they have folds 1, 2, 3, 4, 5" in said
    assert "Traceback" not in said
    assert "train compact" not in said
    assert not (project.root / "crossval/folds/4").exists()


def test_predictions_of_other_clips_are_refused(crossed):
    project = crossed.copy("crossed-stale")
    shutil.rmtree(project.root / "crossval/folds/3")
    shutil.copytree(project.root / "crossval/folds/2", project.root / "crossval/folds/3")
    assert "the answers of fold 3 are to other clips" in project.run("python", "stages/crossval_pool.py", fails=True)


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_declares_exactly_the_packages_and_the_parameters_it_uses(stage):
    script, declared = f"stages/crossval_{stage}.py", DVC["stages"][stage]
    assert declared["cmd"].split()[:2] == ["python", script]
    code = {dep for dep in declared["deps"] if not dep.startswith(("data/", "crossval/", "${"))}
    needed = {
        script,
        *("/".join(path.split("/")[:3]) for path in import_closure(ROOT / script) - {"src/earshot/__init__.py"}),
    }
    assert code == needed, f"add {sorted(needed - code)}, remove {sorted(code - needed)}"
    source = (ROOT / script).read_text(encoding="utf-8")
    read = set(re.findall(r'params\.load\("(\w+)"', source)) | {"seed"}
    if stage == "fold":  # it looks through the list for folds that do not exist, and writes nothing of it
        read.remove("crossval")
    assert {key.split(".")[0] for key in declared["params"]} == read
    assert len(source.splitlines()) <= 60


def clips_of(folds: int) -> pd.DataFrame:
    """Two classes, a recording of two clips for each fold and class."""
    rows = [
        {"path": f"{fold}/{label}{number}", "label": label, "fold": fold, "recording": f"{fold}{label}"}
        for fold in range(1, folds + 1)
        for label in ("a", "b")
        for number in range(2)
    ]
    return pd.DataFrame(rows).assign(salience=float("nan"))


def answers_to(clips: pd.DataFrame, fold: int, right: int) -> FoldAnswers:
    """The first `right` clips of a fold named rightly by INT8, all by fp32."""
    of_fold = clips[clips["fold"] == fold]
    labels = (of_fold["label"] == "b").to_numpy().astype(np.int64)
    said = np.where(np.arange(len(labels)) < right, labels, 1 - labels)
    int8, fp32 = (
        answered(2 * np.eye(2, dtype=np.float32)[classes], labels, of_fold["path"].to_numpy(dtype=str), temperature)
        for classes, temperature in ((said, 2.0), (labels, 1.0))
    )
    return FoldAnswers(("a", "b"), of_fold["path"].to_numpy(dtype=str), int8, fp32)


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_any_number_of_folds_is_pooled(tmp_path, folds):
    clips = clips_of(folds)
    for fold in range(1, folds + 1):
        write_fold(fold, answers_to(clips, fold, 4 if fold % 2 else 2), {"fold": fold}, tmp_path)
    write_fold(folds + 1, answers_to(clips, 1, 0), {"fold": folds + 1}, tmp_path)  # a leftover: not to be looked at
    pooled = pool(range(1, folds + 1), clips, EvaluationParams(bootstrap_resamples=100), 0, tmp_path)
    accuracies = [1.0 if fold % 2 else 0.5 for fold in range(1, folds + 1)]
    found = headline(pooled, "folder")
    assert found["accuracy_mean"] == found["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert found["accuracy_std"] == pytest.approx(np.std(accuracies), abs=1e-6)
    assert (found["fp32_accuracy"], found["folds_left_out"], found["test_clips"]) == (1.0, [], 4 * folds)
    # A gap of 2 between two logits at temperature 2: 1 / (1 + 1 / e) for the class that is named.
    share = 1 / (1 + np.exp(-1))
    nll = -(found["accuracy"] * np.log(share) + (1 - found["accuracy"]) * np.log(1 - share))
    assert found["nll"] == pytest.approx(nll, abs=1e-6)
    assert len([line for line in summary(pooled).splitlines() if re.match(r"fold +\d+ ", line)]) == folds


def test_what_is_written_is_read_and_damage_is_named(tmp_path):
    answers = answers_to(clips_of(3), 2, 3)
    write_fold(2, answers, {"dataset": "folder"}, tmp_path)
    read = read_fold(2, tmp_path)
    assert (read.classes, read.paths.tolist()) == (answers.classes, answers.paths.tolist())
    for name in ("int8", "fp32"):
        for found, value in ((getattr(read, name), getattr(answers, name)),):
            assert np.array_equal(found.probabilities, value.probabilities)
            assert np.array_equal(found.labels, value.labels)
            assert found.decisions == value.decisions
    figures = json.loads((tmp_path / "2/metrics.json").read_text(encoding="utf-8"))
    assert (figures["dataset"], figures["accuracy"], figures["agreement"]) == ("folder", 0.75, 0.75)
    path = tmp_path / "2/answers.npz"
    for content in (b"", b"PK", path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(FoldError, match=r"damaged .* run `dvc repro -f -s crossval/dvc.yaml:fold@2`"):
            read_fold(2, tmp_path)


def test_a_turn_validates_on_the_fold_before_or_carves():
    clips = clips_of(5)
    fixed = SplitParams(strategy="random", test_folds=(5,), val_folds=(4,))
    for fold, before in ((1, 5), (2, 1), (5, 4)):
        parts = assign(clips, turn(fold, fixed), 0)
        assert set(clips["fold"][parts == "test"]) == {fold}
        assert set(clips["fold"][parts == "val"]) == {before}
    assert turn(2, SplitParams(unknown_classes=("a",))).unknown_classes == ("a",)
    parts = assign(clips, turn(2, SplitParams(val_fraction=0.25)), 0)
    assert set(clips["fold"][parts == "test"]) == {2}
    assert len(set(clips["fold"][parts == "val"])) > 1


def test_wrong_lists_of_folds_are_refused():
    check_folds((3, 1), [1, 1, 2, 3])
    with pytest.raises(DatasetError, match=r"names folds 4, 7, .* they have folds 1, 2: set it to \[1, 2\]"):
        check_folds((1, 4, 7), [1, 2, 2])
    for folds, message in (([1], "2 or more"), ([2, 2], "twice"), ("auto", "a list")):
        with pytest.raises(ParamsError, match=rf"crossval\.folds.*{message}"):
            build(CrossvalParams, {"folds": folds}, "crossval")


def test_the_folds_lie_where_dvc_and_git_look_for_them():
    from earshot.evaluation.crossval_fold import FOLDS_DIR

    assert list(DVC["stages"]["fold"]["outs"][0]) == [f"{FOLDS_DIR.as_posix()}/${{item.fold}}"]
    assert FOLDS_DIR.as_posix() in DVC["stages"]["pool"]["deps"]
    assert f"/{FOLDS_DIR.as_posix()}" in Path(ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
