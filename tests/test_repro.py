"""`make repro` with other parameters for one run: they hold for that run, and params.yaml is left as it was."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from earshot.commands.overlay import checked, laid_over, merged, put_back
from earshot.core.params import ParamsError, read
from small_project import ROOT, TIMEOUT_S, Project, ran

REPRO = (sys.executable, "-m", "earshot.commands.repro")


def test_a_key_is_replaced_and_its_neighbours_stay():
    below = {"seed": 1, "train": {"epochs": 3, "augment": {"masks": 1, "roll": True}}, "split": {"test_folds": [1, 2]}}
    above = {"train": {"augment": {"masks": 2}}, "split": {"test_folds": [3]}, "gate": {"min_agreement": 0.9}}
    assert merged(below, above) == {
        "seed": 1,
        "train": {"epochs": 3, "augment": {"masks": 2, "roll": True}},
        "split": {"test_folds": [3]},
        "gate": {"min_agreement": 0.9},
    }
    assert below["train"] == {"epochs": 3, "augment": {"masks": 1, "roll": True}}


@pytest.mark.parametrize(
    ("above", "message"),
    [
        ({"train": {"epoch": 3}}, r"^x\.yaml: train: unknown key 'epoch' \(did you mean 'epochs'\?\)"),
        ({"train": {"epochs": "many"}}, r"^x\.yaml: train\.epochs must be a whole number .*, not 'many'$"),
        ({"train": 3}, r"^x\.yaml: train must be a mapping, not 3$"),
        ({"timeline": {"on_threshold": 0.3}}, r"^x\.yaml: timeline: off_threshold 0\.4 must be at most on_threshold"),
        ({"audio": {"f_max_hz": 15_000.0}}, r"^x\.yaml: audio: f_min_hz 0 and f_max_hz 15000 must satisfy"),
    ],
)
def test_what_does_not_fit_is_named_with_its_own_file(above, message):
    with pytest.raises(ParamsError, match=message):
        checked({"seed": 1, "audio": {"sample_rate_hz": 16_000}}, above, "x.yaml")


def test_it_need_only_fit_together_with_what_it_is_laid_over():
    assert checked({"audio": {"sample_rate_hz": 44_100}}, {"audio": {"f_max_hz": 20_000.0}}, "x.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_the_ready_files_fit(path):
    assert checked(read(ROOT / "params.yaml"), read(path), path)


AWKWARD = {"dataset": {"path": 'it\'s $HOME/${seed} "here" # ü 🚨'}, "train": {"learning_rate": 1e-5, "epochs": None}}


def test_meanwhile_the_file_says_what_was_asked_for(tmp_path):
    path, state = tmp_path / "params.yaml", tmp_path / "state"
    path.write_bytes(b"# mine\r\nseed: 3   # three\n")
    with laid_over(path, AWKWARD, state):
        assert read(path) == AWKWARD
    assert path.read_bytes() == b"# mine\r\nseed: 3   # three\n"
    assert not put_back(path, state)


def killed_meanwhile(path: Path, state: Path) -> None:
    """As if the process had been killed inside `laid_over`."""
    before = path.read_bytes()
    with laid_over(path, AWKWARD, state):
        shutil.copytree(state, state.with_name("kept"))
        during = path.read_bytes()
    shutil.rmtree(state)
    state.with_name("kept").rename(state)
    path.write_bytes(during)
    assert path.read_bytes() != before


def test_after_a_kill_the_file_is_put_back_later(tmp_path):
    path, state = tmp_path / "params.yaml", tmp_path / "state"
    path.write_bytes(b"seed: 3 # mine\n")
    killed_meanwhile(path, state)
    assert put_back(path, state)
    assert path.read_bytes() == b"seed: 3 # mine\n"
    assert not put_back(path, state)


def test_an_edit_made_meanwhile_is_not_overwritten(tmp_path):
    path, state = tmp_path / "params.yaml", tmp_path / "state"
    path.write_bytes(b"seed: 3 # mine\n")
    killed_meanwhile(path, state)
    path.write_bytes(b"seed: 4 # edited\n")
    with pytest.raises(ParamsError, match=r"was edited .* it lies in .*before\.yaml"):
        put_back(path, state)
    assert path.read_bytes() == b"seed: 4 # edited\n"
    assert (state / "before.yaml").read_bytes() == b"seed: 3 # mine\n"
    (state / "before.yaml").unlink()
    assert not put_back(path, state)


# ---- the command, in a project that was reproduced


@pytest.fixture(scope="module")
def project(small_project) -> Project:
    made = small_project.copy("repro")
    shutil.copy2(ROOT / "Makefile", made.root / "Makefile")
    (made.root / "configs").mkdir()
    return made


@pytest.fixture
def params_yaml(project):
    """Its bytes, which every test here leaves as they are, remarks and odd line ends too."""
    path = project.root / "params.yaml"
    if not path.read_bytes().startswith(b"# mine"):
        path.write_bytes(b"# mine  \r\n" + path.read_bytes())
    before = path.read_bytes()
    yield before
    assert path.read_bytes() == before


def config(project: Project, text: str) -> str:
    (project.root / "configs/mine.yaml").write_text(text, encoding="utf-8")
    return "configs/mine.yaml"


def test_a_config_holds_for_one_run(project, params_yaml):
    mine = config(project, "evaluation: {min_recordings: 2}\n")
    before = project.json("metrics/evaluation.json")
    said = project.run(*REPRO, "--config", mine)
    assert ran(said) == ["evaluate"]
    changed = project.json("metrics/evaluation.json")
    assert before["accuracy_ci_low"] is None  # 6 recordings
    assert changed["accuracy_ci_low"] < changed["accuracy"]
    assert (project.root / "params.yaml").read_bytes() == params_yaml
    project.run("git", "checkout", "dvc.lock", "metrics")
    assert ran(project.run(*REPRO)) == []
    assert project.json("metrics/evaluation.json") == before


def test_a_run_that_fails_leaves_the_parameters_alone(project, params_yaml):
    mine = config(project, "audit: {max_rejected_fraction: 0.0}\n")
    said = project.run(*REPRO, "--config", mine, fails=True)
    assert "max_rejected_fraction" in said
    assert "params.yaml" not in said.splitlines()[-1]
    assert ran(project.run(*REPRO)) == []


def test_an_unknown_key_is_named_with_its_file_before_anything_runs(project, params_yaml):
    mine = config(project, "train: {epoch: 3}\n")
    said = project.run(*REPRO, "--config", mine, fails=True)
    assert said == (
        f"error: {mine}: train: unknown key 'epoch' (did you mean 'epochs'?); known keys are "
        + said.partition("known keys are ")[2]
    )
    assert "configs/none.yaml not found" in project.run(*REPRO, "--config", "configs/none.yaml", fails=True)


def started(project: Project, mine: str, log: Path) -> subprocess.Popen:
    """The command in a process group of its own, once the file differs and a stage is at work."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*REPRO, "--config", mine, "audit"],
            cwd=project.root,
            env=project.env,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    deadline = time.monotonic() + TIMEOUT_S
    while "Running stage 'audit'" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("how", ["the terminal's Ctrl-C", "SIGTERM to the command alone"])
