"""INT8 weights whose sums fit into the 16 bits that CPUs without VNNI have for them.

onnxruntime's convolutions for AVX2, and for AVX-512 without VNNI, multiply unsigned activations by signed weights and
add two neighbouring products in 16 bits, where a sum that does not fit is cut off (the instruction ``vpmaddubsw``).
With weights of full range, 255 * (127 + 127) is twice what fits, and such a CPU gives other answers without an error.
Neighbours are successive input channels at one place of the kernel; where there is one input channel, successive
places. A convolution of each channel by itself adds in 32 bits.
"""

import numpy as np
import onnx

_INT8_MAX = 127
_INT16_MAX, _INT16_MIN, _UINT8_MAX = 32_767, -32_768, 255
SAFE_SUM = _INT16_MAX // _UINT8_MAX  # of two weights of one sign: 128


def safe_steps(weights: np.ndarray) -> np.ndarray:
    """The finest quantisation steps with which no sum of two products can overflow, float32 (channels_out,).

    Args:
        weights: float32 (channels_out, channels_in, height, width), of a convolution that mixes channels.
    """
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    steps = np.maximum(largest / _INT8_MAX, _largest_sums(weights) / SAFE_SUM)
    steps = np.where(steps > 0, steps, 1).astype(np.float32)
    while (over := _largest_sums(np.rint(weights / steps[:, None, None, None])) > SAFE_SUM).any():
        steps[over] *= np.float32(1.001)  # rounding took a sum beyond
    return steps


def saturating_pairs(model: onnx.ModelProto) -> int:
    """Pairs of neighbouring weights in the INT8 file `model` whose sum of products some activations make overflow.

    None means that the file's convolutions are exact on every CPU, whatever they hear.
    """
    constants = {constant.name: constant for constant in model.graph.initializer}
    dequantised = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found = 0
    for node in model.graph.node:
        weights = constants.get(dequantised.get(node.input[1], "")) if node.op_type == "Conv" else None
        if weights is None or weights.data_type != onnx.TensorProto.INT8:  # products of unsigned weights have 32 bits
            continue
        if not each_channel_by_itself(node, weights.dims[1]):
            found += int((_sums(onnx.numpy_helper.to_array(weights).astype(np.int64)) > SAFE_SUM).any(axis=0).sum())
    return found


def each_channel_by_itself(convolution: onnx.NodeProto, channels_in: int) -> bool:
    """Whether `convolution`, whose filters have `channels_in` input channels, mixes no channels."""
    groups = next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)
    return groups > 1 and channels_in == 1


def accumulate(activations: np.ndarray, weights: np.ndarray, saturate: bool) -> np.ndarray:
    """The integer sums of a convolution as kernels with or without VNNI make them: int64 (places, channels_out).

    Args:
        activations: uint8 (places, channels_in, height, width): what the kernel lies on at each of its places.
        weights: int8 (channels_out, channels_in, height, width).
        saturate: cut each sum of two neighbouring products off at 16 bits.
    """
    pairs = np.einsum("pki,cki->pcki", _paired(activations.astype(np.int64)), _paired(weights.astype(np.int64)))
    sums = pairs.sum(axis=-1)
    return (np.clip(sums, _INT16_MIN, _INT16_MAX) if saturate else sums).sum(axis=-1)


def _paired(values: np.ndarray) -> np.ndarray:
    """`values`, (n, channels_in, height, width), as the kernels read them: (n, pairs, 2), the last filled up with 0."""
    in_order = np.moveaxis(values, 1, -1).reshape(len(values), -1)
    even = np.pad(in_order, ((0, 0), (0, in_order.shape[1] % 2)))
    return even.reshape(len(values), -1, 2)


def _sums(weights: np.ndarray) -> np.ndarray:
    """What each pair sums up to with the worst activations, by its positive and its negative weights: (2, n, pairs)."""
    pairs = _paired(weights)
    return np.stack([np.maximum(pairs, 0).sum(axis=-1), np.maximum(-pairs, 0).sum(axis=-1)])


def _largest_sums(weights: np.ndarray) -> np.ndarray:
    """The largest of `_sums` for each output channel."""
    return _sums(weights).max(axis=(0, 2))
