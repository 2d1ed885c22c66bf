"""Confidence, review thresholds and operating points of the deployed file: scikit-learn and counting as oracles."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.special
from sklearn.metrics import log_loss, precision_recall_curve, roc_auc_score

from answered import answered
from earshot.core.errors import EarshotError
from earshot.decisions.decisions import Decisions
from earshot.decisions.fitting.operating_points import curve, fit_operating_points
from earshot.evaluation import answers, confidence, operating_points
from earshot.evaluation.answers import Answers
from earshot.evaluation.events import Events
from earshot.evaluation.plots import plot_operating_points

CLASSES = ("dog", "siren", "drill")


def heard(seed: int, clips: int = 400, recordings: int = 60, temperature: float = 1.6) -> Answers:
    """Answers that are right for the most part, more so where they are sure."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(CLASSES), clips)
    logits = random.normal(0, 1.5, (clips, len(CLASSES)))
    logits[np.arange(clips), labels] += 2
    names = np.array([f"{CLASSES[label]}{random.integers(recordings // 3)}" for label in labels])
    return answered(logits.astype(np.float32), labels, names, temperature)


def test_the_figures_are_those_of_the_calibrated_probabilities():
    of_test = heard(0)
    found = confidence.figures(of_test, bins=10)
    scaled = np.exp(of_test.logits.astype(np.float64) / of_test.decisions.temperature)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    right = probabilities.argmax(axis=1) == of_test.labels
    assert found["nll"] == pytest.approx(log_loss(of_test.labels, probabilities), abs=1e-6)
    assert found["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert found["correctness_auroc"] == pytest.approx(roc_auc_score(right, probabilities.max(axis=1)), abs=1e-6)
    truth = np.eye(len(CLASSES))[of_test.labels]
    assert found["brier"] == pytest.approx(((probabilities - truth) ** 2).sum(axis=1).mean(), abs=1e-6)
    assert found["nll_uncalibrated"] != found["nll"]
    assert found["ece_if_calibrated_low"] < found["ece_if_calibrated"] < found["ece_if_calibrated_high"]


def test_a_review_threshold_says_what_the_service_would_flag_and_what_that_holds():
    """Unknown and silence included, and at the service's threshold, whatever it is."""
    plain = heard(1)
    random = np.random.default_rng(1)
    background = random.normal(0, 2, (len(plain), 1))
    peak = np.where(np.arange(len(plain)) % 9 == 0, 1e-4, 0.5)
    of_test = answered(plain.logits, plain.labels, plain.recordings, 1.6, background, unknown_threshold=0.35, peak=peak)
    rows = confidence.review_rows(of_test, threshold=0.55)
    assert [row["threshold"] for row in rows if row["configured"]] == [0.55]
    wrong = of_test.predicted != of_test.labels
    for row in rows:
        flagged = np.array(
            [
                answer.silent or answer.unknown or answer.probabilities.max() < row["threshold"]
                for answer in of_test.served
            ]
        )
        assert row["flagged"] == pytest.approx(flagged.sum() / len(flagged), abs=1e-6)
        assert row["errors_flagged"] == pytest.approx((flagged & wrong).sum() / wrong.sum(), abs=1e-6)
        assert row["accuracy_of_passed"] == pytest.approx(1 - (wrong & ~flagged).sum() / (~flagged).sum(), abs=1e-6)
    assert [row["flagged"] for row in rows] == sorted(row["flagged"] for row in rows)
    unsure = of_test.probabilities.max(axis=1) < 0.55
    assert (of_test.unknown & ~unsure).any()  # by confidence alone these would pass
    assert (of_test.silent & ~unsure).any()
    row = next(row for row in rows if row["configured"])
    said = confidence.summary(confidence.figures(of_test, 10), rows)
    assert f"of 0.55 flags {row['flagged']:.0%} of clips, with {row['errors_flagged']:.0%} of the errors" in said


def test_reliability_of_a_class_is_of_the_answers_that_named_it():
    of_test = heard(2)
    named = of_test.probabilities.argmax(axis=1)
    for number, row in enumerate(confidence.reliability_rows(of_test, CLASSES)):
        assert row["answers"] == (named == number).sum()
        assert row["right"] == pytest.approx((of_test.labels[named == number] == number).mean(), abs=1e-6)
    never = answered(np.array([[3.0, 0, 0]], np.float32), np.array([0]), np.array(["a"]))
    assert confidence.reliability_rows(never, CLASSES)[2]["right"] is None


def test_the_curve_is_scikit_learns():
    random = np.random.default_rng(3)
    scores = np.round(random.random(200), 2)  # with ties
    positive = random.random(200) < scores
    made = curve(scores, positive)
    precision, recall, thresholds = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(made.threshold, thresholds)
    np.testing.assert_allclose(made.precision, precision[:-1])
    np.testing.assert_allclose(made.recall, recall[:-1])


def points(val: Answers, test: Answers, precision: float, recall: float) -> list[dict]:
    wanted = {"precision": precision, "recall": recall}
    chosen = fit_operating_points(val.probabilities, val.labels, val.recordings, CLASSES, wanted)
    return operating_points.rows(chosen, wanted, val, test, CLASSES)


def test_thresholds_reach_what_is_wanted_on_validation_and_no_more_than_needed():
    val, of_test = heard(4), heard(5)
    rows = points(val, of_test, precision=0.9, recall=0.8)
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
    few = replace(val, recordings=np.where(val.labels == 1, "siren0", val.recordings))
    rows = {(r["class"], r["wanted"]): r for r in points(few, heard(7), 0.9, 0.8)}
    own = {(r["class"], r["wanted"]): r for r in points(val, heard(7), 0.9, 0.8)}
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
    flat = answered(logits, labels, names)
    row = points(flat, flat, precision=0.9, recall=0.8)[0]
    assert (row["note"], row["threshold"], row["test_precision"]) == ("none", None, None)


def test_answers_and_events_come_back_as_they_were_and_equal_ones_are_equal_bytes(tmp_path):
    val, of_test = heard(8), heard(9, clips=50)
    background = np.random.default_rng(0).normal(0, 1, (50, 1)).astype(np.float32)
    kept = {"val": val, "test_long": replace(of_test, background_logits=background, windowed=np.ones(50, bool))}
    events = {"val": found(40)}
    for name in ("a.npz", "b.npz"):
        answers.save(kept, CLASSES, tmp_path / name, events)
    loaded, loaded_events, classes = answers.load(tmp_path / "a.npz")
    assert classes == CLASSES
    assert set(loaded) == set(kept)
    for part in kept:
        np.testing.assert_array_equal(loaded[part].probabilities, kept[part].probabilities)
        np.testing.assert_array_equal(loaded[part].known, kept[part].known)
        np.testing.assert_array_equal(loaded[part].recordings, kept[part].recordings)
        assert loaded[part].decisions == kept[part].decisions
    for name, values in vars(events["val"]).items():
        np.testing.assert_array_equal(getattr(loaded_events["val"], name), values)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(EarshotError, match=r"absent\.npz not found: run `dvc repro quantize`"):
        answers.load(tmp_path / "absent.npz")


def found(count: int, seed: int = 0) -> Events:
    """Events that are right less often than they say."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 0.99, count)
    right = random.random(count) < confidence**3
    onset_s = random.uniform(0, 9, count)
    names = np.array([f"r{i % 12}" for i in range(count)])
    numbers = np.arange(count) % 3
    return Events(confidence, right, numbers, np.arange(count) // 3, names, onset_s, onset_s + 1)


def test_figures_of_longer_sounds_are_of_what_is_served_beside_the_plain_mean():
    random = np.random.default_rng(12)
    labels = random.integers(0, 3, 80)
    logits = (random.normal(0, 1.5, (80, 4, 3)) + 2 * np.eye(3)[labels][:, None]).reshape(-1, 3)
    rule = Decisions(1.3, 0.2, windowed_temperature=0.7, windowed_unknown_threshold=0.6)
    names = np.array([f"r{i // 2}" for i in range(80)])
    long = Answers(logits, None, np.ones(320), np.repeat(np.arange(80), 4), np.ones(80, bool), labels, names, rule)
    told = confidence.windowed_figures(long, bins=5)
    windows = scipy.special.softmax(logits / 1.3, axis=1)
    mean = windows.reshape(80, 4, 3).mean(axis=1)
    served = mean ** (1 / 0.7) / (mean ** (1 / 0.7)).sum(axis=1, keepdims=True)
    assert told["nll_of_mean"] == pytest.approx(log_loss(labels, mean), abs=1e-6)
    assert told["nll"] == pytest.approx(log_loss(labels, served), abs=1e-6)
    right, known = mean.argmax(axis=1) == labels, windows.max(axis=1).reshape(80, 4).mean(axis=1)
    assert told["right_called_unknown"] == pytest.approx((right & (known < 0.6)).mean(), abs=1e-6)
    assert told["right_below_clip_threshold"] == pytest.approx((right & (known < 0.2)).mean(), abs=1e-6)
    assert (told["sounds"], told["recordings"], told["windows_mean"]) == (80, 40, 4)
    assert told["right_called_unknown"] > 0


def test_figures_of_events_are_of_their_calibrated_confidence():
    events, rule = found(200), Decisions(event_slope=1.5, event_offset=-1.0)
    told = confidence.event_figures(events, rule, bins=5)
    confident = scipy.special.expit(1.5 * scipy.special.logit(events.confidence) - 1)
    assert told["nll"] == pytest.approx(log_loss(events.right, confident), abs=1e-6)
    assert told["nll_uncalibrated"] == pytest.approx(log_loss(events.right, events.confidence), abs=1e-6)
    assert told["mean_confidence"] == pytest.approx(confident.mean(), abs=1e-6)
    assert told["right"] == pytest.approx(events.right.mean(), abs=1e-6)
    assert told["ece"] < told["ece_uncalibrated"]
    assert confidence.event_figures(found(0), rule, bins=5)["events"] == 0


def test_the_picture_holds_a_class_without_clips_too(tmp_path):
    of_test = heard(10)
    curves = operating_points.curves(of_test, (*CLASSES[:2], "drill"))
    curves["glass"] = None
    rows = points(heard(11), of_test, 0.9, 0.8)
    plot_operating_points(curves, rows, tmp_path / "points.png")
    assert (tmp_path / "points.png").read_bytes()[:4] == b"\x89PNG"
