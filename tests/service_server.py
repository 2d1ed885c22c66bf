"""A real `bentoml serve`, as a user starts it, for tests to talk to."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

ROOT = Path(__file__).parents[1]
START_S = 120.0


class Server:
    """One running server. `url`, `port`, `home` (its files), `temporary` (its $TMPDIR), `log` (its output)."""

    def __init__(
        self,
        home: Path,
        model: Path,
        params: dict[str, Any],
        environment: dict[str, str],
        under: Sequence[str] = (),
    ) -> None:
        """Start it; `under` is a command that runs the server's own, which is appended to it."""
        home.mkdir(parents=True)
        self.home, self.temporary, self.log = home, home / "tmp", home / "log"
        self.temporary.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        (home / "params.yaml").write_text(yaml.safe_dump({"service": params}))
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("EARSHOT_", "BENTOML_"))}
        serve = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(self.port), "."]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*under, *serve],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **clean,
                    "EARSHOT_MODEL": str(model),
                    "EARSHOT_PARAMS": str(home / "params.yaml"),
                    "TMPDIR": str(self.temporary),
                    "BENTOML_HOME": str(home / "bentoml"),
                    "OMP_NUM_THREADS": "1",
                    **environment,
                },
            )

    def wait_until_ready(self) -> None:
        """Return when `/readyz` says so."""
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "_bentoml_impl.worker.service" in " ".join(child.cmdline())]

    def metrics(self, headers: dict[str, str] | None = None) -> dict[str, float]:
        """Series to value, as `/metrics` shows them."""
        lines = httpx.get(f"{self.url}/metrics", headers=headers).text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] not in ("#", "")}

    def send(self, data: bytes, path: str = "/classify", content_type: str = "") -> socket.socket:
        """A raw connection on which the head of a POST and `data` were sent; `content_type` may hold more headers."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n\r\n"
        connection.sendall(head.encode() + data)
        return connection

    def stop(self) -> None:
        """End it and its workers, which BentoML puts into sessions of their own."""
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.process.pid)
            for process in (server, *server.children(recursive=True)):  # the server first: it replaces workers
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(
    home: Path, model: Path, params: dict[str, Any], under: Sequence[str] = (), **environment: str
) -> Iterator[Server]:
    """A server that is ready."""
    server = Server(home, model, params, environment, under)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def wait_for(condition: Any, limit_s: float = 60.0) -> Any:
    """The first true value of `condition()`; the last one where none comes."""
    deadline = time.monotonic() + limit_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value
