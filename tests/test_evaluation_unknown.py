"""Sounds of no class: where the line is drawn and how well it parts them, against scikit-learn, SciPy and counting."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.special
from scipy.special import expit
from sklearn.metrics import roc_auc_score, roc_curve

from answered import answered
from earshot.clips.parts import Part
from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError, build
from earshot.decisions.config import UnknownParams
from earshot.decisions.fitting.unknown import fit_unknown_threshold
from earshot.evaluation import open_set
from earshot.evaluation.answers import Answers
from earshot.evaluation.open_set import COLUMNS, FAR_WINDOWS, auroc_gain, far_sounds, figures
from earshot.hearing.log_mel import LogMel
from earshot.model.scores import known
from earshot.model.session import Model

FRONT_END = FrontEndParams(window_s=0.5)
LINE = 0.45  # of `heard`


# ---- the score


def test_the_score_is_the_surest_class_with_none_of_them_as_one_more():
    random = np.random.default_rng(0)
    logits, of_none = random.normal(0, 3, (50, 4)), random.normal(0, 3, (50, 1))
    expected = scipy.special.softmax(np.hstack([logits, of_none]) / 1.7, axis=1)[:, :4].max(axis=1)
    assert known(logits, of_none, 1.7) == pytest.approx(expected, abs=1e-12)
    without = scipy.special.softmax(logits / 1.7, axis=1).max(axis=1)
    assert known(logits, None, 1.7) == pytest.approx(without, abs=1e-12)
    assert (expected < without).all()
    labels, recordings = np.zeros(50, int), np.arange(50).astype(str)
    assert np.array_equal(answered(logits, labels, recordings, 1.7, of_none).known, known(logits, of_none, 1.7))
    assert np.array_equal(answered(logits, labels, recordings, 1.7).known, known(logits, None, 1.7))


# ---- the line


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_the_line_costs_new_clips_what_it_may(share, seed):
    """Scores whose log odds fall off as a logistic does; of 100,000 new ones."""
    random = np.random.default_rng(seed)

    def clips(number: int) -> tuple[np.ndarray, np.ndarray]:
        return expit(random.logistic(2, 1, number)), random.uniform(size=number) < 0.8

    line = fit_unknown_threshold(*clips(4_000), share)
    of_clips, right = clips(100_000)
    assert (right & (of_clips < line)).mean() == pytest.approx(share, rel=0.35)


def test_of_few_clips_it_costs_less_than_the_least_sure_of_them_would():
    """Fifty clips, half a percent: the least sure right answer itself would cost new clips two percent."""
    random = np.random.default_rng(5)
    costs, of_lowest = [], []
    new = expit(random.logistic(2, 1, 100_000))
    for _ in range(300):
        of_clips = expit(random.logistic(2, 1, 50))
        costs.append((new < fit_unknown_threshold(of_clips, np.ones(50, bool), 0.005)).mean())
        of_lowest.append((new < of_clips.min()).mean())
    assert np.mean(of_lowest) > 0.015
    assert np.mean(costs) < 0.01


def test_a_large_share_is_read_off_the_answers():
    # Of ten clips two are wrong; four tenths of all, half of the right ones, may be lost.
    of_clips = np.array([0.1, 0.95, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    right = np.array([False, False, True, True, True, True, True, True, True, True])
    line = fit_unknown_threshold(of_clips, right, 0.4)
    assert 0.5 < line < 0.6
    assert (of_clips < line).tolist() == [True, False, True, True, True, True] + [False] * 4


def test_clips_that_are_all_equally_sure_are_kept():
    assert fit_unknown_threshold(np.full(40, 0.7), np.ones(40, bool), 0.005) == pytest.approx(0.7, abs=1e-6)
    assert fit_unknown_threshold(np.full(40, 0.7), np.ones(40, bool), 0.005) <= 0.7


def test_without_right_answers_to_keep_nothing_is_called_unknown():
    of_clips = np.array([0.5, 0.6, 0.7])
    assert fit_unknown_threshold(of_clips, np.zeros(3, bool), 0.005) == 0
    assert fit_unknown_threshold(of_clips, np.array([True, False, False]), 0.5) == 0
    assert fit_unknown_threshold(of_clips, np.ones(3, bool), 0.0) == 0


@pytest.mark.parametrize("with_none", [True, False])
def test_a_network_without_a_logit_for_none_has_a_line_too(with_none):
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 300)
    logits = random.normal(0, 1, (300, 3)) + 3 * np.eye(3)[labels]
    score = known(logits, random.normal(0, 1, (300, 1)) if with_none else None, 1.0)
    right = logits.argmax(axis=1) == labels
    line = fit_unknown_threshold(score, right, 0.05)
    assert 0 < line < 1
    assert 8 <= (right & (score < line)).sum() <= 22  # 15 of 300 are expected


def test_parameters_are_checked():
    assert build(UnknownParams, {}).max_accuracy_loss == 0.005
    assert build(UnknownParams, {"max_accuracy_loss": 0}).max_accuracy_loss == 0
    for values in ({"max_accuracy_loss": 1.0}, {"max_accuracy_loss": -0.1}, {"max_loss": 0.1}):
        with pytest.raises(ParamsError, match="max_"):
            build(UnknownParams, values, "unknown")


# ---- figures


def heard(random: np.random.Generator, clips: int, sure: float, softmax: float, each: int = 3) -> Answers:
    """`each` clips a recording; higher `sure` and `softmax` raise the two scores. Unknown is what is below 0.45."""
    top = scipy.special.expit(random.normal(softmax, 1, clips)) / 2 + 0.5
    background = -random.normal(sure, 1, clips)  # known is top / (1 + exp(background))
    names = np.array([f"r{i // each}" for i in range(clips)])
    logits = np.log(np.stack([top, 1 - top], axis=1))
    labels = random.integers(0, 2, clips)
    return answered(logits, labels, names, 1.0, background[:, None], unknown_threshold=0.45)


def areas(classes: Answers, others: Answers, of_classes=slice(None), of_others=slice(None)) -> tuple[float, float]:
    """AUROC of both scores by scikit-learn, in points."""
    sides = (len(classes.known[of_classes]), len(others.known[of_others]))
    truth = np.repeat([1, 0], sides)
    return tuple(
        100 * roc_auc_score(truth, np.concatenate([one[of_classes], other[of_others]]))
        for one, other in ((classes.known, others.known), (open_set.max_softmax(classes), open_set.max_softmax(others)))
    )


@pytest.mark.parametrize(("sure", "softmax", "sign"), [(3.0, 0.5, 1), (0.5, 3.0, -1)])
def test_the_gain_is_the_mean_difference_of_both_areas(sure, softmax, sign):
    random = np.random.default_rng(3)
    classes = heard(random, 150, sure, softmax)
    families = [heard(random, clips, 0, 0) for clips in (40, 90)]
    found = auroc_gain([(classes, others) for others in families])
    differences = [one - other for one, other in (areas(classes, others) for others in families)]
    assert found["points"] == pytest.approx(np.mean(differences), abs=0.006)
    assert sign * found["points"] > 5
    low, high = found["interval"]
    assert low < found["points"] < high
    assert sign * (low if sign > 0 else high) > 0


def test_the_interval_is_that_of_recordings_drawn_anew():
    random = np.random.default_rng(4)
    classes, others = heard(random, 90, 2.0, 1.0), heard(random, 60, 0, 0)
    found = auroc_gain([(classes, others)], resamples=2000)["interval"]

    def drawn(side: Answers) -> np.ndarray:
        rows = [np.flatnonzero(side.recordings == name) for name in np.unique(side.recordings)]
        return np.concatenate([rows[i] for i in random.integers(len(rows), size=len(rows))])

    gains = [np.subtract(*areas(classes, others, drawn(classes), drawn(others))) for _ in range(1000)]
    assert found == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=1.2)
    # As one recording a side they can only be drawn as they are.
    alone = [replace(side, recordings=np.full(len(side), "r")) for side in (classes, others)]
    same = auroc_gain([tuple(alone)])
    assert same["interval"] == [same["points"]] * 2


def test_equal_scores_gain_nothing():
    random = np.random.default_rng(5)
    sides = [heard(random, 60, 1, 1), heard(random, 60, 0, 0)]
    equal = tuple(replace(side, background_logits=None) for side in sides)
    assert auroc_gain([equal]) == {"points": 0.0, "interval": [0.0, 0.0]}


def test_the_false_positive_rate_is_that_of_the_curve():
    random = np.random.default_rng(6)
    for clips in range(80, 101):
        classes, others = random.normal(1, 1, clips), random.normal(0, 1, 230)
        truth = np.repeat([1, 0], (clips, 230))
        false, true, _ = roc_curve(truth, np.concatenate([classes, others]), drop_intermediate=False)
        assert open_set.false_positive_rate(classes, others) == pytest.approx(false[true >= 0.95].min(), abs=1e-12)


@pytest.fixture(scope="module")
def told() -> tuple:
    random = np.random.default_rng(7)
    classes, near, far = heard(random, 100, 2, 2), heard(random, 50, 0.5, 0.5, each=5), heard(random, 60, -1, 0)
    names = np.repeat(["owl", "crow"], [20, 30])
    by_name = {name: near.rows(names == name) for name in ("crow", "owl")}
    return classes, by_name, {"noise": far, "tones": near}, ("dog", "siren"), 0.7


def test_every_family_has_a_row_and_the_headline_their_means(told):
    classes, near, far, _, _ = told
    found, rows = figures(*told)
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [(row["family"], row["near"], row["clips"], row["recordings"]) for row in rows] == [
        ("crow", True, 30, 6),
        ("owl", True, 20, 4),
        ("noise", False, 60, 20),
        ("tones", False, 50, 10),
    ]
    families = [*near.values(), *far.values()]
    for row, others in zip(rows, families, strict=True):
        both = areas(classes, others)
        assert (100 * row["auroc"], 100 * row["auroc_max_softmax"]) == pytest.approx(both, abs=1e-4)
        assert row["called_unknown"] == pytest.approx(sum(others.known < LINE) / len(others.known), abs=1e-6)
        rate = open_set.false_positive_rate(classes.known, others.known)
        assert row["false_positive_rate_95"] == pytest.approx(rate, abs=1e-6)
    for name, of_side in (("near", rows[:2]), ("far", rows[2:])):
        side = found[name]
        for key in ("auroc", "auroc_max_softmax", "false_positive_rate_95", "called_unknown"):
            assert side[f"{key}_mean"] == pytest.approx(np.mean([row[key] for row in of_side]), abs=1e-6)
        assert side["auroc_worst"] == min(row["auroc"] for row in of_side)


def test_verdicts_on_far_sounds_are_counted_for_every_class(told):
    far, classes, confidence = told[2:]
    found = figures(*told)[0]["verdicts"]
    assert found["confidence"] == confidence == 0.7
    for family, sounds in far.items():
        named = [
            classes[int(row.argmax())]
            for row, sure in zip(sounds.probabilities, sounds.known, strict=True)
            if sure >= LINE and row.max() >= confidence
        ]
        assert 0 < len(named) < len(sounds.known)  # some are doubtful, by one rule or the other
        expected = {name: pytest.approx(named.count(name) / len(sounds.known), abs=1e-6) for name in set(named)}
        assert found[family]["by_class"] == expected
        assert found[family]["any"] == pytest.approx(len(named) / len(sounds.known), abs=1e-6)
    told_so = open_set.summary(figures(*told)[0])
    assert f"noise answered with a class, with at least 0.7: {found['noise']['any']:.0%} of windows (dog" in told_so


def test_a_known_clip_that_is_called_unknown_is_wrong(told):
    classes, labels = told[0], told[0].labels
    found, _ = figures(*told)
    best = [int(row.argmax()) for row in classes.probabilities]
    said = [None if sure < LINE else name for sure, name in zip(classes.known, best, strict=True)]
    assert (found["threshold"], found["known_clips"]) == (LINE, 100)
    assert found["known_called_unknown"] == said.count(None) / 100
    assert found["accuracy"] == sum(name == label for name, label in zip(best, labels, strict=True)) / 100
    assert found["accuracy_with_unknown"] == sum(name == label for name, label in zip(said, labels, strict=True)) / 100
    wrong = [answer for answer, name, label in zip(said, best, labels, strict=True) if name != label]
    assert found["wrong_called_unknown"] == pytest.approx(wrong.count(None) / len(wrong), abs=1e-6)
    perfect, _ = figures(replace(classes, labels=np.array(best)), *told[1:])
    assert (perfect["accuracy"], perfect["wrong_called_unknown"]) == (1, None)


def test_without_classes_left_out_there_are_far_sounds_alone(told):
    classes, _, far, *others = told
    found, rows = figures(classes, {}, far, *others)
    assert "near" not in found
    assert [row["family"] for row in rows] == list(far)
    said = open_set.summary(found)
    assert "classes left out" not in said
    assert f"{found['known_called_unknown']:.1%} of the classes' own test clips" in said
    assert "classes left out" in open_set.summary(figures(*told)[0])


def test_near_sounds_are_grouped_by_the_class_that_was_left_out(tiny_model_path, tmp_path):
    model = Model(tiny_model_path)
    cells = np.random.default_rng(8).normal(-50, 8, (40, 64, 173)).astype(np.float16)
    names = np.where(np.arange(40) % 3 == 0, "owl", "crow")
    clips = pd.DataFrame({"label": names, "recording": "r", "path": "", "truncated_s": 0.0, "peak": 0.5})
    found = open_set.answers_to_near_sounds(model, Part(cells, np.full(40, 3), clips), tmp_path)
    assert list(found) == ["crow", "owl"]
    scores = model.scores(cells)
    for name, of_name in found.items():
        assert np.array_equal(of_name.probabilities, scores[names == name, :-1])
        assert np.array_equal(of_name.known, scores[names == name, -1])
    nothing = Part(cells[:0], np.zeros(0, int), clips[:0])
    assert open_set.answers_to_near_sounds(model, nothing, tmp_path) == {}


# ---- generated sounds


class Recorder:
    """Stands for a front end: keeps the windows that it is given."""

    params = FRONT_END

    def __init__(self) -> None:
        self.windows: list[np.ndarray] = []

    def clip(self, window: np.ndarray) -> np.ndarray:
        self.windows.append(window)
        return np.zeros((FRONT_END.n_mels, FRONT_END.window_frames), np.float16)


def test_far_sounds_are_of_every_family_at_many_levels():
    recorder = Recorder()
    made = far_sounds(recorder, seed=1)
    assert set(made) == {"ambience", "noise", "tones"}
    assert {len(windows) for windows in made.values()} == {FAR_WINDOWS}
    levels_db = np.array([10 * np.log10(np.mean(window.astype(np.float64) ** 2)) for window in recorder.windows])
    assert {window.shape for window in recorder.windows} == {(FRONT_END.window_samples,)}
    for of_family in levels_db.reshape(3, FAR_WINDOWS):
        assert (of_family.min() > -60.1, of_family.max() < -19.9, np.ptp(of_family) > 30) == (True, True, True)
    assert len({window.tobytes() for window in recorder.windows}) == 3 * FAR_WINDOWS


def test_far_sounds_follow_their_seed():
    log_mel = LogMel(FRONT_END)
    first, again, other = (far_sounds(log_mel, seed) for seed in (1, 1, 2))
    for family, windows in first.items():
        assert windows.shape == (FAR_WINDOWS, FRONT_END.n_mels, FRONT_END.window_frames)
        assert windows.dtype == np.float16
        assert np.array_equal(windows, again[family])
        assert not np.array_equal(windows, other[family])
