"""Sounds outside the classes: where to draw the line between them and the classes' own.

The score is `earshot.inference.scores.known`. No unknown sound is needed to draw the line: it lies where calling known
clips unknown would begin to cost more than a given share of right answers. So no kind of unknown sound has a part in it
that it is then tested on.
"""

import math
from dataclasses import dataclass

import numpy as np

_DIGITS = 6  # of a threshold on a card


@dataclass(frozen=True)
class UnknownParams:
    """The ``unknown`` section of params.yaml.

    Attributes:
        max_accuracy_loss: share of the validation clips that may be answered "unknown" although their class was named
            rightly, in [0, 1); sets the threshold on the model's card.
    """

    max_accuracy_loss: float = 0.005

    def __post_init__(self) -> None:
        if not 0 <= self.max_accuracy_loss < 1:
            raise ValueError(f"max_accuracy_loss must be at least 0 and below 1, not {self.max_accuracy_loss}")


def threshold(known: np.ndarray, right: np.ndarray, max_accuracy_loss: float) -> float:
    """The highest threshold below which at most a share `max_accuracy_loss` of all clips are right answers.

    Args:
        known: (n,) scores of validation clips, all of the classes.
        right: (n,) bool, whether the class was named rightly.
        max_accuracy_loss: share of the n clips.

    Returns:
        In [0, 1], of six digits, as the card keeps it; 0 where every right answer may be lost, or there is none.
    """
    lost = math.floor(max_accuracy_loss * len(known) + 1e-9)  # 0.29 of 100 are 29, which 0.29 * 100 is a hair below
    of_right = np.sort(known[right])
    if lost >= len(of_right):
        return 0.0
    highest, scale = float(of_right[lost]), 10**_DIGITS
    near = math.floor(highest * scale)  # a product is rounded too: one more or less may be right
    return max(steps / scale for steps in (near - 1, near, near + 1) if steps / scale <= highest)
