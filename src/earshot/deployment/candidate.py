"""From a checkpoint to a candidate for release: two ONNX files, each with its card, and the gate's verdict."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from earshot.clips.parts import Parts
from earshot.clips.paths import Root
from earshot.core.files import write_json
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.decisions.decisions import Decisions
from earshot.decisions.fitting.operating_points import Wanted, fit_operating_points
from earshot.deployment.config import CARD, FP32, INT8, GateParams, QuantizationParams
from earshot.deployment.convert import Converted, answers_to_long, convert, open_model, read_material, with_card
from earshot.deployment.parity import Parity, compare, over_budget
from earshot.deployment.provenance import Provenance
from earshot.deployment.quantize import convolutions_left_in_float, probe_probabilities
from earshot.deployment.saturation import saturating_pairs
from earshot.deployment.stream_parity import StreamParity, compare_streams
from earshot.evaluation.answers import FILE as ANSWERS
from earshot.evaluation.answers import Answers, answer, save
from earshot.evaluation.events import Events, find_events
from earshot.hearing.log_mel import FRONT_END_VERSION, LogMel
from earshot.model.card import Card, probe_db
from earshot.training.checkpoint import Checkpoint
from earshot.training.predict import predict_logits


@dataclass(frozen=True)
class CandidateParams:
    """What `make_candidate` needs of params.yaml: sections of these names, and `evaluation.calibration_bins`."""

    quantization: QuantizationParams
    gate: GateParams
    unknown: UnknownParams
    operating_points: OperatingPointsParams
    bins: int


@dataclass(frozen=True)
class Candidate:
    """Both files' contents, parity on validation and test, and every budget broken (empty: it may be released).

    `answers` are the INT8 file's to the clips of "val" and "test", to the first windows of the former, "val_first", and
    to long sounds of both, "val_long" and "test_long"; `events` those that it finds in these, "val" and "test", their
    confidence not calibrated.
    """

    fp32: bytes
    int8: bytes
    int8_card: Card
    val: Parity
    test: Parity
    streams: StreamParity
    export_difference: float
    float_convolutions: int
    saturating_pairs: int
    broken: list[str]
    answers: dict[str, Answers]
    events: dict[str, Events]


def make_candidate(
    checkpoint: Checkpoint,
    out_of_fold: Sequence[Checkpoint],
    parts: Parts,
    root: Root,
    provenance: Provenance,
    settings: CandidateParams,
    seed: int,
) -> Candidate:
    """Export, quantise, fit the decisions of each file, compare them, and judge.

    The INT8 ranges come from training clips, all else and the judgement from validation: from the val part, or,
    where there is none, from the models of `out_of_fold` (`earshot.deployment.convert.convert`). Test clips are looked
    at last and decide nothing. `root` is where the recordings lie.
    """
    pair = convert(checkpoint, out_of_fold, parts, root, settings.quantization, settings.unknown, seed)
    fp32, int8 = pair.fp32, pair.int8
    material = read_material(
        parts.part("test"), root, LogMel(checkpoint.front_end), settings.quantization.long_sounds, seed
    )
    models = {kind: open_model(one.model, checkpoint, one.decisions) for kind, one in (("fp32", fp32), ("int8", int8))}
    test = {
        kind: answer(
            model.outputs, material.served, material.part.labels, material.recordings, Decisions.of(model.card)
        )
        for kind, model in models.items()
    }
    val_parity = compare(fp32.clips, int8.clips, parts.classes, settings.bins)
    test_parity = compare(test["fp32"], test["int8"], parts.classes, settings.bins)
    streams = compare_streams(fp32.streams, int8.streams)
    held = parts.validations[0].held.features
    difference = float(np.abs(predict_logits(checkpoint.model, held) - models["fp32"].logits(held)).max())
    left, pairs = convolutions_left_in_float(int8.model), saturating_pairs(int8.model)
    uncalibrated = replace(int8.decisions, event_slope=1.0, event_offset=0.0)

    def card(kind: str, converted: Converted) -> Card:
        first = converted.first_windows
        wanted: dict[Wanted, float] = {
            "precision": settings.operating_points.precision,
            "recall": settings.operating_points.recall,
        }
        return Card(
            architecture=checkpoint.architecture,
            classes=checkpoint.classes,
            **asdict(converted.decisions),
            operating_points=fit_operating_points(
                first.probabilities, first.labels, first.recordings, checkpoint.classes, wanted
            ),
            front_end=checkpoint.front_end.as_dict(),
            front_end_version=FRONT_END_VERSION,
            probe_db=probe_db(LogMel(checkpoint.front_end)),
            probe_probabilities=probe_probabilities(
                converted.model, checkpoint.front_end, converted.decisions.temperature
            ),
            dataset=provenance.dataset,
            split=parts.split,
            params=provenance.params,
            code=provenance.code,
            metrics=_card_metrics(kind, val_parity, test_parity),
        )

    int8_card = card("int8", int8)
    return Candidate(
        fp32=with_card(fp32.model, card("fp32", fp32)),
        int8=with_card(int8.model, int8_card),
        int8_card=int8_card,
        val=val_parity,
        test=test_parity,
        streams=streams,
        export_difference=difference,
        float_convolutions=left,
        saturating_pairs=pairs,
        broken=over_budget(val_parity, streams, difference, left, pairs, settings.gate),
        answers={
            "val": int8.clips,
            "val_first": int8.first_windows,
            "val_long": int8.long,
            "test": test["int8"],
            "test_long": answers_to_long(models["int8"], material).with_decisions(int8.decisions),
        },
        events={
            "val": int8.events,
            "test": find_events(open_model(int8.model, checkpoint, uncalibrated), material.sounds),
        },
    )


def report(candidate: Candidate, dataset: str) -> dict[str, Any]:
    """``metrics/quantization.json``: figures on test, the same on validation under `gate`, and the verdict."""
    return {
        "dataset": dataset,
        **candidate.test.figures(),
        "gate": {
            **candidate.val.figures(),
            **candidate.streams.figures(),
            "export_difference": float(f"{candidate.export_difference:.3g}"),
            "float_convolutions": candidate.float_convolutions,
            "saturating_pairs": candidate.saturating_pairs,
        },
        **asdict(Decisions.of(candidate.int8_card)),
        "fp32_bytes": len(candidate.fp32),
        "int8_bytes": len(candidate.int8),
        "passed": not candidate.broken,
        "broken": candidate.broken,
    }


def summary(candidate: Candidate) -> str:
    """The verdict in a few lines for the terminal."""
    val, test = candidate.val, candidate.test
    return "\n".join(
        [
            f"INT8 beside fp32 on test: accuracy {test.int8_accuracy:.4f} and {test.fp32_accuracy:.4f}, "
            f"the same answer for {test.agreement:.2%} of clips",
            f"on validation: {val.int8_accuracy:.4f} and {val.fp32_accuracy:.4f}, {val.agreement:.2%}; PyTorch and "
            f"ONNX differ by at most {candidate.export_difference:.2g}",
            f"windows whose known crosses a threshold: {candidate.streams.known_crossings:.2%}; frames: "
            f"{candidate.streams.frame_crossings:.2%}; events that both find: {candidate.streams.event_agreement:.2%}",
            f"size: {len(candidate.int8) / 1e3:.0f} kB and {len(candidate.fp32) / 1e3:.0f} kB; temperature "
            f"{candidate.int8_card.temperature:.3f}",
            "the gate is passed" if not candidate.broken else "the gate is NOT passed: " + "; ".join(candidate.broken),
        ]
    )


def parity_rows(candidate: Candidate) -> list[dict[str, Any]]:
    """``metrics/parity.csv``: a row for each part and class."""
    return [
        {"part": part, **{key: round(v, 6) if isinstance(v, float) else v for key, v in row.items()}}
        for part, parity in (("val", candidate.val), ("test", candidate.test))
        for row in parity.classes
    ]


def write_candidate(candidate: Candidate, directory: Path) -> None:
    """Write both ONNX files, ``model.json`` (the INT8 file's card, for programs) and its answers into `directory`."""
    (directory / FP32).write_bytes(candidate.fp32)
    (directory / INT8).write_bytes(candidate.int8)
    write_json(directory / CARD, json.loads(candidate.int8_card.to_json()))
    save(candidate.answers, candidate.int8_card.classes, directory / ANSWERS, events=candidate.events)


def _card_metrics(kind: str, val: Parity, test: Parity) -> dict[str, Any]:
    def figures(parity: Parity) -> dict[str, Any]:
        return {
            "accuracy": round(getattr(parity, f"{kind}_accuracy"), 4),
            "ece": round(getattr(parity, f"{kind}_ece"), 4),
            "recall": {
                row["class"]: None if row[f"{kind}_recall"] is None else round(row[f"{kind}_recall"], 4)
                for row in parity.classes
            },
        }

    return {"validation": figures(val), "test": figures(test)}
