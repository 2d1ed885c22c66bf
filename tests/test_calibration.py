"""Softmax, temperature and calibration errors against hand-computed values, other libraries and simulations."""

import numpy as np
import pytest
import scipy.special
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from earshot.decisions.fitting.temperature import (
    TEMPERATURES,
    fit_temperature,
    likeliest_temperature,
)
from earshot.evaluation.calibration import (
    Reliability,
    brier_score,
    negative_log_likelihood,
    reliability,
)
from earshot.model.scores import softmax


def test_softmax_agrees_with_scipy_also_where_exponentials_overflow():
    logits = np.random.default_rng(0).normal(0, 5, (50, 7)).astype(np.float32)
    logits[3] = [1e4, -1e4, 0, 5, 9_999, 1, 2]
    for temperature in (0.3, 1.0, 4.0):
        expected = scipy.special.softmax(logits.astype(np.float64) / temperature, axis=1)
        np.testing.assert_allclose(softmax(logits, temperature), expected, rtol=1e-12, atol=1e-300)


def test_softmax_of_a_row_has_the_same_bits_alone_in_a_batch_and_in_any_layout():
    logits = np.random.default_rng(1).normal(0, 3, (33, 50)).astype(np.float32)
    batch = softmax(np.asfortranarray(logits))
    for row, probabilities in zip(logits, batch, strict=True):
        assert softmax(row).tobytes() == probabilities.tobytes()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_softmax_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        softmax(np.zeros(3), temperature)


