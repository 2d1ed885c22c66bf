"""Confidence, review thresholds and operating points of the deployed file: scikit-learn and counting as oracles."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, precision_recall_curve, roc_auc_score

from earshot.core.errors import EarshotError
from earshot.evaluation import answers, confidence, operating_points
from earshot.evaluation.answers import Answers
from earshot.evaluation.plots import plot_operating_points

CLASSES = ("dog", "siren", "drill")


def heard(seed: int, clips: int = 400, recordings: int = 60, temperature: float = 1.6) -> Answers:
    """Answers that are right for the most part, more so where they are sure."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(CLASSES), clips)
    logits = random.normal(0, 1.5, (clips, len(CLASSES)))
    logits[np.arange(clips), labels] += 2
    names = np.array([f"{CLASSES[label]}{random.integers(recordings // 3)}" for label in labels])
    return Answers(logits.astype(np.float32), temperature, labels, names)


def test_the_figures_are_those_of_the_calibrated_probabilities():
    of_test = heard(0)
    found = confidence.figures(of_test, bins=10)
    scaled = np.exp(of_test.logits.astype(np.float64) / of_test.temperature)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    right = probabilities.argmax(axis=1) == of_test.labels
    assert found["nll"] == pytest.approx(log_loss(of_test.labels, probabilities), abs=1e-6)
    assert found["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["correctness_auroc"] == pytest.approx(roc_auc_score(right, probabilities.max(axis=1)), abs=1e-6)
    truth = np.eye(len(CLASSES))[of_test.labels]
    assert found["brier"] == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean(), abs=1e-6)
    assert found["nll_uncalibrated"] != found["nll"]
    assert 0 <= found["ece_corrected"] <= found["ece"]


def test_a_review_threshold_says_what_it_flags_and_what_that_holds():
    of_test = heard(1)
    rows = confidence.review_rows(of_test)
    sure, named = of_test.probabilities.max(axis=1), of_test.probabilities.argmax(axis=1)
    row = next(row for row in rows if row["threshold"] == 0.6)
    flagged, wrong = sure < 0.6, named != of_test.labels
    assert row["flagged"] == pytest.approx(flagged.sum() / len(flagged), abs=1e-6)
    assert row["errors_flagged"] == pytest.approx((flagged & wrong).sum() / wrong.sum(), abs=1e-6)
    assert row["accuracy_of_passed"] == pytest.approx(1 - (wrong & ~flagged).sum() / (~flagged).sum(), abs=1e-6)
    assert [row["flagged"] for row in rows] == sorted(row["flagged"] for row in rows)
    said = confidence.summary(confidence.figures(of_test, 10), rows)
    assert f"flags {row['flagged']:.0%} of clips, holding {row['errors_flagged']:.0%} of the errors" in said


def test_reliability_of_a_class_is_of_the_answers_that_named_it():
    of_test = heard(2)
    named = of_test.probabilities.argmax(axis=1)
    for number, row in enumerate(confidence.reliability_rows(of_test, CLASSES)):
        assert row["answers"] == (named == number).sum()
        assert row["right"] == pytest.approx((of_test.labels[named == number] == number).mean(), abs=1e-6)
    never = Answers(np.array([[3.0, 0, 0]], np.float32), 1.0, np.array([0]), np.array(["a"]))
    assert confidence.reliability_rows(never, CLASSES)[2]["right"] is None


def test_the_curve_is_scikit_learns():
    random = np.random.default_rng(3)
    scores = np.round(random.random(200), 2)  # with ties
    positive = random.random(200) < scores
    made = operating_points.curve(scores, positive)
    precision, recall, thresholds = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(made.threshold, thresholds)
    np.testing.assert_allclose(made.precision, precision[:-1])
    np.testing.assert_allclose(made.recall, recall[:-1])


