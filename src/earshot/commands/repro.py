"""``make repro``: `dvc repro`, with other parameters for this one run.

DVC reads parameters from params.yaml alone. What is asked for is laid over that file while DVC runs, and the file is
put back as it was when DVC ends, however it ends.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from earshot.clips.config import DatasetParams
from earshot.clips.paths import user_path
from earshot.commands import project
from earshot.commands.overlay import checked, laid_over, put_back
from earshot.core import stage
from earshot.core.files import exclusive
from earshot.core.params import build, read
from earshot.sources.registry import find_source

PARAMS = stage.PARAMS


def main() -> None:
    """Run DVC in the project's root and end with its exit status.

    Raises:
        ParamsError: an unknown key or a value that does not fit, named with its file.
        DatasetError: no such source of recordings, no recordings where ``dataset.path`` says, or names of files that
            DVC cannot record.
    """
    arguments, for_dvc = _parser().parse_known_args()
    with exclusive("repro") as lock:
        if put_back(PARAMS):
            print(f"{PARAMS} is put back as it was before a run that was killed", file=sys.stderr, flush=True)
        document = checked({}, read(PARAMS), PARAMS)
        configs = [Path(path).expanduser() for path in arguments.config]
        overlays: list[tuple[Path | str, dict[str, Any]]] = [(path, read(path)) for path in configs]
        overlays += [("DATASET", {"dataset": _dataset(arguments)})]
        asked = document
        for source, above in overlays:
            asked = checked(asked, above, source)
        asked |= {"dataset": project.with_whole_paths(asked.get("dataset", {}))}
        dataset = build(DatasetParams, asked["dataset"])
        for one in dataset.by_key.values():
            find_source(one.name)
            copy = user_path(one)
            if copy is not None:
                project.check_names(copy)
        project.forget_sources(len(dataset.sources))
        if project.allow_without_git():
            print("no Git repository here: DVC runs without, and `dvc metrics diff` cannot compare", file=sys.stderr)
        over = laid_over(PARAMS, asked) if asked != document else nullcontext()
        status = _run([sys.executable, "-m", "dvc", "repro", *for_dvc], lock, over)
    if status:
        sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m earshot.commands.repro",
        description=__doc__,
        epilog="All else goes to `dvc repro`.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", metavar="FILE", action="append", default=[], help="a part of params.yaml that holds for this run"
    )
    parser.add_argument("--dataset", metavar="NAME", help="dataset.name")
    parser.add_argument("--dataset-path", metavar="DIR", help="dataset.path")
    parser.add_argument("--verify", metavar="true|false", help="dataset.verify")
    return parser


def _dataset(arguments: argparse.Namespace) -> dict[str, Any]:
    verify = {"true": True, "false": False}.get(arguments.verify, arguments.verify)
    path = str(Path(arguments.dataset_path).expanduser()) if arguments.dataset_path else None
    asked = {"name": arguments.dataset, "path": path, "verify": verify}
    asked = {key: value for key, value in asked.items() if value is not None}
    return asked | {"sources": []} if asked else {}  # one source, in place of several


def _run(command: Sequence[str], lock: int, over: AbstractContextManager[None]) -> int:
    """Run `command` inside `over`; its exit status, as a shell reports it.

    A signal that ends processes is passed on to it, and waits until it has ended; Ctrl-C reaches it by itself. It holds
    the descriptor `lock` as well, so that the lock outlives this process where this one alone is killed.
    """
    running: list[subprocess.Popen] = []
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        told.append(number)
        for process in running:
            if number != signal.SIGINT:
                process.terminate()

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with over:
            running.append(subprocess.Popen(command, pass_fds=[lock]))
            if told:  # before there was a process to tell
                running[0].terminate()
            status = running[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    stage.run(main)
