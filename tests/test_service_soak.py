"""The short form of `benchmarks/soak`: seconds of every kind of client, then a killed worker under the same load."""

import json
import subprocess
import sys
from pathlib import Path

from service_server import ROOT

RUN = ROOT / "benchmarks" / "soak" / "run.py"


def test_load_of_every_kind_and_a_killed_worker(tiny_model_path: Path, tmp_path: Path) -> None:
    # So short a run is a warm-up for the most part: memory is judged by the ten minutes, here only by a wide margin.
    options = ["--minutes", "0.25", "--clients", "16", "--flat-mb", "60", "--large-mb", "4", "--json"]
    options += [tmp_path / "result"]
    found = subprocess.run(
        [sys.executable, RUN, "--model", tiny_model_path, *options], capture_output=True, text=True, errors="replace"
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-4000:]
    result = json.loads((tmp_path / "result").read_text())
    assert set(result["answered"]) == {
        *("patient", "slow", "vanishing", "mistaken", "recording", "drip", "half_open"),
    }
    assert result["crowd"]["uploads"] == sum(result["crowd"]["statuses"].values()) == 64
    assert result["crowd"]["statuses"].keys() <= {"200", "503"}
    assert not result["killed"]["same_worker"]
