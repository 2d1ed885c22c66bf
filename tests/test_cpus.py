"""The INT8 file answers alike on processors with and without VNNI, which QEMU emulates here."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import tiny_model
from earshot.deployment.saturation import SAFE_SUM, accumulate, safe_steps, saturating_pairs
from earshot.hearing.clip import clip_features
from earshot.hearing.log_mel import LogMel
from earshot.model.card import METADATA_KEY, ModelError, probe_windows
from earshot.model.scores import softmax
from earshot.model.session import Model, read_card

# Haswell has AVX2 and no VNNI; Nehalem has neither, and onnxruntime's kernels for it are exact.
SATURATES = {"Haswell": True, "Nehalem": False}
RUN = Path(__file__).with_name("emulated_run.py")
SCALE = np.float32(2.0**-10)  # of the outputs below: a power of two, so that no processor rounds otherwise
ZERO_POINT = 3  # of the inputs
# channels in and out, kernel, step, padding, groups: the layers of the network, and one whose channels fill no pair
LAYERS = {
    "first": (1, 64, 4, 2, 1, 1),
    "square": (16, 32, 3, 1, 1, 1),
    "point": (64, 16, 1, 1, 0, 1),
    "skip": (16, 32, 2, 2, 0, 1),
    "pool": (32, 32, 2, 2, 0, 32),
    "odd": (3, 16, 3, 1, 1, 1),
}

emulated = pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None, reason="QEMU is not installed (Debian: apt-get install qemu-user)"
)


def run_on(cpu: str, *jobs: tuple[Path, dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """All outputs of each model for its inputs, on an emulated processor."""
    arguments = []
    for model, inputs in jobs:
        files = [model.with_suffix(f".{cpu}.{kind}.npz") for kind in ("in", "out")]
        np.savez(files[0], **inputs)
        arguments += [str(model), *map(str, files)]
    command = ["qemu-x86_64", "-cpu", cpu, sys.executable, str(RUN), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [dict(np.load(file)) for file in arguments[2::3]]


def layers(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Quantised convolutions with weights of full range, written to `path`; inputs and weights by name."""
    random = np.random.default_rng(1)
    made, nodes, inputs, outputs, constants = {}, [], [], [], []
    for name, (channels_in, channels_out, kernel, step, padding, groups) in LAYERS.items():
        sound = random.integers(0, 256, (1, channels_in, 8, 8), np.uint8)
        weights = random.integers(-127, 128, (channels_out, channels_in // groups, kernel, kernel), np.int8)
        made[name] = sound, weights
        parts = {
            "one": np.float32(1),
            "zero": np.uint8(ZERO_POINT),
            "weights": weights,
            "weight_zero": np.int8(0),
            "scale": np.float32(1) / SCALE,
            "middle": np.uint8(128),
        }
        constants += [numpy_helper.from_array(np.asarray(value), f"{name}.{part}") for part, value in parts.items()]
        read = ("one", "zero", "weights", "one", "weight_zero", "scale", "middle")
        nodes.append(
            helper.make_node(
                "QLinearConv",
                [name, *(f"{name}.{part}" for part in read)],
                [f"{name}.out"],
                strides=[step] * 2,
                pads=[padding] * 4,
                group=groups,
            )
        )
        inputs.append(helper.make_tensor_value_info(name, TensorProto.UINT8, sound.shape))
        outputs.append(helper.make_tensor_value_info(f"{name}.out", TensorProto.UINT8, None))
    graph = helper.make_graph(nodes, "layers", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return made


def expected(name: str, sound: np.ndarray, weights: np.ndarray, saturate: bool) -> np.ndarray:
    """What a layer answers by the exact reference: uint8 (1, channels_out, height, width)."""
    _, channels_out, kernel, step, padding, groups = LAYERS[name]
    around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(sound, around, constant_values=ZERO_POINT)
    windows = np.lib.stride_tricks.sliding_window_view(padded[0], (kernel, kernel), axis=(1, 2))[:, ::step, ::step]
    height, width = windows.shape[1:3]
    places = windows.transpose(1, 2, 0, 3, 4).reshape(height * width, -1, kernel, kernel)
    if groups > 1:
        own = [accumulate(places[:, [i]], weights[[i]], saturate=False) for i in range(channels_out)]
        sums = np.concatenate(own, axis=1)
    else:
        sums = accumulate(places, weights, saturate)
    sums = sums - ZERO_POINT * weights.astype(np.int64).sum(axis=(1, 2, 3))
    answers = np.clip(np.rint(sums.astype(np.float32) * SCALE) + 128, 0, 255).astype(np.uint8)
    return answers.T.reshape(1, channels_out, height, width)


@emulated
@pytest.mark.parametrize("cpu", SATURATES)
def test_an_emulated_processor_agrees_with_the_reference_and_with_this_one(
    cpu: str, tiny_model_path: Path, tmp_path: Path
) -> None:
    made = layers(tmp_path / "layers.onnx")
    model = shutil.copy(tiny_model_path, tmp_path / "tiny.onnx")
    log_mel = LogMel(tiny_model.FRONT_END)
    clips = [clip_features(tiny_model.clip(label, seed), log_mel) for label in tiny_model.CLASSES for seed in range(4)]
    heard = {"log_mel": np.stack([*clips, *probe_windows(tiny_model.FRONT_END)]).astype(np.float32)}
    sounds = {name: sound for name, (sound, _) in made.items()}
    there_layers, there_model = run_on(cpu, (tmp_path / "layers.onnx", sounds), (Path(model), heard))

    # The reference cuts sums off where the kernels do, in their order of pairs, and the file has no such sums.
    for name, (sound, weights) in made.items():
        np.testing.assert_array_equal(there_layers[f"{name}.out"], expected(name, sound, weights, SATURATES[cpu]), name)
        # Sums are cut off in every layer but that of one channel each, or the comparison would say nothing.
        cut = not np.array_equal(expected(name, sound, weights, True), expected(name, sound, weights, False))
        assert cut == (name != "pool")
    here = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(["logits"], heard)[0]
    temperature = read_card(model).temperature
    np.testing.assert_array_equal(there_model["logits"].argmax(axis=1), here.argmax(axis=1))
    probabilities = softmax(there_model["logits"], temperature)
    np.testing.assert_allclose(probabilities, softmax(here, temperature), rtol=0, atol=0.02)
    assert read_card(model).check_answers(probabilities[len(clips) :]) <= 0.02


def test_steps_are_the_finest_that_cannot_overflow() -> None:
    random = np.random.default_rng(2)
    weights = random.standard_normal((8, 6, 3, 3)).astype(np.float32)
    weights[0] = 0  # a channel of which nothing is left
    weights[1] = 0
    weights[1, 0, 1, 1] = 1  # a weight without a neighbour may have the full range
    steps = safe_steps(weights)
    quantised = np.rint(weights / steps[:, None, None, None]).astype(np.int64)
    neighbours = quantised.transpose(0, 2, 3, 1).reshape(8, -1, 2)
    worst = np.stack([np.maximum(neighbours, 0).sum(-1), np.maximum(-neighbours, 0).sum(-1)]).max(axis=(0, 2))
    assert worst.max() <= SAFE_SUM
    assert 255 * SAFE_SUM <= 32_767 < 255 * (SAFE_SUM + 1)
    assert (quantised[0] == 0).all()
    assert quantised[1].max() == 127
    assert worst[2:].min() >= SAFE_SUM - 2  # nor are they coarser than they must be


def test_pairs_that_overflow_are_counted_in_the_file(tiny_model_path: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_model_path)
    assert saturating_pairs(model) == 0
    kept = max(
        (c for c in model.graph.initializer if c.data_type == TensorProto.INT8 and len(c.dims) == 4 and c.dims[1] > 1),
        key=lambda constant: np.prod(constant.dims),
    )
    weights = numpy_helper.to_array(kept).copy()
    weights[3, 4:6, 0, 0] = 100, 100  # neighbours
    weights[4, 5:7, 0, 0] = 100, 100  # none: the channels 4 and 5 are a pair, and 6 and 7
    weights[4, [4, 7], 0, 0] = 0
    weights[5, 4:6, 0, 0] = -100, -100
    weights[6, 4:6, 0, 0] = 127, -127  # they do not add up
    kept.CopyFrom(numpy_helper.from_array(weights, kept.name))
    assert saturating_pairs(model) == 2


def test_a_machine_that_answers_otherwise_is_refused(tiny_model_path: Path, tmp_path: Path) -> None:
    model = Model(tiny_model_path)
    assert model.probe_difference <= 1e-4  # as far as the card rounds
    changed = [list(row) for row in model.card.probe_probabilities]
    changed[1][0] += 0.03 if changed[1][0] < 0.5 else -0.03
    carrying = onnx.load(tiny_model_path)
    helper.set_model_props(carrying, {METADATA_KEY: replace(model.card, probe_probabilities=changed).to_json()})
    onnx.save(carrying, tmp_path / "changed.onnx")
    with pytest.raises(ModelError, match=r"up to 0\.030 differently .* use the fp32 model"):
        Model(tmp_path / "changed.onnx")
    with pytest.raises(ModelError, match="differently"):
        model.card.check_answers(np.full_like(model.card.probe_probabilities, np.nan))
