"""What a network is to the rest of the project: log-mel decibels in, logits out, and how it is trained and exported.

A network is a subclass of `Network` in a file of its own, named in `earshot.training.networks.NETWORKS`. Only `recipe`,
`__init__` and `forward` must be written; everything else has a default that suits a plain classifier.
"""

import abc
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError
from earshot.training.networks.layers import Normalise
from earshot.training.networks.recipe import Recipe

if TYPE_CHECKING:
    from earshot.training.config import AugmentParams

# Float16 decibels and class numbers to normalised, changed input and its targets (batch, classes).
Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Network(nn.Module, abc.ABC):
    """A classifier of log-mel windows.

    The per-band mean and deviation of the training clips are part of the network (`normalise`), so that nobody has to
    carry them beside it.

    Attributes:
        recipe: how it is trained; each null of the section `train` in params.yaml takes its value from here.
        least_frames: fewest frames it takes.
        any_length: whether it takes any number of frames from `least_frames` on, or the window's alone.
        learns_background: whether it has a logit of the background class. Only then is it trained on clips of it.
    """

    recipe: ClassVar[Recipe]
    least_frames: ClassVar[int] = 1
    any_length: ClassVar[bool] = False
    learns_background: ClassVar[bool] = False

    def __init__(self, classes: int, front_end: FrontEndParams, dropout: float, has_background: bool) -> None:
        """Fresh weights from torch's global generator.

        Args:
            classes: number of classes, that of the background left out.
            front_end: what the input is made with.
            dropout: of the recipe, or of params.yaml.
            has_background: whether it is trained on clips of the background class; never without `learns_background`.
        """
        super().__init__()
        self.normalise = Normalise(front_end.n_mels)

    @classmethod
    def check(cls, front_end: FrontEndParams) -> None:
        """Raise ParamsError if the network cannot hear what `front_end` makes."""
        if front_end.window_frames < cls.least_frames:
            raise ParamsError(
                f"audio.window_s {front_end.window_s:g} gives {front_end.window_frames} frames; the network needs at "
                f"least {cls.least_frames}, {cls.least_frames * front_end.hop_s:.2f} s"
            )

    @abc.abstractmethod
    def forward(self, decibels: Tensor) -> Tensor:
        """Logits (batch, classes) of float32 decibels (batch, n_mels, frames)."""

    def outputs(self, decibels: Tensor) -> dict[str, Tensor]:
        """Everything that the ONNX file says, by the output's name.

        `logits` is a must. The others that serving knows: `background_logits`, (batch, 1); `frame_logits`, (batch,
        classes, steps), which say where in the window a class was heard; and `frame_background_logits`, (batch, 1,
        steps), of a network with both. Without `frame_logits` a timeline is made of one score a window.
        """
        return {"logits": self(decibels)}

    def loss(self, decibels: Tensor, labels: Tensor, label_smoothing: float, augment: Augment | None) -> Tensor:
        """Loss of one batch in nats, a scalar: here cross-entropy of `forward` with the clips as they are.

        Args:
            decibels: float16 (batch, n_mels, window_frames).
            labels: int64 (batch,); the number after the last class's is the background.
            label_smoothing: of the recipe, or of params.yaml.
            augment: changes the clips as `train.augment` says; None unless the recipe is `augmented`.
        """
        return F.cross_entropy(self(decibels.float()), labels, label_smoothing=label_smoothing)

    def optimizer(
        self, recipe: Recipe, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
        """What makes a run's `steps`, and what changes its learning rate after each: here Adam at a constant one."""
        return torch.optim.Adam(self.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay), None

    @classmethod
    def first_settled_epoch(cls, epochs: int, augment: "AugmentParams") -> int:
        """The first epoch of `epochs` that validation may choose."""
        return 1

    def for_int8(self) -> "Network":
        """What is quantised in place of this network: equal outputs, but for rounding.

        Batch normalisation is folded already, and the network is a copy that may be changed.
        """
        return self


@contextlib.contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """bfloat16 where the hardware multiplies it; elsewhere it is emulated and slow."""
    enabled = device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())
    with torch.autocast(device.type, torch.bfloat16, enabled=enabled) if enabled else contextlib.nullcontext():
        yield
