"""Splitting by recording: every clip of a recording on one side, every class on every side where it can be."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

MAX_FOLDS = 10


def fold_count(labels: Sequence[str], recordings: Sequence[str], most: int = MAX_FOLDS) -> int:
    """How many folds let every class appear in each: the recordings of the rarest class, at most `most`."""
    held = defaultdict(set)
    for label, recording in zip(labels, recordings, strict=True):
        held[label].add(recording)
    return min(most, *(len(names) for names in held.values()))


def make_folds(labels: Sequence[str], recordings: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Deal recordings to folds, stratified by class.

    Greedy: classes from the one with the fewest recordings up, the recordings of each from the longest down (ties in
    an order drawn from `seed`), each to the fold with the fewest clips of that class so far, then the fewest clips.
    Unlike scikit-learn's StratifiedGroupKFold this puts every class that has at least `folds` recordings into every
    fold, however unequal the recordings are.

    Returns:
        int64 array, one fold from 1 to `folds` for each clip, in the order given.
    """
    classes_of, order = _recordings(labels, recordings, seed)
    in_fold: list[Counter[str]] = [Counter() for _ in range(folds)]
    fold_of: dict[str, int] = {}
    for label in order:
        for recording in order[label]:
            if recording not in fold_of:
                best = min(range(folds), key=lambda f: (in_fold[f][label], in_fold[f].total(), f))
                fold_of[recording] = best
                in_fold[best].update(classes_of[recording])
    return np.array([fold_of[recording] + 1 for recording in recordings], dtype=np.int64)


def carve(labels: Sequence[str], recordings: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Choose recordings that hold about `fraction` of every class's clips.

    Recordings are tried in an order drawn from `seed` and taken while they bring the class nearer to its share. A
    class with at least two recordings gives at least one (its shortest, where none fits) and keeps at least one.

    Returns:
        bool array, true where the clip is chosen.
    """
    classes_of, order = _recordings(labels, recordings, seed)
    random = np.random.default_rng(seed)
    total = Counter(labels)
    taken: Counter[str] = Counter()
    left = Counter({label: len(names) for label, names in order.items()})
    chosen: set[str] = set()

    def choose(name: str) -> None:
        chosen.add(name)
        taken.update(classes_of[name])
        left.subtract(dict.fromkeys(classes_of[name], 1))

    for label, names in order.items():
        for index in random.permutation(len(names)).tolist():
            name = names[index]
            spared = name not in chosen and all(left[other] > 1 for other in classes_of[name])
            if spared and taken[label] + classes_of[name][label] / 2 <= fraction * total[label]:
                choose(name)
        if not taken[label]:
            spare = [name for name in names if all(left[other] > 1 for other in classes_of[name])]
            if spare:
                choose(spare[-1])
    return np.array([recording in chosen for recording in recordings], dtype=bool)


def _recordings(
    labels: Sequence[str], recordings: Sequence[str], seed: int
) -> tuple[dict[str, Counter[str]], dict[str, list[str]]]:
    """Clips of each class in each recording; per class (rarest first) its recordings from the longest down."""
    classes_of: dict[str, Counter[str]] = defaultdict(Counter)
    names_of: dict[str, set[str]] = defaultdict(set)
    for label, recording in zip(labels, recordings, strict=True):
        classes_of[recording][label] += 1
        names_of[label].add(recording)
    names = sorted(classes_of)
    rank = dict(zip(names, np.random.default_rng(seed).permutation(len(names)).tolist(), strict=True))
    rarest_first = sorted(names_of, key=lambda label: (len(names_of[label]), label))
    order = {
        label: sorted(names_of[label], key=lambda name: (-classes_of[name][label], rank[name]))
        for label in rarest_first
    }
    return classes_of, order
