"""The same layers in the operations that onnxruntime's INT8 kernels are fast at.

Its INT8 average pool takes longer than the convolutions around it, and so does a convolution of a single channel, whose
windows it gathers byte by byte. Both are exactly sums of products over more channels, which it is fast at.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pool(layer: nn.Module, channels: int) -> nn.Module:
    """An average pool as a convolution of each channel by itself; anything else as it is."""
    if not isinstance(layer, nn.AvgPool2d):
        return layer
    size = pool_size(layer)
    return _convolution(torch.full((channels, 1, size, size), 1 / size**2), None, size, groups=channels)


def pool_then_convolution(size: int, convolution: nn.Conv2d) -> nn.Conv2d:
    """An average pool and a 1x1 convolution as one."""
    return _convolution(convolution.weight.expand(-1, -1, size, size) / size**2, convolution.bias, size)


def pooled_first_layer(convolution: nn.Conv2d, size: int) -> list[nn.Module]:
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


def pool_size(layer: nn.AvgPool2d) -> int:
    """Width and height of the pool's window."""
    assert isinstance(layer.kernel_size, int)
    return layer.kernel_size


def convolution_of(layers: nn.Sequential) -> nn.Conv2d:
    """The first convolution in `layers`."""
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
