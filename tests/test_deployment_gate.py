"""The gate: what counts as lost, which budget was broken and by how much; and the release behind it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earshot.core.params import ParamsError, build
from earshot.deployment.config import GateParams, QuantizationParams
from earshot.deployment.parity import Parity, compare, over_budget
from earshot.deployment.release import GateError, release
from earshot.deployment.stream_parity import StreamOutputs, StreamParity, compare_streams
from earshot.evaluation.answers import Answers
from earshot.evaluation.events import Events

CLASSES = ("a", "b", "c")
LABELS = np.repeat([0, 1, 2], [10, 20, 4])
OPEN = GateParams(
    max_accuracy_drop=1.0,
    max_class_recall_drop=1.0,
    min_agreement=0.0,
    max_calibration_error_increase=1.0,
    max_export_difference=1.0,
    max_known_crossings=1.0,
    max_frame_crossings=1.0,
    min_event_agreement=0.0,
)


SAME = StreamParity(known_crossings=0.0, frame_crossings=0.0, event_agreement=1.0)


def answers(decisions: np.ndarray, labels: np.ndarray = LABELS) -> Answers:
    """Clips of one window each, and the classes that they are predicted as."""
    count = len(labels)
    logits = 5.0 * np.eye(3)[decisions]
    names = np.arange(count).astype(str)
    return Answers(logits, None, np.ones(count), np.arange(count), np.zeros(count, bool), labels, names)


def parity(fp32: dict[int, int] | None = None, int8: dict[int, int] | None = None) -> Parity:
    """Both files right everywhere, but for the clips named with the class they are predicted as."""
    decisions = []
    for wrong in (fp32 or {}, int8 or {}):
        predicted = LABELS.copy()
        predicted[list(wrong)] = list(wrong.values())
        decisions.append(predicted)
    return compare(answers(decisions[0]), answers(decisions[1]), CLASSES, bins=5)


def test_equal_files_lose_nothing():
    same = parity()
    assert (same.accuracy_drop, same.agreement, same.max_class_recall_drop, same.max_net_lost_clips) == (0, 1, 0, 0)
    assert (same.fp32_accuracy, same.int8_accuracy) == (1, 1)
    assert over_budget(same, SAME, 0.0, 0, 0, GateParams()) == []


def test_one_lost_clip_of_a_small_class_is_no_evidence():
    one = parity(int8={30: 0})
    assert (one.max_net_lost_clips, one.max_class_recall_drop, one.max_class_recall_drop_class) == (1, 0, "")
    assert one.accuracy_drop == pytest.approx(1 / 34)


def test_from_two_net_lost_clips_on_the_drop_counts():
    two = parity(int8={30: 0, 31: 0})
    assert (two.max_net_lost_clips, two.max_class_recall_drop, two.max_class_recall_drop_class) == (2, 0.5, "c")
    # A clip won back makes it one again.
    netted = parity(fp32={33: 1}, int8={30: 0, 31: 0})
    assert (netted.max_net_lost_clips, netted.max_class_recall_drop) == (1, 0)
    rows = {row["class"]: (row["lost"], row["gained"], row["support"]) for row in netted.classes}
    assert rows == {"a": (0, 0, 10), "b": (0, 0, 20), "c": (2, 1, 4)}


def test_the_worst_class_is_the_one_with_the_largest_drop_that_counts():
    both = parity(int8={0: 1, 1: 1, 2: 1, 10: 0, 11: 0, 30: 0})
    assert (both.max_class_recall_drop, both.max_class_recall_drop_class) == (pytest.approx(0.3), "a")
    assert both.max_net_lost_clips == 3


def test_a_class_without_clips_neither_counts_nor_breaks():
    few = answers(LABELS[:30], LABELS[:30])
    none = compare(few, few, CLASSES, bins=5)
    assert none.classes[2]["fp32_recall"] is None
    assert none.max_class_recall_drop == 0


def test_agreement_is_of_decisions_right_or_wrong():
    assert parity(fp32={0: 1}, int8={0: 1}).agreement == 1
    assert parity(fp32={0: 1}, int8={0: 2}).agreement == pytest.approx(33 / 34)
    assert parity(fp32={0: 1}, int8={0: 2}).accuracy_drop == 0


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"max_accuracy_drop": 0.01}, "accuracy drop is 0.117647, 0.107647 over gate.max_accuracy_drop = 0.01"),
        ({"max_class_recall_drop": 0.25}, "recall drop of c is 1, 0.75 over gate.max_class_recall_drop = 0.25"),
        ({"min_agreement": 0.99}, "agreement is 0.882353, 0.107647 under gate.min_agreement = 0.99"),
        (
            {"max_export_difference": 1e-4},
            "PyTorch to ONNX difference is 0.002, 0.0019 over gate.max_export_difference",
        ),
    ],
)
def test_each_broken_budget_is_named_with_by_how_much(gate, message):
    found = over_budget(parity(int8={30: 0, 31: 0, 32: 0, 33: 0}), SAME, 0.002, 0, 0, OPEN.changed(**gate))
    assert len(found) == 1
    assert found[0].startswith(message)


def test_the_calibration_budget_is_on_the_increase():
    worse = replace(parity(), calibration_error_increase=0.03)
    found = over_budget(worse, SAME, 0.0, 0, 0, OPEN.changed(max_calibration_error_increase=0.02))
    assert found == ["calibration error increase is 0.03, 0.01 over gate.max_calibration_error_increase = 0.02"]
    better = replace(parity(), calibration_error_increase=-0.2)
    assert over_budget(better, SAME, 0.0, 0, 0, OPEN.changed(max_calibration_error_increase=0.0)) == []


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ({"known_crossings": 0.1}, "share of crossed known is 0.1, 0.02 over gate.max_known_crossings = 0.08"),
        ({"frame_crossings": 0.3}, "share of crossed frames is 0.3, 0.2 over gate.max_frame_crossings = 0.1"),
        ({"event_agreement": 0.8}, "agreement of events is 0.8, 0.05 under gate.min_event_agreement = 0.85"),
        ({"event_agreement": float("nan")}, "agreement of events is nan, nan under gate.min_event_agreement = 0.85"),
    ],
)
def test_what_unknown_and_the_timeline_rest_on_has_budgets(streams, message):
    assert over_budget(parity(), replace(SAME, **streams), 0.0, 0, 0, GateParams()) == [message]


NO_EVENTS = Events(*(np.zeros(0, kind) for kind in (float, bool, int, int, str, float, float)))


def test_known_crosses_where_the_two_files_lie_on_different_sides_of_a_threshold():
    fp32, int8 = np.array([0.12, 0.42, 0.48, 0.71]), np.array([0.11, 0.46, 0.46, 0.69])
    # Of the thresholds 0.05, 0.1, ..., 0.95, 0.45 lies between the second pair, and 0.7 between the last.
    found = compare_streams(StreamOutputs(fp32, None, NO_EVENTS), StreamOutputs(int8, None, NO_EVENTS))
    assert found.known_crossings == 0.25
    assert (found.frame_crossings, found.event_agreement) == (0, 1)
    both = np.array([0.12, 0.46, 0.44, 0.71])  # now two pairs lie around 0.45
    worse = compare_streams(StreamOutputs(fp32, None, NO_EVENTS), StreamOutputs(both, None, NO_EVENTS))
    assert worse.known_crossings == 0.5


def test_frames_are_judged_by_those_that_one_file_has_above_a_threshold():
    random = np.random.default_rng(0)
    fp32 = random.random((6, 3, 21))
    int8 = np.clip(fp32 + random.normal(0, 0.05, fp32.shape), 0, 1)
    one = either = 0
    for threshold in range(5, 100, 5):
        for a, b in zip(fp32.ravel().tolist(), int8.ravel().tolist(), strict=True):
            sides = (a >= threshold / 100, b >= threshold / 100)
            one += sides[0] != sides[1]
            either += any(sides)
    known = np.ones(1)
    found = compare_streams(StreamOutputs(known, fp32, NO_EVENTS), StreamOutputs(known, int8, NO_EVENTS))
    assert found.frame_crossings == pytest.approx(one / either)
    assert 0 < found.frame_crossings < 0.2
    same = compare_streams(StreamOutputs(known, fp32, NO_EVENTS), StreamOutputs(known, fp32, NO_EVENTS))
    assert same == SAME


def test_a_convolution_left_in_float_and_a_figure_that_is_none_break_any_budget():
    assert over_budget(parity(), SAME, 0.0, 3, 0, OPEN) == ["3 convolutions were not quantised; all must be"]
    assert len(over_budget(parity(), SAME, float("nan"), 0, 0, OPEN)) == 1
    assert len(over_budget(replace(parity(), agreement=float("nan")), SAME, 0.0, 0, 0, OPEN)) == 1


def test_all_broken_budgets_are_named_at_once():
    shut = GateParams(
        max_accuracy_drop=-1.0,
        max_class_recall_drop=-1.0,
        min_agreement=2.0,
        max_calibration_error_increase=-2.0,
        max_known_crossings=-1.0,
        max_frame_crossings=-1.0,
        min_event_agreement=2.0,
        max_export_difference=-1.0,
        max_saturating_pairs=-1,
    )
    assert len(over_budget(parity(), SAME, 0.0, 1, 0, shut)) == 10


def test_weights_that_some_processors_cut_off_are_refused_whatever_the_answers_are():
    (found,) = over_budget(parity(), SAME, 0.0, 0, 12, OPEN)
    assert found == "count of weight pairs that CPUs without VNNI cut off is 12, 12 over gate.max_saturating_pairs = 0"


def test_a_quantisation_without_clips_is_refused():
    with pytest.raises(ParamsError, match=r"quantization\.calibration_clips must be .* at least 1, not 0"):
        build(QuantizationParams, {"calibration_clips": 0}, "quantization")


FILES = ("earshot.onnx", "earshot.int8.onnx", "model.json")


@pytest.fixture
def candidate(tmp_path) -> tuple[Path, Path, Path]:
    """A candidate, its verdict and a released model of an earlier time."""
    for name in FILES:
        for directory in ("candidate", "models"):
            (tmp_path / directory).mkdir(exist_ok=True)
            (tmp_path / directory / name).write_text(f"{directory} {name}")
    verdict = tmp_path / "quantization.json"
    verdict.write_text(json.dumps({"passed": True, "broken": []}))
    return tmp_path / "candidate", verdict, tmp_path / "models"


def hashes(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_what_passed_is_released(candidate):
    release(*candidate)
    assert hashes(candidate[2]) == hashes(candidate[0])


def test_what_failed_changes_nothing(candidate):
    before = hashes(candidate[2])
    candidate[1].write_text(json.dumps({"passed": False, "broken": ["agreement is 0.5", "accuracy drop is 0.2"]}))
    with pytest.raises(GateError, match=r"(?s)agreement is 0\.5.*accuracy drop is 0\.2.*untouched.*params\.yaml"):
        release(*candidate)
    assert hashes(candidate[2]) == before


def test_a_release_that_cannot_be_finished_changes_nothing(candidate):
    before = hashes(candidate[2])
    (candidate[0] / FILES[-1]).unlink()
    with pytest.raises(FileNotFoundError):
        release(*candidate)
    assert hashes(candidate[2]) == before


def test_a_release_replaces_links_into_a_cache_and_leaves_the_cache_alone(candidate, tmp_path):
    cached = tmp_path / "cached"
    cached.write_text("of an earlier model")
    (candidate[2] / FILES[0]).unlink()
    (candidate[2] / FILES[0]).hardlink_to(cached)
    release(*candidate)
    assert cached.read_text() == "of an earlier model"
