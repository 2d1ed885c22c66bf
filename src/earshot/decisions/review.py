"""Which answers a person is asked to check."""

from collections.abc import Mapping
from typing import Any

import numpy as np

THRESHOLD = 0.6  # `service.review_threshold`, where params.yaml has none


def flag_for_review(confidence: Any, unknown: Any, silent: Any, threshold: float) -> Any:
    """Whether an answer is doubtful: less sure than the threshold, unknown, or about silence.

    Args:
        confidence: of one answer, in [0, 1], or of (n,).
        unknown: whether it is "unknown", bool or (n,) bool.
        silent: whether nothing was to be heard, the same.
        threshold: `service.review_threshold`.

    Returns:
        bool, or (n,) bool.
    """
    flagged = np.less(confidence, threshold) | unknown | silent
    return flagged if flagged.ndim else bool(flagged)


def threshold_of(service: Mapping[str, Any]) -> float:
    """`review_threshold` of the ``service`` section of params.yaml, for who reads no other key of it."""
    return float(service.get("review_threshold", THRESHOLD))
