"""Where the recordings lie: in the user's own copies, or in ``data/raw``."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from earshot.clips.config import DEFAULT_PATH, DatasetParams, SourceParams
from earshot.clips.table import SOURCE, DatasetError

RAW_DIR = Path("data/raw")
Root = Path | Mapping[str, Path]
"""The directory that the paths in a table of clips are relative to; where there are several sources, one for each."""


def user_path(params: DatasetParams | SourceParams) -> Path | None:
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


def clips_root(params: DatasetParams, raw_dir: Path = RAW_DIR) -> Root:
    """Where the clips lie: in the user's copies, or in `raw_dir`."""
    if not params.sources:
        return user_path(params) or raw_dir
    return {key: user_path(source) or raw_dir / key for key, source in params.by_key.items()}


def locate(clips: pd.DataFrame, root: Root) -> list[str]:
    """The file of each clip: its path, below the root of its source.

    Raises:
        DatasetError: the table is of other sources than `root`.
    """
    if isinstance(root, Mapping) != (SOURCE in clips):
        raise DatasetError("the table of clips is of other sources than params.yaml names: run `dvc repro`")
    if not isinstance(root, Mapping):
        return [str(root / path) for path in clips["path"]]
    absent = sorted(set(clips[SOURCE]) - set(root))
    if absent:
        raise DatasetError(f"the table of clips names a source {absent[0]!r}, params.yaml does not: run `dvc repro`")
    return [str(root[key] / path) for key, path in zip(clips[SOURCE], clips["path"], strict=True)]
