"""The plain CNN of the tutorial this project grew from, which the compact network is compared with."""

from torch import Tensor, nn

from earshot.core.front_end import FrontEndParams
from earshot.training.networks.base import Network
from earshot.training.networks.recipe import Recipe


class Tutorial(Network):
    """Two 3x3 convolutions with pools and one dense layer; its input length is fixed."""

    recipe = Recipe(epochs=15, batch_size=16, learning_rate=1e-3, dropout=0.3)
    least_frames = 4

    def __init__(self, classes: int, front_end: FrontEndParams, dropout: float, has_background: bool) -> None:
        super().__init__(classes, front_end, dropout, has_background)
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
        self.head = nn.Linear(32 * (front_end.n_mels // 4) * (front_end.window_frames // 4), classes)

    def forward(self, decibels: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(self.normalise(decibels)[:, None])))
