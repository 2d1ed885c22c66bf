"""Which stages an edit reruns: exactly those that `dvc status` names, and for most edits that is none."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from small_project import STAGES, Project

EVALUATED = {"evaluate", "confidence", "robustness", "open_set"}
EDITS = {
    "src/earshot/core/files.py": set(STAGES),
    "src/earshot/hearing/decode.py": {*EVALUATED, "audit", "features", "extra_clips", "quantize"},
    "src/earshot/model/session.py": {*EVALUATED, "quantize"},
    "src/earshot/stream/classify.py": {*EVALUATED, "quantize"},  # evaluated is what is served
    "src/earshot/decisions/answer.py": {*EVALUATED, "quantize"},
    "src/earshot/clips/split.py": set(STAGES) - {"release"},
    "src/earshot/sources/folder.py": {"download", "extra_clips", "quantize"},
    "src/earshot/sources/esc50_md5.csv.gz": {"download", "extra_clips", "quantize"},
    "src/earshot/sources/synthetic/voices.py": {"download", "extra_clips", "quantize"},
    "src/earshot/audit/inspect.py": {"audit", "quantize"},
    "src/earshot/training/loop.py": {"train", "evaluate", "quantize"},
    "src/earshot/training/networks/compact.py": {"train", "evaluate", "quantize"},
    "src/earshot/evaluation/plots.py": {*EVALUATED, "quantize"},
    "src/earshot/deployment/export.py": {"quantize", "release"},
    "stages/train.py": {"train", "quantize"},
}
PARAMETERS = {
    "train.epochs": (7, {"train", "quantize"}),
    "split.val_fraction": (0.3, {"train", "evaluate", "quantize", "robustness", "open_set"}),
    "split.unknown_classes": (["hiss"], {"extra_clips", "train", "evaluate", "quantize", "robustness", "open_set"}),
    "audio.n_mels": (48, {"features", "extra_clips", "train", "quantize"}),
    "train.extra_clips": ("never", {"extra_clips", "train", "quantize"}),
    "train.model": ("tutorial", {"train", "quantize"}),
    "audit.dc_offset": (0.05, {"audit", "quantize"}),
    "gate.min_agreement": (0.9, {"quantize"}),
    "unknown.max_accuracy_loss": (0.1, {"quantize"}),
    "evaluation.top_confusions": (3, {"evaluate"}),
    "operating_points.recall": (0.8, {"quantize", "confidence"}),
    "service.review_threshold": (0.5, {"confidence", "open_set"}),
    "dataset.verify": (False, {"download", "audit", "features", "evaluate", "quantize", "robustness", "open_set"}),
}


@pytest.fixture(scope="module")
def project(small_project) -> Project:
    return small_project.copy("status")


@pytest.fixture
def status(project, monkeypatch):
    """The stages that ``dvc status`` names."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", project.env["DVC_SITE_CACHE_DIR"])

    def stages() -> set[str]:
        with Repo(str(project.root)) as repo:
            return {name.rpartition(":")[2] for name in repo.status()}

    return stages


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n# a remark\n")


def test_nothing_is_changed_after_a_run(status):
    assert status() == set()


@pytest.mark.parametrize("path", EDITS)
def test_an_edited_file_reruns_the_stages_that_use_it(project, status, path):
    before = (project.root / path).read_bytes()
    edit(project.root / path)
    found = status()
    (project.root / path).write_bytes(before)
    assert found == EDITS[path]


def test_an_edit_of_what_only_serves_or_explains_reruns_nothing(project, status):
    """Content, not time stamps: every file of service, page, commands, docs and tests, and new ones."""
    package = project.root / "src" / "earshot"
    rooms = [package / name for name in ("service", "commands", "live")]
    (package / "live").mkdir()
    added = [room / "later.py" for room in rooms]
    for path in added:
        path.touch()
    edited = [path for room in rooms for path in room.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    edited += [project.root / "README.md", *(project.root / "tests").glob("*.py")]
    assert len(edited) > 60
    assert {path.suffix for path in edited} >= {".py", ".js", ".css", ".html", ".md"}
    before = {path: path.read_bytes() for path in edited}
    for path in before:
        edit(path)
    found = status()
    for path, content in before.items():
        path.write_bytes(content)
    assert found == set()


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_changed_parameter_reruns_the_stages_that_read_it(project, status, key):
    value, expected = PARAMETERS[key]
    before = (project.root / "params.yaml").read_bytes()
    project.set_param(key, value)
    found = status()
    (project.root / "params.yaml").write_bytes(before)
    assert found == expected


def test_the_command_line_says_the_same(project):
    assert "up to date" in project.dvc("status")
    edit(project.root / "src/earshot/evaluation/plots.py")
    said = project.dvc("status")
    named = [line for line in said.splitlines() if line.endswith(":") and not line.startswith((" ", "\t"))]
    assert sorted(named) == ["confidence:", "evaluate:", "open_set:", "quantize:", "robustness:"]
    assert "src/earshot/evaluation" in said
