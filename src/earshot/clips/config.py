"""The ``dataset`` section of params.yaml."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_PATH = "data/local"  # an empty directory kept in Git: the default dependency of the stages that read clips


@dataclass(frozen=True)
class SourceParams:
    """One of several sources.

    Attributes:
        name: as `DatasetParams.name`.
        path: as `DatasetParams.path`; always stated, since DVC reads it.
        verify: as `DatasetParams.verify`.
    """

    name: str
    path: str
    verify: bool = True


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
        sources: several sources joined into one set; where there are any, `name`, `path` and `verify` are not used.
        classes: the classes of the set, each with the labels of the sources that it is made of, as ``dog_bark: [dog]``;
            ``esc50:dog`` is the label of one source only. Empty: every label is a class.
        others: what becomes of labels that `classes` does not name: `drop` leaves their clips out, `background` trains
            on those outside validation and test as background.
    """

    name: str = "synthetic"
    path: str = DEFAULT_PATH
    verify: bool = True
    folds: Literal["given", "by_recording"] = "given"
    sources: tuple[SourceParams, ...] = ()
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    others: Literal["drop", "background"] = "drop"

    def __post_init__(self) -> None:
        if self.others == "background" and not self.classes:
            raise ValueError("others: background needs dataset.classes, which says what the others are others to")

    @property
    def called(self) -> str:
        """The name of the data set in figures: those of its sources."""
        return "+".join(self.by_key) if self.sources else self.name

    @property
    def by_key(self) -> dict[str, SourceParams]:
        """The sources by the key that the table of clips names them by: their names, numbered where one occurs twice.

        One source that is given by `name` has an empty key.
        """
        if not self.sources:
            return {"": SourceParams(self.name, self.path, self.verify)}
        times = Counter(source.name for source in self.sources)
        number: Counter[str] = Counter()
        keyed = {}
        for source in self.sources:
            number[source.name] += 1
            keyed[f"{source.name}{number[source.name] if times[source.name] > 1 else ''}"] = source
        return keyed
