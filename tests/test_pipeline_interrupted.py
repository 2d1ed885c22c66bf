"""kill -9 at the worst moment, then the same command again: the same result, and no work done twice in secret."""

import re
import shutil
import time

import pytest

from small_project import TIMEOUT_S, Project, alive, ran

EPOCHS = 80
TRAINED = ("metrics/train.json", "metrics/history.csv", "models/checkpoint.pt")


def longer(small_project: Project, name: str) -> Project:
    project = small_project.copy(name)
    project.set_param("train.epochs", EPOCHS)
    return project


def wait_for_the_end(group: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while alive(group):
        assert time.monotonic() < deadline, f"{alive(group)} outlived the pipeline"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def uninterrupted(small_project) -> Project:
    project = longer(small_project, "uninterrupted")
    project.dvc("repro", "train")
    return project


@pytest.mark.parametrize("whole_group", [True, False], ids=["process group", "dvc alone"])
def test_training_goes_on_where_it_was(small_project, uninterrupted, whole_group):
    project = longer(small_project, f"killed-{whole_group}")
    before = set((project.root / ".earshot/training").glob("*/state.pt"))
    assert len(before) == 1  # of the run that the project was copied from: another run's state, not to be touched

    def an_epoch_is_done() -> bool:
        return len(set((project.root / ".earshot/training").glob("*/state.pt"))) > len(before)

    group = project.kill(("repro", "train"), an_epoch_is_done, whole_group)
    if whole_group:
        wait_for_the_end(group)
    else:
        assert alive(group)  # the orphan works on
    assert not (project.root / "models/checkpoint.pt").exists()
    said = project.dvc("repro", "train")
    assert ran(said) == ["train"]
    resumed = re.search(rf"resuming training after epoch (\d+) of {EPOCHS} ", said)
    assert resumed, said
    if whole_group:
        assert 1 <= int(resumed[1]) < EPOCHS
    else:
        assert int(resumed[1]) == EPOCHS, "both trained at once"
    for path in TRAINED:
        assert project.sha256(path) == uninterrupted.sha256(path), path
    wait_for_the_end(group)
    assert project.leftovers() == []
    assert ran(project.dvc("repro", "train")) == []


@pytest.mark.parametrize("whole_group", [True, False], ids=["process group", "dvc alone"])
@pytest.mark.parametrize("stage", ["audit", "features"])
def test_a_killed_stage_leaves_nothing_that_looks_finished(small_project, stage, whole_group):
    project = small_project.copy(f"killed-{stage}-{whole_group}")
    outputs = {"audit": ("data/audited/clips.csv", "metrics/audit.json"), "features": ("data/features/logmel.npy",)}[
        stage
    ]
    before = {path: project.sha256(path) for path in outputs}
    shutil.rmtree(project.root / ".dvc/cache")  # or DVC would take the outputs from there instead of running again

    def at_work() -> bool:
        return re.search(rf"{stage}: +\d+%", project.log()) is not None

    group = project.kill(("repro", "--force", "--single-item", stage), at_work, whole_group)
    if whole_group:
        wait_for_the_end(group)
        assert not [path for path in outputs if (project.root / path).exists()]
    assert stage in project.dvc("status", stage)
    said = project.dvc("repro", "--single-item", stage)
    assert ran(said) == [stage]
    assert {path: project.sha256(path) for path in outputs} == before
    wait_for_the_end(group)
    assert {path: project.sha256(path) for path in outputs} == before
    assert project.leftovers() == []
    assert ran(project.dvc("repro", "--single-item", stage)) == []
