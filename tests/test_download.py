"""Downloads against a real HTTP server that misbehaves, and archives that try to get out of their directory."""

import io
import re
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from functools import partial
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from earshot.clips.table import DatasetError
from earshot.sources import archive as archive_module
from earshot.sources import fetch as fetch_module
from earshot.sources.archive import Archive, check_free_space, obtain_archive, unpack
from earshot.sources.fetch import fetch, kept_bytes

CONTENT = bytes(range(256)) * 8192  # 2 MiB


class Server:
    """Serves one file, with the habits that a test sets; `requests` are the Range headers it saw."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.etag: str | None = '"v1"'
        self.ranges = True  # answers Range requests
        self.length = True  # says how long the file is
        self.drops: list[int] = []  # bytes sent before the connection is cut, for the first requests
        self.statuses: list[int] = []  # error statuses for the first requests
        self.requests: list[str | None] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self))
        self.url = f"http://127.0.0.1:{self.http.server_port}/archive"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args) -> None:
        self.files = server
        super().__init__(*args)

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.files.requests.append(asked)
        if self.files.statuses:
            self.send_error(self.files.statuses.pop(0))
            return
        content, start = self.files.content, 0
        unchanged = self.headers.get("If-Range") == self.files.etag
        if asked and self.files.ranges and unchanged:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.files.etag:
            self.send_header("ETag", self.files.etag)
        if self.files.length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.files.drops.pop(0) if self.files.drops else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def get(server, tmp_path):
    """Fetch the server's file without waiting between attempts; returns what arrived."""

    def call() -> bytes:
        fetch(server.url, tmp_path / "downloads/file", "The set", backoff_s=0)
        assert sorted(path.name for path in (tmp_path / "downloads").iterdir()) == ["file"]
        return (tmp_path / "downloads/file").read_bytes()

    return call


def test_a_file_arrives_whole_and_is_not_fetched_twice(server, get):
    assert get() == CONTENT
    assert get() == CONTENT
    assert server.requests == [None]


def test_a_dropped_connection_is_resumed_where_it_broke(server, get):
    server.drops = [700_000, 300_000]
    assert get() == CONTENT
    assert server.requests == [None, "bytes=700000-", "bytes=1000000-"]


def test_an_interrupted_process_is_resumed_by_the_next(server, tmp_path):
    code = (
        "import pathlib, sys; from earshot.sources.fetch import fetch;"
        "fetch(sys.argv[1], pathlib.Path(sys.argv[2]), 'The set')"
    )
    server.content = CONTENT * 64
    target = tmp_path / "file"
    process = subprocess.Popen([sys.executable, "-c", code, server.url, str(target)], stderr=subprocess.DEVNULL)
    while kept_bytes(target) == 0 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    if not target.exists():  # the machine may have been fast enough to finish
        fetch(server.url, target, "The set", backoff_s=0)
        assert server.requests[1].startswith("bytes=")
    assert target.read_bytes() == server.content


def test_a_server_without_ranges_is_read_from_the_start(server, get):
    server.drops, server.ranges = [700_000], False
    assert get() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_spliced(server, tmp_path, get):
    server.drops = [700_000] + [0] * fetch_module.ATTEMPTS
    with pytest.raises(DatasetError):
        get()
    server.drops, server.content, server.etag = [], CONTENT[::-1], '"v2"'
    assert get() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_nothing_is_spliced(server, get, etag):
    server.etag, server.drops = etag, [700_000]
    assert get() == CONTENT
    assert server.requests == [None, None]


def test_a_server_that_does_not_say_the_length(server, get):
    server.length = False
    assert get() == CONTENT


def test_a_busy_server_is_asked_again(server, get):
    server.statuses = [503, 429]
    assert get() == CONTENT


def test_a_file_that_is_gone_is_not_asked_for_again(server, get):
    server.statuses = [404]
    with pytest.raises(DatasetError, match=r"404 .*dataset.path"):
        get()
    assert len(server.requests) == 1


def test_giving_up_keeps_what_came_and_says_so(server, tmp_path, get):
    server.drops = [1_500_000] + [0] * 10
    with pytest.raises(DatasetError, match=r"could not be downloaded from 127.0.0.1.*set dataset.path") as error:
        get()
    assert "\n" not in str(error.value)
    assert kept_bytes(tmp_path / "downloads/file") == 1_500_000


