"""A trained network as the two files that are deployed: fp32 and INT8, each with the temperature of its own logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from earshot.clips.parts import Part, Parts
from earshot.deployment.config import QuantizationParams
from earshot.deployment.export import export, for_int8
from earshot.deployment.quantize import choose_calibration, quantize, run_outputs
from earshot.evaluation.calibration import fit_temperature
from earshot.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Converted:
    """One ONNX file, without its card.

    Attributes:
        model: log-mel decibels to logits.
        val_logits: (clips, classes) on validation.
        val_background_logits: (clips, 1), of none of the classes; None for a network without.
        temperature: fitted on `val_logits`.
    """

    model: onnx.ModelProto
    val_logits: np.ndarray
    val_background_logits: np.ndarray | None
    temperature: float


@dataclass(frozen=True)
class Pair:
    """Both files of one network, and the validation clips that both were asked about.

    Attributes:
        fp32, int8: the files.
        val_labels: (clips,) int.
        val_recordings: (clips,) str.
    """

    fp32: Converted
    int8: Converted
    val_labels: np.ndarray
    val_recordings: np.ndarray


def convert(
    checkpoint: Checkpoint, out_of_fold: Sequence[Checkpoint], parts: Parts, settings: QuantizationParams, seed: int
) -> Pair:
    """Export and quantise. The INT8 ranges come from training clips, the temperatures from validation.

    Validation is the val part. Where there is none, it is the training clips: each is answered by the model of
    `out_of_fold`, one for each inner fold of `parts`, that was trained without it. These models are exported and
    quantised as the network itself is.
    """
    models = to_files(checkpoint, parts.part("train"), settings, seed)
    folds = parts.validations
    asked = [models]
    if parts.inner is not None:
        asked = [
            to_files(network, fold.train, settings, seed) for network, fold in zip(out_of_fold, folds, strict=True)
        ]
    labels = np.concatenate([fold.held.labels for fold in folds])
    recordings = np.concatenate([fold.held.clips["recording"].to_numpy(dtype=str) for fold in folds])
    converted = []
    for which, model in enumerate(models):
        said = [run_outputs(files[which], fold.held.features) for files, fold in zip(asked, folds, strict=True)]
        logits = np.concatenate([of_fold for of_fold, _ in said])
        of_none = [of_fold for _, of_fold in said if of_fold is not None]
        background_logits = np.concatenate(of_none) if of_none else None
        # Rounded as the card keeps it, so that figures and service divide by the very same number.
        temperature = round(fit_temperature(logits, labels, recordings), 6)
        converted.append(Converted(model, logits, background_logits, temperature))
    return Pair(converted[0], converted[1], labels, recordings)


def to_files(
    network: Checkpoint, train: Part, settings: QuantizationParams, seed: int
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The fp32 and the INT8 file of `network`, without cards; INT8 ranges come from clips of `train`."""
    chosen = choose_calibration(train.labels, settings.calibration_clips, seed)
    return export(network), quantize(export(for_int8(network)), train.features[chosen])
