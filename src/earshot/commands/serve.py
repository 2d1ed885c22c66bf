"""`earshot serve`: the HTTP service, once the machine is known to let it run."""

import argparse
import errno
import os
import socket
import sys
import tempfile
from pathlib import Path

from earshot.commands.common import Subparsers, add_command
from earshot.core.errors import EarshotError

_DETAILS = """\
Start the service and its page. The settings are those of params.yaml and the variables EARSHOT_*.

It needs one folder to write to, for uploads and for what BentoML keeps: that of temporary files, which
TMPDIR names. BENTOML_HOME is taken where it can be written, else a new folder among the temporary files."""

_EXAMPLES = """\
  earshot serve
  earshot serve --host 127.0.0.1 --port 8080
  TMPDIR=/var/lib/earshot earshot serve"""

_BENTOFILE = Path("bentofile.yaml")


class ServeError(EarshotError):
    """The service cannot start on this machine as it is; the message says what to change."""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand to `commands`."""
    parser = add_command(commands, "serve", "start the HTTP service and its page", _DETAILS, _EXAMPLES)
    parser.add_argument("--host", metavar="HOST", default="0.0.0.0", help="address to listen on (default: 0.0.0.0)")
    parser.add_argument("--port", metavar="PORT", type=int, default=3000, help="port to listen on (default: 3000)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check what would stop BentoML with a traceback, then become `bentoml serve`."""
    if not _BENTOFILE.is_file():
        raise ServeError(f"there is no {_BENTOFILE} here: run it in the project's folder")
    check_port(arguments.host, arguments.port)
    os.environ["BENTOML_HOME"] = str(bentoml_home())
    address = ["--host", arguments.host, "--port", str(arguments.port)]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", *address, "."])


def check_port(host: str, port: int) -> None:
    """See that `port` of `host` can be listened on.

    Raises:
        ServeError: another program listens on it, or this user may not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the service does: a port at rest is free
        try:
            tried.bind((host, port))
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "another program listens there" if taken else str(error)
            raise ServeError(f"port {port} of {host} cannot be used: {why}; choose another with --port") from None


def bentoml_home() -> Path:
    """The folder for what BentoML keeps: the user's if it can be written, else a new temporary one.

    Raises:
        ServeError: nothing can be written for temporary files either, or not in a folder that $BENTOML_HOME names.
    """
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        raise ServeError(
            "no folder for temporary files can be written: set TMPDIR to one that can, with room for the uploads"
        ) from None
    named = os.environ.get("BENTOML_HOME")
    home = Path(named) if named else Path.home() / "bentoml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home
    except OSError as error:
        if named:
            raise ServeError(
                f"BENTOML_HOME={named} cannot be written: {error.strerror}; set it to a folder that can, or unset it"
            ) from None
    return Path(tempfile.mkdtemp(prefix="earshot-bentoml-", dir=temporary))
