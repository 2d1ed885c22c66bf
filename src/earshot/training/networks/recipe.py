"""How a network is trained, unless params.yaml says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Every number of a training.

    Attributes:
        epochs: after each, the network is judged on validation and may be chosen.
        batch_size: clips a step.
        learning_rate: the highest of the run.
        label_smoothing: share of the target that is spread over all classes, 0 to 1.
        dropout: share of activations set to 0 before the last layers, 0 to 1.
        weight_decay: as the network's optimizer takes it.
        passes: how often an epoch goes over the clips.
        least_steps: where the clips are so few that `epochs` have fewer steps, there are more epochs.
        augmented: whether training clips are changed as the section `train.augment` says.
        extra_clips: whether synthesised clips are trained on beside those of the data set.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    label_smoothing: float = 0.0
    dropout: float = 0.0
    weight_decay: float = 0.0
    passes: float = 1.0
    least_steps: int = 0
    augmented: bool = False
    extra_clips: bool = False

    def epoch_steps(self, clips: int) -> int:
        """Steps of one epoch over so many clips, of nearly equal size: none is too small for batch normalisation."""
        return max(1, round(clips * self.passes / self.batch_size))
