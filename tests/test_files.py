"""Writing: an interruption leaves what was there before, and nothing that looks finished."""

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from earshot.core.files import atomic_directory, atomic_file, exclusive, sha256, write_csv, write_json


def names(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def interrupted(writing: AbstractContextManager[Path], error: type[BaseException]) -> None:
    """Write something, and do not come to the end."""
    with writing as temporary:
        (temporary / "half" if temporary.is_dir() else temporary).write_bytes(b"half of")
        raise error


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "model.onnx"
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"all of it")
        assert temporary.parent == target.parent  # renaming is atomic within a file system only
        assert temporary.suffix == ".onnx"
        assert not target.exists()
    assert target.read_bytes() == b"all of it"
    assert target.stat().st_mode & 0o777 == 0o644
    assert names(tmp_path / "new") == ["model.onnx"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_file_that_fails_leaves_the_old_one_alone(tmp_path, error):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    with pytest.raises(error):
        interrupted(atomic_file(target), error)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.onnx"]


def test_a_file_replaces_a_link_and_not_what_it_points_to(tmp_path):
    cached = tmp_path / "cached"
    cached.write_bytes(b"shared by all copies")
    target = tmp_path / "model.onnx"
    target.symlink_to(cached)
    with atomic_file(target) as temporary:
        temporary.write_bytes(b"new")
    assert cached.read_bytes() == b"shared by all copies"
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()


def test_a_directory_takes_the_place_of_the_old_one_in_one_piece(tmp_path):
    target = tmp_path / "data" / "raw"
    for round_ in ("first", "second"):
        with atomic_directory(target) as directory:
            (directory / round_).write_text(round_)
            (directory / "inner").mkdir()
            assert round_ not in names(tmp_path / "data")
        assert names(target) == sorted([round_, "inner"])
    assert names(tmp_path / "data") == ["raw", "raw/inner", "raw/second"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_directory_that_fails_leaves_the_old_one_alone(tmp_path, error):
    target = tmp_path / "data" / "raw"
    with atomic_directory(target) as directory:
        (directory / "old").touch()
    with pytest.raises(error):
        interrupted(atomic_directory(target), error)
    assert names(tmp_path / "data") == ["raw", "raw/old"]


def test_json_is_readable_and_holds_no_nan(tmp_path):
    target = tmp_path / "metrics.json"
    write_json(target, {"class": "Rêve", "accuracy": 0.5})
    assert target.read_text(encoding="utf-8") == '{\n  "class": "Rêve",\n  "accuracy": 0.5\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(target, {"accuracy": float("nan")})
    assert '"accuracy": 0.5' in target.read_text(encoding="utf-8")
    assert names(tmp_path) == ["metrics.json"]


def test_csv_has_the_columns_that_were_promised(tmp_path):
    target = tmp_path / "table.csv"
    write_csv(target, [{"b": 2, "a": 'x, "y"'}], ["a", "b"])
    assert target.read_bytes() == b'a,b\n"x, ""y""",2\n'
    with pytest.raises(ValueError, match="c"):
        write_csv(target, [{"a": 1, "c": 3}], ["a", "b"])
    assert target.read_bytes().endswith(b",2\n")
    assert names(tmp_path) == ["table.csv"]


def test_sha256_is_that_of_the_content(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"a" * 1_000_000)  # appendix B.3
    assert sha256(path) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


HOLDER = """
import sys; from earshot.core.files import exclusive
with exclusive('train'):
    print('held', flush=True)
    """


def start(tmp_path: Path, program: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_second_waits_for_the_first_and_says_for_whom(tmp_path):
    first = start(tmp_path, HOLDER + "sys.stdin.readline(); print('done', flush=True)")
    assert first.stdout.readline() == "held\n"
    second = start(tmp_path, HOLDER + "pass")
    assert second.stderr.readline() == f"train: waiting for process {first.pid}, which is still at work on it\n"
    assert second.poll() is None
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.communicate()[0] == "done\n"
    assert second.communicate()[0] == "held\n"


def test_a_killed_holder_holds_nothing(tmp_path):
    first = start(tmp_path, HOLDER + "sys.stdin.readline()")
    assert first.stdout.readline() == "held\n"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = start(tmp_path, HOLDER + "pass")
    out, errors = second.communicate()
    assert (out, errors) == ("held\n", "")


def test_locks_of_different_names_do_not_meet(tmp_path):
    with exclusive("train", tmp_path), exclusive("features", tmp_path):
        assert names(tmp_path / "locks") == ["features.lock", "train.lock"]
