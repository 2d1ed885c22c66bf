"""PyTorch checkpoint to an fp32 ONNX file that depends on nothing of the machine it was made on."""

import copy
import io
import logging
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from earshot.training.checkpoint import Checkpoint
from earshot.training.models import Compact, Tutorial


def export(checkpoint: Checkpoint) -> onnx.ModelProto:
    """The network as ONNX: input `log_mel`, float32 (batch, n_mels, frames) in decibels; output `logits`.

    A compact network takes any number of frames (at least 8) and has a second output, `frame_logits`, of shape
    (batch, classes, frames // 8). If it has the background class, two more outputs are its logits: `background_logits`,
    (batch, 1), and `frame_background_logits`, (batch, 1, frames // 8). Batch normalisation is folded into the
    convolutions.
    """
    front_end = checkpoint.front_end
    model = fold_batch_norm(checkpoint.model).eval()
    compact = isinstance(model, Compact)
    outputs = list(_outputs(model)) if isinstance(model, Compact) else ["logits"]
    # Two clips, and four steps of frame_logits: a dimension of 1 would be taken for a constant.
    frames_traced = max(front_end.window_frames, 4 * Compact.frame_stride) if compact else front_end.window_frames
    example = torch.zeros(2, front_end.n_mels, frames_traced)
    batch, frames = torch.export.Dim("batch", min=1), torch.export.Dim("frames", min=Compact.frame_stride)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _AllOutputs(model) if isinstance(model, Compact) else model,
            (example,),
            dynamo=True,
            external_data=False,
            input_names=["log_mel"],
            output_names=outputs,
            dynamic_shapes=({0: batch, 2: frames} if compact else {0: batch},),
            verbose=False,
        )
    assert program is not None  # torch returns None only where a file name was given
    return _without_traces(program.model_proto)


def fold_batch_norm(model: Compact | Tutorial) -> Compact | Tutorial:
    """A copy of `model` in which every convolution followed by a batch normalisation holds both."""
    folded = copy.deepcopy(model).eval()
    for parent in folded.modules():
        if isinstance(parent, nn.Sequential):
            for i in range(len(parent) - 1):
                convolution, norm = parent[i], parent[i + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    parent[i], parent[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return folded


def _outputs(model: Compact) -> dict[str, Callable[[Tensor], Tensor]]:
    """What a compact network says of its embedding, by the output's name."""
    outputs: dict[str, Callable[[Tensor], Tensor]] = {"logits": model.logits, "frame_logits": model.frame_logits}
    if model.background is not None:
        outputs |= {
            "background_logits": model.background_logits,
            "frame_background_logits": model.frame_background_logits,
        }
    return outputs


class _AllOutputs(nn.Module):
    def __init__(self, model: Compact) -> None:
        super().__init__()
        self.model = model

    def forward(self, log_mel: Tensor) -> tuple[Tensor, ...]:
        embedding = self.model.embed(self.model.normalise(log_mel))
        return tuple(say(embedding) for say in _outputs(self.model).values())


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
