"""The command `earshot`."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from earshot.core.errors import EarshotError

COMMANDS = ("classify", "timeline", "model", "results", "review", "serve")  # each a module of this package

_DETAILS = """\
Recognise sounds with a model that says how far it can be trusted.

`make repro` (or `dvc repro`) makes the model; these commands ask it. Everything runs on this machine
and nothing is sent anywhere."""

_EXAMPLES = """\
examples:
  earshot classify dog.wav street.flac     what does each file hold?
  earshot timeline night.flac              what was heard when?
  earshot model                            what was the model made from?
  earshot results                          how good is it?
  earshot serve                            the same over HTTP, with a page

`earshot COMMAND --help` tells more of each. Exit status: 0 all went well, 1 something did not (one
line on stderr says what), 2 the command line was wrong."""

_INTERRUPTED, _BROKEN_PIPE = 130, 141  # what shells report for processes ended by Ctrl-C and by a closed pipe


def parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line of these `commands`."""
    root = argparse.ArgumentParser(
        prog="earshot",
        description=_DETAILS,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"earshot {version('earshot')}")
    subparsers = root.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        import_module(f"earshot.commands.{command}").add_parser(subparsers)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show costs no answer
            stream.reconfigure(errors="replace")
    arguments = sys.argv[1:] if arguments is None else arguments
    # What other commands import is a good part of the time that a short one takes.
    asked = [name for name in COMMANDS if name in arguments[:1]] or COMMANDS
    parsed = parser(asked).parse_args(arguments)
    try:
        status = parsed.run(parsed)
        sys.stdout.flush()
        return status
    except EarshotError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has seen enough. What is left in the buffer goes nowhere, without a second complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


if __name__ == "__main__":
    sys.exit(main())
