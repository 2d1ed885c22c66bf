"""Which files were cut from one recording, read off their names where nothing else says.

Slices of one recording usually end in a number: ``street-1.wav``, ``street_002.wav``, ``street (3).wav``,
``street_part4.wav``, ``100652-3-0-0.wav``. Such an ending is taken off, and files that are left with the same name (in
the same subdirectory; the class does not matter, since one recording can hold two classes) share a recording.

A running number is not always a slice number: ``dog/dog_001.wav`` to ``dog/dog_200.wav`` are 200 dogs. So a file is a
recording of its own where what is left of its name is empty, is the class's name or says nothing (``recording``,
``clip`` ...), and where nearly all of a class would end as one recording. Numbers of more than four digits (dates,
times of day) are no slice numbers.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

_WORDS = "slice|part|chunk|segment|seg|take|clip|cut|crop|split|copy|pt"
_ENDING = re.compile(
    rf"(?:[-_. ]*\(\d{{1,4}}\)"  # name (3)
    rf"|[-_. ]+(?:{_WORDS})?[-_. ]*\d{{1,4}}s?"  # name-1, name_002, name_part4, name-0.5-4.5s
    rf"|[-_. ]+(?:{_WORDS})"  # name - copy
    r"|[-_. ]+[A-Z])+$"  # name-A
)
# fmt: off
_GENERIC = frozenset({
    "audio", "clip", "copy", "example", "file", "img", "mic", "msg", "new", "newrecording", "rec", "record",
    "recording", "sample", "slice", "sound", "take", "tape", "track", "untitled", "unknown", "voice", "wav", "wave",
})
# fmt: on
MOST_OF_A_CLASS = 0.9  # a name left over for more of a class's files than this is a running title, not a recording


def infer_recordings(paths: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Name the recording of each file.

    Args:
        paths: POSIX paths; where the first directory is the label it is no part of the recording's name.
        labels: the class of each file.

    Returns:
        One name for each path: that shared by the slices of a recording, or the path without its suffix.
    """
    stems = [_stem(path, label) for path, label in zip(paths, labels, strict=True)]
    files = Counter(labels)
    slices = Counter((stem, label) for (stem, numbered), label in zip(stems, labels, strict=True) if numbered)
    names = []
    for path, label, (stem, _) in zip(paths, labels, stems, strict=True):
        last = _letters(PurePosixPath(stem).name if stem else "")
        says_something = last not in {"", _letters(label)} | _GENERIC
        shared = says_something and 0 < slices[stem, label] <= MOST_OF_A_CLASS * files[label]
        names.append(stem if shared else PurePosixPath(path).with_suffix("").as_posix())
    return names


def _stem(path: str, label: str) -> tuple[str, bool]:
    """The path without class directory, suffix and slice number; and whether there was a slice number."""
    pure = PurePosixPath(path)
    parents = pure.parent.parts[1:] if pure.parts[0] == label else pure.parent.parts
    name = _ENDING.sub("", pure.stem)
    return "/".join((*parents, name)), name != pure.stem


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
