"""Nothing is sent anywhere, and nothing is written but where a user expects it, whatever the environment says."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import soundfile

import tiny_model
import traced
from service_server import ROOT, running
from small_project import Project

pytestmark = pytest.mark.skipif(not traced.available(), reason=traced.MISSING)

# What a user who wants reports would set: Earshot sends none all the same.
ASKING = {"ORT_DISABLE_TELEMETRY": "0", "BENTOML_DO_NOT_TRACK": "false"}
REPORT_S = 6.0  # onnxruntime calls its maker five seconds after its first session


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "hum.wav"
    soundfile.write(path, tiny_model.sound("hum", 3.0), tiny_model.RATE)
    return path


def environment(home: Path) -> dict[str, str]:
    """As of a user whose home folder is `home`, empty at first."""
    home.mkdir()
    (home / "tmp").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EARSHOT_", "DVC_"))}
    paths = {"PYTHONPATH": str(ROOT / "src"), "HOME": str(home), "TMPDIR": str(home / "tmp")}
    return {**kept, **ASKING, **paths, "PYTHONDONTWRITEBYTECODE": "1"}


def run_traced(command: list[str], trace: Path, env: dict[str, str], cwd: Path = ROOT) -> None:
    done = subprocess.run([*traced.under(trace), *command], env=env, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["classify", "timeline", "model"])
def test_a_command_calls_nobody_and_writes_nothing(
    command: str, tiny_model_path: Path, sound: Path, tmp_path: Path
) -> None:
    env = environment(tmp_path / "home")
    files = [str(tiny_model_path)] if command == "model" else ["--model", str(tiny_model_path), str(sound)]
    run_traced([sys.executable, "-m", "earshot.commands.cli", command, *files], tmp_path / "trace", env)
    assert traced.addresses(tmp_path / "trace") == set()
    assert traced.written(tmp_path / "trace", []) == set()


def test_a_process_that_goes_on_calls_nobody(tiny_model_path: Path, tmp_path: Path) -> None:
    program = f"""
import time
from earshot.model.session import Model
Model({str(tiny_model_path)!r})
time.sleep({REPORT_S})
"""
    run_traced([sys.executable, "-c", program], tmp_path / "trace", environment(tmp_path / "home"))
    assert traced.addresses(tmp_path / "trace") == set()
    assert traced.written(tmp_path / "trace", []) == set()


def test_a_service_calls_nobody_and_writes_only_where_it_is_told(
    tiny_model_path: Path, sound: Path, tmp_path: Path
) -> None:
    env = environment(tmp_path / "user")
    chosen = {name: env[name] for name in ("HOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", *ASKING)}
    home = tmp_path / "service"
    with running(home, tiny_model_path, {}, traced.under(tmp_path / "trace"), **chosen) as server:
        for _ in range(10):
            answer = httpx.post(f"{server.url}/classify", files={"file": sound.read_bytes()}, timeout=30)
            assert answer.status_code == 200
        time.sleep(REPORT_S)
    assert traced.addresses(tmp_path / "trace") == set()
    assert traced.written(tmp_path / "trace", [home]) == set()


def test_training_calls_nobody_and_writes_only_in_the_project(small_project: Project, tmp_path: Path) -> None:
    project = small_project.copy("traced")
    env = {**project.env, **environment(tmp_path / "home"), "PYTHONPATH": str(project.root / "src")}
    caches = project.root.parent / "dvc-site-cache"
    env["DVC_SITE_CACHE_DIR"] = str(caches)
    dvc = [sys.executable, "-m", "dvc", "repro", "--single-item", "--force", "train"]
    del env["DVC_NO_ANALYTICS"]  # .dvc/config says it
    run_traced(dvc, tmp_path / "trace", env, project.root)
    assert traced.addresses(tmp_path / "trace") == set()
    assert traced.written(tmp_path / "trace", [project.root, caches, tmp_path / "home/tmp"]) == set()