def test_thresholds_reach_what_is_wanted_on_validation_and_no_more_than_needed():
    val, of_test = heard(4), heard(5)
    rows = operating_points.rows(val, of_test, CLASSES, precision=0.9, recall=0.8)
    assert [(row["class"], row["wanted"]) for row in rows] == [(c, w) for c in CLASSES for w in ("precision", "recall")]
    for row in rows:
        number = CLASSES.index(row["class"])
        assert row["note"] == ""
        assert row[f"val_{row['wanted']}"] >= row["value"]
        for part, of_part in (("val", val), ("test", of_test)):
            shown, positive = of_part.probabilities[:, number] >= row["threshold"], of_part.labels == number
            assert row[f"{part}_precision"] == pytest.approx((shown & positive).sum() / shown.sum(), abs=1e-6)
            assert row[f"{part}_recall"] == pytest.approx((shown & positive).sum() / positive.sum(), abs=1e-6)
        scores, positive = val.probabilities[:, number], val.labels == number
        others = sorted(set(scores.tolist()))
        if row["wanted"] == "recall":  # the next higher score would find too few
            higher = next(score for score in others if score > row["threshold"] + 1e-5)
            assert (scores[positive] >= higher).mean() < row["value"]
        else:  # every lower score shows too many that are wrong
            lower = [score for score in others if score < row["threshold"] - 1e-5]
            assert all(positive[scores >= score].mean() < row["value"] for score in lower)


def test_a_class_of_few_recordings_leans_on_the_others_and_says_so():
    val = heard(6)
    few = Answers(val.logits, val.temperature, val.labels, np.where(val.labels == 1, "siren0", val.recordings))
    rows = {(r["class"], r["wanted"]): r for r in operating_points.rows(few, heard(7), CLASSES, 0.9, 0.8)}
    own = {(r["class"], r["wanted"]): r for r in operating_points.rows(val, heard(7), CLASSES, 0.9, 0.8)}
    assert (rows["siren", "recall"]["note"], rows["siren", "recall"]["val_recordings"]) == ("insufficient", 1)
    assert rows["dog", "recall"] == own["dog", "recall"]
    scores = val.probabilities.ravel()
    positive = (val.labels[:, None] == np.arange(3)).ravel()
    _, recall, thresholds = precision_recall_curve(positive, scores)
    common = thresholds[recall[:-1] >= 0.8].max()
    expected = own["siren", "recall"]["threshold"] / 8 + common * 7 / 8
    assert rows["siren", "recall"]["threshold"] == pytest.approx(expected, abs=2e-6)


def test_a_precision_that_cannot_be_had_is_said_to_be_none():
    logits = np.tile(np.array([[2.0, 0, 0]], np.float32), (40, 1))
    labels = np.arange(40) % 2
    names = np.array([f"{label}-{i}" for i, label in enumerate(labels)])
    flat = Answers(logits, 1.0, labels, names)
    row = operating_points.rows(flat, flat, CLASSES, precision=0.9, recall=0.8)[0]
    assert (row["note"], row["threshold"], row["test_precision"]) == ("none", None, None)


def test_answers_come_back_as_they_were_and_equal_ones_are_equal_bytes(tmp_path):
    kept = {"val": heard(8), "test": heard(9, clips=50)}
    for name in ("a.npz", "b.npz"):
        answers.save(kept, CLASSES, tmp_path / name)
    loaded, classes = answers.load(tmp_path / "a.npz")
    assert classes == CLASSES
    for part in kept:
        np.testing.assert_array_equal(loaded[part].probabilities, kept[part].probabilities)
        np.testing.assert_array_equal(loaded[part].recordings, kept[part].recordings)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(EarshotError, match=r"absent\.npz not found: run `dvc repro quantize`"):
        answers.load(tmp_path / "absent.npz")


def test_the_picture_holds_a_class_without_clips_too(tmp_path):
    of_test = heard(10)
    curves = operating_points.curves(of_test, (*CLASSES[:2], "drill"))
    curves["glass"] = None
    rows = operating_points.rows(heard(11), of_test, CLASSES, 0.9, 0.8)
    plot_operating_points(curves, rows, tmp_path / "points.png")
    assert (tmp_path / "points.png").read_bytes()[:4] == b"\x89PNG"
