"""What a project and its recordings must be for DVC to run, made so or said."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from earshot.clips.table import DatasetError
from earshot.core.files import printable
from earshot.sources.inventory import INVENTORY
from earshot.sources.source import walk_files

NAMED = 5  # files named in a message


def allow_without_git(root: Path = Path()) -> bool:
    """Tell DVC to do without Git where the project is in no repository: a downloaded archive, an image.

    The setting is in ``.dvc/config.local``, and is taken back once there is a repository. Returns whether it was set.
    """
    local = root / ".dvc" / "config.local"
    settled = local.is_file() and "no_scm" in local.read_text(encoding="utf-8")
    without = not (root / ".git").exists()
    if without != settled:
        change = ["core.no_scm", "true"] if without else ["--unset", "core.no_scm"]
        subprocess.run([sys.executable, "-m", "dvc", "config", "--quiet", "--local", *change], cwd=root, check=True)
    return without and not settled


def check_names(root: Path) -> None:
    """Raise DatasetError where a file below `root` has a name that is not UTF-8: DVC cannot record it."""
    found = sorted(printable(str(path)) for path in walk_files(root) if printable(str(path)) != str(path))
    if found:
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise DatasetError(
            f"the names of {len(found)} files are not UTF-8 and cannot be recorded: {', '.join(found[:NAMED])}"
            f"{more}. Rename them, as with `convmv -r -f latin1 -t utf8 --notest {printable(str(root))}`"
        )


def with_whole_paths(dataset: dict[str, Any]) -> dict[str, Any]:
    """The ``dataset`` section with ``~`` in its paths replaced by the home directory: DVC would take it for a name."""

    def whole(section: dict[str, Any]) -> dict[str, Any]:
        path = section.get("path")
        home = isinstance(path, str) and path.startswith("~")
        return section | {"path": str(Path(str(path)).expanduser())} if home else section

    result = whole(dataset)
    if dataset.get("sources"):
        result = result | {"sources": [whole(source) for source in dataset["sources"]]}
    return result


def forget_sources(count: int, inventory: Path = INVENTORY) -> None:
    """Delete the inventories that a run with more than `count` sources left: stages depend on their folder."""
    for file in inventory.glob("source*.csv"):
        number = file.stem.removeprefix("source")
        if number.isdigit() and int(number) >= count:
            file.unlink()
