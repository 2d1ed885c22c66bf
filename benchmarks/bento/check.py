"""Does a built bento answer as this project does, with nothing of this project around it?

    python benchmarks/bento/check.py [--model models/earshot.int8.onnx] [--python python3.11] SOUND...

Copies the project, builds a bento of it, installs the bento's own requirements (and nothing else) into an empty virtual
environment, and serves it from an empty folder with an empty environment. Then the answers to each SOUND and the
model's lineage are compared with those of this process, to the last digit. Writes `result.json` beside itself.

No image is built, since that needs a container engine: of the Dockerfile only the parts that can be read are checked.
"""

import argparse
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from earshot.core.files import sha256
from earshot.model.session import Model
from earshot.stream.classify import classify
from earshot.stream.timeline import timeline

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RESTS_ON = (*record.SERVICE, "bentofile.yaml", "benchmarks/bento")
COPIED = ("src", "bentofile.yaml", "params.yaml", "pyproject.toml", "README.md")
UNWANTED = ("torch", "torchaudio", "pandas", "scikit-learn", "scipy", "dvc", "matplotlib", "onnx", "earshot")


def main() -> None:
    """Run every step and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sounds", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "earshot.int8.onnx")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    parser.add_argument("--python", default=sys.executable, help="for the empty environment")
    arguments = parser.parse_args()
    machine = record.machine("bentoml")
    with tempfile.TemporaryDirectory(prefix="bento-check-") as directory:
        result = check(Path(directory), arguments)
    record.write(HERE / "result.json", result, RESTS_ON, machine)
    print(json.dumps(result, indent=2))
    if not result["equal"]:
        sys.exit("the bento answers otherwise")


def check(work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Build, install, serve, compare."""
    bento = build(work, arguments.model, arguments.constraints)
    labels = re.findall(r"^  (model_sha256|commit): *'?([^'\n]+)", (bento / "bento.yaml").read_text(), re.M)
    files = sorted(path.relative_to(bento).as_posix() for path in bento.rglob("*") if path.is_file())
    seconds, packages = install(work, bento, arguments.python)
    elsewhere = work / "elsewhere" / "bento"
    shutil.copytree(bento, elsewhere)
    shutil.rmtree(work / "project")
    shutil.rmtree(work / "home")
    model = Model(arguments.model)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (work / "empty").mkdir()
    with (work / "log").open("w") as log:
        server = subprocess.Popen(
            [work / "venv/bin/python", "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port), elsewhere],
            cwd=work / "empty",
            env={"HOME": str(work / "empty"), "BENTOML_DO_NOT_TRACK": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            different = compare(f"http://127.0.0.1:{port}", server, model, arguments.sounds, work / "log")
        finally:
            server.terminate()
            server.wait(60)
    return {
        "equal": not different,
        "different": different,
        "sounds": len(arguments.sounds),
        "labels": dict(labels),
        "bento_files": len(files),
        "bento_bytes": sum((elsewhere / name).stat().st_size for name in files),
        "packages": len(packages),
        "unwanted_packages": sorted(set(packages) & set(UNWANTED)),
        "install_s": round(seconds),
        "dockerfile": dockerfile(elsewhere / "env/docker/Dockerfile"),
        "python": platform.python_version(),
    }


def build(work: Path, model_path: Path, constraints: Path) -> Path:
    """The bento of a copy of the project, as a folder."""
    project = work / "project"
    project.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, project / name)
    shutil.copy(constraints, project / "constraints.txt")
    (project / "models").mkdir()
    shutil.copy(model_path, project / "models" / "earshot.int8.onnx")
    environment = {"PATH": "/usr/bin:/bin", "BENTOML_HOME": str(work / "home"), "BENTOML_DO_NOT_TRACK": "true"}
    environment["PYTHONPATH"] = str(project / "src")
    subprocess.run([sys.executable, "-m", "earshot.service.build"], cwd=project, env=environment, check=True)
    (yaml,) = (work / "home" / "bentos").glob("*/*/bento.yaml")
    return yaml.parent


def install(work: Path, bento: Path, python: str) -> tuple[float, list[str]]:
    """The bento's requirements in an empty virtual environment: seconds it took, and names of what is there then."""
    subprocess.run([python, "-m", "venv", work / "venv"], check=True)
    pip = [work / "venv/bin/python", "-m", "pip", "--disable-pip-version-check"]
    begun = time.perf_counter()
    subprocess.run([*pip, "install", "--quiet", "-r", bento / "env/python/requirements.txt"], check=True)
    seconds = time.perf_counter() - begun
    listed = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True, text=True).stdout
    return seconds, [package["name"].lower() for package in json.loads(listed)]


def compare(url: str, server: "subprocess.Popen[bytes]", model: Model, sounds: list[Path], log: Path) -> list[str]:
    """What the server at `url` says otherwise than `model` here."""
    for _ in range(1200):
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
        if server.poll() is not None:
            sys.exit(f"the bento does not start:\n{log.read_text()}")
    different = []
    told = httpx.get(f"{url}/model").json()
    card = json.loads(model.card.to_json())
    if told["model"]["sha256"] != sha256(model.path):
        different.append("the model's hash")
    parts = ("dataset", "split", "params", "code", "front_end", "temperature", "unknown_threshold")
    different += [f"lineage: {part}" for part in parts if told["lineage"][part] != card[part]]
    for path in sounds:
        answer = httpx.post(f"{url}/classify", files={"file": path.read_bytes()}, timeout=60).json()
        expected = classify(model, path).as_dict()
        ranked = [{"label": k, "probability": v} for k, v in expected["probabilities"].items()][: len(answer["top"])]
        same = ("predicted_class", "known", "duration_s")
        if answer["top"] != ranked or any(answer[key] != expected[key] for key in same):
            different.append(f"/classify {path.name}")
        events = httpx.post(f"{url}/timeline", files={"file": path.read_bytes()}, timeout=60).json()["events"]
        if events != [event.as_dict() for event in timeline(model, path)]:
            different.append(f"/timeline {path.name}")
    if httpx.get(f"{url}/ui/").status_code != 200:
        different.append("the page")
    return different


def dockerfile(path: Path) -> dict[str, Any]:
    """What can be read off the generated Dockerfile."""
    text = path.read_text()
    return {
        "base": re.findall(r"^FROM (\S+)", text, re.M),
        "user": re.findall(r"^USER (\S+)", text, re.M),
        "entrypoint": re.findall(r"^ENTRYPOINT (.+)", text, re.M),
        "built": False,
    }


if __name__ == "__main__":
    main()
