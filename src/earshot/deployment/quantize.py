"""fp32 ONNX to static INT8 (QDQ, unsigned activations, signed weights per channel)."""

import io
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from earshot.core.front_end import FrontEndParams
from earshot.deployment.saturation import each_channel_by_itself, safe_steps
from earshot.model.card import probe_windows
from earshot.model.scores import softmax
from earshot.model.session import open_session

_BATCH = 30
_PERCENTILE = 99.99  # of an activation's values lie inside the range that its 256 steps are spread over


def quantize(model: onnx.ModelProto, calibration: np.ndarray) -> onnx.ModelProto:
    """Quantise `model` with the ranges its activations take on `calibration`, float16 (clips, n_mels, frames).

    Unsigned activations with signed weights: with both signed, onnxruntime silently leaves residual networks half in
    fp32 on x86. The weights' steps are the finest that CPUs without VNNI can add up (`earshot.deployment.saturation`),
    so that the file answers alike on every CPU. The matrix product at the end stays float, so that scores keep their
    resolution, and its bias takes up the mean error that rounding makes in each class's logit (Nagel et al., "Data-Free
    Quantization Through Weight Equalization and Bias Correction", ICCV 2019; here on calibration clips, and for the
    last layer only).
    """
    with tempfile.TemporaryDirectory() as directory:
        source, prepared, target = (Path(directory) / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared)
        with redirect_stdout(io.StringIO()):  # it prints the state of its histograms
            quantize_static(
                prepared,
                target,
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=CalibrationMethod.Percentile,
                op_types_to_quantize=["Conv", "Relu", "Add", "AveragePool", "MaxPool"],
                nodes_to_exclude=_sums_to_leave_in_float(graph),
                extra_options={
                    "CalibPercentile": _PERCENTILE,
                    # A stride of one batch bounds the memory: activations of all clips at once would take gigabytes.
                    "CalibStridedMinMax": 1,
                    "TensorQuantOverrides": _weight_steps(graph),
                },
            )
        quantized = onnx.load(target)
    return _stripped(_with_corrected_bias(quantized, run_logits(model, calibration), calibration))


def probe_probabilities(model: onnx.ModelProto, front_end: FrontEndParams, temperature: float) -> list[list[float]]:
    """The answers of `model` to the probe windows, as a card keeps them."""
    return softmax(run_logits(model, probe_windows(front_end)), temperature).round(4).tolist()


def run_logits(model: onnx.ModelProto, features: np.ndarray) -> np.ndarray:
    """Logits (clips, classes) of float16 decibels (clips, n_mels, frames), in onnxruntime as the service runs it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        onnx.save(model, path)
        session = open_session(path)
    starts = range(0, len(features), _BATCH)
    return np.concatenate(
        [session.run(["logits"], {"log_mel": features[i : i + _BATCH].astype(np.float32)})[0] for i in starts]
    )


def choose_calibration(labels: np.ndarray, clips: int, seed: int) -> np.ndarray:
    """Rows of `labels` to calibrate on: about `clips`, equally many of each class where there are enough; sorted."""
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    each = max(1, -(-clips // len(classes)))
    chosen = [random.permutation(np.flatnonzero(labels == label))[:each] for label in classes]
    return np.sort(np.concatenate(chosen))


def convolutions_left_in_float(model: onnx.ModelProto) -> int:
    """How many convolutions onnxruntime will really run in float, counted in the graph that it runs."""
    with tempfile.TemporaryDirectory() as directory:
        source, optimised = Path(directory) / "model.onnx", Path(directory) / "optimised.onnx"
        onnx.save(model, source)
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(optimised)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.log_severity_level = 3
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        types = [node.op_type for node in onnx.load(optimised).graph.node]
    return sum(kind in ("Conv", "FusedConv") for kind in types)


def _weight_steps(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """The quantisation of convolutions' weights, a step for each output channel, as `quantize_static` takes it."""
    constants = {constant.name: constant for constant in model.graph.initializer}
    made = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and not each_channel_by_itself(node, constants[node.input[1]].dims[1]):
            steps = safe_steps(onnx.numpy_helper.to_array(constants[node.input[1]]))
            made[node.input[1]] = [
                {"axis": 0, "quant_type": QuantType.QInt8, "scale": step, "zero_point": np.int8(0)} for step in steps
            ]
    return made


