"""Sounds outside the classes: where to draw the line between them and the classes' own.

The score is `earshot.model.scores.known`. No unknown sound is needed to draw the line: it lies where calling known
clips unknown would begin to cost more than a given share of right answers. So no kind of unknown sound has a part in it
that it is then tested on.
"""

import numpy as np
from scipy.special import expit, logit

_DIGITS = 6  # of a threshold on a card
_TAIL = 0.2  # share of the right answers, the least sure ones, that the line is drawn by


def fit_unknown_threshold(known: np.ndarray, right: np.ndarray, max_accuracy_loss: float) -> float:
    """The threshold that is expected to cost a share `max_accuracy_loss` of new clips their right answer.

    With few recordings not even the least sure right answer of validation is a safe line: the next recordings have less
    sure ones. So the line is not read off these answers but off their tail: the log odds of the least sure fifth are
    taken to fall off exponentially (peaks over a threshold: Pickands, "Statistical Inference Using Extreme Order
    Statistics", Annals of Statistics 3(1), 1975). A share of a fifth or more is read off the answers themselves.

    Args:
        known: (n,) scores of validation clips, all of the classes.
        right: (n,) bool, whether the class was named rightly.
        max_accuracy_loss: share of clips.

    Returns:
        In [0, 1], of six digits, as the card keeps it; 0 where no right answer or every one may be lost.
    """
    of_right = known[right]
    lost = max_accuracy_loss * len(known) / len(of_right) if len(of_right) else 1.0  # share of the right answers
    if not 0 < lost < 1:
        return 0.0
    odds = logit(np.clip(of_right, 1e-12, 1 - 1e-12))
    line = float(np.quantile(odds, max(_TAIL, lost)))
    tail = odds[odds < line]
    share = len(tail) / len(odds)
    if share > lost:
        line -= float((line - tail).mean() * np.log(share / lost))
    return round(float(expit(line)), _DIGITS)
