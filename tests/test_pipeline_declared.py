"""What dvc.yaml declares is what the stages use: no more, or they rerun for nothing; no less, or they go stale."""

import ast
import re

import pytest
import yaml

from earshot.core.hashes import hash_code
from earshot.deployment.provenance import SECTIONS
from earshot.deployment.provenance import STAGES as QUOTED
from earshot.sources.registry import NAMES
from import_closure import ROOT, import_closure
from small_project import STAGES

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
FOR_WORDS = {"audit": {"audio"}}  # read for what is printed, and nothing that is written depends on it
MADE = ("data/", "models/", "metrics/", "${")


def code_deps(stage: str) -> set[str]:
    return {dep for dep in DVC["stages"][stage]["deps"] if not dep.startswith(MADE)}


def test_the_pipeline_has_its_stages():
    assert tuple(DVC["stages"])[: len(STAGES)] == STAGES
    assert DVC["artifacts"]["earshot"]["path"] == "models/earshot.int8.onnx"


def packages(stage: str) -> set[str]:
    """The packages that hold what the stage imports; of sources also those that are imported by name.

    `earshot/__init__.py` only sets environment variables that turn reports to makers of libraries off: no output
    depends on it, so an edit of it reruns nothing.
    """
    files = import_closure(ROOT / "stages" / f"{stage}.py")
    if any(path.startswith("src/earshot/sources/") for path in files):
        for name in NAMES:
            module = ROOT / "src/earshot/sources" / name
            files |= import_closure(module / "__init__.py" if module.is_dir() else module.with_suffix(".py"))
    return {"/".join(path.split("/")[:3]) for path in files - {"src/earshot/__init__.py"}}


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_declares_exactly_the_packages_it_imports_and_quotes(stage):
    script = f"stages/{stage}.py"
    assert DVC["stages"][stage]["cmd"].split()[:2] == ["python", script]
    needed = {script, *packages(stage)}
    if "gather(" in (ROOT / script).read_text(encoding="utf-8"):  # the model's card quotes the hash of each
        needed |= {dep for quoted in QUOTED for dep in code_deps(quoted)}
    declared = code_deps(stage)
    assert declared == needed, f"add {sorted(needed - declared)}, remove {sorted(declared - needed)}"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_declares_exactly_the_parameters_it_reads(stage):
    source = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    read = set(re.findall(r'params\.(?:load|mapping)\("(\w+)"', source)) - FOR_WORDS.get(stage, set())
    if "load_seed(" in source:
        read.add("seed")
    if "gather(" in source:  # the model's card quotes them
        read |= set(SECTIONS)
    declared = {key.split(".")[0] for key in DVC["stages"][stage].get("params", [])}
    assert declared == read


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_is_thin(stage):
    text = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    functions = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert functions == ["main"]


def test_no_output_would_delete_what_others_made():
    for name, stage in DVC["stages"].items():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                path, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
                assert path not in ("metrics", "models", "data"), name
                # Metrics belong to Git, so that a checkout of a commit has its figures.
                assert (options.get("cache", True) is False) == path.startswith("metrics/"), path
    released = DVC["stages"]["release"]["outs"]
    assert all(options == {"persist": True} for entry in released for options in entry.values())


def test_nothing_that_must_be_reproducible_reads_wall_clock_figures():
    for name, stage in DVC["stages"].items():
        assert not [dep for dep in stage["deps"] if dep.startswith("metrics/latency")], name


def test_code_is_named_by_its_content(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {a: {deps: [b.py, inner, data]}, c: {deps: [d.py]}}")
    (tmp_path / "b.py").write_bytes(b"abc")
    (tmp_path / "inner/deep").mkdir(parents=True)
    (tmp_path / "inner/deep/e.py").write_bytes(b"abc")
    (tmp_path / "inner/notes.txt").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert hash_code(("a",), tmp_path / "dvc.yaml") == {"b.py": expected, "inner/deep/e.py": expected}
