"""What DVC needs of a project and of the recordings' names: made so before it runs, or said in words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from earshot.clips.table import DatasetError
from earshot.commands.project import allow_without_git, check_names, forget_sources, with_whole_paths


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root.parent / "site")}
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_an_unpacked_archive_runs_without_git_and_with_it_later(tmp_path):
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (root / "dvc.yaml").write_text("stages: {made: {cmd: touch made, outs: [made]}}\n")
    assert "not a git repository" in dvc(root, "repro").stderr
    assert allow_without_git(root)
    assert dvc(root, "repro").returncode == 0
    assert (root / "made").is_file()
    assert not allow_without_git(root)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    assert not allow_without_git(root)
    assert "no_scm" not in (root / ".dvc/config.local").read_text()
    assert dvc(root, "status").returncode == 0


def test_names_that_cannot_be_recorded_are_named_with_the_remedy(tmp_path):
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog/café.wav").touch()
    check_names(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/dog/caf\xe9.wav")).touch()
    with pytest.raises(DatasetError, match=r"names of 1 files are not UTF-8.*dog/caf\\xe9\.wav\. Rename them"):
        check_names(tmp_path)


def test_a_path_in_the_home_directory_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    section = {"path": "~/a b", "sources": [{"name": "folder", "path": "~/c"}, {"name": "esc50", "path": "x/~d"}]}
    assert with_whole_paths(section) == {
        "path": "/home/me/a b",
        "sources": [{"name": "folder", "path": "/home/me/c"}, {"name": "esc50", "path": "x/~d"}],
    }
    assert with_whole_paths({"name": "synthetic"}) == {"name": "synthetic"}


def test_inventories_of_sources_that_are_no_more_are_deleted(tmp_path):
    for name in ("source0.csv", "source1.csv", "source10.csv", ".gitkeep"):
        (tmp_path / name).touch()
    forget_sources(1, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitkeep", "source0.csv"]
