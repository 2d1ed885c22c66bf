"""The networks: log-mel decibels in, class logits out.

Both take float32 decibels of shape (batch, n_mels, frames) and return logits (batch, classes). The per-band mean and
deviation of the training clips are part of the network, so that nobody has to carry them beside it.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST_WEIGHT = 1e-4  # of a frame in `Compact.logits`: where all are surely none of the classes, all count alike


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


class RelaxedInstanceNorm(nn.Module):
    """Bring each clip's mel bands half-way to zero mean and unit deviation over the clip's own time.

    A microphone, a room or a level shifts whole bands of a clip alike; half of it is taken away, and half is left,
    because it also tells sounds apart (relaxed instance frequency-wise normalisation: Kim et al., "Domain
    Generalization with Relaxed Instance Frequency-wise Normalization for Multi-device Acoustic Scene Classification",
    Interspeech 2022).
    """

    relaxation = 0.5  # share of the input that stays as it is

    def forward(self, normalised: Tensor) -> Tensor:
        """*Normalised* input to the same shape, (batch, n_mels, frames)."""
        mean, deviation = band_statistics(normalised)
        # A band that does not change, such as digital silence, is not to be divided by nothing.
        standardised = (normalised - mean) / (deviation + 0.1)
        return self.relaxation * normalised + (1 - self.relaxation) * standardised


def band_statistics(normalised: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each clip's bands over its frames, each (batch, n_mels, 1)."""
    mean = normalised.mean(dim=2, keepdim=True)
    centred = normalised - mean
    return mean, (centred * centred).mean(dim=2, keepdim=True).sqrt()


class Compact(nn.Module):
    """Residual CNN of about 300 k parameters and 99 million multiply-accumulates a 4 s window, for any length of sound.

    A 1x1 convolution over time ends it, then a mean over time. Before the mean it is `frame_logits`, one vector every 8
    frames, which say where in the window a class was heard. The 1x1 convolution is written as the matrix product that
    it is: INT8 then leaves it in float, where scores that thresholds are set on keep their resolution. Plain 3x3
    convolutions in multiples of 16 channels and average pools quantise to INT8 without loss; depthwise convolutions
    and squeeze-and-excitation do not.

    With `has_background` it has one logit more, of the background class, which a softmax over all of them weighs
    against the others (`background_logits`). It is apart from `logits`, which say which class it is if it is one: in
    their mean over time a frame counts for as much as it holds a class, so that the silence or the traffic around a
    short sound does not outweigh it. It is trained through the plain mean (`mean_logits`), where a frame that holds
    nothing is an example of what holds nothing.
    """

    frame_stride = 8  # input frames for each vector of frame_logits

    def __init__(self, classes: int, n_mels: int, dropout: float, has_background: bool = False) -> None:
        super().__init__()
        self.normalise = Normalise(n_mels)
        self.relax = RelaxedInstanceNorm()
        self.stem = nn.Sequential(_conv(1, 16, 3), nn.ReLU(), nn.AvgPool2d(2))
        # The first block works on the most cells: its pool comes early, which saves a sixth of all products.
        self.blocks = nn.Sequential(Residual(16, 32, "between"), Residual(32, 64, "after"), Residual(64, 128, "none"))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(128, classes)
        self.background = nn.Linear(128, 1) if has_background else None

    def forward(self, decibels: Tensor) -> Tensor:
        """Logits, shape (batch, classes)."""
        return self.logits(self.embed(self.normalise(decibels)))

    def embed(self, normalised: Tensor) -> Tensor:
        """*Normalised* input (batch, n_mels, frames) to what is heard over time, (batch, 128, frames // 8)."""
        return self.dropout(self.blocks(self.stem(self.relax(normalised)[:, None])).mean(dim=2))

    def logits(self, embedding: Tensor) -> Tensor:
        """Logits (batch, classes): the mean of `frame_logits` over time, each with the probability that its frame holds
        one of the classes for its weight. Without `has_background` all weights are equal.

        Such a weight is a kind of attention (McFee et al., "Adaptive Pooling Operators for Weakly Labeled Sound Event
        Detection", IEEE/ACM TASLP 2018, compare others), but it has nothing to be learnt: "none" was learnt already.
        """
        if self.background is None:
            return self.mean_logits(embedding)
        over_time = self.frame_logits(embedding)
        everything = torch.cat([over_time, self.frame_background_logits(embedding)], dim=1)
        weights = 1 + _LEAST_WEIGHT - everything.softmax(dim=1)[:, -1:].transpose(1, 2)
        # One product for sum and weight: onnxruntime then gives a clip the same bits alone and in any batch.
        sums = torch.cat([over_time, torch.ones_like(over_time[:, :1])], dim=1) @ weights
        return (sums[:, :-1] / sums[:, -1:]).squeeze(2)

    def mean_logits(self, embedding: Tensor) -> Tensor:
        """The plain mean over time, (batch, classes), and with `has_background` that of none of them beside it.

        The mean is taken before the product, which is linear: the same value, and over 128 rows a clip onnxruntime
        gives a clip the same bits alone and in any batch.
        """
        logits = self.frame_logits(embedding.mean(dim=2, keepdim=True)).squeeze(2)
        return logits if self.background is None else torch.cat([logits, self.background_logits(embedding)], dim=1)

    def frame_logits(self, embedding: Tensor) -> Tensor:
        """Logits over time, shape (batch, classes, frames // 8)."""
        return _over_time(self.head, embedding)

    def background_logits(self, embedding: Tensor) -> Tensor:
        """The logit of none of the classes, shape (batch, 1): the plain mean over time."""
        return self.frame_background_logits(embedding.mean(dim=2, keepdim=True)).squeeze(2)

    def frame_background_logits(self, embedding: Tensor) -> Tensor:
        """The same over time, shape (batch, 1, frames // 8): as `frame_logits`."""
        assert self.background is not None
        return _over_time(self.background, embedding)


class Tutorial(nn.Module):
    """The plain CNN of the tutorial this project grew from; its input length is fixed."""

    def __init__(self, classes: int, n_mels: int, frames: int, dropout: float) -> None:
        super().__init__()
        self.normalise = Normalise(n_mels)
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(32 * (n_mels // 4) * (frames // 4), classes)

    def forward(self, decibels: Tensor) -> Tensor:
        """Logits, shape (batch, classes)."""
        return self.logits(self.normalise(decibels))

    def logits(self, normalised: Tensor) -> Tensor:
        """Logits from *normalised* input."""
        return self.head(self.dropout(self.features(normalised[:, None])))


def _over_time(layer: nn.Linear, embedding: Tensor) -> Tensor:
    # Weights on the left: one product for each clip, so that a clip has the same bits alone and in any batch.
    return layer.weight @ embedding + layer.bias[:, None]


def _conv(channels_in: int, channels_out: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=False), nn.BatchNorm2d(channels_out)
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one. Where `pool` says, 2x2 averages follow: `between` the two, or `after`."""

    def __init__(self, channels_in: int, channels_out: int, pool: Literal["between", "after", "none"]) -> None:
        super().__init__()
        self.first = _conv(channels_in, channels_out, 3)
        self.second = _conv(channels_out, channels_out, 3)
        self.skip = _conv(channels_in, channels_out, 1)
        self.between: nn.Module = nn.Identity()
        self.after: nn.Module = nn.Identity()
        if pool == "between":
            self.between = nn.AvgPool2d(2)
            self.skip.insert(0, nn.AvgPool2d(2))
        if pool == "after":
            self.after = nn.AvgPool2d(2)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.between(F.relu(self.first(hidden)))
        return self.after(F.relu(self.second(inner) + self.skip(hidden)))
