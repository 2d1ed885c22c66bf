"""What a command opens, writes and calls, told by strace."""

import ipaddress
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

MISSING = "strace is not installed (Debian: apt-get install strace)"
_CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink"
_INET = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")')
_OPENED = re.compile(r"^(?:open|openat|creat)\(.*(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|creat\().* = \d+<(.+?)>(?:\(|$)")
_NAMED = re.compile(r'^(?:mkdir|rename|link|symlink)\w*\((?:.*, )?"(/[^"]*)"[^"]*\) = 0')


def available() -> bool:
    """Whether commands can be traced here."""
    return shutil.which("strace") is not None


def under(directory: Path) -> list[str]:
    """The command to put before another one, so that its calls are written into `directory`, a file for each thread."""
    directory.mkdir()
    options = ["-qq", "-ff", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", f"{directory}/t"]
    return ["strace", *options]


def addresses(directory: Path) -> set[str]:
    """Addresses outside this machine that were called, and every name server: `host:port`."""
    found = set()
    for line in _lines(directory):
        for port, v4, v6 in _INET.findall(line):
            host = ipaddress.ip_address(v4 or v6)
            # Port 0 is how a library asks for the local end of a route; nothing is sent there.
            if port == "53" or not (host.is_loopback or host.is_unspecified):
                found.add(f"{host}:{port}")
    return found


def written(directory: Path, allowed: Iterable[Path]) -> set[str]:
    """Paths that were opened for writing, or made, outside the folders `allowed` and the kernel's own."""
    roots = tuple(f"{path.resolve()}/" for path in allowed)
    paths = set()
    for line in _lines(directory):
        match = _OPENED.match(line) or _NAMED.match(line)
        if match:
            paths.add(match.group(1))
    # Without a name: pipes, sockets, memory. /dev holds no files of a user but in shm, where names go with the process.
    return {path for path in paths if path.startswith("/") and not f"{path}/".startswith((*roots, "/dev/", "/proc/"))}


def _lines(directory: Path) -> Iterable[str]:
    files = sorted(directory.iterdir())
    assert files, "strace wrote nothing"
    for file in files:
        yield from file.read_text(errors="replace").splitlines()
