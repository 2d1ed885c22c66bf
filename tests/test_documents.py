"""README, docs and the benchmarks' pages: their figures, their length, and the site that is made of them."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from earshot.core.files import write_json

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "benchmarks")]

import record  # noqa: E402
import tables  # noqa: E402
from figures import EARLIER, PIPELINE, Figures  # noqa: E402
from test_page import CHROMIUM, needs_browser  # noqa: E402

README_LINES = 150
CELL_WORDS = 15
# Pages whose prose holds no measured figure but what `make tables` writes.
OF_RESULTS = ("README.md", "docs/index.md", "docs/explanation/*.md", "benchmarks/*/README.md")
MEASURED = re.compile(r"\b0\.\d{2,}\b|\d+(?:\.\d+)? ?(?:%(?! interval)|points?\b|requests/s|times as|ms\b|MB\b|kB\b)")
NO_RESULT = (  # definitions and settings
    "Intervals are of 95 %",
    "95 % true positives",
    "15 % of them",
    "0.19 s",
    "frames of 23 ms",
    "frames of 46 ms",
    "every 23 ms",
    "with 23 ms",
    "weight decay 0.01",
    "SGD at 0.01",
    "0.001 and 0.5",
    "by more than 0.02",
)


def pages(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


# ---- figures


def test_every_figure_is_what_make_tables_writes() -> None:
    checked = subprocess.run([sys.executable, "tools/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prose_holds_no_measured_figure() -> None:
    found = []
    for path in pages(*OF_RESULTS):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"<!-- (?:table|value): .*?<!-- end -->", "", text, flags=re.DOTALL)
        text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
        for words in NO_RESULT:
            text = text.replace(words, "")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in MEASURED.finditer(text)]
    assert not found


def test_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    cells = [cell.strip() for line in lines if line.startswith("|") for cell in line.strip("|").split("|")]
    assert cells
    assert not [cell for cell in cells if len(cell.split()) > CELL_WORDS]


def test_every_key_of_the_metrics_is_described() -> None:
    text = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert not [line for line in text.splitlines() if "(not described)" in line]


def test_every_result_names_command_machine_date_and_code() -> None:
    figures = Figures(ROOT)
    found = pages("benchmarks/*/*.json", "docs/results/*/summary.json", "docs/results/evidence/*.json")
    assert len(found) > 30
    for path in found:
        assert re.match(r"20\d\d-\d\d-\d\d", figures.measured(path.relative_to(ROOT).as_posix())), path


@pytest.fixture
def benchmark(tmp_path: Path) -> tuple[Figures, Path]:
    """A project in which a result rests on one file of code."""
    code = tmp_path / "src" / "code.py"
    code.parent.mkdir()
    code.write_text('"""What it does."""\n\nSTEP = 2  # samples\n')
    rests_on = ["src"]
    write_json(
        tmp_path / "result.json",
        {
            "command": "python run.py",
            "machine": {"cpu": "one"},
            "date": "2026-01-02",
            "rests_on": rests_on,
            "code": record.code_hash(rests_on, tmp_path),
            "seconds": 1.5,
        },
    )
    return Figures(tmp_path), code


def test_a_result_says_when_its_code_has_changed(benchmark: tuple[Figures, Path]) -> None:
    figures, code = benchmark
    assert figures.measured("result.json") == "2026-01-02"
    code.write_text('"""What it does, in other words."""\n\n\nSTEP = 2  # of 22,050 a second\n')
    assert figures.measured("result.json") == "2026-01-02"
    code.write_text('"""What it does."""\n\nSTEP = 3  # samples\n')
    assert figures.measured("result.json") == f"2026-01-02, {EARLIER}"
    code.unlink()
    assert figures.measured("result.json") == f"2026-01-02, {EARLIER}"


def test_a_new_file_is_changed_code(benchmark: tuple[Figures, Path]) -> None:
    figures, code = benchmark
    code.with_name("more.py").write_text("MORE = 1\n")
    assert figures.measured("result.json").endswith(EARLIER)


def test_a_result_without_provenance_is_refused(benchmark: tuple[Figures, Path]) -> None:
    figures, _ = benchmark
    write_json(figures.root / "bare.json", {"seconds": 1.5})
    with pytest.raises(KeyError, match=r"bare\.json has no 'command'"):
        figures.measured("bare.json")


def test_markers(benchmark: tuple[Figures, Path]) -> None:
    figures, _ = benchmark
    marked = "It takes <!-- value: result.json seconds .2f -->9<!-- end --> s."
    assert tables.filled(marked, figures, "page.md") == marked.replace(">9<", ">1.50<")
    with pytest.raises(tables.TablesError, match=r"page\.md: a marker is not closed"):
        tables.filled("<!-- value: result.json seconds .2f -->9", figures, "page.md")
    with pytest.raises(tables.TablesError, match=r"page\.md: a line begins with"):
        tables.filled("It takes\n<!-- value: result.json seconds .2f --><!-- end --> s.", figures, "page.md")
    with pytest.raises(tables.TablesError, match=r"page\.md: .*result\.json minutes .2f.*KeyError"):
        tables.filled(marked.replace("seconds", "minutes"), figures, "page.md")


def test_metrics_say_when_code_settings_or_they_themselves_have_changed(tmp_path: Path) -> None:
    """DVC itself makes the lock that is read: a stage on a folder of code, and one after it."""
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "metrics").mkdir()
    first, second = tmp_path / "src/deep/first.py", tmp_path / "src/second.py"
    first.write_text("from pathlib import Path\nPath('middle').write_text('1')\n")
    (tmp_path / "src/deep/other.py").write_text("")
    second.write_text("from pathlib import Path\nPath('metrics/x.json').write_text('{}')\n")
    params = tmp_path / "params.yaml"
    params.write_text("rate: 3e-3\n")
    stages = {
        "one": {
            "cmd": f"{sys.executable} src/deep/first.py",
            "deps": ["src/deep"],
            "params": ["rate"],
            "outs": ["middle"],
        },
        "two": {
            "cmd": f"{sys.executable} src/second.py",
            "deps": ["src/second.py", "middle"],
            "metrics": [{"metrics/x.json": {"cache": False}}],
        },
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True)
    metrics = tmp_path / "metrics/x.json"
    changes = {first: "\n", second: "\n", params: "rate: 4e-3\n", metrics: " "}
    assert Figures(tmp_path).measured("metrics/x.json") == PIPELINE
    for path, change in changes.items():
        before = path.read_text()
        path.write_text(change if path == params else before + change)
        assert Figures(tmp_path).measured("metrics/x.json") == f"{PIPELINE}, {EARLIER}", path
        path.write_text(before)
    assert Figures(tmp_path).measured("metrics/x.json") == PIPELINE


# ---- how benchmarks write theirs


def test_record_writes_the_provenance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(ROOT / "benchmarks/x/run.py"), "--data", str(tmp_path), "--folds", "1"])
    target = tmp_path / "result.json"
    record.write(target, {"seconds": 1.5}, ["src/earshot/core"], record.machine("numpy"))
    found = Figures(tmp_path).json("result.json")
    assert found["command"] == "python benchmarks/x/run.py --data DIR --folds 1"
    assert str(tmp_path) not in target.read_text()
    assert found["machine"]["numpy"]
    assert "cores" in found["machine"]["cpu"]
    assert Figures(ROOT)._same_code(found)
    with pytest.raises(ValueError, match="'date'"):
        record.write(target, {"date": "today"}, ["src/earshot/core"], {})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        record.write(target, {}, ["nowhere"], {})


def test_an_unfinished_result_goes_on_only_with_the_same_code(tmp_path: Path) -> None:
    target, rests_on = tmp_path / "result.json", ["src/earshot/core"]
    assert record.begun(target, rests_on) == {}
    record.write(target, {"7": {"accuracy": 0.5}}, rests_on, {})
    assert record.begun(target, rests_on) == {"7": {"accuracy": 0.5}}
    assert record.begun(target, ["src/earshot/core/errors.py"]) == {}


# ---- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built site."""
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


def build(project: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)


@needs_browser
def test_the_site_asks_no_other_host_and_its_search_finds(site: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    switches = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu", *switches])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site}/explanation/results.html")
        assert page.locator("img").count() >= 1
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        box = page.get_by_role("textbox", name="Search")
        box.click()
        page.get_by_text("Type to start searching").wait_for()  # the index has come
        box.press_sequentially("cross-validation")
        result = page.locator("a.md-search-result__link[href*='how-to/cross-validation']").first
        result.wait_for()
        result.click()
        page.get_by_role("heading", name="Cross-validation", level=1).wait_for()
        browser.close()
    assert asked
    assert not [url for url in asked if not url.startswith((site, "data:", "blob:"))]


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    for name in ("docs", "tools", "metrics/plots"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    index = tmp_path / "docs/index.md"
    index.write_text(index.read_text() + "\n[gone](how-to/gone.md)\n")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    assert "how-to/gone.md" in built.stderr


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)|<img src=\"([^\"]+)", text)
    local = [link for pair in links for link in pair if link and "://" not in link]
    assert len(local) > 10
    assert not [link for link in local if not (ROOT / link).exists()]
