"""PyTorch checkpoint to an fp32 ONNX file that depends on nothing of the machine it was made on."""

import copy
import io
import logging
import warnings
from contextlib import redirect_stdout
from dataclasses import replace

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from earshot.training.checkpoint import Checkpoint
from earshot.training.networks.base import Network


def export(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The network as ONNX: input `log_mel`, float32 (batch, n_mels, frames) in decibels; outputs as the network's.

    `earshot.training.networks.base.Network.outputs` names them. A network of `any_length` takes any number of frames
    from its `least_frames` on, another the window's. Batch normalisation is folded into the convolutions.
    """
    front_end = checkpoint.front_end
    model = fold_batch_norm(checkpoint.model).eval()
    # Two clips, and four times the fewest frames: a dimension of 1 would be taken for a constant.
    frames = max(front_end.window_frames, 4 * model.least_frames) if model.any_length else front_end.window_frames
    example = torch.zeros(2, front_end.n_mels, frames)
    shape = {0: torch.export.Dim("batch", min=1)}
    if model.any_length:
        shape[2] = torch.export.Dim("frames", min=model.least_frames)
    with torch.no_grad():
        names = list(model.outputs(example))
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _AllOutputs(model),
            (example,),
            dynamo=True,
            external_data=False,
            input_names=["log_mel"],
            output_names=names,
            dynamic_shapes=(shape,),
            verbose=False,
        )
    assert program is not None  # torch returns None only where a file name was given
    return _without_traces(program.model_proto)


def for_int8(checkpoint: Checkpoint) -> Checkpoint:
    """What to quantise in place of `checkpoint`, which stays as it is: equal outputs, but for rounding."""
    return replace(checkpoint, model=fold_batch_norm(checkpoint.model).for_int8())


def fold_batch_norm(model: Network) -> Network:
    """A copy of `model` in which every convolution followed by a batch normalisation holds both."""
    folded = copy.deepcopy(model).eval()
    for parent in folded.modules():
        if isinstance(parent, nn.Sequential):
            for i in range(len(parent) - 1):
                convolution, norm = parent[i], parent[i + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    parent[i], parent[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return folded


class _AllOutputs(nn.Module):
    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.outputs(log_mel).values())


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes of the source (absolute paths, line numbers): hashes would depend on the machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
        value.ClearField("doc_string")
    for owner in (model, model.graph):
        del owner.metadata_props[:]
        owner.ClearField("doc_string")
    return model
