"""Machines that allow little: nothing can be written, the user is another one, there is no home, the port is taken."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import soundfile

import tiny_model
from service_server import ROOT, START_S

CLI = [sys.executable, "-m", "earshot.commands.cli"]
# All file systems read-only but an empty one at /mnt, which the user may write. The user is nobody, without a home; it
# may read everything, since Python itself may be in root's home.
CONFINED = """
mount --make-rprivate / && mount -t tmpfs -o mode=1777 none /mnt && mount -o remount,ro,bind / || exit 99
for place in /tmp /var/tmp /dev/shm; do
    if mountpoint -q $place; then mount -o remount,ro,bind $place || exit 99; fi
done
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+dac_read_search \
    --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search "$@"
"""


def confined(command: list[str]) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", CONFINED, "sh", *command]


def can_confine() -> bool:
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    return subprocess.run(confined(["true"]), capture_output=True).returncode == 0


needs_root = pytest.mark.skipif(not can_confine(), reason="file systems can only be made read-only as root, in Linux")


def environment(**more: str) -> dict[str, str]:
    """Of a service's unit: no HOME, and nothing else of the shell's."""
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
    return {**paths, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "hum.wav"
    soundfile.write(path, tiny_model.sound("hum", 3.0), tiny_model.RATE)
    return path


@needs_root
@pytest.mark.parametrize("command", ["classify", "timeline"])
def test_a_command_needs_no_folder_to_write_to(command: str, tiny_model_path: Path, sound: Path) -> None:
    asked = confined([*CLI, command, "--model", str(tiny_model_path), str(sound)])
    done = subprocess.run(asked, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hum" in done.stdout


@needs_root
def test_a_service_without_a_folder_to_write_to_says_which_variable_helps(tiny_model_path: Path) -> None:
    env = environment(EARSHOT_MODEL=str(tiny_model_path))
    done = subprocess.run(confined([*CLI, "serve"]), cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "set TMPDIR" in line


@needs_root
def test_a_service_needs_no_more_than_tmpdir(tiny_model_path: Path, sound: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = environment(EARSHOT_MODEL=str(tiny_model_path), TMPDIR="/mnt")
    serve = confined([*CLI, "serve", "--host", "127.0.0.1", "--port", str(port)])
    with (tmp_path / "log").open("w") as log, subprocess.Popen(serve, cwd=ROOT, env=env, stdout=log, stderr=log) as it:
        try:
            answer = None
            deadline = time.monotonic() + START_S
            while answer is None and it.poll() is None and time.monotonic() < deadline:
                try:
                    url = f"http://127.0.0.1:{port}/classify"
                    answer = httpx.post(url, files={"file": sound.read_bytes()}, timeout=30)
                except httpx.TransportError:
                    time.sleep(0.2)
            assert answer is not None, (tmp_path / "log").read_text()
            assert answer.json()["predicted_class"] == "hum"
        finally:
            it.terminate()


def test_a_port_that_is_taken_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = [*CLI, "serve", "--host", "127.0.0.1", "--port", str(port)]
        done = subprocess.run(serve, cwd=ROOT, env=environment(HOME=str(tmp_path)), capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"port {port} of 127.0.0.1 cannot be used: another program listens there" in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["--port", "99999"], {}, "port 99999 of 0.0.0.0 cannot be used"),
        ([], {"BENTOML_HOME": "/proc/nowhere"}, "BENTOML_HOME=/proc/nowhere cannot be written"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    arguments: list[str], variables: dict[str, str], words: str, tmp_path: Path
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as probe:
        free = str(probe.getsockname()[1])
    serve = [*CLI, "serve", *(arguments or ["--port", free])]
    env = environment(HOME=str(tmp_path), **variables)
    done = subprocess.run(serve, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line


def test_serving_outside_the_project_is_said_in_a_line(tmp_path: Path) -> None:
    done = subprocess.run([*CLI, "serve"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "run it in the project's folder" in line
