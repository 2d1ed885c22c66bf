"""The ``dataset`` section of params.yaml."""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from earshot.core.params import Params

DEFAULT_PATH = "data/local"  # an empty directory kept in Git: the default dependency of the stages that read clips


class SourceParams(Params):
    """One of several sources."""

    name: str = Field(description="as dataset.name")
    path: str = Field(description="as dataset.path; always stated, since DVC reads it")
    verify: bool = Field(True, description="as dataset.verify")


class DatasetParams(Params):
    """Which recordings to learn from."""

    name: str = Field("synthetic", description="the source; folder is a user's own sounds")
    path: str = Field(
        DEFAULT_PATH,
        description="a copy already on disk, read in place and never written. The default is an empty directory, which "
        "means none; any other value must be a directory with something in it",
    )
    verify: bool = Field(
        True,
        description="whether files that are missing or differ from the published ones stop the pipeline (true) or are "
        "only counted and named (false: for a re-encoded or partial copy)",
    )
    folds: Literal["given", "by_recording"] = Field(
        "given",
        description="given uses the folds, or the directories train, val and test, that the source has, and makes "
        "folds by recording where it has none. by_recording makes them in any case",
    )
    # Not strict: YAML has lists and no tuples.
    sources: Annotated[tuple[SourceParams, ...], Field(strict=False)] = Field(
        (),
        description="several sources joined into one set; where there are any, name, path and verify are not used",
    )
    classes: dict[str, Annotated[tuple[str, ...], Field(strict=False)]] = Field(
        {},
        description="the classes of the set, each with the labels of the sources that it is made of, as dog_bark: "
        "[dog]; esc50:dog is the label of one source only. Empty: every label is a class",
    )
    others: Literal["drop", "background"] = Field(
        "drop",
        description="what becomes of labels that classes does not name: drop leaves their clips out, background trains "
        "on those outside validation and test as background",
    )

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.others == "background" and not self.classes:
            raise ValueError("others: background needs dataset.classes, which says what the others are others to")
        return self

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
            return {"": SourceParams(name=self.name, path=self.path, verify=self.verify)}
        times = Counter(source.name for source in self.sources)
        number: Counter[str] = Counter()
        keyed = {}
        for source in self.sources:
            number[source.name] += 1
            keyed[f"{source.name}{number[source.name] if times[source.name] > 1 else ''}"] = source
        return keyed
