"""A model tells what it was made from, down to the sounds; and refuses a front end that is not its own."""

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from earshot.core.front_end import FrontEndParams
from earshot.deployment.provenance import STAGES
from earshot.hearing.log_mel import FRONT_END_VERSION, LogMel
from earshot.model.card import METADATA_KEY, PROBE_TOLERANCE_DB, Card, ModelError, probe_db
from earshot.model.session import Model, read_card
from small_project import BAD, CLASSES, PARAMS


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def card(small_project) -> Card:
    return read_card(small_project.root / "models/earshot.int8.onnx")


def test_the_model_leads_back_to_the_sounds(small_project, card):
    root = small_project.root
    assert card.dataset["name"] == "folder"
    assert card.dataset["licence"]
    # It shares no class with the embedded set; of background sounds it hears a quarter as many as of its own 39 clips.
    assert card.dataset["extra_clips"] == {"classes": 0, "background": 10}
    trained = small_project.json("metrics/train.json")
    assert (trained["extra_clips"], trained["background_clips"]) == (0, 10)
    for name, named in card.dataset["sha256"].items():
        assert sha256(root / "data/audited" / name) == named
    with (root / "data/audited/files.csv").open(encoding="utf-8", newline="") as stream:
        files = {row["path"]: row for row in csv.DictReader(stream)}
    with (root / "data/audited/clips.csv").open(encoding="utf-8", newline="") as stream:
        used = [row["path"] for row in csv.DictReader(stream)]
    assert len(used) == 63
    assert set(files) == {*used, *BAD}
    for path in used:
        assert sha256(root.parent / "sounds" / path) == files[path]["sha256"], path


def test_the_model_names_the_code_that_made_it(small_project, card):
    assert {f"stages/{stage}.py" for stage in STAGES} <= set(card.code)
    assert "src/earshot/training/loop.py" in card.code
    assert not [path for path in card.code if path.startswith(("src/earshot/service/", "src/earshot/commands/"))]
    for path, named in card.code.items():
        assert sha256(small_project.root / path)[:8] == named, path


def test_the_model_names_parameters_split_and_front_end(small_project, card):
    assert card.classes == CLASSES
    assert card.params["train"]["epochs"] == PARAMS["train"]["epochs"]
    assert card.params["seed"] == 7
    assert card.front_end["window_s"] == 1.0
    assert card.split["strategy"] == "folds"
    assert (card.split["test_folds"], card.split["val_folds"]) == ([5], [4])
    clips = {part: card.split[part]["clips"] for part in ("train", "val", "test")}
    assert clips == {"train": 39, "val": 12, "test": 12}
    # Where the user keeps the sounds is nobody's business.
    assert "path" not in card.params["dataset"]


def test_the_model_quotes_its_figures(small_project, card):
    quantization = small_project.json("metrics/quantization.json")
    assert card.metrics["test"]["accuracy"] == pytest.approx(quantization["int8_accuracy"], abs=5e-5)
    assert card.metrics["validation"]["accuracy"] == pytest.approx(quantization["gate"]["int8_accuracy"], abs=5e-5)
    assert (card.temperature, card.unknown_threshold) == (
        quantization["temperature"],
        quantization["unknown_threshold"],
    )
    full = read_card(small_project.root / "models/earshot.onnx")
    assert full.metrics["test"]["accuracy"] == pytest.approx(quantization["fp32_accuracy"], abs=5e-5)
    assert set(card.metrics["test"]["recall"]) == set(CLASSES)


def test_model_json_is_the_card_of_the_int8_file(small_project, card):
    assert small_project.json("models/model.json") == json.loads(card.to_json())


def with_card(source: Path, target: Path, card: Card | None) -> Path:
    """The model at `source` with another card, or with none."""
    model = onnx.load(source)
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_json()} if card else {})
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"front_end_version": FRONT_END_VERSION + 1}, f"front end version {FRONT_END_VERSION + 1}, this is version"),
        ({"front_end": {"window_s": 1.0, "f_min_hz": 20.0}}, "answers the probe sound up to .* dB differently"),
        ({"front_end": {"window_s": 1.0, "n_fft": 2048}}, "answers the probe sound up to .* dB differently"),
        ({"front_end": {"window_s": 1.0, "n_mels": 48}}, r"front end gives \(8, 64\), this one \(8, 48\)"),
        ({"card_version": 99}, "card has version 99"),
    ],
)
def test_another_front_end_is_refused(small_project, card, tmp_path, change, message):
    model = with_card(small_project.root / "models/earshot.int8.onnx", tmp_path / "m.onnx", replace(card, **change))
    with pytest.raises(ModelError, match=message) as error:
        Model(model)
    assert "dvc repro" in str(error.value)


@pytest.mark.parametrize(("shift_db", "accepted"), [(0.5 * PROBE_TOLERANCE_DB, True), (2 * PROBE_TOLERANCE_DB, False)])
def test_the_probe_is_compared_within_its_tolerance(small_project, card, tmp_path, shift_db, accepted):
    probe = [list(frame) for frame in card.probe_db]
    probe[3][20] += shift_db
    model = with_card(
        small_project.root / "models/earshot.int8.onnx", tmp_path / "m.onnx", replace(card, probe_db=probe)
    )
    if accepted:
        assert Model(model).classes == CLASSES
    else:
        with pytest.raises(ModelError, match="probe sound"):
            Model(model)


def test_what_is_no_model_of_this_project_is_refused(small_project, card, tmp_path):
    source = small_project.root / "models/earshot.int8.onnx"
    with pytest.raises(ModelError, match=r"no model at .*make repro"):
        Model(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match=r"text\.onnx is not a model"):
        Model(tmp_path / "text.onnx")
    with pytest.raises(ModelError, match="not made by Earshot"):
        Model(with_card(source, tmp_path / "bare.onnx", None))
    with pytest.raises(ModelError, match="damaged"):
        Card.from_json("{}")
    with pytest.raises(ModelError, match="damaged"):
        Card.from_json(card.to_json()[:-1])


LOAD = "from earshot.model.session import Model; Model('models/earshot.int8.onnx'); print('accepted')"


def test_an_edited_comment_refuses_nothing_and_another_window_does(small_project, tmp_path):
    shutil.copytree(small_project.root / "src", tmp_path / "src")
    code = tmp_path / "src/earshot/hearing/log_mel.py"
    text = code.read_text(encoding="utf-8")
    (tmp_path / "models").mkdir()
    shutil.copy(small_project.root / "models/earshot.int8.onnx", tmp_path / "models")
    other = type(small_project)(tmp_path)
    code.write_text(text.replace("import math", "import math  # for the mel scale") + "\n# the end\n", encoding="utf-8")
    assert other.run("python", "-c", LOAD) == "accepted\n"
    assert "0.5 - 0.5 * np.cos" in text
    code.write_text(text.replace("0.5 - 0.5 * np.cos", "0.54 - 0.46 * np.cos"), encoding="utf-8")  # Hamming's
    assert "answers the probe sound" in other.run("python", "-c", LOAD, fails=True)


def test_a_card_survives_its_json(card):
    assert Card.from_json(card.to_json()) == card
    assert Card.from_json(json.dumps(json.loads(card.to_json()), indent=2)).to_json() == card.to_json()


def test_the_cards_rounding_is_far_below_the_tolerance():
    log_mel = LogMel(FrontEndParams())
    probe = np.array(probe_db(log_mel))
    assert probe.shape == (8, 64)
    assert np.abs(probe - log_mel.probe).max() < PROBE_TOLERANCE_DB / 10
