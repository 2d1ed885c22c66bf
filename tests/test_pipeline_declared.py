"""What dvc.yaml declares is what the stages use: no more, or they rerun for nothing; no less, or they go stale."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from earshot.core.hashes import hash_code
from earshot.deployment.provenance import SECTIONS
from earshot.deployment.provenance import STAGES as QUOTED
from import_closure import ROOT, import_closure
from small_project import STAGES

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
SERVING = ("resampling", "audio", "features", "inference", "monitoring", "service")
NOT_FOR_SERVING = ("torch", "torchaudio", "pandas", "sklearn", "matplotlib", "scipy", "dvc", "onnx")
PACKAGE_DATA = {
    "download": {"src/earshot/datasets/esc50_md5.csv.gz", "src/earshot/datasets/urbansound8k_sha256.csv.gz"}
}
MADE = ("data/", "models/", "metrics/", "${dataset.path}")


def code_deps(stage: str) -> set[str]:
    return {dep for dep in DVC["stages"][stage]["deps"] if not dep.startswith(MADE)}


def test_the_pipeline_has_its_stages():
    assert tuple(DVC["stages"])[: len(STAGES)] == STAGES
    assert DVC["artifacts"]["earshot"]["path"] == "models/earshot.int8.onnx"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_declares_exactly_the_code_it_imports_and_quotes(stage):
    script = f"stages/{stage}.py"
    assert DVC["stages"][stage]["cmd"] == f"python {script}"
    needed = {script, *import_closure(ROOT / script), *PACKAGE_DATA.get(stage, set())}
    if "gather()" in (ROOT / script).read_text(encoding="utf-8"):  # the model's card quotes the hash of each
        needed |= {dep for quoted in QUOTED for dep in code_deps(quoted) if dep.endswith(".py")}
    declared = code_deps(stage)
    assert declared == needed, f"add {sorted(needed - declared)}, remove {sorted(declared - needed)}"


@pytest.mark.parametrize("stage", DVC["stages"])
def test_a_stage_declares_exactly_the_parameters_it_reads(stage):
    source = (ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    read = set(re.findall(r'params\.load\("(\w+)"', source))
    if "load_seed()" in source:
        read.add("seed")
    if "gather()" in source:  # the model's card quotes them
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
    (tmp_path / "dvc.yaml").write_text("stages: {a: {deps: [b.py, data]}, c: {deps: [d.py]}}")
    (tmp_path / "b.py").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert hash_code(("a",), tmp_path / "dvc.yaml") == {"b.py": expected}


def serving_modules() -> list[str]:
    package = ROOT / "src" / "earshot"
    files = [path for name in SERVING for path in (package / f"{name}.py", *sorted((package / name).rglob("*.py")))]
    names = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in files if path.is_file()]
    return [name.removesuffix(".__init__") for name in names]


def test_serving_imports_nothing_that_only_training_needs():
    # In an interpreter that cannot import them: so is the base install, which does without.
    program = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {NOT_FOR_SERVING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
for name in {serving_modules()!r}:
    importlib.import_module(name)
print(sorted(set(sys.modules) & set({NOT_FOR_SERVING!r})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_dependencies_point_one_way():
    layers = {name: import_closure(Path(ROOT / "src/earshot" / name)) for name in ("audio.py", "features.py")}
    below = {"src/earshot/core/errors.py", "src/earshot/core/params.py", "src/earshot/core/files.py"}
    assert layers["audio.py"] <= below | {"src/earshot/hearing/resample.py"}
    assert layers["features.py"] <= below
    for module in serving_modules():
        path = ROOT / "src" / Path(*module.split("."))
        needed = import_closure(path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py")
        above = [
            name
            for name in needed
            if name.split("/")[2] in ("training", "deployment", "evaluation", "datasets", "audit")
        ]
        assert not above, module
