"""The project in small: its own code and dvc.yaml in a directory of their own, over sounds made on the spot."""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).parent.parent
COPIED = (
    "src",
    "stages",
    "tests",
    "README.md",
    "dvc.yaml",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    ".dvc/.gitignore",
)
STAGES = (
    "download",
    "audit",
    "features",
    "extra_clips",
    "train",
    "evaluate",
    "quantize",
    "confidence",
    "robustness",
    "open_set",
    "release",
)
CLASSES = ("buzz", "hiss", "whistle")
FOLDS = 5
TIMEOUT_S = 600

PARAMS: dict[str, dict[str, Any]] = {
    "dataset": {"name": "folder", "path": "../sounds"},
    "audit": {"max_rejected_fraction": 0.1},
    "audio": {"window_s": 1.0},
    "train": {"epochs": 48, "batch_size": 8},  # some 300 steps: half of what so few clips would be given
    "evaluation": {"bootstrap_resamples": 100},
    "quantization": {"calibration_clips": 30, "long_sounds": 10, "latency_runs": 10},
    # So few clips and epochs make no good network: these budgets let any honest one pass.
    "gate": {
        "max_accuracy_drop": 0.5,
        "max_class_recall_drop": 1.0,
        "min_agreement": 0.5,
        "max_calibration_error_increase": 1.0,
        "max_known_crossings": 1.0,
        "max_frame_crossings": 1.0,
        "min_event_agreement": 0.0,
    },
}
BAD = {
    "bad/corrupt.flac": "undecodable",
    "bad/empty.wav": "empty",
    "bad/nan.wav": "not_finite",
    "bad/notes.wav": "undecodable",
}
AWKWARD = ("fold1/short.wav", "fold1/studio.wav", "fold1/adpcm.wav")


def sound(label: str, rate_hz: int, duration_s: float, random: np.random.Generator) -> np.ndarray:
    """Sounds that a small network learns in seconds, each in its own level of noise: float64 (samples,)."""
    time_s = np.arange(max(1, round(duration_s * rate_hz))) / rate_hz
    noise = random.standard_normal(len(time_s))
    if label == "hiss":
        return 0.05 * noise
    pitch_hz = random.uniform(90, 150) if label == "buzz" else random.uniform(2_000, 3_000)
    waves = [np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 9 if label == "buzz" else 2)]
    return 0.15 * np.sum(waves, axis=0) + 0.002 * noise


def make_sounds(root: Path) -> None:
    """Sixty good clips of three classes in five folds, two recordings a class and fold; and four bad files."""
    random = np.random.default_rng(0)
    rows = []
    for fold in range(1, FOLDS + 1):
        for label in CLASSES:
            for number in range(4):
                path = f"fold{fold}/{label} {number}ü.wav"
                _write(root / path, sound(label, 22_050, random.uniform(0.3, 1.0), random), 22_050, "PCM_16")
                rows.append({"path": path, "label": label, "fold": fold, "recording": f"{label}{fold}{number // 2}"})
    for path, (rate_hz, subtype, duration_s) in zip(
        AWKWARD, ((22_050, "PCM_16", 0.05), (96_000, "PCM_24", 0.5), (44_100, "MS_ADPCM", 0.5)), strict=True
    ):
        samples = sound("buzz", rate_hz, duration_s, random)
        _write(root / path, np.stack([samples, samples], 1) if rate_hz == 96_000 else samples, rate_hz, subtype)
        rows.append({"path": path, "label": "buzz", "fold": 1, "recording": path})
    (root / "bad").mkdir()
    (root / "bad/corrupt.flac").write_bytes(b"fLaC" + bytes(range(256)))
    (root / "bad/empty.wav").touch()
    (root / "bad/notes.wav").write_text("what I heard on my walk\n")
    _write(root / "bad/nan.wav", np.full(4_000, np.nan), 22_050, "FLOAT")
    rows += [{"path": path, "label": "hiss", "fold": 2, "recording": path} for path in BAD]
    with (root / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["path", "label", "fold", "recording"])
        writer.writeheader()
        writer.writerows(rows)


