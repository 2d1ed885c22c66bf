"""A trained network as the two files that are deployed, fp32 and INT8, each with decisions fitted to its answers."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from earshot.clips.parts import Part, Parts
from earshot.clips.paths import Root
from earshot.decisions.config import UnknownParams
from earshot.decisions.decisions import Decisions
from earshot.decisions.fitting.events import fit_events
from earshot.decisions.fitting.temperature import fit_temperature, fit_windowed_temperature
from earshot.decisions.fitting.unknown import fit_unknown_threshold
from earshot.deployment.config import QuantizationParams
from earshot.deployment.export import export, for_int8
from earshot.deployment.quantize import choose_calibration, probe_probabilities, quantize
from earshot.deployment.stream_parity import StreamOutputs
from earshot.evaluation import answers, events
from earshot.evaluation.answers import Answers, Windows, answer, single_windows, windows_of, windows_of_sounds
from earshot.evaluation.events import Events, find_events
from earshot.evaluation.long_sounds import LongSound, long_sounds
from earshot.hearing.log_mel import FRONT_END_VERSION, LogMel
from earshot.model.card import METADATA_KEY, Card, probe_db
from earshot.model.scores import softmax, window_scores
from earshot.model.session import Model
from earshot.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Converted:
    """One ONNX file, without its card, and its answers to validation.

    Attributes:
        model: log-mel decibels to logits.
        decisions: fitted on validation.
        first_windows: answers to the first window of each validation clip.
        clips: answers to the whole clips, as served.
        long: answers to long sounds of validation clips.
        events: of the same, their confidence not calibrated.
        streams: what unknown and the timeline rest on.
    """

    model: onnx.ModelProto
    decisions: Decisions
    first_windows: Answers
    clips: Answers
    long: Answers
    events: Events
    streams: StreamOutputs


@dataclass(frozen=True)
class Pair:
    """Both files of one network."""

    fp32: Converted
    int8: Converted


@dataclass(frozen=True)
class Material:
    """What a file answers to, of one part: its clips' first windows, the windows they are served in, long sounds."""

    part: Part
    recordings: np.ndarray
    first: Windows
    served: Windows
    sounds: list[LongSound]
    long: Windows


def convert(
    checkpoint: Checkpoint,
    out_of_fold: Sequence[Checkpoint],
    parts: Parts,
    root: Root,
    settings: QuantizationParams,
    unknown: UnknownParams,
    seed: int,
) -> Pair:
    """Export and quantise. The INT8 ranges come from training clips, the decisions from validation.

    Validation is the val part. Where there is none, it is the training clips: each is answered by the model of
    `out_of_fold`, one for each inner fold of `parts`, that was trained without it. These models are exported and
    quantised as the network itself is. `root` is where the recordings lie.
    """
    files = to_files(checkpoint, parts.part("train"), settings, seed)
    folds = parts.validations
    answering = [files]
    if parts.inner is not None:
        answering = [
            to_files(network, fold.train, settings, seed) for network, fold in zip(out_of_fold, folds, strict=True)
        ]
    log_mel = LogMel(checkpoint.front_end)
    material = [read_material(fold.held, root, log_mel, settings.long_sounds, seed) for fold in folds]
    fp32, int8 = (
        _with_decisions(file, [of_fold[which] for of_fold in answering], material, checkpoint, unknown)
        for which, file in enumerate(files)
    )
    return Pair(fp32, int8)


def read_material(part: Part, root: Root, log_mel: LogMel, most: int, seed: int) -> Material:
    """Read the material of `part`; of long sounds at most `most`."""
    first = single_windows(part.features, part.clips["peak"].to_numpy(np.float32))
    served = windows_of(part, root, log_mel)
    sounds = long_sounds(part, root, log_mel.params, most, seed)
    recordings = part.clips["recording"].to_numpy(dtype=str)
    long = windows_of_sounds([sound.samples for sound in sounds], log_mel)
    return Material(part, recordings, first, served, sounds, long)


