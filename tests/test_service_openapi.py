"""The OpenAPI document against the service: generated calls get what is documented, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_server import Server, running

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


@pytest.fixture(scope="module")
def server(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("openapi") / "home", tiny_model_path, {}) as server:
        yield server


def test_generated_calls_get_what_is_documented(server: Server, tmp_path: Path) -> None:
    settings = ["--mode", "all", "--max-examples", "30", "--generation-deterministic", "--request-timeout", "10"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--url", server.url]
    found = subprocess.run(
        [*command, "--no-color", "--checks", ",".join(CHECKS), *settings], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "12 selected / 12 total" in found.stdout
    assert "Traceback" not in server.log.read_text()
