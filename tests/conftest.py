"""What several files of tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An INT8 model for three classes (`tiny_model.CLASSES`), made by the project's own training and export."""
    import tiny_model  # PyTorch, which most tests do not need

    return tiny_model.make(tmp_path_factory.mktemp("models"))
