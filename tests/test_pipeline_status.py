"""Which stages an edit reruns: exactly those that `dvc status` names, and for most edits that is none."""

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from small_project import Project

EDITS = {
    "src/earshot/evaluation/plots.py": {"evaluate", "confidence", "robustness"},
    "src/earshot/evaluation/bootstrap.py": {"evaluate", "confidence", "robustness", "unknown"},
    "src/earshot/evaluation/calibration.py": {"evaluate", "quantize", "confidence", "robustness", "unknown"},
    "src/earshot/evaluation/confidence.py": {"confidence"},
    "src/earshot/evaluation/disturbances.py": {"robustness", "unknown"},
    "src/earshot/evaluation/outside.py": {"unknown"},
    "src/earshot/evaluation/unknown.py": {"quantize"},
    "src/earshot/sources/urbansound8k.py": {"download", "auxiliary", "quantize"},
    "src/earshot/datasets/esc50_md5.csv.gz": {"download"},
    "src/earshot/sources/folder.py": {"download", "quantize"},
    "src/earshot/audit/inspect.py": {"audit", "quantize"},
    "src/earshot/hearing/decode.py": {"audit", "features", "auxiliary", "quantize", "robustness", "unknown"},
    "src/earshot/clips/extract.py": {"features", "auxiliary", "quantize"},
    "src/earshot/hearing/log_mel.py": {
        "features",
        "auxiliary",
        "train",
        "evaluate",
        "quantize",
        "robustness",
        "unknown",
    },
    "src/earshot/training/loop.py": {"train", "quantize"},
    "src/earshot/training/augment.py": {"train", "quantize"},
    "src/earshot/training/models.py": {"train", "evaluate", "quantize"},
    "src/earshot/deployment/quantize.py": {"quantize"},
    "src/earshot/deployment/rewrite.py": {"quantize"},
    "src/earshot/deployment/parity.py": {"quantize"},
    "src/earshot/model/session.py": {"quantize", "robustness", "unknown"},
    "src/earshot/deployment/release.py": {"release"},
    "stages/train.py": {"train", "quantize"},
}
PARAMETERS = {
    "train.epochs": (7, {"train", "quantize"}),
    "split.val_fraction": (0.3, {"train", "evaluate", "quantize", "robustness", "unknown"}),
    "split.unknown_classes": (["hiss"], {"auxiliary", "train", "evaluate", "quantize", "robustness", "unknown"}),
    "audio.n_mels": (48, {"features", "auxiliary", "train", "quantize"}),
    "train.auxiliary": ("never", {"auxiliary", "train", "quantize"}),
    "audit.silence_db": (-50.0, {"audit", "quantize"}),
    "gate.min_agreement": (0.9, {"quantize"}),
    "unknown.max_accuracy_loss": (0.1, {"quantize"}),
    "evaluation.top_confusions": (3, {"evaluate", "confidence"}),
    "dataset.verify": (False, {"download", "audit", "features", "quantize", "robustness"}),
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


def test_a_new_synthesiser_reruns_the_stages_that_synthesise_and_makes_the_card_anew(project, status):
    before = {path: path.read_bytes() for path in (project.root / "src/earshot/datasets/synthetic").glob("*.py")}
    assert len(before) > 5
    for path in before:
        edit(path)
    found = status()
    for path, content in before.items():
        path.write_bytes(content)
    assert found == {"download", "auxiliary", "quantize"}


def test_everything_that_only_serves_or_explains_reruns_nothing(project, status):
    """README, tests, service, monitoring, the rest of inference, and modules yet to be written."""
    package = project.root / "src" / "earshot"
    deps = {
        dep
        for stage in yaml.safe_load((project.root / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
        for dep in stage["deps"]
    }
    others = [project.root / "README.md", *(project.root / "tests").glob("*.py")]
    for name in ("service", "monitoring"):
        (package / name).mkdir(exist_ok=True)
        (package / name / "later.py").touch()
        others += list((package / name).rglob("*"))
    (package / "inference" / "later.py").touch()
    others += [p for p in package.rglob("*.py") if p.relative_to(project.root).as_posix() not in deps]
    edited = [path for path in others if path.is_file()]
    assert len(edited) > 30
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
    assert sorted(named) == ["confidence:", "evaluate:", "robustness:"]
    assert "plots.py" in said
