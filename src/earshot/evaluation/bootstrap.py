"""Intervals that know that clips of one recording are right or wrong together.

Ten slices of one siren are not ten independent trials. The unit that is drawn anew is therefore the recording, within
its class: (recording, class), since a recording may hold several classes. Each class keeps its number of recordings
("stratified"), so that an interval never includes a test without sirens. Cluster bootstrap: Davison and Hinkley,
"Bootstrap Methods and their Application", 1997, section 3.8.

Percentile intervals of few units are too short, for two reasons with one remedy: the spread of resamples is
(n - 1) / n of what it should be, and the normal distribution stands in for Student's. They are widened as Hesterberg
proposes ("What Teachers Should Know About the Bootstrap", The American Statistician 69, 2015, "expanded percentile").
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Units:
    """What is drawn anew: one entry for each (recording, class), sorted by class.

    Attributes:
        label: (u,) int, class index.
        clips: (u,) float, number of clips, at least 1.
        correct: (u,) float, how many of them are classified correctly (or any other sum over the unit's clips).
    """

    label: np.ndarray
    clips: np.ndarray
    correct: np.ndarray

    def of(self, label: int) -> "Units":
        """The units of one class."""
        chosen = self.label == label
        return Units(self.label[chosen], self.clips[chosen], self.correct[chosen])


def group(values: np.ndarray, recordings: Sequence[str] | np.ndarray, labels: np.ndarray) -> Units:
    """Sum `values` (n,) over the clips of each recording within each class.

    Args:
        values: (n,) bool or number: correct or not, or a difference of two of these.
        recordings: (n,) names.
        labels: (n,) int, the true classes.
    """
    names = np.unique(np.asarray(recordings).astype(str), return_inverse=True)[1]
    pairs, unit = np.unique(np.stack([np.asarray(labels), names]), axis=1, return_inverse=True)
    unit = unit.ravel()
    return Units(
        label=pairs[0],
        clips=np.bincount(unit).astype(np.float64),
        correct=np.bincount(unit, weights=np.asarray(values, dtype=np.float64)),
    )


def ratio_interval(units: Units, resamples: int = 1000, seed: int = 0, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of sum(correct) / sum(clips): accuracy of all units, or recall of one class.

    Where every clip is right, or every one wrong, resamples do not vary, and the bootstrap would claim certainty.
    The exact interval of Clopper and Pearson (1934) is given then, with recordings as the trials: it only assumes
    that a recording counts as one.

    Returns:
        (low, high), both in [0, 1].
    """
    if units.correct.sum() in (0, units.clips.sum()):
        return _exact(bool(units.correct.any()), len(units.clips), confidence)
    return _bootstrap(units, resamples, seed, confidence)


def paired_accuracy_difference(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    recordings: Sequence[str] | np.ndarray,
    labels: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """How much more accurate `a` is than `b` on the same clips, with the interval of the difference.

    Both are resampled together, so what makes a recording hard for both cancels. An interval that excludes 0 says
    that the difference is more than luck with these recordings.

    Where both are right equally often in every recording, resamples do not vary, and the bootstrap would claim that
    they never differ. The interval then says how many recordings could: n of them without one that differs leave room
    for a share of 1 - (alpha / 2) ** (1 / n) in either direction, some 3.7 / n at 95 % (Clopper and Pearson 1934; one
    side of it is the rule of three, 3 / n: Hanley and Lippman-Hand, "If Nothing Goes Wrong, Is Everything All Right?",
    JAMA 249(13), 1983). A recording counts as one there, whatever its number of clips.

    Args:
        correct_a: (n,) bool.
        correct_b: (n,) bool, for the same clips.
        recordings: (n,) names.
        labels: (n,) int, the true classes.
        resamples: how often recordings are drawn anew.
        seed: of the draws.
        confidence: of the interval.

    Returns:
        (difference, low, high) of accuracy a - accuracy b, in [-1, 1].
    """
    a, b = np.asarray(correct_a, dtype=np.float64), np.asarray(correct_b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"need the same clips twice, not arrays of shape {a.shape} and {b.shape}")
    units = group(a - b, recordings, labels)
    if not units.correct.any():
        _, bound = _exact(False, len(units.clips), confidence)
        return 0.0, -bound, bound
    low, high = _bootstrap(units, resamples, seed, confidence)
    return float((a - b).mean()), low, high


def _bootstrap(units: Units, resamples: int, seed: int, confidence: float) -> tuple[float, float]:
    """The expanded percentile interval of sum(correct) / sum(clips).

    A draw is a row of how often each unit was drawn, so that all resamples of a class are one matrix product.
    """
    units = _without_lonely_strata(units)
    strata = np.unique(units.label)
    correct, clips = np.zeros(resamples), np.zeros(resamples)
    for label in strata:
        stratum = units.of(label)
        count = len(stratum.clips)
        random = np.random.default_rng((seed, int(label)))  # a class's draws do not depend on the other classes
        times = random.multinomial(count, np.full(count, 1 / count), size=resamples)
        correct += times @ stratum.correct
        clips += times @ stratum.clips
    tail = (1 - confidence) / 2
    if (free := len(units.label) - len(strata)) > 0:
        tail = stats.norm.cdf(np.sqrt(len(units.label) / free) * stats.t.ppf(tail, free))
    low, high = np.quantile(correct / clips, [tail, 1 - tail])
    return float(low), float(high)


def _without_lonely_strata(units: Units) -> Units:
    """Join classes of one recording into one stratum: alone, each would be drawn as itself and seem certain.

    Collapsing strata is what surveys do (Cochran, "Sampling Techniques", 1977, section 5A.12). A single such class
    joins the next smallest one.
    """
    labels, count = np.unique(units.label, return_counts=True)
    lonely = labels[count == 1]
    if len(lonely) == 1:
        lonely = labels[np.argsort(count, kind="stable")[:2]]
    if not len(lonely):
        return units
    return replace(units, label=np.where(np.isin(units.label, lonely), lonely.min(), units.label))


def _exact(all_correct: bool, trials: int, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson where no trial failed (`all_correct`) or none succeeded."""
    bound = float(((1 - confidence) / 2) ** (1 / trials))
    return (bound, 1.0) if all_correct else (0.0, 1 - bound)