class Project:
    """One copy of the project. Its sounds lie beside it, so that copies of one parent directory share them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = ""  # of the run that made it
        # `python` in dvc.yaml must be this interpreter, and `earshot` the copy's code.
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "DVC_SITE_CACHE_DIR": str(root.parent / "dvc-site-cache"),
            "DVC_NO_ANALYTICS": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "tester",
            "GIT_AUTHOR_EMAIL": "tester@example.org",
            "GIT_COMMITTER_NAME": "tester",
            "GIT_COMMITTER_EMAIL": "tester@example.org",
        }

    @staticmethod
    def create(root: Path) -> "Project":
        """Copy the code, shrink the parameters, and put both under Git and DVC."""
        skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for name in COPIED:
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=skipped)
            else:
                shutil.copy2(ROOT / name, target)
        for name in ("local", "inventory"):
            (root / "data" / name).mkdir(parents=True)
            (root / "data" / name / ".gitkeep").touch()
        project = Project(root)
        for section, values in PARAMS.items():
            for key, value in values.items():
                project.set_param(f"{section}.{key}", value)
        project.run("git", "init", "--quiet", "--initial-branch=main")
        project.commit("the project")
        return project

    def copy(self, name: str) -> "Project":
        """The same project beside this one, with all that was made."""
        target = self.root.parent / name
        shutil.copytree(self.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
        return Project(target)

    def copy_with_sounds(self, name: str) -> "Project":
        """The same with a copy of the sounds as well, which may be changed."""
        home = self.root.parent / name
        shutil.copytree(self.root.parent / "sounds", home / "sounds")
        shutil.copytree(self.root, home / "project", symlinks=True, ignore=shutil.ignore_patterns("tmp"))
        return Project(home / "project")

    def run(self, *command: str, fails: bool = False) -> str:
        """Run `command` in the project and return all it printed. It must succeed, or fail where `fails`."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        """Run ``dvc`` as a user does."""
        return self.run(sys.executable, "-m", "dvc", *arguments, fails=fails)

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start ``dvc`` as the leader of a process group of its own; what it prints goes to ``dvc.log``."""
        with (self.root / "dvc.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", *arguments],
                cwd=self.root,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self, arguments: tuple[str, ...], reached: Callable[[], bool], whole_group: bool) -> int:
        """``kill -9`` dvc, or its whole process group, as soon as `reached`; its process group's number."""
        process = self.start(*arguments)
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert process.poll() is None, f"dvc ended before it could be killed:\n{self.log()}"
            assert time.monotonic() < deadline, f"nothing to kill:\n{self.log()}"
            time.sleep(0.01)
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        return process.pid

    def log(self) -> str:
        """What the dvc that `start` started has printed."""
        return (self.root / "dvc.log").read_text(encoding="utf-8")

    def commit(self, message: str) -> None:
        """Commit all that Git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def set_param(self, key: str, value: Any) -> None:
        """Set one ``section.key`` of params.yaml."""
        path = self.root / "params.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        section, name = key.split(".")
        document[section][name] = value
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def json(self, path: str) -> Any:
        """A JSON file of the project."""
        return json.loads((self.root / path).read_text(encoding="utf-8"))

    def rows(self, path: str) -> list[dict[str, str]]:
        """A CSV file of the project."""
        return list(csv.DictReader(io.StringIO((self.root / path).read_text(encoding="utf-8"))))

    def sha256(self, path: str) -> str:
        """Of a file of the project."""
        return hashlib.sha256((self.root / path).read_bytes()).hexdigest()

    def leftovers(self) -> list[Path]:
        """Temporary files and directories of unfinished writes."""
        return [path for path in self.root.rglob(".partial-*") if ".dvc" not in path.parts]


def ran(output: str) -> list[str]:
    """The stages that a ``dvc repro`` ran, from what it printed."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]


def alive(group: int) -> list[int]:
    """Processes of the process group `group` that still run."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            members.append(int(stat.parent.name))
    return members


def snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Content and modification time of every file below `directory`."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def _write(path: Path, samples: np.ndarray, rate_hz: int, subtype: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype=subtype)
