"""From a checkpoint to ONNX and INT8: the same decisions, the same bits anywhere, every convolution quantised."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import soundfile
import torch
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from earshot.clips.parts import Parts
from earshot.core.front_end import FrontEndParams
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.decisions.fitting.temperature import fit_temperature
from earshot.decisions.fitting.unknown import fit_unknown_threshold
from earshot.deployment.candidate import (
    Candidate,
    CandidateParams,
    make_candidate,
    parity_rows,
    report,
    summary,
    write_candidate,
)
from earshot.deployment.config import GateParams, QuantizationParams
from earshot.deployment.export import export, fold_batch_norm
from earshot.deployment.latency import latency_ms
from earshot.deployment.provenance import Provenance
from earshot.deployment.quantize import choose_calibration, convolutions_left_in_float
from earshot.evaluation import answers
from earshot.model.session import Model, ModelError
from earshot.training.checkpoint import Checkpoint, make_model
from earshot.training.config import TrainParams
from earshot.training.loop import Clips, fit
from earshot.training.predict import predict_logits
from import_closure import ROOT

FRONT_END = FrontEndParams(window_s=0.5)
CLASSES = ("air", "bell", "cough")
UNKNOWN = UnknownParams(max_accuracy_loss=0.05)
GATE = GateParams(
    max_known_crossings=0.5, max_frame_crossings=0.5, min_event_agreement=0.0
)  # longer sounds are noise to it
CONVOLUTIONS = {"compact": 10, "tutorial": 2}
INT8_CONVOLUTIONS = {"compact": 13, "tutorial": 2}  # pools are convolutions too


def features(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, louder in the bands of the clip's class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    cells = random.normal(-50, 8, (count, 64, FRONT_END.window_frames))
    for clip, label in zip(cells, labels, strict=True):
        clip[20 * label : 20 * label + 20] += 20
    return cells.astype(np.float16), labels


def background(count: int, seed: int) -> np.ndarray:
    """The same noise, louder for a moment now and then, in all bands."""
    random = np.random.default_rng(seed)
    cells = random.normal(-50, 8, (count, 64, FRONT_END.window_frames))
    for clip in cells:
        clip[:, random.integers(0, FRONT_END.window_frames, 4)] += 20
    return cells.astype(np.float16)


@dataclass(frozen=True)
class Made:
    """A checkpoint and the candidate that came of it."""

    architecture: str
    has_background: bool
    checkpoint: Checkpoint
    parts: Parts
    candidate: Candidate
    directory: Path

    def again(self, gate: GateParams | None = None) -> Candidate:
        return candidate_of(self.checkpoint, self.parts, self.directory, gate or GATE)


def candidate_of(checkpoint: Checkpoint, parts: Parts, root: Path, gate: GateParams) -> Candidate:
    card = dict.fromkeys(("name", "title", "licence", "citation", "url"), "x")
    provenance = Provenance({**card, "sha256": {}}, {"seed": 1}, {"stages/train.py": "0" * 64})
    settings = CandidateParams(
        QuantizationParams(calibration_clips=30, long_sounds=12), gate, UNKNOWN, OperatingPointsParams(), bins=5
    )
    return make_candidate(checkpoint, [], parts, root, provenance, settings, 1)


@pytest.fixture(scope="module", params=["compact", "compact, background clips", "tutorial"])
def made(request, tmp_path_factory, one_thread) -> Made:
    architecture, _, others = request.param.partition(", ")
    cells, labels = features(180, 0)
    names = ["train"] * 60 + ["val"] * 60 + ["test"] * 60
    directory = tmp_path_factory.mktemp(architecture)
    # What longer sounds are composed of: the same for all, so that nothing can be told from it.
    samples = 0.1 * np.random.default_rng(2).standard_normal(FRONT_END.window_samples)
    soundfile.write(directory / "noise.wav", samples, FRONT_END.sample_rate_hz)
    table = pd.DataFrame(
        {"label": [CLASSES[label] for label in labels], "recording": [f"r{i}" for i in range(len(labels))]}
    ).assign(path="noise.wav", truncated_s=0.0, peak=0.5)
    parts = Parts(CLASSES, table, np.array(names), {"strategy": "folds"}, cells)
    train, val = (Clips(part.features, part.labels) for part in (parts.part("train"), parts.part("val")))
    if others:
        train = train.beside(Clips(background(15, 1), np.full(15, len(CLASSES))), len(CLASSES))
    result = fit(
        train,
        val,
        CLASSES,
        FRONT_END,
        TrainParams(model=architecture, epochs=40, batch_size=6, device="cpu"),
        seed=1,
        progress=False,
    )
    candidate = candidate_of(result.checkpoint, parts, directory, GATE)
    write_candidate(candidate, directory)
    return Made(architecture, bool(others), result.checkpoint, parts, candidate, directory)


def run(content: bytes, cells: np.ndarray, output: str = "logits") -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run([output], {"log_mel": cells.astype(np.float32)})[0]


def test_onnx_answers_as_pytorch_does(made):
    cells = made.parts.part("test").features
    expected = predict_logits(made.checkpoint.model, cells)
    assert np.abs(run(made.candidate.fp32, cells) - expected).max() <= 1e-4
    assert made.candidate.export_difference <= 1e-4
    assert expected.std() > 0.1


def test_every_convolution_is_quantised(made, tmp_path):
    """Counted here in the graph that onnxruntime runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    onnxruntime.InferenceSession(made.candidate.int8, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == INT8_CONVOLUTIONS[made.architecture]
    assert not [kind for kind in kinds if kind in ("Conv", "FusedConv")]
    assert made.candidate.float_convolutions == 0
    left = convolutions_left_in_float(onnx.load_from_string(made.candidate.fp32))
    assert left == CONVOLUTIONS[made.architecture]


def test_int8_gives_a_clip_the_same_bits_alone_and_in_any_batch(made):
    model = Model(made.directory / "earshot.int8.onnx")
    cells = np.concatenate([made.parts.part("test").features, made.parts.part("val").features])[:64]
    together = model.logits(cells)
    assert together.shape == (64, len(CLASSES))
    for number, clip in enumerate(cells):
        assert np.array_equal(model.logits(clip[None])[0], together[number])
    assert np.array_equal(model.logits(cells[5:12]), together[5:12])
    assert np.array_equal(model.probabilities(cells[3:4])[0], model.probabilities(cells)[3])
    assert np.array_equal(model.scores(cells[3:4])[0], model.scores(cells)[3])


def test_int8_decides_as_fp32_does(made):
    assert made.candidate.broken == []
    assert made.candidate.test.agreement >= 0.95
    assert made.candidate.val.fp32_accuracy > 0.8
    assert len(made.candidate.int8) < len(made.candidate.fp32) / 2 or made.architecture == "tutorial"


def test_the_same_inputs_give_the_same_bytes(made):
    again = made.again()
    assert again.fp32 == made.candidate.fp32
    assert again.int8 == made.candidate.int8


def test_another_gate_changes_the_verdict_and_no_byte(made):
    strict = made.again(GATE.changed(max_export_difference=0.0))
    assert len(strict.broken) == 1
    assert "gate.max_export_difference = 0" in strict.broken[0]
    assert strict.int8 == made.candidate.int8
    assert "NOT passed" in summary(strict)


def test_the_files_know_nothing_of_the_machine(made):
    places = {str(ROOT), str(made.directory), str(Path.home()), sys.prefix, os.getcwd(), "/tmp/", "site-packages"}
    for content in (made.candidate.fp32, made.candidate.int8):
        for place in places:
            assert place.encode() not in content, place
        model = onnx.load_from_string(content)
        for node in model.graph.node:
            assert not node.metadata_props
            assert not node.doc_string
        assert not model.doc_string
        assert [prop.key for prop in model.metadata_props] == ["earshot"]


def test_figures_are_those_of_the_files(made):
    for part in ("val", "test"):
        clips = made.parts.part(part)
        parity = getattr(made.candidate, part)
        decisions = {
            kind: run(getattr(made.candidate, kind), clips.features).argmax(axis=1) for kind in ("fp32", "int8")
        }
        for kind in ("fp32", "int8"):
            assert getattr(parity, f"{kind}_accuracy") == pytest.approx((decisions[kind] == clips.labels).mean())
        assert parity.agreement == pytest.approx((decisions["fp32"] == decisions["int8"]).mean())
    value = report(made.candidate, "tiny")
    assert value["dataset"] == "tiny"
    assert value["passed"] is True
    assert value["int8_accuracy"] == pytest.approx(made.candidate.test.int8_accuracy, abs=1e-6)
    assert value["gate"]["int8_accuracy"] == pytest.approx(made.candidate.val.int8_accuracy, abs=1e-6)
    assert value["int8_bytes"] == (made.directory / "earshot.int8.onnx").stat().st_size
    assert len(parity_rows(made.candidate)) == 2 * len(CLASSES)
    json.dumps(value, allow_nan=False)


def test_both_files_carry_their_own_temperature(made):
    """It lies between 1 and the one that makes validation as likely as can be, which a search finds anew."""
    val = made.parts.part("val")
    for name in ("earshot.onnx", "earshot.int8.onnx"):
        model = Model(made.directory / name)
        logits = torch.from_numpy(model.logits(val.features).astype(np.float64))
        labels = torch.from_numpy(val.labels)
        losses = {
            temperature: float(torch.nn.functional.cross_entropy(logits / temperature, labels))
            for temperature in np.geomspace(0.05, 20, 2000)
        }
        likeliest = min(losses, key=losses.__getitem__)
        low, high = sorted((1.0, likeliest))
        assert 0.99 * low <= model.card.temperature <= 1.01 * high
        recordings = val.clips["recording"].to_numpy(dtype=str)
        assert model.card.temperature == round(fit_temperature(logits.numpy(), val.labels, recordings), 6)


def test_a_network_trained_on_background_clips_knows_them_from_its_classes(made):
    model = Model(made.directory / "earshot.int8.onnx")
    known, others = (model.scores(cells) for cells in (made.parts.part("test").features, background(60, 2)))
    assert known.shape == others.shape == (60, len(CLASSES) + 1)
    assert np.allclose(known[:, :-1], model.probabilities(made.parts.part("test").features), atol=0)
    auroc = roc_auc_score(np.repeat([1, 0], 60), np.concatenate([known[:, -1], others[:, -1]]))
    assert model.has_background == made.has_background
    if made.has_background:
        assert auroc > 0.95
        assert np.median(known[:, -1]) > np.median(others[:, -1]) + 0.2
    else:
        assert model.background_logits(made.parts.part("test").features) is None
        assert np.array_equal(known[:, -1], known[:, :-1].max(axis=1))


def test_both_files_and_pytorch_agree_on_none_of_the_classes(made):
    network = made.checkpoint.model
    if not made.has_background:
        names = [output.name for output in onnx.load_from_string(made.candidate.int8).graph.output]
        assert names == (["logits", "frame_logits"] if made.architecture == "compact" else ["logits"])
        return
    cells = np.concatenate([made.parts.part("test").features, background(60, 2)])
    with torch.inference_mode():
        embedding = network.embed(network.normalise(torch.from_numpy(cells.astype(np.float32))))
        expected = network.background_logits(embedding).numpy()
    full, int8 = (run(content, cells, "background_logits") for content in (made.candidate.fp32, made.candidate.int8))
    assert full.shape == int8.shape == (120, 1)
    assert np.abs(full - expected).max() <= 1e-4
    assert expected.std() > 0.1
    # INT8 has the range of the classes' clips: a sound far outside it is cut, where the verdict has long fallen.
    assert np.abs(int8 - expected)[:60].max() < 0.2 * expected.std()
    known = [
        softmax(np.hstack([run(content, cells), of_none]), axis=1)[:, :-1].max(axis=1)
        for content, of_none in ((made.candidate.fp32, full), (made.candidate.int8, int8))
    ]
    assert np.abs(known[0] - known[1]).max() < 0.1
    assert np.ptp(known[0]) > 0.5


def test_each_file_has_a_line_of_its_own_validation_answers(made):
    val = made.parts.part("val")
    for name in ("earshot.onnx", "earshot.int8.onnx"):
        model = Model(made.directory / name)
        scores, line = model.scores(val.features), model.card.unknown_threshold
        right = scores[:, :-1].argmax(axis=1) == val.labels
        assert line == fit_unknown_threshold(scores[:, -1], right, UNKNOWN.max_accuracy_loss) > 0
        assert (right & (scores[:, -1] < line)).mean() <= 0.1  # a twentieth is expected of new clips
    assert line == report(made.candidate, "tiny")["unknown_threshold"] == made.candidate.int8_card.unknown_threshold


def test_the_kept_answers_are_the_int8_files(made):
    kept, events, classes = answers.load(made.directory / answers.FILE)
    assert classes == CLASSES
    model = Model(made.directory / "earshot.int8.onnx")
    for name in ("val", "test"):
        scores = model.scores(made.parts.part(name).features)
        assert np.array_equal(kept[name].probabilities, scores[:, :-1])
        assert np.array_equal(kept[name].known, scores[:, -1])
        assert (kept[name].background_logits is not None) == made.has_background
        long = kept[f"{name}_long"]
        assert long.windowed.all()
        assert len(long) == 12 == events[name].sound.max(initial=-1) + 1 or len(events[name].sound) <= 12


def test_frame_logits_come_with_compact_only(made):
    model = Model(made.directory / "earshot.int8.onnx")
    cells = made.parts.part("test").features[:3]
    if made.architecture == "tutorial":
        with pytest.raises(ModelError, match="cannot locate sounds in time"):
            model.frame_logits(cells)
        return
    assert model.frame_logits(cells).shape == (3, len(CLASSES) + made.has_background, FRONT_END.window_frames // 8)


def test_logits_are_frame_logits_weighted_by_how_surely_a_frame_holds_a_class(made):
    if made.architecture == "tutorial":
        return
    model = Model(made.directory / "earshot.int8.onnx")
    cells = made.parts.part("test").features[:3]
    partly = np.concatenate([cells, background(3, 4), cells], axis=2)
    over_time = model.frame_logits(partly)
    assert over_time.shape[2] == 3 * FRONT_END.window_frames // 8
    weights = np.ones((3, 1, over_time.shape[2]))
    if made.has_background:
        assert np.allclose(over_time[:, -1].mean(axis=1), model.background_logits(partly)[:, 0], atol=1e-4)
        weights = 1 - softmax(over_time.astype(np.float64), axis=1)[:, -1:]
        assert np.ptp(weights, axis=2).min() > 0.1
    expected = (over_time[:, : len(CLASSES)] * weights).sum(axis=2) / weights.sum(axis=2)
    assert np.abs(model.logits(partly) - expected).max() < 0.01


def test_a_network_trained_on_short_windows_hears_long_sounds():
    front_end = FrontEndParams(window_s=0.2)  # 9 frames
    network = make_model("compact", len(CLASSES), front_end).eval()
    content = export(Checkpoint(network, "compact", CLASSES, front_end)).SerializeToString()
    for frames in (8, 9, 15, 16, 173):
        cells = np.random.default_rng(frames).normal(-50, 8, (2, 64, frames)).astype(np.float16)
        assert np.abs(run(content, cells) - predict_logits(network, cells)).max() <= 1e-4


def test_batch_normalisation_is_folded_without_touching_the_checkpoint(made):
    folded = fold_batch_norm(made.checkpoint.model)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    norms = [module for module in made.checkpoint.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == (CONVOLUTIONS["compact"] if made.architecture == "compact" else 0)
    kinds = {node.op_type for node in export(made.checkpoint).graph.node}
    assert "BatchNormalization" not in kinds


def test_latency_is_measured(made):
    taken = latency_ms(made.directory / "earshot.int8.onnx", made.parts.part("val").features[0], 20)
    assert 0 < taken["p50_ms"] <= taken["p95_ms"]


def test_calibration_clips_are_of_every_class_alike():
    labels = np.array([0] * 100 + [1] * 50 + [2] * 4)
    chosen = choose_calibration(labels, 30, seed=1)
    counts = np.bincount(labels[chosen])
    assert counts.tolist() == [10, 10, 4]
    assert len(set(chosen.tolist())) == len(chosen)
    assert np.array_equal(chosen, choose_calibration(labels, 30, seed=1))
    assert not np.array_equal(chosen, choose_calibration(labels, 30, seed=2))
