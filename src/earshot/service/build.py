"""`make bento`: build the bento, if there is a released model to build it with, and label it with what is in it.

`bentoml build` alone exits 0 without a model, and the bento would fail where it is meant to run.
"""

import subprocess
from pathlib import Path

from earshot.core import stage
from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file, sha256
from earshot.model.session import Model
from earshot.service.config import MODEL, PARAMS, ServiceParams
from earshot.service.requirements import requirements

REQUIREMENTS = Path("requirements-service.txt")
BENTOFILE = Path("bentofile.yaml")


class BuildError(EarshotError):
    """There is nothing to build a bento of."""


def main() -> None:
    """Check, write the requirements, build, and say what was built."""
    from earshot.core.params import load

    if not BENTOFILE.is_file():
        raise BuildError(f"{BENTOFILE} not found: run from the project's root")
    load("service", ServiceParams, PARAMS)
    model = Model(MODEL)  # a ModelError says that there is none, or that this code cannot use it
    write_requirements()
    labels = {
        "model_sha256": sha256(MODEL),
        "model_dataset": str(model.card.dataset.get("name")),
        "model_architecture": model.card.architecture,
        "commit": commit(),
    }
    import bentoml

    bento = bentoml.bentos.build_bentofile(str(BENTOFILE), labels=labels, build_ctx=".")
    print(f"built {bento.tag}")
    for name, value in labels.items():
        print(f"  {name}: {value}")
    print(f"serve it with `bentoml serve {bento.tag}`, or make an image with `bentoml containerize {bento.tag}`")


def write_requirements() -> None:
    """Write what `bentofile.yaml` names as the bento's requirements."""
    text = requirements(Path("pyproject.toml"), Path("constraints.txt"))
    with atomic_file(REQUIREMENTS) as temporary:
        temporary.write_text(text, encoding="utf-8")


def commit() -> str:
    """Git's name for the code, with `-dirty` where files differ from it; `unknown` outside a repository."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no", "src", "params.yaml") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    stage.run(main)
