"""Which directories of a folder are classes, and which are splits (train, val, test) or folds."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earshot.clips.table import DatasetError

SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}
_FOLD = re.compile(r"(?:fold|split)[-_ ]?(\d{1,3})", re.IGNORECASE)
_ROW = "clips.csv with the columns path and label"


@dataclass(frozen=True)
class Layout:
    """How a folder of directories is to be read.

    Attributes:
        paths: of the files that belong to a class, in the order given.
        labels: the class of each, as its directory is called.
        bare: the paths without the directories that are splits or folds.
        groups: those directories; None where there are none.
        unlisted: files that belong to no class.
    """

    paths: tuple[str, ...]
    labels: tuple[str, ...]
    bare: tuple[str, ...]
    groups: tuple[str, ...] | None
    unlisted: tuple[str, ...]


def recognise(root: Path, paths: Sequence[str]) -> Layout:
    """Read ``<label>/<files>``, ``<split>/<label>/<files>`` or ``<label>/<split>/<files>``; the same for folds.

    Args:
        root: the folder, for messages.
        paths: of all audio files, POSIX, relative to it.

    Raises:
        DatasetError: none of these; the message shows the layout that is wanted.
    """
    if not paths:
        raise DatasetError(f"{root} holds no audio files; give the directory that your recordings are in, unpacked")
    parts = [path.split("/") for path in paths]
    top = sorted({names[0] for names in parts if len(names) > 1})
    if not top:
        raise DatasetError(
            f"{root} holds {len(paths)} audio files and no directory for each class. Make one for each, named as the "
            f"class, and move the files into them:\n{_tree(root, paths)}\nor list the files in a {_ROW}:\n"
            f"  path,label\n  {paths[0]},dog"
        )
    if _are_groups(top):
        return _with_groups(root, paths, group=0, label=1)
    below = sorted({names[1] for names in parts if len(names) > 2})
    if below and _are_groups(below) and all(len(names) > 2 for names in parts if len(names) > 1):
        return _with_groups(root, paths, group=1, label=0)
    inside = [path for path in paths if "/" in path]
    labels = tuple(path.split("/", 1)[0] for path in inside)
    if len(top) == 1:
        nested = f"; if its directories {_few(below)} are the classes, give {root / top[0]}" if len(below) > 1 else ""
        raise DatasetError(
            f"{root}: the only class is {top[0]!r}, with {len(inside)} files{nested}. A classifier needs two:\n"
            f"{_tree(root, [path.rpartition('/')[2] for path in inside])}"
        )
    return Layout(tuple(inside), labels, tuple(inside), None, tuple(path for path in paths if "/" not in path))


def fold_number(name: str) -> int | None:
    """The number of a directory that is called ``fold3`` or alike; None for other names."""
    match = _FOLD.fullmatch(name)
    return int(match[1]) if match else None


def _are_groups(names: Sequence[str]) -> bool:
    """Whether directories of these names are splits (train and one more) or folds, all of them."""
    if len(names) < 2:
        return False
    kinds = {SPLITS.get(name.lower()) for name in names}
    return (None not in kinds and "train" in kinds and len(kinds) > 1) or all(fold_number(name) for name in names)


def _with_groups(root: Path, paths: Sequence[str], group: int, label: int) -> Layout:
    parts = [(path, path.split("/")) for path in paths]
    inside = [(path, names) for path, names in parts if len(names) > 2]
    groups = sorted(
        {names[group] for _, names in parts if len(names) > 1}, key=lambda name: (fold_number(name) or 0, name)
    )
    folds = fold_number(groups[0]) is not None
    if not inside:
        kind = "folds" if folds else "parts of a split"
        published = "For UrbanSound8K add UrbanSound8K.csv, for ESC-50 esc50.csv. " if folds else ""
        example = next(path for path, names in parts if len(names) > 1)
        raise DatasetError(
            f"{root}: the directories {_few(groups)} are {kind} and no classes, and there is no directory for each "
            f"class in them. {published}For your own sounds make such directories, or list the files in clips.csv with "
            f"the columns path, label and fold:\n  path,label,fold\n  {example},dog,1"
        )
    outside = tuple(path for path, names in parts if len(names) <= 2)
    return Layout(
        tuple(path for path, _ in inside),
        tuple(names[label] for _, names in inside),
        tuple("/".join((*names[:group], *names[group + 1 :])) for _, names in inside),
        tuple(names[group] for _, names in inside),
        outside,
    )


def join_spellings(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Labels that differ in case, blanks or underscores only become one: the spelling that most files have.

    Returns:
        The labels, and a note for each that was joined.
    """
    spelt: dict[str, Counter[str]] = {}
    for label in labels:
        spelt.setdefault(_key(label), Counter())[label] += 1
    chosen = {key: min(counts, key=lambda name: (-counts[name], name)) for key, counts in spelt.items()}
    notes = [
        f"{', '.join(repr(name) for name in sorted(counts))} are taken for one class, {chosen[key]!r}"
        for key, counts in sorted(spelt.items())
        if len(counts) > 1
    ]
    return [chosen[_key(label)] for label in labels], notes


def _key(label: str) -> str:
    return re.sub(r"[\s_]+", " ", unicodedata.normalize("NFC", label)).strip().casefold()


def _tree(root: Path, files: Sequence[str]) -> str:
    first, last = files[0], files[-1]
    return f"  {root.name}/dog/{first}\n  {root.name}/siren/{last if last != first else 'siren.wav'}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]}, ... {names[-1]}"
