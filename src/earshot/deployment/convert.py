"""A trained network as the two files that are deployed: fp32 and INT8, each with the temperature of its own logits."""

from dataclasses import dataclass

import numpy as np
import onnx

from earshot.datasets.parts import Part
from earshot.deployment.config import QuantizationParams
from earshot.deployment.export import export
from earshot.deployment.quantize import choose_calibration, quantize, run_logits
from earshot.deployment.rewrite import for_int8
from earshot.evaluation.calibration import fit_temperature
from earshot.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Converted:
    """One ONNX file, without its card.

    Attributes:
        model: log-mel decibels to logits.
        val_logits: (clips, classes) on validation.
        temperature: fitted on them.
    """

    model: onnx.ModelProto
    val_logits: np.ndarray
    temperature: float


@dataclass(frozen=True)
class Pair:
    """Both files of one network."""

    fp32: Converted
    int8: Converted


def convert(checkpoint: Checkpoint, train: Part, val: Part, settings: QuantizationParams, seed: int) -> Pair:
    """Export and quantise. The INT8 ranges come from training clips, the temperatures from validation clips."""
    chosen = choose_calibration(train.labels, settings.calibration_clips, seed)
    models = (export(checkpoint), quantize(export(for_int8(checkpoint)), train.features[chosen]))
    return Pair(*(_with_temperature(model, val) for model in models))


def _with_temperature(model: onnx.ModelProto, val: Part) -> Converted:
    logits = run_logits(model, val.features)
    # Rounded as the card keeps it, so that figures and service divide by the very same number.
    return Converted(model, logits, round(fit_temperature(logits, val.labels), 6))