def _sums_to_leave_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that add a bias to the product at the end, or work on the input before any convolution."""
    convolved: set[str] = set()
    before = []
    for node in model.graph.node:  # sorted: a node comes after those that it reads
        if node.op_type == "Conv" or convolved & set(node.input):
            convolved |= set(node.output)
        elif node.op_type == "Add":
            before.append(node.name)
    return before + [node.name for node in _products_biases(model) if node.op_type == "Add"]


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what no runtime would miss: names of nodes, shapes of inner values, long suffixes, zero points of biases."""
    short = onnx.ModelProto()
    short.CopyFrom(model)
    del short.graph.value_info[:]
    _drop_biases_zero_points(short)

    def shorten(name: str) -> str:
        for long, brief in (("_DequantizeLinear_Output", ".dq"), ("_QuantizeLinear_Output", ".q"), ("model.", "")):
            name = name.replace(long, brief)
        return name.replace("_quantized", ".int").replace("_zero_point", ".zero").replace("_scale", ".scale")

    for node in short.graph.node:
        node.ClearField("name")
        for names in (node.input, node.output):
            names[:] = [shorten(name) for name in names]
    for constant in short.graph.initializer:
        constant.name = shorten(constant.name)
    return short


def _drop_biases_zero_points(model: onnx.ModelProto) -> None:
    """They are always 0, which is what the standard takes where there is none; each channel has four bytes of them."""
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) == 3:
            zero_point = constants.get(node.input[2])
            if zero_point is not None and zero_point.data_type == onnx.TensorProto.INT32:  # only biases are so wide
                del node.input[2]
                model.graph.initializer.remove(zero_point)


def _products_biases(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that add a bias to the float product at the end: convolutions hold their own."""
    constants = {constant.name for constant in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type == "Gemm" or (node.op_type == "Add" and constants & set(node.input))
    ]


def _with_corrected_bias(model: onnx.ModelProto, wanted: np.ndarray, calibration: np.ndarray) -> onnx.ModelProto:
    """`model` with a bias at the end that takes up its mean error; as it is, where no bias does.

    `wanted` are the logits, (clips, classes), on `calibration`. A network need not end in a product of floats.
    """
    error = (run_logits(model, calibration) - wanted).mean(axis=0)
    shifted = onnx.ModelProto()
    shifted.CopyFrom(model)
    _shift_biases(shifted, -error)
    left = (run_logits(shifted, calibration) - wanted).mean(axis=0)
    return shifted if np.abs(left).max() < np.abs(error).max() else model


def _shift_biases(model: onnx.ModelProto, shift: np.ndarray) -> None:
    """Add `shift`, (classes,), to the bias of the float product at the end, in place; to none if there is no such."""
    constants = {constant.name: constant for constant in model.graph.initializer}
    names = {name for node in _products_biases(model) for name in node.input if name in constants}
    for bias in (constants[name] for name in names if np.prod(constants[name].dims) == len(shift)):
        values = onnx.numpy_helper.to_array(bias)
        shifted = (values.reshape(-1) + shift).reshape(values.shape).astype(np.float32)
        bias.CopyFrom(onnx.numpy_helper.from_array(shifted, bias.name))


class _Reader(CalibrationDataReader):
    """Batches of calibration clips, by range, as `quantize_static` asks for them."""

    def __init__(self, features: np.ndarray) -> None:
        self._features = features
        self.set_range(0, len(self))

    def __len__(self) -> int:
        return -(-len(self._features) // _BATCH)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._waiting = list(range(start_index, end_index))

    def get_next(self) -> dict[str, np.ndarray] | None:
        if not self._waiting:
            return None
        first = self._waiting.pop(0) * _BATCH
        return {"log_mel": np.asarray(self._features[first : first + _BATCH], np.float32)}
