"""The classes of a set, out of the labels of its sources: renamed, merged, left out, or taken as background."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from earshot.clips.table import SOURCE, DatasetError
from earshot.core.labels import BACKGROUND


def map_labels(clips: pd.DataFrame, classes: Mapping[str, Sequence[str]], background: bool) -> pd.DataFrame:
    """Give clips the classes that their labels belong to.

    Args:
        clips: the table, with the column `source` where there are several.
        classes: for each class the labels it is made of; ``esc50:dog`` is a label of one source. Empty: as they are.
        background: whether clips of other labels stay, labelled `BACKGROUND`; else they are left out.

    Raises:
        DatasetError: a label that does not exist, with the nearest that do; or one that two classes name.
    """
    if (clips["label"] == BACKGROUND).any():
        raise DatasetError(f"a class is named {BACKGROUND!r}, which is the label of clips of no class; rename it")
    if not classes:
        return clips
    keys = clips[SOURCE].tolist() if SOURCE in clips else [""] * len(clips)
    labels = clips["label"].tolist()
    existing = {*labels, *(f"{key}:{label}" for key, label in zip(keys, labels, strict=True) if key)}
    class_of: dict[str, str] = {}
    for name, members in classes.items():
        if name == BACKGROUND:
            raise DatasetError(f"dataset.classes: no class may be named {BACKGROUND!r}")
        if not members:
            raise DatasetError(f"dataset.classes.{name} names no label; leave the class out, or name one")
        for label in members:
            if label not in existing:
                raise DatasetError(
                    f"dataset.classes.{name}: no source has the label {label!r}; {_nearest(label, existing)}"
                )
            if class_of.setdefault(label, name) != name:
                raise DatasetError(f"dataset.classes: {label!r} is in both {class_of[label]} and {name}; name it once")
    other = BACKGROUND if background else ""
    mapped = [
        class_of.get(f"{key}:{label}", class_of.get(label, other)) for key, label in zip(keys, labels, strict=True)
    ]
    clips = clips.assign(label=mapped)
    return clips[clips["label"] != ""].reset_index(drop=True)


def counts(clips: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Clips of each class in each source, by the sources' keys; background is last."""
    sources = clips[SOURCE] if SOURCE in clips else pd.Series([""] * len(clips), index=clips.index)
    table = pd.crosstab(clips["label"], sources)
    order = sorted(table.index, key=lambda label: (label == BACKGROUND, label))
    keys = list(dict.fromkeys(sources))
    return {str(label): {key: int(table.loc[label, key]) for key in keys} for label in order}


def as_text(by_source: Mapping[str, Mapping[str, int]]) -> str:
    """`counts` as lines for the terminal: a class a line, a source a column."""
    keys = list(next(iter(by_source.values())))
    width = max(len("class"), *map(len, by_source))
    columns = [max(len(key), 6) for key in keys]
    lines = [("class".ljust(width), *(key.rjust(size) for key, size in zip(keys, columns, strict=True)))]
    for label, of in by_source.items():
        lines.append((label.ljust(width), *(str(of[key]).rjust(size) for key, size in zip(keys, columns, strict=True))))
    return "\n".join("  ".join(cells) for cells in lines)


def _nearest(label: str, existing: Iterable[str]) -> str:
    names = sorted(existing)
    near = difflib.get_close_matches(label, names, 3) or [name for name in names if label in name or name in label][:3]
    plain = [name for name in names if ":" not in name]
    return f"the nearest are {', '.join(near)}" if near else f"the labels are {', '.join(plain)}"