def to_files(
    network: Checkpoint, train: Part, settings: QuantizationParams, seed: int
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The fp32 and the INT8 file of `network`, without cards; INT8 ranges come from clips of `train`."""
    chosen = choose_calibration(train.labels, settings.calibration_clips, seed)
    return export(network), quantize(export(for_int8(network)), train.features[chosen])


def open_model(file: onnx.ModelProto, checkpoint: Checkpoint, decisions: Decisions) -> Model:
    """A `Model` of a file that has no card yet, with one that holds what answering needs."""
    card = Card(
        architecture=checkpoint.architecture,
        classes=checkpoint.classes,
        **asdict(decisions),
        operating_points={},
        front_end=checkpoint.front_end.as_dict(),
        front_end_version=FRONT_END_VERSION,
        probe_db=probe_db(LogMel(checkpoint.front_end)),
        probe_probabilities=probe_probabilities(file, checkpoint.front_end, decisions.temperature),
        dataset={},
        split={},
        params={},
        code={},
        metrics={},
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.onnx"
        path.write_bytes(with_card(file, card))
        return Model(path)


def with_card(model: onnx.ModelProto, card: Card) -> bytes:
    """The file's bytes, with `card` in its metadata."""
    carrying = onnx.ModelProto()
    carrying.CopyFrom(model)
    onnx.helper.set_model_props(carrying, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(carrying)
    return carrying.SerializeToString(deterministic=True)


def answers_to_long(model: Model, material: Material) -> Answers:
    """What `model` answers to the long sounds."""
    labels = np.array([sound.label for sound in material.sounds], np.int64)
    return answer(model.outputs, material.long, labels, [sound.recording for sound in material.sounds])


def answers_to_part(converted: Converted, checkpoint: Checkpoint, part: Part, root: Root) -> Answers:
    """What one of the files answers to the clips of `part`, as served."""
    model = open_model(converted.model, checkpoint, converted.decisions)
    recordings = part.clips["recording"].to_numpy(dtype=str)
    return answer(model.outputs, windows_of(part, root, model.log_mel), part.labels, recordings, converted.decisions)


def _with_decisions(
    file: onnx.ModelProto,
    answering: Sequence[onnx.ModelProto],
    material: Sequence[Material],
    checkpoint: Checkpoint,
    unknown: UnknownParams,
) -> Converted:
    """Fit the decisions of `file` on the answers of the files `answering`, one for each of `material`."""
    models = [open_model(of_fold, checkpoint, Decisions()) for of_fold in answering]

    def answers_to(windows: str) -> Answers:
        return answers.join(
            [
                answer(model.outputs, getattr(one, windows), one.part.labels, one.recordings)
                for model, one in zip(models, material, strict=True)
            ]
        )

    first = answers_to("first")
    decisions = Decisions(temperature=fit_temperature(first.logits, first.labels, first.recordings))
    first = first.with_decisions(decisions)
    threshold = fit_unknown_threshold(first.known, first.right, unknown.max_accuracy_loss)
    long = answers.join([answers_to_long(model, one) for model, one in zip(models, material, strict=True)])
    means = long.with_decisions(decisions)
    decisions = replace(
        decisions,
        unknown_threshold=threshold,
        windowed_temperature=fit_windowed_temperature(means.probabilities, means.labels, means.recordings),
        windowed_unknown_threshold=fit_unknown_threshold(means.known, means.right, unknown.max_accuracy_loss),
    )
    calibrated = [open_model(of_fold, checkpoint, decisions) for of_fold in answering]
    found = events.join(
        [find_events(model, one.sounds) for model, one in zip(calibrated, material, strict=True)],
        [len(one.sounds) for one in material],
    )
    slope, offset = fit_events(found.confidence, found.right, found.recordings)
    decisions = replace(decisions, event_slope=slope, event_offset=offset)
    both = answers.join([first, long])
    known = window_scores(both.logits, both.background_logits, decisions.temperature)[:, -1]
    return Converted(
        file,
        decisions,
        first.with_decisions(decisions),
        answers_to("served").with_decisions(decisions),
        long.with_decisions(decisions),
        found,
        StreamOutputs(known, _frames(calibrated, material, decisions), found),
    )


def _frames(models: Sequence[Model], material: Sequence[Material], decisions: Decisions) -> np.ndarray | None:
    """Probabilities of the classes over time, (n, C, frames), of the clips' first windows."""
    if not models[0].locates:
        return None
    logits = [
        model.frame_logits(one.first.features[i : i + 32])
        for model, one in zip(models, material, strict=True)
        for i in range(0, len(one.first.features), 32)
    ]
    classes = len(models[0].classes)
    probabilities = softmax(np.concatenate(logits).transpose(0, 2, 1), decisions.temperature)
    return probabilities[..., :classes].transpose(0, 2, 1)