def test_offline_ends_in_one_sentence_and_no_traceback(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\ndataset: {name: esc50}\n")
    stage = Path(__file__).parents[1] / "stages/download.py"
    code = (
        "import runpy, sys; from earshot.sources import archive, esc50, fetch; fetch.BACKOFF_S = 0;"
        "fetch.fetch.__defaults__ = (0,);"
        "esc50.ARCHIVE = archive.Archive('http://earshot.invalid/x.zip', 'x.zip', 10, 10, None);"
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(stage)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ESC-50 could not be downloaded from earshot.invalid")
    assert "set dataset.path to a copy on disk" in line
    assert not (tmp_path / "data/raw").exists()


def packed_zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def published(server: Server, content: bytes, checksum: str | None = None) -> Archive:
    server.content = content
    return Archive(server.url, "set.zip", len(content), 1000, checksum or md5(content).hexdigest())


def test_an_archive_is_fetched_checked_unpacked_and_kept(server, tmp_path):
    set_ = published(server, packed_zip(**{"a/b.wav": b"sound", "c.csv": b"table"}))
    for target in (tmp_path / "one", tmp_path / "two"):
        target.mkdir()
        obtain_archive(set_, target, tmp_path / "downloads", "The set")
        assert (target / "a/b.wav").read_bytes() == b"sound"
        assert (target / "c.csv").read_bytes() == b"table"
    assert len(server.requests) == 1


def test_a_wrong_checksum_is_refused_and_the_file_deleted(server, tmp_path):
    set_ = published(server, packed_zip(**{"a.wav": b"sound"}), checksum="0" * 32)
    (tmp_path / "target").mkdir()
    with pytest.raises(DatasetError, match=f"{md5(server.content).hexdigest()}, published is {'0' * 32}"):
        obtain_archive(set_, tmp_path / "target", tmp_path / "downloads", "The set")
    assert not list((tmp_path / "target").iterdir())
    assert not list((tmp_path / "downloads").iterdir())


def test_free_space_counts_archive_extraction_and_cache(tmp_path):
    set_ = Archive("http://x/y", "set.zip", 6_000_000_000, 7_000_000_000, None)
    check = partial(check_free_space, set_, tmp_path / "raw", tmp_path / "downloads", "The set")
    check(free_bytes=lambda path: 20_000_000_000)
    with pytest.raises(DatasetError, match=r"needs 20.0 GB free .* 19.9 GB are: 6.0 GB to download, 7.0 GB unpacked"):
        check(free_bytes=lambda path: 19_900_000_000)
    (tmp_path / "downloads").mkdir()
    with (tmp_path / "downloads/set.zip.part").open("wb") as stream:
        stream.truncate(5_000_000_000)
    check(free_bytes=lambda path: 15_000_000_000)


def packed_tar(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for member in members:
            packed.addfile(member, io.BytesIO(b"x" * member.size) if member.size else None)
    return buffer.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([entry("/etc/passwd", size=3)], "outside its directory"),
        ([entry("../escape", size=3)], "outside its directory"),
        ([entry("a/../../escape", size=3)], "outside its directory"),
        ([entry("..\\escape", size=3)], "outside its directory"),
        ([entry("C:/escape", size=3)], "outside its directory"),
        ([entry("link", tarfile.SYMTYPE, "/etc")], "is a link"),
        ([entry("link", tarfile.SYMTYPE, "..")], "is a link"),
        ([entry("a", size=3), entry("hard", tarfile.LNKTYPE, "a")], "is a link"),
        ([entry("device", tarfile.CHRTYPE)], "device or special"),
        ([entry("pipe", tarfile.FIFOTYPE)], "device or special"),
        ([entry("a", size=3), entry("a", size=3)], "twice"),
        ([entry("bomb", size=5000)], "unpacks to more than"),
    ],
)
def test_unsafe_tar_entries_are_refused(tmp_path, members, message):
    (tmp_path / "x.tar.gz").write_bytes(packed_tar(entry("good", size=3), *members))
    target = tmp_path / "deep/target"
    target.mkdir(parents=True)
    with pytest.raises(DatasetError, match=message):
        unpack(tmp_path / "x.tar.gz", target, limit_bytes=1000)
    assert sorted(path.name for path in tmp_path.rglob("*escape*")) == []
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["/etc/x", "../escape", "a/../../escape", "..\\escape", "link"])
def test_unsafe_zip_entries_are_refused(tmp_path, name):
    info = zipfile.ZipInfo(name)
    if name == "link":
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(info, b"/etc")
    (tmp_path / "deep/target").mkdir(parents=True)
    with pytest.raises(DatasetError, match="refused"):
        unpack(tmp_path / "x.zip", tmp_path / "deep/target", limit_bytes=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "x.zip"]


@pytest.mark.parametrize("cut", [0.1, 0.9])
@pytest.mark.parametrize("name", ["x.tar.gz", "x.zip"])
def test_a_damaged_archive_is_deleted_and_said_to_be(tmp_path, name, cut):
    whole = packed_tar(*(entry(f"f{i}", size=90) for i in range(50)))
    if name == "x.zip":
        whole = packed_zip(**{f"f{i}": b"x" * 90 for i in range(50)})
    (tmp_path / name).write_bytes(whole[: int(cut * len(whole))])
    (tmp_path / "target").mkdir()
    with pytest.raises(DatasetError, match=r"is damaged .* run again"):
        unpack(tmp_path / name, tmp_path / "target", limit_bytes=10**6)
    assert not (tmp_path / name).exists()


def test_a_full_disk_is_called_that(tmp_path, monkeypatch):
    (tmp_path / "x.zip").write_bytes(packed_zip(a=b"x"))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive_module, "_inside", full)
    with pytest.raises(DatasetError, match="the disk is full"):
        unpack(tmp_path / "x.zip", tmp_path, limit_bytes=1000)
    assert (tmp_path / "x.zip").exists()
