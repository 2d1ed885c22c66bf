"""The same network in the operations that onnxruntime's INT8 kernels are fast at.

Its INT8 average pool takes longer than the convolutions around it, and so does a convolution of a single channel, whose
windows it gathers byte by byte. Both are exactly sums of products over more channels, which it is fast at.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earshot.deployment.export import fold_batch_norm
from earshot.training.checkpoint import Checkpoint
from earshot.training.models import Compact, Residual


def for_int8(checkpoint: Checkpoint) -> Checkpoint:
    """What to quantise in place of `checkpoint`, which stays as it is: equal outputs, but for rounding."""
    model = fold_batch_norm(checkpoint.model)
    return replace(checkpoint, model=_without_pools(model) if isinstance(model, Compact) else model)


def _without_pools(folded: Compact) -> Compact:
    first, pool = folded.stem[0], folded.stem[2]
    assert isinstance(first, nn.Sequential)
    assert isinstance(pool, nn.AvgPool2d)
    folded.stem = nn.Sequential(*_pooled_first_layer(_convolution_of(first), _size(pool)))
    for block in folded.blocks:
        assert isinstance(block, Residual)
        if isinstance(block.skip[0], nn.AvgPool2d):
            size = _size(block.skip[0])
            block.skip = nn.Sequential(_pool_then_convolution(size, _convolution_of(block.skip)))
        block.between = _pool(block.between, _convolution_of(block.first).out_channels)
        block.after = _pool(block.after, _convolution_of(block.second).out_channels)
    return folded


def _pool(pool: nn.Module, channels: int) -> nn.Module:
    """An average pool as a convolution of each channel by itself; anything else as it is."""
    if not isinstance(pool, nn.AvgPool2d):
        return pool
    size = _size(pool)
    return _convolution(torch.full((channels, 1, size, size), 1 / size**2), None, size, groups=channels)


def _pool_then_convolution(size: int, convolution: nn.Conv2d) -> nn.Conv2d:
    """An average pool and a 1x1 convolution as one."""
    return _convolution(convolution.weight.expand(-1, -1, size, size) / size**2, convolution.bias, size)


def _pooled_first_layer(convolution: nn.Conv2d, size: int) -> list[nn.Module]:
    """Convolution, ReLU and pool as convolution, ReLU and 1x1 convolution, at the pool's coarser steps.

    The first computes, for each place of the pool's window, what the original has there, as channels of their own; the
    second takes their mean.
    """
    places = [(i, j) for i in range(size) for j in range(size)]
    shifted = [F.pad(convolution.weight, (j, size - 1 - j, i, size - 1 - i)) for i, j in places]
    bias = None if convolution.bias is None else convolution.bias.repeat(len(places))
    mean = torch.eye(convolution.out_channels).repeat(1, len(places)) / len(places)
    return [
        _convolution(torch.cat(shifted), bias, size, padding=int(convolution.padding[0])),
        nn.ReLU(),
        _convolution(mean[:, :, None, None]),
    ]


def _size(pool: nn.AvgPool2d) -> int:
    assert isinstance(pool.kernel_size, int)
    return pool.kernel_size


def _convolution_of(layers: nn.Sequential) -> nn.Conv2d:
    return next(layer for layer in layers if isinstance(layer, nn.Conv2d))


def _convolution(
    weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Conv2d:
    channels_out, channels_in, *size = weight.shape
    made = nn.Conv2d(
        channels_in * groups, channels_out, (size[0], size[1]), stride, padding, groups=groups, bias=bias is not None
    )
    made.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made.eval()
