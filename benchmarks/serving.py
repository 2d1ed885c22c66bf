"""Servers for the benchmarks: started as a user starts them, watched from outside, ended whatever they do."""

import argparse
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
MODELS = (ROOT / "models" / "earshot.int8.onnx", ROOT / "models" / "candidate" / "earshot.int8.onnx")
START_S = 120.0
_WORKER = "_bentoml_impl.worker.service"


@dataclass(frozen=True)
class Memory:
    """Bytes of one process: resident, its proportional share of shared pages, and what is its own alone."""

    rss: int
    pss: int
    uss: int


class Server:
    """One server in a session of its own.

    Attributes:
        url: where it answers.
        port: the same, for raw connections.
        home: directory of its files.
        temporary: its $TMPDIR.
        log: what it wrote.
        seconds_to_ready: from its start to the first 200 of `ready`; 0 before.
    """

    def __init__(
        self, home: Path, command: list[str], cwd: Path, environment: dict[str, str], ready: str = "/readyz"
    ) -> None:
        """Start `command`, in which ``{port}`` stands for the port to listen on."""
        self.home, self.temporary, self.log = home, home / "tmp", home / "log"
        self.temporary.mkdir(parents=True)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.seconds_to_ready = 0.0
        self._ready = ready
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("EARSHOT_", "BENTOML_"))}
        self._begun = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [part.format(port=self.port) for part in command],
                cwd=cwd,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **clean,
                    "TMPDIR": str(self.temporary),
                    "BENTOML_HOME": str(home / "bentoml"),
                    "BENTOML_DO_NOT_TRACK": "true",
                    **environment,
                },
            )

    def wait_until_ready(self) -> None:
        """Return when `ready` answers 200.

        Raises:
            RuntimeError: it never did; with the log.
        """
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() - self._begun > START_S:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.01)
        self.seconds_to_ready = self.seconds_to_ready or time.monotonic() - self._begun

    def is_ready(self) -> bool:
        """Whether `ready` answers 200 now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def worker(self) -> psutil.Process:
        """The one process that answers: BentoML's worker, or the server itself where it has none.

        Raises:
            RuntimeError: there are none, or several.
        """
        server = psutil.Process(self.process.pid)
        found = []
        for child in server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if _WORKER in " ".join(child.cmdline()):
                    found.append(child)
        if not found and "bentoml" not in " ".join(server.cmdline()):
            return server
        if len(found) != 1:
            raise RuntimeError(f"expected one worker, found {len(found)}:\n{self.log.read_text()[-2000:]}")
        return found[0]

    def memory(self) -> Memory:
        """Of the worker."""
        full = self.worker().memory_full_info()
        return Memory(full.rss, full.pss, full.uss)

    def cpu_s(self) -> float:
        """Processor seconds of the worker so far."""
        times = self.worker().cpu_times()
        return float(times.user + times.system)

    def left_over(self) -> list[str]:
        """What uploads left in the temporary folder, by name or as an open file without one."""
        named = [str(path) for path in self.temporary.iterdir() if path.name.startswith("tmp")]
        nameless = []
        for entry in Path(f"/proc/{self.worker().pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                target = os.readlink(entry)
                if target.startswith(str(self.temporary)) and target.endswith("(deleted)"):
                    nameless.append(target)
        return named + nameless

    def stop(self) -> None:
        """End it and its workers, which BentoML puts into sessions of their own."""
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.process.pid)
            for process in (server, *server.children(recursive=True)):  # the server first: it replaces workers
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """`server`, when it is ready; it is stopped when the block is left."""
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def earshot(home: Path, model: Path, params: Path | None = None) -> Server:
    """`bentoml serve`, in the project: the service as it is shipped, with one worker."""
    environment = {"EARSHOT_MODEL": str(model), "OMP_NUM_THREADS": "1"}
    if params is not None:
        environment["EARSHOT_PARAMS"] = str(params)
    return Server(home, bento("."), ROOT, environment)


def bento(service: str) -> list[str]:
    """The command that serves a BentoML service."""
    return [sys.executable, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", "{port}"]


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """``--model``: the released INT8 model, or the candidate where none was released."""
    default = next((path for path in MODELS if path.is_file()), None)
    parser.add_argument(
        "--model",
        type=lambda path: Path(path).absolute(),
        default=default,
        required=default is None,
        help=f"ONNX file that answers (default: {default.relative_to(ROOT) if default else 'none was made yet'})",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
