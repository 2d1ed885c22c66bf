"""The house: which package may import which, and what serving never imports."""

import subprocess
import sys

import pytest

from import_closure import PACKAGE, ROOT, imported

LAYERS = (  # an import goes to the same package or to one before it
    "core",
    "hearing",
    "model",
    "decisions",
    "stream",
    "clips",
    "sources",
    "audit",
    "training",
    "evaluation",
    "deployment",
    "service",
    "commands",
)
SERVING = ("core", "hearing", "model", "decisions", "stream", "service")
FITTED = ("decisions/fitting",)  # what is fitted in training; serving does not import it
NOT_FOR_SERVING = ("torch", "torchaudio", "pandas", "sklearn", "matplotlib", "scipy", "dvc", "onnx")


def rooms() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_every_package_has_its_layer():
    assert set(rooms()) <= set(LAYERS)


@pytest.mark.parametrize("room", rooms())
def test_no_import_goes_from_a_lower_layer_to_a_higher_one(room):
    above = LAYERS[LAYERS.index(room) + 1 :]
    wrong = {
        (path.relative_to(PACKAGE).as_posix(), module.relative_to(PACKAGE).as_posix())
        for path in (PACKAGE / room).rglob("*.py")
        for module in imported(path)
        if module.relative_to(PACKAGE).parts[0] in above
    }
    assert wrong == set()


def serving_modules() -> list[str]:
    files = [path for room in SERVING for path in sorted((PACKAGE / room).rglob("*.py"))]
    names = [path.relative_to(PACKAGE).with_suffix("").as_posix() for path in files]
    kept = [name for name in names if not name.startswith(FITTED)]
    return [f"earshot.{name}".replace("/", ".").removesuffix(".__init__") for name in kept]


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
