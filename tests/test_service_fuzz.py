"""The short form of `benchmarks/fuzz`: hundreds of mutated uploads, each judged by the library in this process."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from service_server import ROOT

RUN = ROOT / "benchmarks" / "fuzz" / "run.py"


def test_mutated_uploads_get_what_they_are_owed(tiny_model_path: Path, tmp_path: Path) -> None:
    options = ["--mutants", "300", "--seed", "7", "--failures", tmp_path / "failures", "--json", tmp_path / "result"]
    found = subprocess.run(
        [sys.executable, RUN, "--model", tiny_model_path, *options], capture_output=True, text=True, errors="replace"
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-4000:]
    result = json.loads((tmp_path / "result").read_text())
    assert result["uploads"] == 300
    assert result["controls"] == 30
    assert result["mutants_still_decoded"] > 50
    assert {"200", "400", "413", "415", "422"} <= result["statuses"].keys()


def test_the_judge_finds_what_is_wrong(tiny_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RUN.parent)
    spec = importlib.util.spec_from_file_location("fuzz_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fuzz_run", run)
    spec.loader.exec_module(run)
    oracle = run.Oracle(tiny_model_path)
    upload = next(one for n in range(0, 1000, 10) if (one := run.mutants.upload(n, 1)).path == "/classify")
    _, owed = oracle.owed("/classify", upload.file)
    top = [{"label": label, "probability": probability} for label, probability in owed["probabilities"].items()]
    answer = {"predicted_class": owed["predicted_class"], "known": owed["known"], "top": top}
    refusal = {"error": {"reason": "undecodable", "message": ""}}

    def judged(status: int, document: object, seconds: float = 0.1) -> str:
        return run.judge(run.Reply(status, document, seconds), upload, oracle)

    assert judged(200, answer) == ""
    other = [top[1], top[0], *top[2:-1], {**top[-1], "probability": 0.5}]
    for wrong in ({"top": other}, {"known": 0.5}, {"predicted_class": "no such class"}):
        assert "another answer" in judged(200, {**answer, **wrong})
    assert "415 where 200" in judged(415, refusal)
    assert "status 500" in judged(500, {})
    assert "not documented" in judged(418, {})
    assert "no answer" in judged(200, answer, 6.0)
    assert "status 0" in judged(0, "")
    broken = dataclasses.replace(upload, file=b"no sound")
    assert run.judge(run.Reply(415, refusal, 0.1), broken, oracle) == ""
    assert "200 where 415" in run.judge(run.Reply(200, answer, 0.1), broken, oracle)
