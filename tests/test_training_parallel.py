"""Two processes of torchrun train one network, as one process would, and write what one process would."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import parallel_worker
from earshot.core.files import exclusive
from earshot.training import checkpoint, loop, parallel
from earshot.training.loop import TrainingError
from parallel_worker import FRONT_END
from small_project import ROOT, TIMEOUT_S, Project

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
EPOCHS = 20
WRITTEN = ("metrics/history.csv", "metrics/train.json", "models/checkpoint.pt", "models/out_of_fold")
# Put where Python looks for it at its start: every write below the working directory, with the process's rank.
WITNESS = """
import os, sys
if "RANK" in os.environ:
    log = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def witness(event, arguments):
        if event == "os.rename":
            path = arguments[1]
        elif event == "os.mkdir" or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            path = arguments[0]
        else:
            return
        if not isinstance(path, int):
            path = os.path.relpath(os.fsdecode(path))
            if not path.startswith(".."):
                os.write(log, f"{os.environ['RANK']} {event} {path}\\n".encode())
    sys.addaudithook(witness)
"""
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What each of the two processes has after `parallel_worker`, and the directory it worked in."""
    home = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*TORCHRUN, parallel_worker.__file__, str(home)],
        cwd=home,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
    return home, [torch.load(home / f"rank{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("training", ["learnt", "exact"])
def test_both_processes_end_with_the_same_network(ranks, training):
    one, other = (rank[training] for rank in ranks[1])
    assert one["weights"].keys() == other["weights"].keys()
    assert [name for name in one["weights"] if not torch.equal(one["weights"][name], other["weights"][name])] == []
    assert one["history"] == other["history"]


def test_the_network_has_learnt(ranks):
    assert ranks[1][0]["learnt"]["history"][-1]["val_accuracy"] > 0.9  # chance is 0.25


def test_two_processes_do_what_one_does_on_whole_steps(ranks, one_thread):
    alone, together = parallel_worker.outcome(parallel_worker.exact()), ranks[1][0]["exact"]
    # In float32 sums of other orders; a gradient of wrong size or weight is off by a hundred times as much.
    for name, weights in alone["weights"].items():
        torch.testing.assert_close(together["weights"][name], weights, rtol=0, atol=1e-6, msg=name)
    for row, expected in zip(together["history"], alone["history"], strict=True):
        assert row == pytest.approx(expected, abs=1e-5)


def test_each_process_has_random_numbers_of_its_own(ranks):
    one, other = (rank["random"] for rank in ranks[1])
    assert not torch.equal(one, other)


def test_only_the_first_process_keeps_the_state(ranks):
    assert [path.name for path in ranks[0].glob("state-*")] == ["state-rank0.pt"]


def test_a_loss_that_one_process_finds_not_finite_stops_all(ranks):
    for rank in ranks[1]:
        assert "the loss is not finite in epoch 1: lower train.learning_rate (now 0.001)" in rank["not finite"]


def test_a_process_without_clips_is_refused_at_the_start(ranks):
    for rank in ranks[1]:
        assert rank["too few"] == (
            "2 processes cannot divide a step of 1 clips (of 5, train.batch_size 1): start at most 1, or raise "
            "train.batch_size"
        )


def test_a_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(parallel, "size", lambda: 2)
    monkeypatch.setattr(parallel, "local_rank", lambda: 1)
    with pytest.raises(
        TrainingError, match=r"process 2 of this machine has no GPU, there are 1: .*--nproc-per-node 1,"
    ):
        loop._device("auto")
    assert loop._device("cpu") == torch.device("cpu")


class Run:
    """torchrun on a project's training stage, in the background."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._log, self._witness = project.root.parent / "torchrun.log", project.root.parent / "witness.log"
        self._witness.write_text("")
        env = {**project.env, "WITNESS": str(self._witness)}
        env["PYTHONPATH"] = os.pathsep.join([str(project.root.parent / "witness"), env["PYTHONPATH"]])
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*TORCHRUN, "stages/train.py"], cwd=project.root, env=env, stdout=log, stderr=subprocess.STDOUT
            )

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def written(self) -> list[list[str]]:
        """Rank, kind and path of every write in the project."""
        return [line.split(" ", 2) for line in self._witness.read_text(encoding="utf-8").splitlines()]

    def wait_for(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not reached():
            assert self._process.poll() is None, f"torchrun ended too early:\n{self.said()}"
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)

    def end(self) -> int:
        return self._process.wait(TIMEOUT_S)

    def kill(self) -> None:
        """``kill -9`` torchrun and what it started."""
        processes = [self._process.pid, *_children(self._process.pid)]
        assert len(processes) == 3
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # whose connection broke
                os.kill(process, signal.SIGKILL)
        self._process.wait()


def _children(process: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(stat.parent.name))
    return found


def states(project: Project) -> list[Path]:
    return list((project.root / ".earshot/training").glob("*/state.pt"))


def prepared(home: Path, **train: Any) -> Project:
    """A project whose features are made and whose training has not begun, and the witness beside it."""
    project = Project.create(home / "project")
    settings = {"audio.window_s": FRONT_END.window_s, "audio.n_mels": FRONT_END.n_mels}
    settings |= {f"train.{key}": value for key, value in {"epochs": EPOCHS, "device": "cpu", **train}.items()}
    for key, value in settings.items():
        project.set_param(key, value)
    made = parallel_worker.clips(60, 0)
    names = [f"{number}.wav" for number in range(60)]
    index = pd.DataFrame({"path": names, "label": np.array(parallel_worker.CLASSES)[made.labels], "recording": names})
    index["fold"] = 1 + np.arange(60) // 12
    index[["start_s", "end_s", "salience", "frames", "truncated_s", "peak"]] = None
    (project.root / "data/features").mkdir()
    (project.root / "data/extra_clips").mkdir()
    index.to_csv(project.root / "data/features/index.csv", index=False)
    np.save(project.root / "data/features/logmel.npy", made.features)
    (home / "witness").mkdir()
    (home / "witness/sitecustomize.py").write_text(WITNESS)
    return project


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    """A run that had to wait for the lock, and has ended."""
    project = prepared(tmp_path_factory.mktemp("trained"))
    with exclusive("train", project.root / ".earshot"):
        run = Run(project)
        run.wait_for(lambda: "train: waiting for process" in run.said())
        assert states(project) == []
    assert run.end() == 0, run.said()
    return run


def test_the_stage_writes_what_one_process_writes_and_once(trained):
    project = trained.project
    assert len(checkpoint.load(project.root / "models/checkpoint.pt").classes) == len(parallel_worker.CLASSES)
    assert [int(row["epoch"]) for row in project.rows("metrics/history.csv")] == list(range(1, EPOCHS + 1))
    assert project.json("metrics/train.json")["epochs"] == EPOCHS
    renamed = Counter(path for _, event, path in trained.written() if event == "os.rename")
    assert {path: renamed[path] for path in WRITTEN} == dict.fromkeys(WRITTEN, 1)
    assert {rank for rank, _, _ in trained.written()} == {"0"}
    assert project.leftovers() == []


def test_only_the_first_process_takes_the_lock_and_prints(trained):
    assert trained.said().count("waiting for process") == 1
    assert trained.said().count(f"| 0/{EPOCHS} ") == 1  # the progress bar


def test_a_killed_run_goes_on_where_it_was(trained, tmp_path):
    project = prepared(tmp_path)
    run = Run(project)
    run.wait_for(lambda: states(project) != [])
    run.kill()
    assert not (project.root / "models/checkpoint.pt").exists()
    again = Run(project)
    assert again.end() == 0, again.said()
    assert again.said().count("resuming training after epoch") == 1
    assert f"after epoch {EPOCHS} of" not in again.said()
    for path in WRITTEN[:-1]:
        assert project.sha256(path) == trained.project.sha256(path), path


def test_a_failure_ends_all_processes_with_its_message(tmp_path):
    run = Run(prepared(tmp_path, model="tutorial", learning_rate=1e30))
    assert run.end() == 1
    assert "error: the loss is not finite in epoch 1: lower train.learning_rate (now 1e+30)" in run.said()
    assert not (run.project.root / "models/checkpoint.pt").exists()
