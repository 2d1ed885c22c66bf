"""Everything an evaluation reports, against scikit-learn, hand-computed cases and the promises of its files."""

import json

import numpy as np
import pytest
from sklearn import metrics as oracle

from earshot.core.files import write_csv, write_json
from earshot.evaluation import report
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.metrics import EvaluationError, class_indices, evaluate
from earshot.evaluation.summary import lowest_recall, summary, top_confusions, worst_class
from earshot.model.scores import softmax

QUICK = EvaluationParams(bootstrap_resamples=200)
SPLIT = {"strategy": "folds", "test_folds": [10], "test_clips_of_known_recordings": 0}


def _random_case(classes: int, clips: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probabilities, labels, recordings) of a fair classifier; every class occurs, in more than ten recordings."""
    random = np.random.default_rng(seed)
    labels = np.arange(clips) % classes
    logits = random.normal(0, 1.5, (clips, classes))
    logits[np.arange(clips), labels] += 2.5
    recordings = np.char.add("r", (np.arange(clips) // classes // 3).astype(str))
    return softmax(logits), labels, recordings


def _by_hand(predicted: list[int], labels: list[int], recordings: str, classes: str, salience=None):
    probabilities = np.full((len(labels), len(classes)), 0.1)
    probabilities[np.arange(len(labels)), predicted] = 1 - 0.1 * (len(classes) - 1)
    return evaluate(probabilities, np.array(labels), list(recordings), salience, list(classes), QUICK)


@pytest.mark.parametrize(("classes", "clips"), [(2, 120), (10, 700), (50, 2000)])
def test_figures_agree_with_scikit_learn(classes, clips):
    probabilities, labels, recordings = _random_case(classes, clips)
    names = [f"class {i}" for i in range(classes)]
    result = evaluate(probabilities, labels, recordings, None, names, QUICK)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(labels, predicted, zero_division=np.nan)
    assert result.accuracy == pytest.approx(oracle.accuracy_score(labels, predicted))
    assert result.balanced_accuracy == pytest.approx(oracle.balanced_accuracy_score(labels, predicted))
    assert result.macro_f1 == pytest.approx(oracle.f1_score(labels, predicted, average="macro"))
    np.testing.assert_array_equal(result.confusion, oracle.confusion_matrix(labels, predicted))
    np.testing.assert_allclose([r.recall for r in result.per_class], recall)
    np.testing.assert_allclose([r.f1 for r in result.per_class], f1)
    np.testing.assert_allclose([r.precision for r in result.per_class], precision)
    assert [r.support for r in result.per_class] == support.tolist()
    assert result.nll == pytest.approx(oracle.log_loss(labels, probabilities))
    assert result.interval[0] < result.accuracy < result.interval[1]
    for one in result.per_class:
        assert one.interval[0] <= one.recall <= one.interval[1]


def test_recall_over_recordings_gives_each_recording_one_vote():
    result = _by_hand([0, 0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1, 1], "aaaabbcc", "xy")
    x, y = result.per_class
    assert x.recall == pytest.approx(4 / 5)
    assert x.recall_over_recordings == pytest.approx((4 / 4 + 0 / 1) / 2)
    assert y.recall == pytest.approx(2 / 3)
    assert y.recall_over_recordings == pytest.approx((1 / 1 + 1 / 2) / 2)  # recording b holds both classes
    assert result.recall_over_recordings == pytest.approx((0.5 + 0.75) / 2)
    assert result.recordings == 3


def test_a_class_without_clips_is_named_and_not_counted():
    result = _by_hand([0, 1, 1, 2], [0, 0, 1, 1], "abcd", "xyz")
    z = result.per_class[2]
    assert (z.recall, z.f1, z.recall_over_recordings, z.interval_note) == (None, None, None, "no clips")
    assert z.precision == 0  # one clip was wrongly given to it
    assert result.balanced_accuracy == pytest.approx(0.5)
    assert result.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    written = report.headline(result, "folder", SPLIT)
    assert written["classes_without_clips"] == ["z"]
    assert "no clips to judge these classes by: z" in summary(result)
    assert report.per_class_recall(result, "folder") == {"dataset": "folder", "recall": {"x": 0.5, "y": 0.5, "z": None}}


def test_a_class_never_predicted_has_no_precision_rather_than_zero():
    result = _by_hand([0, 0, 0], [0, 0, 1], "abc", "xy")
    assert result.per_class[1].precision is None
    assert result.per_class[1].f1 == 0


def test_few_recordings_get_words_instead_of_an_interval():
    labels = np.repeat([0, 1], [30, 30])
    recordings = np.concatenate([np.arange(30) % 10, 100 + np.arange(30) % 9])
    probabilities = softmax(np.random.default_rng(1).normal(0, 1, (60, 2)))
    result = evaluate(probabilities, labels, recordings, None, ["ten", "nine"], QUICK)
    assert [r.interval_note for r in result.per_class] == ["", "too few"]
    rows = report.per_class_rows(result)
    assert rows[0]["recall_low"] < rows[0]["recall"] < rows[0]["recall_high"]
    assert (rows[1]["recall_low"], rows[1]["recall_high"], rows[1]["interval"]) == (None, None, "too few")
    stricter = EvaluationParams(bootstrap_resamples=200, min_recordings=20)
    assert evaluate(probabilities, labels, recordings, None, ["ten", "nine"], stricter).interval is None


def test_foreground_and_background_apart_where_known():
    salience = np.array([1, 1, 2, np.nan, 2])
    result = _by_hand([0, 1, 1, 1, 0], [0, 0, 1, 1, 1], "abcde", "xy", salience)
    assert result.accuracy_foreground == pytest.approx(1 / 2)
    assert result.accuracy_background == pytest.approx(1 / 2)
    unknown = _by_hand([0, 1], [0, 0], "ab", "xy", np.full(2, np.nan))
    assert (unknown.accuracy_foreground, unknown.accuracy_background) == (None, None)


def test_correctness_auroc_by_hand_and_absent_where_nothing_is_wrong():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    result = evaluate(probabilities, np.array([0, 1, 0, 0]), list("abcd"), None, ["x", "y"], QUICK)
    assert result.correctness_auroc == 1.0  # 0.9 and 0.8 are right, 0.6 and 0.7 wrong
    assert _by_hand([0, 1], [0, 1], "ab", "xy").correctness_auroc is None


def test_confusions_in_words_most_clips_first():
    confusion = np.array([[10, 7, 0], [2, 5, 2], [0, 0, 0]])
    pairs = top_confusions(confusion, ("siren", "car_horn", "dog"), most=2)
    assert [str(pair) for pair in pairs] == [
        "siren predicted as car_horn, 7 of 17",
        "car_horn predicted as siren, 2 of 9",
    ]


def test_the_class_of_the_lowest_recall_is_named_with_its_figures():
    labels = np.repeat([0, 1, 2], [40, 40, 6])
    predicted = labels.copy()
    predicted[:10] = 1
    predicted[40:60] = 0
    predicted[80:84] = 0
    recordings = np.concatenate([np.arange(80) // 2, [100, 100, 100, 101, 101, 101]])
    probabilities = np.eye(3)[predicted] * 0.7 + 0.1
    names = ["siren", "car_horn", "gun_shot"]
    result = evaluate(probabilities, labels, recordings, None, names, QUICK)
    assert worst_class(result).name == "gun_shot"
    assert lowest_recall(result) == [
        "gun_shot has the lowest recall: 2 of its 6 clips are classified correctly (33.3 %), "
        "most often predicted as siren (4 clips).",
        "It has only 2 recordings: too few for an interval.",
    ]
    without = evaluate(probabilities[:80], labels[:80], recordings[:80], None, names, QUICK)
    low, high = without.per_class[1].interval
    assert f"(50.0 %, {100 * low:.1f} % to {100 * high:.1f} %)" in lowest_recall(without)[0]
    perfect = evaluate(np.eye(3)[labels], labels, recordings, None, names, QUICK)
    assert lowest_recall(perfect) == ["All 86 clips are classified correctly."]


def test_a_class_that_swallows_others_is_said_to_do_so():
    swallowing = _by_hand([0, 1, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1, 1], "abcdefgh", "xy")
    assert worst_class(swallowing).name == "x"
    assert "3 clips of other classes are predicted as it." in lowest_recall(swallowing)


def test_files_hold_what_other_tools_rely_on(tmp_path):
    probabilities, labels, recordings = _random_case(4, 240)
    names = ["a", "b", "c", "d, with comma"]
    result = evaluate(probabilities, labels, recordings, None, names, QUICK, seed=3)
    written = report.headline(result, "synthetic", SPLIT, most_confusions=3)
    write_json(tmp_path / "evaluation.json", written)
    loaded = json.loads((tmp_path / "evaluation.json").read_text())
    relied_on = "accuracy accuracy_ci_low accuracy_ci_high balanced_accuracy macro_f1 ece worst_class "
    relied_on += "worst_class_recall test_clips test_recordings split dataset"
    for key in relied_on.split():
        assert loaded[key] is not None, key
    assert loaded["split"] == "folds"
    assert loaded["test_folds"] == [10]
    # Sentences are lists: `dvc metrics` would make a column of a text, and leaves lists out.
    assert not any(isinstance(value, str) and len(value) > 20 for value in loaded.values())
    assert loaded["accuracy"] == round(oracle.accuracy_score(labels, probabilities.argmax(axis=1)), 6)
    assert len(loaded["top_confusions"]) == 3
    write_csv(tmp_path / "per_class.csv", report.per_class_rows(result), report.PER_CLASS_COLUMNS)
    write_csv(tmp_path / "confusion.csv", report.confusion_rows(result), report.CONFUSION_COLUMNS)
    assert len((tmp_path / "confusion.csv").read_text().splitlines()) == 241
    assert sum(row["actual"] == row["predicted"] for row in report.confusion_rows(result)) == np.trace(result.confusion)


def test_the_same_seed_gives_the_same_report_and_clip_order_does_not_matter():
    probabilities, labels, recordings = _random_case(5, 300)
    names = list("abcde")
    order = np.random.default_rng(9).permutation(300)
    first = evaluate(probabilities, labels, recordings, None, names, QUICK, seed=1)
    second = evaluate(probabilities[order], labels[order], recordings[order], None, names, QUICK, seed=1)
    assert report.headline(first, "x", SPLIT) == report.headline(second, "x", SPLIT)
    assert report.per_class_rows(first) == report.per_class_rows(second)


def test_shuffled_labels_fall_to_chance():
    probabilities, labels, recordings = _random_case(10, 3000)
    shuffled = np.random.default_rng(2).permutation(labels)
    assert evaluate(probabilities, labels, recordings, None, list("abcdefghij"), QUICK).accuracy > 0.5
    assert evaluate(probabilities, shuffled, recordings, None, list("abcdefghij"), QUICK).accuracy < 0.13


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "no clips"),
        (np.full((3, 2), 0.5), np.zeros(2, int), "do not fit"),
        (np.full((2, 3), 1 / 3), np.zeros(2, int), "do not fit"),
        (np.full((2, 2), 0.5), np.array([0, 2]), "from 0 to 1"),
        (np.full((2, 2), 3.0), np.zeros(2, int), "softmax"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), np.zeros(2, int), "softmax"),
        (np.full((2, 2), np.nan), np.zeros(2, int), "softmax"),
    ],
)
def test_what_does_not_belong_together_is_refused(probabilities, labels, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(probabilities, labels, ["r"] * len(labels), None, ["x", "y"], QUICK)


def test_labels_become_positions_and_an_unknown_class_is_named():
    assert class_indices(["b", "a", "b"], ("a", "b")).tolist() == [1, 0, 1]
    with pytest.raises(EvaluationError, match="'whistle'"):
        class_indices(["b", "whistle"], ("a", "b"))


@pytest.mark.parametrize("values", [{"confidence": 1.0}, {"bootstrap_resamples": 5}, {"calibration_bins": 1}])
def test_parameters_out_of_range_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        EvaluationParams(**values)
