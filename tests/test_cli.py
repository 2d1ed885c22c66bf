"""The command `earshot`, as a process, on real files and a real model."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

import tiny_model
from earshot.commands.model import description
from earshot.commands.results import summary
from earshot.commands.timeline import clock
from earshot.commands.verify import verify
from earshot.core.files import sha256
from earshot.decisions.decisions import Decisions
from earshot.model.card import Card
from earshot.model.session import read_card

RATE = tiny_model.RATE
EARSHOT = [sys.executable, "-m", "earshot.commands.cli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}


def earshot(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*EARSHOT, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=ENVIRONMENT, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model_path) -> Path:
    """A directory with a released model, three clips, a recording and a file that is no sound."""
    place = tmp_path_factory.mktemp("place")
    (place / "models").mkdir()
    (place / "models" / "earshot.int8.onnx").write_bytes(tiny_model_path.read_bytes())
    soundfile.write(place / "hum.wav", tiny_model.sound("hum", 2.0), RATE)
    soundfile.write(place / "whistle.flac", tiny_model.sound("whistle", 1.5), RATE)
    soundfile.write(place / "horn.wav", tiny_model.sound(tiny_model.OUTSIDE, 2.0), RATE)
    recording = np.zeros(30 * RATE, np.float32)
    for begin_s, label in ((5, "whistle"), (15, "hiss"), (24, "hum")):
        recording[begin_s * RATE : (begin_s + 2) * RATE] = tiny_model.sound(label, 2.0)
    soundfile.write(place / "recording.wav", recording, RATE)
    (place / "notes.wav").write_text("these are notes, and no sound")
    return place


def assert_clean_failure(process: subprocess.CompletedProcess[str], *words: str) -> None:
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    assert "Traceback" not in process.stderr
    for word in words:
        assert word in process.stderr


def test_help_teaches_by_example(place):
    process = earshot("--help", cwd=place)
    assert process.returncode == 0
    for command in ("classify", "timeline", "model", "results"):
        assert f"earshot {command}" in process.stdout
        own = earshot(command, "--help", cwd=place)
        assert own.returncode == 0
        assert "examples:" in own.stdout


def test_version_and_a_wrong_command_line(place):
    assert earshot("--version", cwd=place).stdout.startswith("earshot ")
    assert earshot(cwd=place).returncode == 2
    assert earshot("clasify", "x.wav", cwd=place).returncode == 2


def test_classify_shows_one_line_a_file(place):
    process = earshot("classify", "hum.wav", "whistle.flac", "recording.wav", cwd=place)
    assert process.returncode == 0, process.stderr
    first, second, third = process.stdout.splitlines()
    assert first.split()[:2] == ["hum.wav", "hum"]
    assert second.split()[:2] == ["whistle.flac", "whistle"]
    assert "windows" in third
    assert "windows" not in first


def test_classify_calls_a_sound_of_no_class_unknown(place):
    process = earshot("classify", "hum.wav", "horn.wav", cwd=place)
    assert process.returncode == 0, process.stderr
    known, unknown = process.stdout.splitlines()
    assert known.split()[:2] == ["hum.wav", "hum"]
    assert "unknown" not in known
    answer = json.loads(earshot("classify", "--json", "horn.wav", cwd=place).stdout)
    assert answer["predicted_class"] == "unknown"
    assert set(answer["probabilities"]) == set(tiny_model.CLASSES)
    nearest = next(iter(answer["probabilities"]))
    words = unknown.split()
    assert words[:8] == [
        "horn.wav",
        *("unknown", "(known", f"{answer['known']:.3f}),", "most", "like"),
        *(nearest, f"{answer['confidence']:.3f}"),
    ]
    card = json.loads(earshot("model", "--json", cwd=place).stdout)
    assert answer["known"] < card["unknown_threshold"]
    assert "called unknown" in earshot("classify", "--help", cwd=place).stdout


def test_classify_as_json_is_what_the_library_answers(place):
    process = earshot("classify", "--json", "hum.wav", "recording.wav", cwd=place)
    clip, recording = map(json.loads, process.stdout.splitlines())
    assert clip["file"] == "hum.wav"
    assert clip["predicted_class"] == "hum"
    assert set(clip["probabilities"]) == set(tiny_model.CLASSES)
    assert (clip["windowed"], recording["windowed"]) == (False, True)
    assert recording["duration_s"] == 30.0


def test_one_bad_file_does_not_spoil_the_others(place):
    process = earshot("classify", "--json", "notes.wav", "hum.wav", "absent.wav", cwd=place)
    assert_clean_failure(process, "notes.wav: not audio", "absent.wav: cannot be opened", "2 of 3 files")
    answers = [json.loads(line) for line in process.stdout.splitlines()]
    assert [answer.get("predicted_class") for answer in answers] == [None, "hum", None]
    assert [answer.get("reason") for answer in answers] == ["undecodable", None, "missing"]


def test_without_a_model_the_remedy_is_named(place, tmp_path):
    assert_clean_failure(earshot("classify", place / "hum.wav", cwd=tmp_path), "models/earshot.int8.onnx", "make repro")
    assert_clean_failure(earshot("model", place / "hum.wav", cwd=tmp_path), "not a model")
    assert_clean_failure(earshot("timeline", "--model", "no.onnx", place / "hum.wav", cwd=tmp_path), "no model at")


def test_timeline_for_people(place):
    process = earshot("timeline", "recording.wav", cwd=place)
    assert process.returncode == 0, process.stderr
    header, *events, blank, end = process.stdout.splitlines()
    assert header.split() == ["onset", "offset", "class", "confidence"]
    assert [line.split()[2] for line in events] == ["whistle", "hiss", "hum"]
    assert events[0].split()[0] in {"00:04.99", "00:05.00", "00:05.02", "00:04.97", "00:04.94"}
    assert blank == ""
    assert end.startswith("3 events")
    assert process.stderr == ""


def test_timeline_for_programs_tells_the_same_in_every_form(place):
    lines = earshot("timeline", "--json", "recording.wav", cwd=place).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["label"] for event in events] == ["whistle", "hiss", "hum"]
    rows = list(csv.DictReader(io.StringIO(earshot("timeline", "--csv", "recording.wav", cwd=place).stdout)))
    assert [{**row, **{k: float(row[k]) for k in ("onset_s", "offset_s", "confidence")}} for row in rows] == events
    labels = earshot("timeline", "--audacity", "recording.wav", cwd=place).stdout.splitlines()
    for label, event in zip(labels, events, strict=True):
        onset_s, offset_s, text = label.split("\t")
        assert float(onset_s) == pytest.approx(event["onset_s"], abs=1e-3)
        assert float(offset_s) == pytest.approx(event["offset_s"], abs=1e-3)
        assert text.split()[0] == event["label"]


def test_timeline_takes_thresholds_from_the_command_line_and_from_params(place, tmp_path):
    arguments = ["timeline", "--json", "--model", place / "models/earshot.int8.onnx", place / "recording.wav"]
    assert earshot(*arguments, "--min-duration", "10", cwd=tmp_path).stdout == ""
    assert earshot(*arguments, "--threshold", "1.0", cwd=tmp_path).stdout == ""
    (tmp_path / "params.yaml").write_text("timeline: {min_duration_s: 10.0}\n")
    assert earshot(*arguments, cwd=tmp_path).stdout == ""
    assert len(earshot(*arguments, "--min-duration", "0.2", cwd=tmp_path).stdout.splitlines()) == 3
    assert_clean_failure(earshot(*arguments, "--threshold", "1.5", cwd=tmp_path), "on_threshold", "1.5")
    (tmp_path / "params.yaml").write_text("timeline: {min_duration: 10.0}\n")
    assert_clean_failure(earshot(*arguments, cwd=tmp_path), "unknown key 'min_duration'")


def test_timeline_names_the_file_it_cannot_read(place):
    assert_clean_failure(earshot("timeline", "notes.wav", cwd=place), "notes.wav: not audio")
    assert_clean_failure(earshot("timeline", "absent.wav", cwd=place), "absent.wav: cannot be opened")


def test_a_reader_that_goes_away_is_no_error(place):
    command = [*EARSHOT, "classify", "--json", *["hum.wav"] * 50]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141


def test_an_interruption_is_one_line(place, tmp_path):
    part = np.concatenate([tiny_model.sound("whistle", 3.0), np.zeros(3 * RATE, np.float32)])
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as file:
        for _ in range(400):
            file.write(part)
    command = [*EARSHOT, "timeline", "--json", str(tmp_path / "long.flac")]
    with subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert json.loads(process.stdout.readline())["label"] == "whistle"  # while the file is still being read
        process.send_signal(signal.SIGINT)
        rest, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint == b"interrupted\n"
    assert len(rest.splitlines()) < 390


def test_the_command_imports_none_of_the_training_libraries(place):
    code = (
        "import sys; from earshot.commands.cli import main;"
        "main(['classify', 'hum.wav']); main(['timeline', 'hum.wav']); main(['model']);"
        "print('loaded', sorted({'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'onnx', 'dvc'}"
        " & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert process.stdout.splitlines()[-1] == "loaded []"


# ---- What a model was made from.


def test_model_tells_what_it_was_made_from(place):
    process = earshot("model", cwd=place)
    assert process.returncode == 0, process.stderr
    document = json.loads(earshot("model", "--json", "models/earshot.int8.onnx", cwd=place).stdout)
    for words in (
        "Three sounds made for tests",
        "CC0-1.0",
        "recall of whistle",
        "22050 Hz",
        "answers the probe sound",
        f"3; a sound whose `known` is below {document['unknown_threshold']:g} is called unknown",
        "synthesised clips, in training alone: 45 of background sounds",
    ):
        assert words in process.stdout
    assert document["sha256"] == sha256(place / "models/earshot.int8.onnx")
    assert document["classes"] == list(tiny_model.CLASSES)
    assert document["dataset"]["licence"] == "CC0-1.0"


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"classes": 1320, "background": 630}, "alone: 1320 of its classes and 630 of background sounds"),
        ({"classes": 1320, "background": 0}, "alone: 1320 of its classes"),
        ({"classes": 0, "background": 0}, None),
        (None, None),
    ],
)
def test_model_counts_the_clips_heard_beside_the_data_set(tiny_model_path, counts, words):
    card = read_card(tiny_model_path)
    dataset = {**card.dataset, "extra_clips": counts}
    if counts is None:
        del dataset["extra_clips"]
    lines = description(tiny_model_path, replace(card, dataset=dataset)).splitlines()
    beside = [line for line in lines if line.startswith("beside")]
    assert len(beside) == (words is not None)
    assert words is None or beside[0].endswith(words)


def test_model_that_never_answers_unknown_says_so(tiny_model_path):
    card = replace(read_card(tiny_model_path), unknown_threshold=0.0)
    assert "3; it names one of them for every sound" in description(tiny_model_path, card)


@pytest.fixture
def tree(tmp_path) -> tuple[Path, Card]:
    """A working tree and the card of a model that was made from it."""
    (tmp_path / "data" / "audited").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    for name in ("data/audited/clips.csv", "data/audited/files.csv", "src/front.py"):
        (tmp_path / name).write_text(name)
    params = {
        "seed": 7,
        "dataset": {"name": "folder", "path": "here"},
        "train": {"epochs": 60, "augment": {"roll": True}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "service": {"threads": 2}}))
    digests = {name: sha256(tmp_path / "data/audited" / name) for name in ("clips.csv", "files.csv")}
    card = Card(
        architecture="compact",
        classes=("a",),
        **asdict(Decisions()),
        operating_points={},
        front_end={},
        front_end_version=1,
        probe_db=[],
        probe_probabilities=[],
        dataset={"sha256": digests},
        split={},
        params={**params, "dataset": {"name": "folder"}},
        code={"src/front.py": sha256(tmp_path / "src/front.py")},
        metrics={},
    )
    return tmp_path, card


def states(card: Card, root: Path) -> dict[str, str]:
    return {check.name: check.state for check in verify(card, root)}


def test_verify_finds_everything_the_same(tree):
    root, card = tree
    assert set(states(card, root).values()) == {"same"}
    assert len(states(card, root)) == 6
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("path: here", "path: elsewhere"))
    assert set(states(card, root).values()) == {"same"}, "where the data lie is not what they are"


def test_verify_names_what_changed_and_what_is_absent(tree):
    root, card = tree
    (root / "data/audited/files.csv").write_text("other audio")
    (root / "src/front.py").unlink()
    (root / "params.yaml").write_text((root / "params.yaml").read_text().replace("epochs: 60", "epochs: 5"))
    assert states(card, root) == {
        "data/audited/clips.csv": "same",
        "data/audited/files.csv": "changed",
        "dataset": "same",
        "seed": "same",
        "train": "changed",
        "src/front.py": "absent",
    }
    (train,) = [check for check in verify(card, root) if check.name == "train"]
    assert train.detail == "train.epochs: made with 60, now 5"


def test_verify_on_the_command_line_fails_where_nothing_lies(place):
    process = earshot("model", "--verify", cwd=place)
    assert process.returncode == 1
    assert "absent  data    data/audited/clips.csv" in process.stdout
    assert "0 same" in process.stdout
    checks = json.loads(earshot("model", "--verify", "--json", cwd=place).stdout)
    assert {check["state"] for check in checks} == {"absent"}


# ---- Results.

EVALUATION = {
    "dataset": "synthetic",
    "split": "folds",
    "test_folds": [10],
    "test_clips": 132,
    "test_recordings": 28,
    "test_clips_of_known_recordings": 0,
    "accuracy": 0.681818,
    "accuracy_ci_low": 0.534941,
    "accuracy_ci_high": 0.832178,
    "worst_class": "car_horn",
    "worst_class_recall": 0.166667,
}
QUANTIZATION = {
    "int8_accuracy": 0.674242,
    "accuracy_drop": 0.007576,
    "agreement": 0.984848,
    "int8_bytes": 352_329,
    "passed": True,
    "broken": [],
}


OTHERS = {
    "confidence": {
        "ece": 0.051851,
        "ece_if_calibrated": 0.06,
        "ece_if_calibrated_low": 0.02,
        "ece_if_calibrated_high": 0.0911,
        "nll": 0.40364,
        "nll_uncalibrated": 0.470204,
    },
    "robustness": {
        "worst_condition": "room",
        "worst_change_points": -12.121212,
    },
    "open_set": {
        "known_called_unknown": 0.007576,
        "near": {"called_unknown_mean": 0.4, "auroc_mean": 0.690894},
        "far": {"called_unknown_mean": 0.086667, "auroc_mean": 0.926894},
    },
}


def test_results_are_the_figures_of_the_last_run_and_where_to_look(tmp_path):
    plots = tmp_path / "metrics" / "plots"
    plots.mkdir(parents=True)
    (plots / "confusion.png").write_bytes(b"")
    (plots.parent / "evaluation.json").write_text(json.dumps(EVALUATION))
    (plots.parent / "quantization.json").write_text(json.dumps(QUANTIZATION))
    for name, document in OTHERS.items():
        (plots.parent / f"{name}.json").write_text(json.dumps(document))
    process = earshot("results", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    for words in (
        "synthetic: 132 test clips of 28 recordings, split by folds, test fold 10",
        "0.682 (interval 0.535 to 0.832)",
        "0.674, 0.76 points below full precision",
        "car_horn, recall 0.167",
        "metrics/plots/confusion.png",
        "passed; released as models/earshot.int8.onnx",
        "ECE 0.052, if calibrated 0.060 (0.020 to 0.091); negative log-likelihood 0.404, uncalibrated 0.470",
        "room costs most: -12.1 points",
        "0.8% of the classes' own clips, 40% of the classes left out (AUROC 0.691), 9% of ambience, noise and tones",
    ):
        assert words in process.stdout


def test_results_name_a_failed_gate_a_leak_and_a_missing_interval():
    text = summary(
        {**EVALUATION, "accuracy_ci_low": None, "accuracy_ci_high": None, "test_clips_of_known_recordings": 125},
        {**QUANTIZATION, "passed": False, "broken": ["accuracy drop is 0.02"], "accuracy_drop": -0.01},
        [],
        {},
    )
    assert "too few recordings for an interval" in text
    assert "125 test clips come from recordings that were trained on" in text
    assert "NOT passed" in text
    assert "accuracy drop is 0.02" in text
    assert "1.00 points above full precision" in text


def test_results_without_a_run_name_the_remedy(tmp_path):
    assert_clean_failure(earshot("results", cwd=tmp_path), "metrics/evaluation.json", "make repro")


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0.0, "00:00.00"), (59.999, "01:00.00"), (61.234, "01:01.23"), (3_599.999, "1:00:00.00"), (7_325.5, "2:02:05.50")],
)
def test_times_are_read_like_a_clock(time_s, text):
    assert clock(time_s) == text