def test_an_interrupted_run_leaves_the_parameters_alone(project, params_yaml, tmp_path, how):
    mine = config(project, "audit: {dc_offset: 0.03}\n")
    process = started(project, mine, tmp_path / "log")
    assert (project.root / "params.yaml").read_bytes() != params_yaml
    if "terminal" in how:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    assert process.wait(TIMEOUT_S) != 0
    assert (project.root / "params.yaml").read_bytes() == params_yaml


def test_the_next_run_puts_back_what_kill_9_left(project, params_yaml, tmp_path):
    mine = config(project, "audit: {dc_offset: 0.03}\n")
    process = started(project, mine, tmp_path / "log")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(TIMEOUT_S)
    assert (project.root / "params.yaml").read_bytes() != params_yaml
    assert "put back as it was before a run that was killed" in project.run(*REPRO)
    assert "up to date" in project.dvc("status")


def test_only_the_command_killed_its_dvc_keeps_the_parameters_it_began_with(project, params_yaml, tmp_path):
    mine = config(project, "audit: {dc_offset: 0.04}\n")
    process = started(project, mine, tmp_path / "log")
    process.kill()
    process.wait(TIMEOUT_S)
    said = project.run(*REPRO)  # waits for the orphan, and makes again what the orphan made with other parameters
    assert "waiting for process" in said
    assert "put back" in said
    assert "up to date" in project.dvc("status")


def make(project: Project, *variables: str, fails: bool = False) -> str:
    """`make repro`, in an environment that is there already."""
    return project.run("make", "-o", ".venv/.installed", "repro", *variables, fails=fails)


@pytest.mark.parametrize(
    "path", ["/nowhere/it's $HOME", "nowhere/$(HOME)/$$/`x`", 'nowhere/"quoted" #1 \\ ü', "${dataset.name}/x"]
)
def test_a_mistyped_path_is_named_as_it_was_given(project, params_yaml, path):
    said = make(project, "DATASET=folder", f"DATASET_PATH={path}", fails=True)
    assert f"error: dataset.path={path} does not exist; give the directory the recordings are in" in said.splitlines()


def test_make_takes_a_config_and_a_data_set_together(project, params_yaml):
    mine = config(project, "dataset: {name: esc50, path: nowhere/of/config}\n")
    assert "dataset.path=nowhere/of/config does not exist" in make(project, f"CONFIG={mine}", fails=True)
    assert "dataset.path=nowhere/else does not" in make(
        project, f"CONFIG={mine}", "DATASET_PATH=nowhere/else", fails=True
    )
    said = make(project, "DATASET=urbansound", fails=True)
    assert "error: dataset.name must be one of " in said
    assert "not 'urbansound'; did you mean urbansound8k?" in said
    assert "DATASET: dataset.verify must be true or false, not 'perhaps'" in make(project, "VERIFY=perhaps", fails=True)


@pytest.mark.parametrize("given", ["../it's $b ü", "~/it's $b ü"])
def test_a_path_with_awkward_characters_is_read_in_place(project, params_yaml, given, monkeypatch):
    home = project.root.parent
    awkward = home / "it's $b ü"
    if not awkward.exists():
        shutil.copytree(home / "sounds", awkward)
    monkeypatch.setitem(project.env, "HOME", str(home))
    said = project.run(*REPRO, "--dataset", "folder", "--dataset-path", given, "download")
    assert ran(said) == ["download"]
    assert project.json("data/raw/source.json")["clips"] == 67
    used = yaml.safe_load((project.root / "dvc.lock").read_text(encoding="utf-8"))["stages"]["download"]["params"][
        "params.yaml"
    ]["dataset"]["path"]
    assert used == given.replace("~", str(home))
    project.run("git", "checkout", "dvc.lock", "metrics")
    assert ran(project.run(*REPRO)) == []
