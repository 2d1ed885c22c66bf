"""The networks that the compact one is measured against, trained by one plain loop."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earshot.core.front_end import FrontEndParams
from earshot.training.augment import Augmentation
from earshot.training.config import AugmentParams
from earshot.training.loop import Clips, autocast
from earshot.training.models import Normalise, Tutorial


class SbCnn(nn.Module):
    """SB-CNN of Salamon and Bello, "Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound
    Classification", IEEE Signal Processing Letters 24(3), 2017: three 5x5 convolutions of 24, 48 and 48 channels, pools
    of 4x2 after the first two, a dense layer of 64, dropout 0.5 before both dense layers. Convolutions are padded: 64
    bands in place of the paper's 128 leave too few rows otherwise.
    """

    def __init__(self, classes: int, n_mels: int, frames: int) -> None:
        super().__init__()
        self.normalise = Normalise(n_mels)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, 5, padding=2),
            nn.MaxPool2d((4, 2)),
            nn.ReLU(),
            nn.Conv2d(24, 48, 5, padding=2),
            nn.MaxPool2d((4, 2)),
            nn.ReLU(),
            nn.Conv2d(48, 48, 5, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
        )
        self.dense = nn.Sequential(
            nn.Linear(48 * (n_mels // 16) * (frames // 4), 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, classes)
        )

    def forward(self, decibels: Tensor) -> Tensor:
        """Logits (batch, classes) of decibels (batch, n_mels, frames)."""
        return self.logits(self.normalise(decibels))

    def logits(self, normalised: Tensor) -> Tensor:
        """Logits of *normalised* input."""
        return self.dense(self.layers(normalised[:, None]))


@dataclass(frozen=True)
class Peer:
    """A network and how it is trained, but for the learning rate, which inner folds choose among `learning_rates`.

    `weight_decay` is that of the dense layers, as in the paper.
    """

    network: Literal["tutorial", "sb_cnn"]
    optimizer: Literal["adam", "sgd"]
    learning_rates: tuple[float, ...]
    epochs: int
    batch_size: int
    weight_decay: float = 0.0
    augmented: bool = False


PEERS = {
    "tutorial": Peer("tutorial", "adam", (3e-4, 1e-3, 3e-3), 15, 16),
    # The paper: stochastic gradient descent at 0.01, batches of 100, 50 epochs, weight decay 0.001 on dense layers.
    "sb_cnn": Peer("sb_cnn", "sgd", (3e-3, 1e-2, 3e-2), 50, 100, weight_decay=1e-3),
    "sb_cnn_augmented": Peer("sb_cnn", "adam", (3e-4, 1e-3, 3e-3), 50, 100, weight_decay=1e-3, augmented=True),
}


def train(
    peer: Peer, learning_rate: float, clips: Clips, classes: int, front_end: FrontEndParams, seed: int
) -> nn.Module:
    """Train `peer` on all of `clips` for all its epochs, and return it in eval mode."""
    torch.manual_seed(seed)
    if peer.network == "tutorial":
        model: Tutorial | SbCnn = Tutorial(classes, front_end.n_mels, front_end.window_frames, dropout=0.3)
        dense: list[nn.Parameter] = []
    else:
        model = SbCnn(classes, front_end.n_mels, front_end.window_frames)
        dense = list(model.dense.parameters())
    features = torch.from_numpy(np.ascontiguousarray(clips.features))
    model.normalise.fit(features)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    labels = torch.from_numpy(clips.labels.astype(np.int64))
    others = [weights for weights in model.parameters() if not any(weights is one for one in dense)]
    groups = [{"params": others}, {"params": dense, "weight_decay": peer.weight_decay}] if dense else others
    kind = torch.optim.Adam if peer.optimizer == "adam" else torch.optim.SGD
    optimizer = kind(groups, learning_rate)
    # Input of one length: nothing is cropped.
    augmentation = Augmentation(AugmentParams(crop_s=0.0), front_end, classes, least_frames=1)
    batches = max(1, round(len(labels) / peer.batch_size))
    model.train()
    for epoch in range(peer.epochs):
        for batch in torch.randperm(len(labels)).tensor_split(batches):
            if peer.augmented:
                given, targets = augmentation(features[batch], labels[batch], epoch / peer.epochs, model.normalise)
            else:
                given, targets = model.normalise(features[batch].float()), F.one_hot(labels[batch], classes).float()
            optimizer.zero_grad(set_to_none=True)
            with autocast(given.device):
                logits = model.logits(given)
            F.cross_entropy(logits.float(), targets).backward()
            optimizer.step()
    return model.eval()
