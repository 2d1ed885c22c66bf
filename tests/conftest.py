"""What several files of tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import earshot  # noqa: F401 (before any test imports onnxruntime, which would report its use)
from small_project import Project, make_sounds


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An INT8 model for three classes (`tiny_model.CLASSES`) and none of them, by the project's own export."""
    import tiny_model  # PyTorch, which most tests do not need

    return tiny_model.make(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tutorial_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the tutorial's network, which has no logit for none of them."""
    import tiny_model

    return tiny_model.make(tmp_path_factory.mktemp("models"), "tutorial")


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The whole pipeline, run once over a small set of sounds and committed. Read only: change a `copy`."""
    home = tmp_path_factory.mktemp("small")
    make_sounds(home / "sounds")
    project = Project.create(home / "project")
    project.output = project.dvc("repro")
    project.commit("the first run")
    return project


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: for networks as small as the tests', more cost more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
