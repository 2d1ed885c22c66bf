"""Answers to clips of one window each, from logits that a test makes up."""

import numpy as np

from earshot.decisions.decisions import Decisions
from earshot.evaluation.answers import Answers


def answered(
    logits: np.ndarray,
    labels: np.ndarray,
    recordings: np.ndarray,
    temperature: float = 1.0,
    background_logits: np.ndarray | None = None,
    unknown_threshold: float = 0.0,
    peak: np.ndarray | None = None,
) -> Answers:
    """As loud as can be, unless `peak` (n,) says otherwise."""
    count = len(labels)
    return Answers(
        logits,
        background_logits,
        np.ones(count) if peak is None else peak,
        np.arange(count),
        np.zeros(count, bool),
        labels,
        recordings,
        Decisions(temperature=temperature, unknown_threshold=unknown_threshold),
    )
