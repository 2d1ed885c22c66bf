"""SB-CNN of Salamon and Bello, trained as published, to compare with.

Source: J. Salamon and J. P. Bello, "Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound
Classification", IEEE Signal Processing Letters 24(3), 2017; here without its augmentation of the recordings.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError
from earshot.training.networks.base import Augment, Network, autocast
from earshot.training.networks.layers import over_time
from earshot.training.networks.recipe import Recipe

PATCH_FRAMES = 128  # 3 s: what the network hears at once
_VECTOR = 16  # floats
_SILENCE_DB = -100.0  # the front end's floor: zeros after the end of a short clip


class SbCnn(Network):
    """Three 5x5 convolutions of 24, 48 and 48 channels and a dense layer of 64: 241,434 parameters for ten classes and
    128 mel bands.

    After the first two convolutions the largest of 4 frames and 2 bands is kept. Nothing is padded. Dropout is before
    both dense layers, the penalty (0.001 times the sum of their squared weights) on both.

    It is trained on patches of 128 frames at random places of a clip. A window's probabilities are the mean over all of
    its patches, one beginning at every frame; `logits` are their logarithms. Patches begin where a clip that is shorter
    than the window still fills them; a clip shorter than a patch is one patch, with silence after it.
    """

    recipe = Recipe(
        epochs=50,
        batch_size=100,
        learning_rate=0.01,
        dropout=0.5,
        weight_decay=0.002,  # the gradient of 0.001 times a square
        # An epoch is over when an eighth of all patches has been used; a window of 173 frames holds 46.
        passes=46 / 8,
    )
    least_frames = PATCH_FRAMES

    def __init__(self, classes: int, front_end: FrontEndParams, dropout: float, has_background: bool) -> None:
        super().__init__(classes, front_end, dropout, has_background)
        self.first = nn.Conv2d(1, 24, 5)
        self.second = nn.Conv2d(24, 48, 5)
        self.third = nn.Conv2d(48, 48, 5)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2 * 48 * _rows(front_end.n_mels), 64)
        self.head = nn.Linear(64, classes)
        for name, weights in self.named_parameters():
            nn.init.xavier_uniform_(weights) if name.endswith("weight") else nn.init.zeros_(weights)

    @classmethod
    def check(cls, front_end: FrontEndParams) -> None:
        if front_end.window_frames < PATCH_FRAMES or _rows(front_end.n_mels) < 1:
            raise ParamsError(
                f"train.model sb_cnn needs windows of at least {PATCH_FRAMES} frames and 32 mel bands, not "
                f"{front_end.window_frames} and {front_end.n_mels}: train it with configs/sb_cnn.yaml"
            )

    def forward(self, decibels: Tensor) -> Tensor:
        patches = decibels.shape[2] - PATCH_FRAMES + 1
        probabilities = self._patch_logits(self.normalise(decibels), every_frame=True)[:, :, :patches].softmax(dim=1)
        begins = torch.arange(patches, device=decibels.device)
        counts = (begins < _patches(decibels)).to(probabilities.dtype)
        # One product for sum and number: onnxruntime then gives a clip the same bits alone and in any batch.
        sums = torch.cat([probabilities, torch.ones_like(probabilities[:, :1])], dim=1) @ counts[:, :, None]
        mean = (sums[:, :-1] / sums[:, -1:]).squeeze(2)
        # As many values a clip as fill the processor's vectors: those left over get other last bits of a logarithm.
        classes = mean.shape[1]
        return F.pad(mean, (0, -classes % _VECTOR), value=1.0).log()[:, :classes]

    def loss(self, decibels: Tensor, labels: Tensor, label_smoothing: float, augment: Augment | None) -> Tensor:
        begins = (torch.rand(len(decibels), 1, device=decibels.device) * _patches(decibels)).long()
        take = begins + torch.arange(PATCH_FRAMES, device=decibels.device)
        patches = decibels.gather(2, take[:, None, :].expand(-1, decibels.shape[1], -1))
        normalised = self.normalise(patches.float())
        with autocast(decibels.device):
            logits = self._patch_logits(normalised, every_frame=False).squeeze(2)
        return F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)

    def optimizer(
        self, recipe: Recipe, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
        """Stochastic gradient descent at a constant learning rate, without momentum."""
        penalised = [self.dense.weight, self.head.weight]
        others = [weights for weights in self.parameters() if not any(weights is one for one in penalised)]
        optimizer = torch.optim.SGD(others, recipe.learning_rate)
        optimizer.add_param_group({"params": penalised, "weight_decay": recipe.weight_decay})
        return optimizer, None

    def _patch_logits(self, normalised: Tensor, every_frame: bool) -> Tensor:
        """Logits (batch, classes, patches) of *normalised* (batch, n_mels, frames), of the patches that begin at every
        frame, or of the one that is all of it.

        With `every_frame` neighbouring patches share their convolutions: pools go over time frame by frame, and what
        follows takes its inputs as many frames apart as the pools' strides would have put them. Equal to cutting the
        patches out, at a seventh of the products (Giusti et al., "Fast Image Scanning with Deep Max-Pooling
        Convolutional Neural Networks", ICIP 2013).
        """
        apart = (1, 4, 16) if every_frame else (1, 1, 1)  # frames between the inputs of each layer
        hidden = normalised[:, None]
        for layer, stride in zip((self.first, self.second), apart[:2], strict=True):
            hidden = F.conv2d(hidden, layer.weight, layer.bias, dilation=(1, stride))
            step = (2, 1) if every_frame else (2, 4)
            hidden = F.relu(F.max_pool2d(hidden, (2, 4), step, dilation=(1, stride)))
        hidden = F.relu(F.conv2d(hidden, self.third.weight, self.third.bias, dilation=(1, apart[2])))
        hidden = hidden.flatten(1, 2)
        both = torch.cat([hidden[:, :, : -apart[2]], hidden[:, :, apart[2] :]], dim=1)  # a patch ends in two columns
        dense = F.relu(over_time(self.dense, self.dropout(both)))
        return over_time(self.head, self.dropout(dense))


def _rows(n_mels: int) -> int:
    """Rows of the last convolution."""
    return ((n_mels - 4) // 2 - 4) // 2 - 4


def _patches(decibels: Tensor) -> Tensor:
    """How many patches each clip fills with its sound, float (batch, 1); at least one."""
    frame = torch.arange(1, decibels.shape[2] + 1, device=decibels.device)
    sounding = (decibels > _SILENCE_DB).any(dim=1)
    last = (sounding * frame).amax(dim=1, keepdim=True)
    return (last - PATCH_FRAMES + 1).clamp(min=1).float()
