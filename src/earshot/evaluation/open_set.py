"""How well sounds outside the classes are told from the classes' own.

Near ones are clips of classes that were left out (`split.unknown_classes`); far ones are generated: ambience, noise and
tones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from earshot.evaluation import disturbances
from earshot.evaluation.report import rounded
from earshot.hearing.log_mel import LogMel
from earshot.model.session import Model

COLUMNS = [
    "family",
    "near",
    "clips",
    "recordings",
    "auroc",
    "auroc_max_softmax",
    "false_positive_rate_95",
    "called_unknown",
]
FAR = {"ambience": disturbances.ambience, "noise": disturbances.noise, "tones": disturbances.tones}
FAR_WINDOWS = 100  # of each family


def auroc(of_known: np.ndarray, of_unknown: np.ndarray) -> float:
    """The chance that a clip of the classes has a higher score than another sound."""
    belongs = np.repeat([True, False], [len(of_known), len(of_unknown)])
    return float(roc_auc_score(belongs, np.concatenate([of_known, of_unknown])))


def false_positive_rate(of_known: np.ndarray, of_unknown: np.ndarray, true_positive_rate: float = 0.95) -> float:
    """Share of other sounds taken for known where at least so many of the classes' clips are."""
    below = int((1 - true_positive_rate) * len(of_known) + 1e-9)  # so many clips at most; 0.05 * 20 is not quite 1
    return float((of_unknown >= np.sort(of_known)[below]).mean())


@dataclass(frozen=True)
class Heard:
    """What a model says of some sounds.

    Attributes:
        probabilities: (n, C), of its classes.
        known: (n,) scores.
        recordings: (n,) names.
    """

    probabilities: np.ndarray
    known: np.ndarray
    recordings: np.ndarray

    @property
    def max_softmax(self) -> np.ndarray:
        """The score of a model without any idea of unknown sounds (Hendrycks and Gimpel, ICLR 2017), (n,)."""
        return self.probabilities.max(axis=1)

    def rows(self, chosen: np.ndarray) -> "Heard":
        """Some of them."""
        return Heard(self.probabilities[chosen], self.known[chosen], self.recordings[chosen])


