"""Where the recordings lie: in the user's own copy, or in ``data/raw``."""

from pathlib import Path

from earshot.clips.config import DEFAULT_PATH, DatasetParams
from earshot.clips.table import DatasetError

RAW_DIR = Path("data/raw")


def user_path(params: DatasetParams) -> Path | None:
    """The user's own copy that `params` names, or None if the source is to be downloaded or synthesised.

    The default path counts as "none" while it holds nothing but hidden files. Any other path must be a directory
    with something in it: DatasetError otherwise.
    """
    path = Path(params.path)
    default = path == Path(DEFAULT_PATH)
    if path.is_dir():
        holds_something = any(not entry.name.startswith(".") for entry in path.iterdir())
        if holds_something:
            return path
        if not default:
            raise DatasetError(f"dataset.path={params.path} is an empty directory; put the recordings into it")
    elif path.exists():
        raise DatasetError(f"dataset.path={params.path} is a file; give the directory the recordings are in, unpacked")
    elif not default:
        raise DatasetError(f"dataset.path={params.path} does not exist; give the directory the recordings are in")
    return None


def clips_root(params: DatasetParams, raw_dir: Path = RAW_DIR) -> Path:
    """The directory that the paths in the table of clips are relative to: the user's copy, or `raw_dir`."""
    return user_path(params) or raw_dir