def drawn(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Labels for which `logits` are calibrated as they are."""
    return (softmax(logits).cumsum(axis=1) > random.random((len(logits), 1))).argmax(axis=1)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_temperature_of_logits_scaled_by_a_known_factor_is_that_factor(factor):
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, (40_000, 6))
    labels = drawn(logits, random)
    assert likeliest_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.03)
    assert fit_temperature(logits * factor, labels, np.arange(40_000)) == pytest.approx(factor, rel=0.03)


def test_the_likeliest_temperature_is_the_minimum_of_the_loss():
    random = np.random.default_rng(3)
    logits, labels = random.normal(0, 3, (200, 4)), random.integers(0, 4, 200)
    logits[np.arange(200), labels] += 2.5
    best = likeliest_temperature(logits, labels)
    grid = np.geomspace(0.5, 4, 800)
    losses = [log_loss(labels, softmax(logits, t), labels=range(4)) for t in grid]
    assert best == pytest.approx(grid[int(np.argmin(losses))], rel=3e-3)


def test_the_likeliest_temperature_stops_at_its_limits_where_no_minimum_exists():
    labels = np.array([0, 1, 2])
    assert likeliest_temperature(np.eye(3), labels) == TEMPERATURES[0]
    assert likeliest_temperature(-np.eye(3), labels) == TEMPERATURES[1]


def of_recordings(
    recordings: int, clips: int, random: np.random.Generator, factor: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and names of recordings whose clips are alike: right or wrong together."""
    logits = random.normal(0, 2, (recordings, 5))
    labels = drawn(logits, random)
    near = np.repeat(logits, clips, axis=0) + random.normal(0, 0.1, (recordings * clips, 5))
    return factor * near, np.repeat(labels, clips), np.repeat(np.arange(recordings), clips)


def test_the_temperature_is_shrunk_by_what_other_draws_of_recordings_would_give():
    """The variance behind it against a bootstrap of whole recordings."""
    random = np.random.default_rng(4)
    logits, labels, recordings = of_recordings(150, 8, random, factor=2.0)
    likeliest = np.log(likeliest_temperature(logits, labels))
    shrunk = np.log(fit_temperature(logits, labels, recordings))
    deviation = np.sqrt((1 - shrunk / likeliest) * likeliest**2)
    again = []
    for _ in range(400):
        rows = (8 * random.integers(0, 150, 150)[:, None] + np.arange(8)).ravel()
        again.append(np.log(likeliest_temperature(logits[rows], labels[rows])))
    assert deviation == pytest.approx(np.std(again), rel=0.2)
    assert 0 < shrunk < likeliest


def test_more_clips_of_the_same_recordings_carry_no_more():
    logits, labels, recordings = of_recordings(60, 1, np.random.default_rng(5), factor=2.0)
    thrice = [np.repeat(values, 3, axis=0) for values in (logits, labels, recordings)]
    assert fit_temperature(*thrice) == pytest.approx(fit_temperature(logits, labels, recordings), rel=1e-6)
    of_their_own = fit_temperature(thrice[0], thrice[1], np.arange(180))
    assert of_their_own > fit_temperature(*thrice)


def test_few_recordings_are_better_calibrated_so_than_by_their_likeliest_temperature():
    random = np.random.default_rng(6)
    loss = {"likeliest": [], "shrunk": []}
    for _ in range(200):
        logits, labels, recordings = of_recordings(30, 10, random)
        others, other_labels, _ = of_recordings(200, 1, random)
        for name, temperature in (
            ("likeliest", likeliest_temperature(logits, labels)),
            ("shrunk", fit_temperature(logits, labels, recordings)),
        ):
            loss[name].append(negative_log_likelihood(softmax(others, temperature), other_labels))
    assert np.mean(loss["shrunk"]) < np.mean(loss["likeliest"])


def test_where_recordings_cannot_tell_the_temperature_is_one():
    random = np.random.default_rng(7)
    logits, labels, _ = of_recordings(1, 40, random, factor=3.0)
    assert fit_temperature(logits, labels, np.zeros(40)) == 1
    right = np.eye(3)[np.arange(30) % 3]  # no error says how sure such answers may be
    assert fit_temperature(np.zeros((30, 3)), np.arange(30) % 3, np.arange(30)) == 1
    assert fit_temperature(right, np.arange(30) % 3, np.arange(30)) == 1


def test_nll_and_brier_agree_with_scikit_learn():
    random = np.random.default_rng(4)
    probabilities, labels = softmax(random.normal(0, 2, (100, 5))), random.integers(0, 5, 100)
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(log_loss(labels, probabilities))
    assert brier_score(probabilities, labels) == pytest.approx(
        brier_score_loss(labels, probabilities, labels=range(5), scale_by_half=False)
    )


def test_ece_computed_by_hand():
    confidence = np.array([0.5, 0.5, 0.6, 0.6, 0.9, 0.9, 0.9, 1.0])
    correct = np.array([True, False, False, False, True, True, False, True])
    bins = reliability(confidence, correct, bins=2)
    np.testing.assert_array_equal(bins.clips, [4, 4])
    np.testing.assert_allclose(bins.confidence, [0.55, 0.925])
    np.testing.assert_allclose(bins.accuracy, [0.25, 0.75])
    assert bins.ece == pytest.approx(0.5 * 0.30 + 0.5 * 0.175)


def test_bins_agree_with_scikit_learns_calibration_curve():
    random = np.random.default_rng(5)
    confidence = random.beta(4, 2, 1000)
    correct = random.random(1000) < confidence**2
    bins = reliability(confidence, correct, bins=10)
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(bins.accuracy, accuracy)
    np.testing.assert_allclose(bins.confidence, mean_confidence)


def test_equal_confidences_share_a_bin_whatever_their_order():
    confidence = np.array([0.7] * 30 + [0.8] * 30)
    correct = np.arange(60) % 3 > 0
    forwards, backwards = reliability(confidence, correct), reliability(confidence[::-1], correct[::-1])
    assert forwards.clips.tolist() == [30, 30]
    assert forwards.ece == pytest.approx(backwards.ece)
    assert reliability(np.array([1.0]), np.array([True])).ece == 0


def _simulate(clips: int, overconfidence: float, slices: int, seed: int) -> list[Reliability]:
    """150 data sets in which `slices` clips of a recording err together."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(150):
        recordings = np.repeat(np.arange(clips // slices), slices)
        confidence = 0.35 + 0.6 * random.random(clips // slices)[recordings]
        confidence = np.clip(confidence + random.normal(0, 0.03, len(recordings)), 0.3, 0.98)
        luck, shared = random.random(len(recordings)), random.random(clips // slices)[recordings]
        luck = np.where(random.random(len(recordings)) < 0.6, shared, luck) if slices > 1 else luck
        found.append(reliability(confidence, luck < confidence - overconfidence, recordings, draws=300))
    return found


@pytest.mark.parametrize("slices", [1, 6])
def test_a_calibrated_model_shows_what_one_would_show(slices):
    """Other draws than those of the figure: data sets of a calibrated model, whose clips err together."""
    found = _simulate(600, 0.0, slices, seed=6)
    measured = np.array([bins.ece for bins in found])
    assert measured.mean() > 0.035  # the plain figure would call a perfect model miscalibrated
    assert np.mean([bins.ece_if_calibrated for bins in found]) == pytest.approx(measured.mean(), rel=0.06)
    inside = [bins.ece_if_calibrated_low <= bins.ece <= bins.ece_if_calibrated_high for bins in found]
    assert 0.89 <= np.mean(inside) <= 0.99
    of_bins = [
        (bins.accuracy_if_calibrated[0] <= bins.accuracy) & (bins.accuracy <= bins.accuracy_if_calibrated[1])
        for bins in found
    ]
    assert 0.9 <= np.mean(of_bins) <= 0.99


@pytest.mark.parametrize("slices", [1, 6])
def test_a_model_that_is_too_sure_shows_more(slices):
    found = _simulate(600, 0.15, slices, seed=7)
    assert np.mean([bins.ece > bins.ece_if_calibrated_high for bins in found]) > 0.9
    assert np.mean([bins.ece for bins in found]) == pytest.approx(0.15, abs=0.025)


def test_of_one_bin_the_interval_is_the_binomial_one():
    """One confidence, clips that stand alone: the share of correct ones is binomial."""
    bins = reliability(np.full(400, 0.7), np.arange(400) % 10 < 7, draws=20_000)
    expected = stats.binom(400, 0.7).interval(0.95)
    np.testing.assert_allclose(bins.accuracy_if_calibrated[:, 0] * 400, expected, atol=1.5)
    mean_distance = stats.binom(400, 0.7).expect(lambda k: np.abs(k / 400 - 0.7))
    assert bins.ece_if_calibrated == pytest.approx(mean_distance, rel=0.03)


def test_clips_that_err_together_raise_what_a_calibrated_model_shows():
    random = np.random.default_rng(8)
    recordings = np.repeat(np.arange(50), 10)
    confidence = random.uniform(0.5, 0.9, 50)[recordings]
    correct = random.random(50)[recordings] < 0.7
    together, alone = reliability(confidence, correct, recordings), reliability(confidence, correct)
    assert together.ece_if_calibrated > 1.5 * alone.ece_if_calibrated
    assert together.ece == alone.ece


def test_the_same_seed_gives_the_same_figure():
    confidence, correct = np.linspace(0.3, 0.9, 80), np.arange(80) % 3 > 0
    assert reliability(confidence, correct).ece_if_calibrated == reliability(confidence, correct).ece_if_calibrated
    others = reliability(confidence, correct, seed=1)
    assert reliability(confidence, correct).ece_if_calibrated != others.ece_if_calibrated


def test_mismatched_arrays_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        reliability(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="shapes"):
        fit_temperature(np.zeros((3, 2)), np.zeros(4, int), np.zeros(3))
    with pytest.raises(ValueError, match="shapes"):
        fit_temperature(np.zeros((3, 2)), np.zeros(3, int), np.zeros(4))
