"""Does the INT8 file tell known from unknown, and frames from each other, as the fp32 one does?

`unknown` rests on the background logit, and the timeline on the frames' outputs. Thresholds are set by users and by
validation, so that no single one is judged, but a grid of them: how often the two files lie on different sides.
"""

from dataclasses import dataclass

import numpy as np

from earshot.evaluation.events import Events, agreement

THRESHOLDS = np.arange(1, 20) / 20


@dataclass(frozen=True)
class StreamOutputs:
    """What a file says beside the logits of its classes.

    Attributes:
        known: (w,), of windows: `earshot.model.scores.known`.
        frames: (n, C, frames), probabilities of the classes over time, calibrated; None for a network without.
        events: of long sounds.
    """

    known: np.ndarray
    frames: np.ndarray | None
    events: Events


@dataclass(frozen=True)
class StreamParity:
    """fp32 beside INT8.

    Attributes:
        known_crossings: share of windows whose `known` lies on different sides of a threshold, at the threshold of
            `THRESHOLDS` where most do.
        frame_crossings: of all frames and classes that either file has above a threshold, the share that only one has;
            over all of `THRESHOLDS`. 0 for a network without frame outputs.
        event_agreement: `earshot.evaluation.events.agreement`.
    """

    known_crossings: float
    frame_crossings: float
    event_agreement: float

    def figures(self) -> dict[str, float]:
        """What goes into ``metrics/quantization.json``, rounded."""
        return {name: round(value, 6) for name, value in vars(self).items()}


def compare_streams(fp32: StreamOutputs, int8: StreamOutputs) -> StreamParity:
    """Compare what both files say of the same windows and sounds."""
    sides = [(fp32.known >= threshold) != (int8.known >= threshold) for threshold in THRESHOLDS]
    one = either = 0
    if fp32.frames is not None and int8.frames is not None:
        for threshold in THRESHOLDS:
            full, small = fp32.frames >= threshold, int8.frames >= threshold
            one += int((full != small).sum())
            either += int((full | small).sum())
    return StreamParity(
        known_crossings=float(max(of_threshold.mean() for of_threshold in sides)),
        frame_crossings=one / either if either else 0.0,
        event_agreement=agreement(fp32.events, int8.events),
    )
