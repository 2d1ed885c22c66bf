"""Intervals: do they hold what they promise, on clips that err together as real slices do?"""

import numpy as np
import pytest
from scipy import stats

from earshot.evaluation.bootstrap import group, paired_accuracy_difference, ratio_interval


def _clustered(random: np.random.Generator, recordings: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """(correct, recording): each recording has its own chance of success, and heavy-tailed counts of clips."""
    clips = np.minimum(1 + random.geometric(0.2, recordings), 30)
    chance = random.beta(0.8 * mean, 0.8 * (1 - mean), recordings)
    recording = np.repeat(np.arange(recordings), clips)
    return random.random(len(recording)) < chance[recording], recording


def test_units_are_recordings_within_classes():
    units = group([1, 0, 1, 1, 0], ["b", "b", "a", "b", "a"], np.array([0, 0, 0, 1, 0]))
    assert units.label.tolist() == [0, 0, 1]
    assert units.clips.tolist() == [2, 2, 1]
    assert units.correct.tolist() == [1, 1, 1]


def test_interval_of_one_class_covers_the_truth_and_an_interval_over_clips_does_not():
    random = np.random.default_rng(0)
    simulations, recall = 200, 0.7
    covered = covered_by_clips = 0
    for seed in range(simulations):
        correct, recording = _clustered(random, recordings=25, mean=recall)
        labels = np.zeros(len(correct), int)
        low, high = ratio_interval(group(correct, recording, labels), resamples=300, seed=seed)
        covered += low <= recall <= high
        low, high = ratio_interval(group(correct, np.arange(len(correct)), labels), resamples=300, seed=seed)
        covered_by_clips += low <= recall <= high
    assert 0.88 <= covered / simulations <= 0.99
    assert covered_by_clips / simulations < 0.75


def test_interval_of_accuracy_covers_the_truth_over_several_classes():
    random = np.random.default_rng(1)
    simulations, recalls, counts = 200, [0.9, 0.7, 0.5, 0.8], [12, 25, 8, 15]
    # Every class has the same distribution of clips per recording, so classes weigh as their recordings do.
    truth = np.average(recalls, weights=counts)
    covered = 0
    for seed in range(simulations):
        parts = [_clustered(random, count, recall) for count, recall in zip(counts, recalls, strict=True)]
        correct = np.concatenate([part[0] for part in parts])
        recording = np.concatenate(
            [part[1] for part in parts]
        )  # the same names in each class: other units all the same
        labels = np.repeat(np.arange(4), [len(part[0]) for part in parts])
        low, high = ratio_interval(group(correct, recording, labels), resamples=300, seed=seed)
        covered += low <= truth <= high
    assert 0.88 <= covered / simulations <= 0.99


def test_single_clips_give_the_binomial_interval():
    correct = np.arange(400) % 4 > 0
    low, high = ratio_interval(group(correct, np.arange(400), np.zeros(400, int)), resamples=4000)
    expected = stats.binomtest(300, 400).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(expected.low, abs=0.008)
    assert high == pytest.approx(expected.high, abs=0.008)


def test_all_right_is_not_certainty():
    recording = np.repeat(np.arange(12), 5)
    labels = np.zeros(60, int)
    exact = stats.binomtest(12, 12).proportion_ci(0.95, method="exact")
    assert ratio_interval(group(np.ones(60), recording, labels)) == pytest.approx((exact.low, 1.0))
    assert ratio_interval(group(np.zeros(60), recording, labels)) == pytest.approx((0.0, 1 - exact.low))


def test_one_recording_for_each_class_still_gives_a_width():
    correct = np.arange(20) % 2 == 0
    low, high = ratio_interval(group(correct, np.arange(20), np.arange(20)))
    assert low < 0.35
    assert high > 0.65
    # One such class beside a larger one: it joins that one, and the interval is that of all eleven.
    alone = ratio_interval(group(correct[:11], np.arange(11), np.array([0] + [1] * 10)))
    assert alone == ratio_interval(group(correct[:11], np.arange(11), np.zeros(11, int)))


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_clips():
    random = np.random.default_rng(2)
    correct, recording = _clustered(random, 30, 0.6)
    labels = recording % 3
    order = random.permutation(len(correct))
    first = ratio_interval(group(correct, recording, labels), seed=5)
    assert first == ratio_interval(group(correct[order], recording[order], labels[order]), seed=5)
    assert first != ratio_interval(group(correct, recording, labels), seed=6)


def test_equals_on_few_recordings_may_still_differ_on_others():
    correct = np.arange(100) % 3 > 0
    labels = np.zeros(100, int)
    exact = stats.binomtest(0, 20).proportion_ci(0.95, method="exact").high
    expected = (0.0, -exact, exact)
    assert paired_accuracy_difference(correct, correct, np.arange(100) // 5, labels) == pytest.approx(expected)
    # One gained and one lost in the same recording: no recording differs.
    swapped = correct.copy()
    swapped[:2] = [True, False]
    assert paired_accuracy_difference(swapped, correct, np.arange(100) // 5, labels) == pytest.approx(expected)
    # The rule of three is the one-sided bound.
    _, _, bound = paired_accuracy_difference(correct, correct, np.arange(100), labels, confidence=0.9)
    assert bound == pytest.approx(3 / 100, rel=0.02)


def test_where_hardly_any_recording_differs_the_interval_still_covers():
    """One recording in thirty differs: of samples of eleven, two in three show none."""
    random = np.random.default_rng(5)
    simulations, covered, none = 400, 0, 0
    for seed in range(simulations):
        recording = np.repeat(np.arange(11), 4)
        helped = (random.random(11) < 1 / 30)[recording]
        b = (random.random(11) < 0.5)[recording] & ~helped
        labels = np.zeros(44, int)
        _, low, high = paired_accuracy_difference(b | helped, b, recording, labels, resamples=200, seed=seed)
        none += not helped.any()
        covered += low <= 1 / 30 <= high
    assert 0.6 < none / simulations < 0.8
    assert covered / simulations > 0.9


def test_paired_difference_is_found_where_two_separate_intervals_overlap():
    random = np.random.default_rng(3)
    b, recording = _clustered(random, 60, 0.6)
    labels = recording % 4
    a = b | (random.random(len(b)) < 0.08)  # never worse, a little better
    difference, low, high = paired_accuracy_difference(a, b, recording, labels, resamples=1000, seed=0)
    assert difference == pytest.approx(a.mean() - b.mean())
    assert 0 < low < difference < high
    assert ratio_interval(group(a, recording, labels))[0] < ratio_interval(group(b, recording, labels))[1]
    backwards = paired_accuracy_difference(b, a, recording, labels, resamples=1000, seed=0)
    assert backwards == pytest.approx((-difference, -high, -low))


def test_paired_difference_covers_the_truth():
    random = np.random.default_rng(4)
    simulations, covered = 200, 0
    for seed in range(simulations):
        b, recording = _clustered(random, 40, 0.5)
        helped = (random.random(40) < 0.3)[recording]  # whole recordings become audible to a
        _, low, high = paired_accuracy_difference(b | helped, b, recording, recording % 2, resamples=300, seed=seed)
        covered += low <= 0.3 * 0.5 <= high
    assert 0.88 <= covered / simulations <= 0.99


def test_paired_difference_refuses_different_clips():
    with pytest.raises(ValueError, match="same clips"):
        paired_accuracy_difference(np.ones(3), np.ones(4), np.arange(3), np.zeros(3, int))
