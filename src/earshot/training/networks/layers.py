"""Layers that several networks share."""

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Subtract each mel band's mean over the training clips and divide by its deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_mels, 1))
        self.register_buffer("deviation", torch.ones(n_mels, 1))

    def fit(self, features: Tensor) -> None:
        """Take mean and deviation from `features`, (clips, n_mels, frames) in decibels."""
        self.mean.copy_(features.double().mean(dim=(0, 2))[:, None])
        # A band that never changes (a front end with a band above every recording's bandwidth) must not divide by 0.
        self.deviation.copy_(features.double().std(dim=(0, 2)).clamp(min=1.0)[:, None])

    def forward(self, decibels: Tensor) -> Tensor:
        """Decibels to zero mean and unit deviation, same shape."""
        return (decibels - self.mean) / self.deviation


def band_statistics(normalised: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each clip's bands over its frames, each (batch, n_mels, 1)."""
    mean = normalised.mean(dim=2, keepdim=True)
    centred = normalised - mean
    return mean, (centred * centred).mean(dim=2, keepdim=True).sqrt()


def over_time(layer: nn.Linear, embedding: Tensor) -> Tensor:
    """`layer` at every time of `embedding`: (batch, features, times) to (batch, outputs, times).

    The weights are on the left: one product for each clip, so that onnxruntime gives a clip the same bits alone and in
    any batch. INT8 leaves the product in float.
    """
    return layer.weight @ embedding + layer.bias[:, None]
