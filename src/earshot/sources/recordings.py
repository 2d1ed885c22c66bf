"""Which files were cut from one recording, read off their names where nothing else says.

Slices of one recording usually end in a number: ``street-1.wav``, ``street_002.wav``, ``street (3).wav``,
``street_part4.wav``, ``100652-3-0-0.wav``. Such an ending is taken off, and files that are left with the same name (in
the same subdirectory; the class does not matter, since one recording can hold two classes) share a recording.

A running number is not always a slice number: ``dog/dog_001.wav`` to ``dog/dog_200.wav`` are 200 dogs. So a file is a
recording of its own where what is left of its name is empty, is the class's name or says nothing (``recording``,
``clip`` ...), and where nearly all of a class would end as one recording.

Dates and times of day are no slice numbers (``balcony_2024-06-02_07-01-00.wav``, ``240601_0715.wav``), nor are numbers
of more than four digits; an ending that follows them is one.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

_WORDS = "slice|part|chunk|segment|seg|take|clip|cut|crop|split|copy|pt"
_ENDING = re.compile(
    rf"(?:[-_. ]*\(\d{{1,4}}\)"  # name (3)
    rf"|[-_. ]+(?:{_WORDS})?[-_. ]*\d{{1,4}}s?"  # name-1, name_002, name_part4, name-0.5-4.5s
    rf"|[-_. ]+(?:{_WORDS})"  # name - copy
    r"|[-_. ]+[A-Z])+$"  # name-A
)
_DAY = (
    r"(?:(?:19|20)\d\d(?P<a>[-_. ]?)(?:0[1-9]|1[0-2])(?P=a)(?:0[1-9]|[12]\d|3[01])"  # 2024-06-02, 20240602
    r"|(?:0?[1-9]|[12]\d|3[01])(?P<b>[-_.])(?:0?[1-9]|1[0-2])(?P=b)(?:19|20)\d\d)"  # 2.6.2024
)
_SHORT_DAY = r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # 240602; a date only beside a time
_CLOCK = r"(?:(?:[01]\d|2[0-3])[-_.:h]?|\d[.:h])[0-5]\d(?:[-_.:m]?[0-5]\d)?s?(?: ?[ap]m)?"  # 07-01-00, 0715, 7.01 PM
_TIME_OF_DAY = r"(?:[01]\d|2[0-3])(?P<c>[-.:])[0-5]\d(?P=c)[0-5]\d"  # 07-01-00 without a date
_GAP = r"(?:[-_. T]|[-_ ]+(?:at|um|a)[-_ ]+)"
_STAMP = re.compile(
    rf"(?<!\d)(?:{_DAY}(?:{_GAP}{_CLOCK})?|{_SHORT_DAY}{_GAP}{_CLOCK}|{_TIME_OF_DAY})(?!\d)",
    re.IGNORECASE,
)
# fmt: off
_GENERIC = frozenset({
    "audio", "clip", "copy", "example", "file", "img", "mic", "msg", "new", "newrecording", "rec", "record",
    "recording", "sample", "slice", "sound", "take", "tape", "track", "untitled", "unknown", "voice", "wav", "wave",
})
# fmt: on
WILD_FILES, WILD_SHARE = 4, 1 / 3  # a recording of so many files, more than that share of a class, may be a mistake
MOST_OF_A_CLASS = 0.9  # a name left over for more of a class's files than this is a running title, not a recording


def infer_recordings(paths: Sequence[str], labels: Sequence[str], own: Sequence[str] | None = None) -> list[str]:
    """Name the recording of each file.

    Args:
        paths: POSIX paths; where the first directory is the label it is no part of the recording's name.
        labels: the class of each file.
        own: what is the name, but for its suffix, of a file that is a recording of its own; `paths` by default.

    Returns:
        One name for each path: that shared by the slices of a recording, or the path without its suffix.
    """
    stems = [_stem(path, label) for path, label in zip(paths, labels, strict=True)]
    files = Counter(labels)
    slices = Counter((stem, label) for (stem, numbered), label in zip(stems, labels, strict=True) if numbered)
    names = []
    for path, label, (stem, _) in zip(own or paths, labels, stems, strict=True):
        last = _letters(PurePosixPath(stem).name if stem else "")
        says_something = last not in {"", _letters(label)} | _GENERIC
        shared = says_something and 0 < slices[stem, label] <= MOST_OF_A_CLASS * files[label]
        names.append(stem if shared else PurePosixPath(path).with_suffix("").as_posix())
    return names


def describe(paths: Sequence[str], labels: Sequence[str], recordings: Sequence[str]) -> list[str]:
    """What was inferred, in sentences for the user: how many recordings, an example, and groupings that look wrong."""
    files = defaultdict(list)
    for path, recording in zip(paths, recordings, strict=True):
        files[recording].append(path)
    largest = max(files, key=lambda name: (len(files[name]), name))
    found = f"{len(files)} were inferred from the names of {len(paths)} files"
    if len(files[largest]) == 1:
        return [f"no column names the recordings; {found}: each file is one"]
    said = [f"no column names the recordings; {found}, for example {_example(largest, files[largest])}"]
    of_class = Counter(labels)
    in_class = Counter(zip(labels, recordings, strict=True))
    wild = {
        label: (count, recording)
        for (label, recording), count in sorted(in_class.items(), key=lambda item: item[1])
        if count >= WILD_FILES and count > WILD_SHARE * of_class[label]
    }
    for label, (count, recording) in sorted(wild.items()):
        said.append(
            f"warning: {count} of the {of_class[label]} files of {label} are taken for slices of one recording, by "
            f"their names: {_example(recording, files[recording])}. If that is wrong, copy data/raw/clips.csv into "
            "your folder, delete its column fold, and write the right names into its column recording"
        )
    return said


def _example(recording: str, paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 2} more" if len(paths) > 2 else ""
    return f"{recording} ({', '.join(paths[:2])}{more})"


def _stem(path: str, label: str) -> tuple[str, bool]:
    """The path without class directory, suffix and slice number; and whether there was a slice number."""
    pure = PurePosixPath(path)
    parents = pure.parent.parts[1:] if pure.parts[0] == label else pure.parent.parts
    stamped = max((match.end() for match in _STAMP.finditer(pure.stem)), default=0)
    name = pure.stem[:stamped] + _ENDING.sub("", pure.stem[stamped:])
    return "/".join((*parents, name)), name != pure.stem


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
