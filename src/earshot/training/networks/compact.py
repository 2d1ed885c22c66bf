"""The residual CNN that is meant to be used."""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earshot.core.front_end import FrontEndParams
from earshot.training.networks import int8
from earshot.training.networks.base import Augment, Network, autocast
from earshot.training.networks.layers import band_statistics, over_time
from earshot.training.networks.recipe import Recipe

if TYPE_CHECKING:
    from earshot.training.config import AugmentParams

_LEAST_WEIGHT = 1e-4  # of a frame in `Compact.logits`: where all are surely background, all count alike


class Compact(Network):
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
    nothing is an example of background.
    """

    recipe = Recipe(
        epochs=60,
        batch_size=64,
        learning_rate=3e-3,
        label_smoothing=0.1,
        dropout=0.2,
        weight_decay=1e-2,
        least_steps=600,
        augmented=True,
        extra_clips=True,
    )
    frame_stride = 8  # input frames for each vector of frame_logits
    least_frames = frame_stride
    any_length = True
    learns_background = True

    def __init__(self, classes: int, front_end: FrontEndParams, dropout: float, has_background: bool) -> None:
        super().__init__(classes, front_end, dropout, has_background)
        self.relax = RelaxedInstanceNorm()
        self.stem = nn.Sequential(_conv(1, 16, 3), nn.ReLU(), nn.AvgPool2d(2))
        # The first block works on the most cells: its pool comes early, which saves a sixth of all products.
        self.blocks = nn.Sequential(Residual(16, 32, "between"), Residual(32, 64, "after"), Residual(64, 128, "none"))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(128, classes)
        self.background = nn.Linear(128, 1) if has_background else None

    def forward(self, decibels: Tensor) -> Tensor:
        return self.logits(self.embed(self.normalise(decibels)))

    def outputs(self, decibels: Tensor) -> dict[str, Tensor]:
        embedding = self.embed(self.normalise(decibels))
        said = {"logits": self.logits(embedding), "frame_logits": self.frame_logits(embedding)}
        if self.background is not None:
            said["background_logits"] = self.background_logits(embedding)
            said["frame_background_logits"] = self.frame_background_logits(embedding)
        return said

    def embed(self, normalised: Tensor) -> Tensor:
        """*Normalised* input (batch, n_mels, frames) to what is heard over time, (batch, 128, frames // 8)."""
        return self.dropout(self.blocks(self.stem(self.relax(normalised)[:, None])).mean(dim=2))

    def logits(self, embedding: Tensor) -> Tensor:
        """Logits (batch, classes): the mean of `frame_logits` over time, each with the probability that its frame holds
        one of the classes for its weight. Without `has_background` all weights are equal.

        Such a weight is a kind of attention (McFee et al., "Adaptive Pooling Operators for Weakly Labeled Sound Event
        Detection", IEEE/ACM TASLP 2018, compare others), but nothing more is learnt for it.
        """
        if self.background is None:
            return self.mean_logits(embedding)
        of_classes = self.frame_logits(embedding)
        everything = torch.cat([of_classes, self.frame_background_logits(embedding)], dim=1)
        weights = 1 + _LEAST_WEIGHT - everything.softmax(dim=1)[:, -1:].transpose(1, 2)
        # One product for sum and weight: onnxruntime then gives a clip the same bits alone and in any batch.
        sums = torch.cat([of_classes, torch.ones_like(of_classes[:, :1])], dim=1) @ weights
        return (sums[:, :-1] / sums[:, -1:]).squeeze(2)

    def mean_logits(self, embedding: Tensor) -> Tensor:
        """The plain mean over time, (batch, classes), and with `has_background` that of the background class beside it.

        The mean is taken before the product, which is linear: the same value, and over 128 rows a clip onnxruntime
        gives a clip the same bits alone and in any batch.
        """
        logits = self.frame_logits(embedding.mean(dim=2, keepdim=True)).squeeze(2)
        return logits if self.background is None else torch.cat([logits, self.background_logits(embedding)], dim=1)

    def frame_logits(self, embedding: Tensor) -> Tensor:
        """Logits over time, shape (batch, classes, frames // 8)."""
        return over_time(self.head, embedding)

    def background_logits(self, embedding: Tensor) -> Tensor:
        """The logit of the background class, shape (batch, 1): the plain mean over time."""
        return self.frame_background_logits(embedding.mean(dim=2, keepdim=True)).squeeze(2)

    def frame_background_logits(self, embedding: Tensor) -> Tensor:
        """The same over time, shape (batch, 1, frames // 8): as `frame_logits`."""
        assert self.background is not None
        return over_time(self.background, embedding)

    def loss(self, decibels: Tensor, labels: Tensor, label_smoothing: float, augment: Augment | None) -> Tensor:
        assert augment is not None  # the recipe is augmented
        batch, targets = augment(decibels, labels)
        with autocast(batch.device):
            logits = self.mean_logits(self.embed(batch))
        return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)

    def optimizer(
        self, recipe: Recipe, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
        """AdamW with one-cycle learning rates."""
        optimizer = torch.optim.AdamW(self.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        # One-cycle's phases must each hold a step.
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=max(steps, 10))
        return optimizer, scheduler

    @classmethod
    def first_settled_epoch(cls, epochs: int, augment: "AugmentParams") -> int:
        """The first of the last epochs, without mixup and at a learning rate near its end.

        Batch normalisation of an earlier one has seen mixed and cropped clips only, whose variance is another; such an
        epoch may do well on few validation recordings by luck.
        """
        return min(epochs, int(epochs * (1 - augment.mixup_off_last)) + 1)

    def for_int8(self) -> "Compact":
        """This network without average pools (`earshot.training.networks.int8`)."""
        first, pool = self.stem[0], self.stem[2]
        assert isinstance(first, nn.Sequential)
        assert isinstance(pool, nn.AvgPool2d)
        self.stem = nn.Sequential(*int8.pooled_first_layer(int8.convolution_of(first), int8.pool_size(pool)))
        for block in self.blocks:
            assert isinstance(block, Residual)
            if isinstance(block.skip[0], nn.AvgPool2d):
                size = int8.pool_size(block.skip[0])
                block.skip = nn.Sequential(int8.pool_then_convolution(size, int8.convolution_of(block.skip)))
            block.between = int8.pool(block.between, int8.convolution_of(block.first).out_channels)
            block.after = int8.pool(block.after, int8.convolution_of(block.second).out_channels)
        return self


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
        """(batch, channels_in, height, width) to (batch, channels_out, height, width), halved where it pools."""
        inner = self.between(F.relu(self.first(hidden)))
        return self.after(F.relu(self.second(inner) + self.skip(hidden)))


def _conv(channels_in: int, channels_out: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, padding=size // 2, bias=False), nn.BatchNorm2d(channels_out)
    )
