"""fp32 ONNX to static INT8 (QDQ, unsigned activations, signed weights per channel)."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

_BATCH = 32


def quantize(model: onnx.ModelProto, calibration: np.ndarray) -> onnx.ModelProto:
    """Quantise `model` with the ranges its activations take on `calibration`, float16 (clips, n_mels, frames).

    Unsigned activations with signed weights: with both signed, onnxruntime silently leaves residual networks half in
    fp32 on x86. The matrix product at the end stays float, so that scores keep their resolution.
    """
    with tempfile.TemporaryDirectory() as directory:
        source, prepared, target = (Path(directory) / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Relu", "Add", "AveragePool", "MaxPool"],
            nodes_to_exclude=_biases_of_products(onnx.load(prepared)),
        )
        return onnx.load(target)


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


def _biases_of_products(model: onnx.ModelProto) -> list[str]:
    """Names of the additions of a constant: those of the float product at the end (convolutions hold their own)."""
    constants = {constant.name for constant in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "Add" and constants & set(node.input)]


class _Reader(CalibrationDataReader):
    def __init__(self, features: np.ndarray) -> None:
        self._batches = self._read(features)

    @staticmethod
    def _read(features: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        for i in range(0, len(features), _BATCH):
            yield {"log_mel": np.asarray(features[i : i + _BATCH], np.float32)}

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)
