"""How well sounds outside the classes are separated from the classes' own.

Near ones are clips of classes that were left out (`split.unknown_classes`); far ones are generated: ambience, noise and
tones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from earshot.clips.parts import Part
from earshot.clips.paths import Root
from earshot.decisions.decisions import Decisions
from earshot.decisions.review import flag_for_review
from earshot.evaluation import disturbances
from earshot.evaluation.answers import Answers, answer, single_windows, windows_of
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


def max_softmax(answers: Answers) -> np.ndarray:
    """The score of a model without any idea of unknown sounds (Hendrycks and Gimpel, ICLR 2017), (n,)."""
    return answers.probabilities.max(axis=1)


def auroc_gain(pairs: Sequence[tuple[Answers, Answers]], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
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
        gain = _order(classes.known, others.known) - _order(max_softmax(classes), max_softmax(others))
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


def answers_to_part(model: Model, part: Part, root: Root) -> Answers:
    """What `model` answers to the clips of `part`, at least one, as served."""
    recordings = part.clips["recording"].to_numpy(dtype=str)
    windows = windows_of(part, root, model.log_mel)
    return answer(model.outputs, windows, part.labels, recordings, Decisions.of(model.card))


def answers_to_near_sounds(model: Model, part: Part, root: Root) -> dict[str, Answers]:
    """What `model` answers to the clips of `part`, by the class that was left out; empty where none was."""
    names = part.clips["label"].to_numpy(dtype=str)
    if not len(names):
        return {}
    found = answers_to_part(model, part, root)
    return {name: found.rows(names == name) for name in np.unique(names).tolist()}


def answers_to_far_sounds(model: Model, seed: int) -> dict[str, Answers]:
    """What `model` answers to `far_sounds`, each a recording of its own."""
    found = {}
    for family, features in far_sounds(model.log_mel, seed).items():
        outside = np.full(len(features), len(model.classes))
        names = np.arange(len(features)).astype(str)
        found[family] = answer(model.outputs, single_windows(features), outside, names, Decisions.of(model.card))
    return found


def family_row(family: str, near: bool, known: Answers, unknown: Answers) -> dict[str, Any]:
    """One family beside the known clips, under `COLUMNS`."""
    return {
        "family": family,
        "near": near,
        "clips": len(unknown),
        "recordings": len(np.unique(unknown.recordings)),
        "auroc": rounded(auroc(known.known, unknown.known)),
        "auroc_max_softmax": rounded(auroc(max_softmax(known), max_softmax(unknown))),
        "false_positive_rate_95": rounded(false_positive_rate(known.known, unknown.known)),
        "called_unknown": rounded(float(unknown.unknown.mean())),
    }


def verdicts(sounds: Answers, classes: Sequence[str], confidence: float) -> dict[str, Any]:
    """Share of sounds that hold none of the classes and are answered with one all the same.

    Counted is an answer that is not flagged for review: not unknown, and with at least `confidence`.

    Returns:
        `any`, and by class, each class that is answered at all; the most frequent first.
    """
    counted = ~flag_for_review(max_softmax(sounds), sounds.unknown, sounds.silent, confidence)
    clips = np.bincount(sounds.predicted[counted], minlength=len(classes))
    order = [number for number in np.argsort(-clips, kind="stable").tolist() if clips[number]]
    return {
        "any": rounded(float(counted.mean())),
        "by_class": {classes[number]: rounded(float(clips[number] / len(counted))) for number in order},
    }


def known_figures(known: Answers) -> dict[str, Any]:
    """What the verdict costs on clips of the classes; a clip called unknown counts as wrong."""
    right, rejected = known.right, known.unknown
    return {
        "threshold": known.decisions.unknown_threshold,
        "windowed_threshold": known.decisions.windowed_unknown_threshold,
        "known_clips": len(known),
        "known_called_unknown": rounded(float(rejected.mean())),
        "wrong_called_unknown": None if right.all() else rounded(float(rejected[~right].mean())),
        "accuracy": rounded(float(right.mean())),
        "accuracy_with_unknown": rounded(float((right & ~rejected).mean())),
    }


def side(rows: list[dict[str, Any]], pairs: Sequence[tuple[Answers, Answers]]) -> dict[str, Any]:
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
    known: Answers,
    near: dict[str, Answers],
    far: dict[str, Answers],
    classes: Sequence[str],
    confidence: float,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The content of ``metrics/open_set.json`` (but for `dataset`), and the rows of ``metrics/open_set.csv``.

    Args:
        known: of the test clips.
        near: of the clips of `split.unknown_classes`, by class; may be empty.
        far: of generated sounds, by family.
        classes: names.
        confidence: that an answer needs to count in `verdicts`.
    """
    found = known_figures(known)
    found["verdicts"] = {
        "confidence": confidence,
        **{family: verdicts(sounds, classes, confidence) for family, sounds in far.items()},
    }
    rows = []
    for where, families in (("near", near), ("far", far)):
        of_side = [family_row(name, where == "near", known, others) for name, others in families.items()]
        if of_side:
            found[where] = side(of_side, [(known, others) for others in families.values()])
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
    for family in [name for name in found["verdicts"] if name != "confidence"]:
        of_family = found["verdicts"][family]
        named = ", ".join(f"{name} {share:.0%}" for name, share in of_family["by_class"].items()) or "none"
        lines.append(
            f"{family} answered with a class, with at least {found['verdicts']['confidence']:g}: "
            f"{of_family['any']:.0%} of windows ({named})"
        )
    return "\n".join(lines)
