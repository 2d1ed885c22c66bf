"""Clips of several sources that sound the same."""

from collections import defaultdict
from collections.abc import Sequence

import pandas as pd


def one_recording(clips: pd.DataFrame, sounds: Sequence[str]) -> pd.DataFrame:
    """Give recordings one name where clips of them in several sources sound the same.

    Args:
        clips: a table with the column `source`.
        sounds: for each row a hash of its decoded samples; empty where there are none.

    Returns:
        The table, with the name that comes first in the order of the rows for all recordings that belong together.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row, sound in enumerate(sounds):
        if sound:
            groups[sound].append(row)
    name_of = {name: name for name in clips["recording"]}

    def first(name: str) -> str:
        while name_of[name] != name:
            name = name_of[name]
        return name

    order = {name: position for position, name in enumerate(dict.fromkeys(clips["recording"]))}
    sources, recordings = clips["source"].tolist(), clips["recording"].tolist()
    for rows in groups.values():
        if len({sources[row] for row in rows}) > 1:
            names = sorted({first(recordings[row]) for row in rows}, key=order.__getitem__)
            name_of.update(dict.fromkeys(names, names[0]))
    return clips.assign(recording=[first(name) for name in recordings])
