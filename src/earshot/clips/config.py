"""The ``dataset`` section of params.yaml."""

from dataclasses import dataclass
from typing import Literal

DEFAULT_PATH = "data/local"  # an empty directory kept in Git: the default dependency of the stages that read clips


@dataclass(frozen=True)
class DatasetParams:
    """Which recordings to learn from.

    Attributes:
        name: the source, as `earshot.sources.registry` lists them; `folder` is a user's own sounds.
        path: a copy already on disk, read in place and never written. The default is an empty directory, which means
            "none"; any other value must be a directory with something in it.
        verify: whether files that are missing or differ from the published ones stop the pipeline (true) or are
            only counted and named (false: for a re-encoded or partial copy).
        folds: `given` uses the folds, or the directories train, val and test, that the source has, and makes folds by
            recording where it has none. `by_recording` makes them in any case.
    """

    name: str = "synthetic"
    path: str = DEFAULT_PATH
    verify: bool = True
    folds: Literal["given", "by_recording"] = "given"
