"""What turns scores into answers: fits against closed forms, SciPy and scikit-learn, use against hand counts."""

import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from earshot.core.params import ParamsError, build
from earshot.decisions.answer import WindowMean
from earshot.decisions.config import OperatingPointsParams
from earshot.decisions.decisions import Decisions
from earshot.decisions.fitting.events import fit_events
from earshot.decisions.fitting.temperature import fit_temperature, fit_windowed_temperature
from earshot.decisions.review import THRESHOLD, flag_for_review, threshold_of
from earshot.hearing.silence import SILENCE_PEAK


def mean_of_windows(
    random: np.random.Generator, sounds: int, windows: int, noise: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Means over windows that are calibrated each: (sounds, 4), and labels.

    A window's evidence is the truth's mean and Gaussian noise of known variance; its softmax is then Bayes' posterior.
    """
    labels = random.integers(0, 4, sounds)
    evidence = np.eye(4)[labels][:, None] + noise * random.standard_normal((sounds, windows, 4))
    return scipy.special.softmax(evidence / noise**2, axis=2).mean(axis=1), labels


def test_a_mean_of_calibrated_windows_is_underconfident_and_is_calibrated_by_its_temperature():
    random = np.random.default_rng(0)
    one, labels_of_one = mean_of_windows(random, 20_000, 1)
    mean, labels = mean_of_windows(random, 20_000, 5)
    assert one.max(axis=1).mean() == pytest.approx((one.argmax(axis=1) == labels_of_one).mean(), abs=0.01)
    right = (mean.argmax(axis=1) == labels).mean()
    assert right - mean.max(axis=1).mean() > 0.05  # Ranjan and Gneiting 2010
    temperature = fit_windowed_temperature(mean[:10_000], labels[:10_000], np.arange(10_000))
    assert temperature < 0.8
    served = Decisions(windowed_temperature=temperature).windowed_probabilities(mean[10_000:])
    fresh = labels[10_000:]
    assert served.max(axis=1).mean() == pytest.approx((served.argmax(axis=1) == fresh).mean(), abs=0.02)
    assert log_loss(fresh, served) < log_loss(fresh, mean[10_000:]) - 0.02


def test_windowed_probabilities_are_a_softmax_of_their_logarithms():
    mean = scipy.special.softmax(np.random.default_rng(1).normal(0, 2, (50, 6)), axis=1)
    expected = scipy.special.softmax(np.log(mean) / 0.7, axis=1)
    np.testing.assert_allclose(Decisions(windowed_temperature=0.7).windowed_probabilities(mean), expected, rtol=1e-12)
    assert Decisions().windowed_probabilities(mean) is mean
    sure = np.array([1.0, 0.0])  # no logarithm of 0 is taken
    assert Decisions(windowed_temperature=0.5).windowed_probabilities(sure).tolist() == [1, 0]


def test_windows_that_are_sure_of_impossible_classes_can_be_fitted():
    mean = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert fit_windowed_temperature(mean, np.array([0, 1, 1]), np.arange(3)) >= 1


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.6, -1.2), (1.8, 0.7)])
def test_the_line_of_events_is_found_again(slope, offset):
    random = np.random.default_rng(2)
    log_odds = random.normal(1, 1.5, 20_000)
    right = random.random(20_000) < scipy.special.expit(slope * log_odds + offset)
    probabilities = scipy.special.expit(log_odds)
    found = fit_events(probabilities, right, np.arange(20_000))
    assert found == pytest.approx((slope, offset), abs=0.06)
    oracle = LogisticRegression(C=np.inf).fit(log_odds[:, None], right)  # of so many, no prior is felt
    assert found == pytest.approx((oracle.coef_[0, 0], oracle.intercept_[0]), abs=0.01)
    rule = Decisions(event_slope=found[0], event_offset=found[1])
    fresh = random.normal(1, 1.5, 2_000)
    told = np.array([rule.event_confidence(p) for p in scipy.special.expit(fresh)])
    np.testing.assert_allclose(told, scipy.special.expit(found[0] * fresh + found[1]), rtol=1e-9)
    assert np.array_equal(np.argsort(told), np.argsort(fresh))


def test_the_line_is_the_minimum_of_the_penalised_loss():
    random = np.random.default_rng(3)
    log_odds, right = random.normal(1, 1, 30), random.random(30) < 0.4
    slope, offset = fit_events(scipy.special.expit(log_odds), right, np.arange(30))

    def loss(a: float, b: float) -> float:
        p = scipy.special.expit(np.exp(a) * log_odds + b)
        return float(-np.log(np.where(right, p, 1 - p)).sum() + (a**2 + b**2) / 2)

    best = loss(np.log(slope), offset)
    grid = [loss(a, b) for a in np.linspace(-2, 2, 81) for b in np.linspace(-3, 3, 121)]
    assert best <= min(grid) + 1e-6


def test_events_of_one_recording_have_one_vote():
    random = np.random.default_rng(4)
    probabilities, right = random.uniform(0.5, 0.95, 20), random.random(20) < 0.5
    names = np.arange(20)
    thrice = [np.repeat(values, 3) for values in (probabilities, right, names)]
    assert fit_events(*thrice) == pytest.approx(fit_events(probabilities, right, names), abs=1e-5)
    assert fit_events(thrice[0], thrice[1], np.arange(60)) != pytest.approx(fit_events(*thrice), abs=1e-2)


def test_no_events_change_nothing_and_few_change_little():
    assert fit_events(np.zeros(0), np.zeros(0, bool), np.zeros(0, str)) == (1.0, 0.0)
    slope, offset = fit_events(np.array([0.9]), np.array([False]), np.array(["r"]))
    assert 0.3 < slope < 1 < slope - offset < 2.5
    rule = Decisions()
    assert [rule.event_confidence(p) for p in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]
    assert 0 < Decisions(event_slope=2.0).event_confidence(1.0) <= 1


RULE = Decisions(1.0, 0.5, windowed_temperature=0.5, windowed_unknown_threshold=0.3)
SCORES = np.array([[0.6, 0.4, 0.55], [0.8, 0.2, 0.25], [0.1, 0.9, 0.9]])


def mean_of(scores: np.ndarray, peak: list[float], windowed: bool):
    mean = WindowMean(2, RULE)
    for row, of_window in zip(scores, peak, strict=True):
        mean.add(row[None], np.array([of_window]))
    return mean.answer(windowed)


def test_a_clip_and_a_longer_sound_have_a_threshold_each():
    clip, long = (mean_of(SCORES[1:2], [0.5], windowed) for windowed in (False, True))
    assert (clip.unknown, long.unknown) == (True, True)  # 0.25 is below both
    both = [mean_of(SCORES[:2], [0.5, 0.5], windowed) for windowed in (False, True)]
    assert [answer.known for answer in both] == pytest.approx([0.4, 0.4])
    assert [answer.unknown for answer in both] == [True, False]
    assert both[0].probabilities == pytest.approx([0.7, 0.3])
    assert both[1].probabilities == pytest.approx([0.49 / 0.58, 0.09 / 0.58])


def test_silent_windows_do_not_count_unless_all_are():
    some = mean_of(SCORES, [0.5, SILENCE_PEAK, SILENCE_PEAK * 0.99], windowed=False)
    assert (some.windows, some.silent) == (2, False)
    assert some.probabilities == pytest.approx([0.7, 0.3])
    none = mean_of(SCORES, [0.0, 0.0, 0.0], windowed=False)
    assert (none.windows, none.silent) == (3, True)
    assert none.probabilities == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="no window"):
        WindowMean(2, RULE).answer(windowed=False)


def test_a_doubtful_answer_is_flagged_one_by_one_and_together():
    answers = [(0.7, False, False), (0.59, False, False), (0.9, True, False), (0.9, False, True), (0.6, False, False)]
    expected = [False, True, True, True, False]
    one_by_one = [flag_for_review(*answer, 0.6) for answer in answers]
    assert one_by_one == expected
    assert {type(flagged) for flagged in one_by_one} == {bool}
    assert flag_for_review(*map(np.array, zip(*answers, strict=True)), 0.6).tolist() == expected
    assert (threshold_of({"review_threshold": 0.4, "top": 3}), threshold_of({})) == (0.4, THRESHOLD)


def test_the_temperature_has_the_digits_of_the_card():
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, (300, 3))
    labels = (scipy.special.softmax(logits / 2, axis=1).cumsum(axis=1) > random.random((300, 1))).argmax(axis=1)
    temperature = fit_temperature(logits, labels, np.arange(300))
    assert temperature == round(temperature, 6) != 1


def test_parameters_are_checked():
    assert build(OperatingPointsParams, {"recall": 1.0}).precision == 0.9
    for values in ({"precision": 0.0}, {"recall": 1.2}, {"wanted_recall": 0.9}):
        with pytest.raises(ParamsError):
            build(OperatingPointsParams, values)