def auroc_gain(pairs: Sequence[tuple[Heard, Heard]], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """How much better `known` tells clips of the classes from others than the maximum of the softmax does.

    Args:
        pairs: clips of the classes and other sounds, a pair for each family.
        resamples: how often recordings are drawn anew, those of the classes and those of the others by themselves.
        seed: of the draws.

    Returns:
        `points` of AUROC, the mean over families, and their `interval` of 95 %.
    """
    random = np.random.default_rng(seed)
    times: dict[
        tuple[str, ...], np.ndarray
    ] = {}  # a recording is drawn as often for every family that it is compared with

    def drawn(recordings: np.ndarray, side: str) -> np.ndarray:
        names, unit = np.unique(recordings, return_inverse=True)
        key = (side, *names.tolist())
        if key not in times:
            times[key] = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        return times[key][:, unit].astype(np.float64)

    whole, found = [], []
    for classes, others in pairs:
        gain = _order(classes.known, others.known) - _order(classes.max_softmax, others.max_softmax)
        of_classes, of_others = drawn(classes.recordings, "classes"), drawn(others.recordings, "others")
        whole.append(gain.mean())
        weights = of_classes.sum(axis=1) * of_others.sum(axis=1)
        found.append(((of_classes @ gain) * of_others).sum(axis=1) / weights)
    low, high = np.quantile(100 * np.mean(found, axis=0), [0.025, 0.975])
    return {
        "points": round(100 * float(np.mean(whole)), 2),
        "interval": [round(float(low), 2), round(float(high), 2)],
    }


def _order(of_known: np.ndarray, of_unknown: np.ndarray) -> np.ndarray:
    """For each pair, 1 where the known clip has the higher score, 1/2 where both are equal: AUROC is their mean."""
    return np.sign(of_known[:, None] - of_unknown[None, :]) / 2 + 0.5


def hear(model: Model, features: np.ndarray, recordings: np.ndarray) -> Heard:
    """Ask `model` about `features`, float16 (n, n_mels, frames); n may be 0."""
    scores = np.empty((len(features), len(model.classes) + 1))
    for i in range(0, len(features), 32):
        scores[i : i + 32] = model.scores(features[i : i + 32])
    return Heard(scores[:, :-1], scores[:, -1], recordings)


def far_sounds(log_mel: LogMel, seed: int) -> dict[str, np.ndarray]:
    """Features of generated windows of nothing in particular, `FAR_WINDOWS` of each family of `FAR`.

    At -60 to -20 dB of full scale. Training's background sounds come from other generators.
    """
    params = log_mel.params
    made = {}
    for number, (family, generate) in enumerate(FAR.items()):
        random = np.random.default_rng([seed, number])
        windows = [
            disturbances.gain(generate(params.window_samples, params.sample_rate_hz, random), random.uniform(-60, -20))
            for _ in range(FAR_WINDOWS)
        ]
        made[family] = np.stack([log_mel.clip(window) for window in windows])
    return made


def family_row(family: str, near: bool, known: Heard, unknown: Heard, line: float) -> dict[str, Any]:
    """One family beside the known clips, under `COLUMNS`; `line` is the threshold."""
    return {
        "family": family,
        "near": near,
        "clips": len(unknown.known),
        "recordings": len(np.unique(unknown.recordings)),
        "auroc": rounded(auroc(known.known, unknown.known)),
        "auroc_max_softmax": rounded(auroc(known.max_softmax, unknown.max_softmax)),
        "false_positive_rate_95": rounded(false_positive_rate(known.known, unknown.known)),
        "called_unknown": rounded(float((unknown.known < line).mean())),
    }


def known_figures(known: Heard, labels: np.ndarray, line: float) -> dict[str, Any]:
    """What the verdict costs on clips of the classes; a clip called unknown counts as wrong."""
    right, rejected = known.probabilities.argmax(axis=1) == labels, known.known < line
    return {
        "threshold": line,
        "known_clips": len(labels),
        "known_called_unknown": rounded(float(rejected.mean())),
        "wrong_called_unknown": None if right.all() else rounded(float(rejected[~right].mean())),
        "accuracy": rounded(float(right.mean())),
        "accuracy_with_unknown": rounded(float((right & ~rejected).mean())),
    }


def side(rows: list[dict[str, Any]], pairs: Sequence[tuple[Heard, Heard]]) -> dict[str, Any]:
    """Means and the worst of some families: their rows, and the sounds that these are of."""

    def mean(key: str) -> float | None:
        return rounded(float(np.mean([row[key] for row in rows])))

    gain = auroc_gain(pairs)
    return {
        "auroc_mean": mean("auroc"),
        "auroc_worst": min(row["auroc"] for row in rows),
        "auroc_max_softmax_mean": mean("auroc_max_softmax"),
        "auroc_gain_points": gain["points"],
        "auroc_gain_interval": gain["interval"],
        "false_positive_rate_95_mean": mean("false_positive_rate_95"),
        "called_unknown_mean": mean("called_unknown"),
    }


def figures(
    known: Heard, labels: np.ndarray, near: Heard, near_labels: np.ndarray, far: dict[str, Heard], line: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The content of ``metrics/open_set.json`` (but for `dataset`), and the rows of ``metrics/open_set.csv``.

    Args:
        known: of the test clips.
        labels: their classes, (n,) int.
        near: of the clips of `split.unknown_classes`; may be of none.
        near_labels: their classes' names.
        far: of generated sounds, by family.
        line: the threshold.
    """
    found = known_figures(known, labels, line)
    rows = []
    by_name = {name: near.rows(near_labels == name) for name in np.unique(near_labels).tolist()}
    for where, families in (("near", by_name), ("far", far)):
        of_side = [family_row(name, where == "near", known, heard, line) for name, heard in families.items()]
        if of_side:
            found[where] = side(of_side, [(known, heard) for heard in families.values()])
        rows += of_side
    return found, rows


def summary(found: dict[str, Any]) -> str:
    """The figures in words for the terminal."""
    lines = [
        f"below {found['threshold']:.3f} a sound is called unknown: {found['known_called_unknown']:.1%} of the "
        f"classes' own test clips are, and accuracy goes from {found['accuracy']:.4f} to "
        f"{found['accuracy_with_unknown']:.4f}"
    ]
    for name, words in (("near", "classes left out"), ("far", "ambience, noise and tones")):
        if name in found:
            of_side = found[name]
            lines.append(
                f"{words}: {of_side['called_unknown_mean']:.0%} called unknown, AUROC {of_side['auroc_mean']:.3f} "
                f"({of_side['auroc_max_softmax_mean']:.3f} by the softmax alone)"
            )
    return "\n".join(lines)
