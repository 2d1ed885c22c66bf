"""From a checkpoint to a candidate for release: two ONNX files, each with its card, and the gate's verdict."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from earshot.clips.parts import Parts
from earshot.core.files import write_json
from earshot.deployment.config import CARD, FP32, INT8, GateParams, QuantizationParams
from earshot.deployment.convert import Converted, convert
from earshot.deployment.parity import Parity, Scores, compare, over_budget
from earshot.deployment.provenance import Provenance
from earshot.deployment.quantize import convolutions_left_in_float, probe_probabilities, run_logits, run_outputs
from earshot.deployment.saturation import saturating_pairs
from earshot.evaluation.answers import FILE as ANSWERS
from earshot.evaluation.answers import Answers, save
from earshot.evaluation.unknown import UnknownParams, threshold
from earshot.hearing.log_mel import FRONT_END_VERSION, LogMel
from earshot.model.card import METADATA_KEY, Card, probe_db
from earshot.model.scores import known
from earshot.training.checkpoint import Checkpoint
from earshot.training.predict import predict_logits


@dataclass(frozen=True)
class Candidate:
    """Both files' contents, parity on validation and test, and every budget broken (empty: it may be released).

    `answers` are the INT8 file's on "val" and "test".
    """

    fp32: bytes
    int8: bytes
    int8_card: Card
    val: Parity
    test: Parity
    export_difference: float
    float_convolutions: int
    saturating_pairs: int
    broken: list[str]
    answers: dict[str, Answers]


def make_candidate(
    checkpoint: Checkpoint,
    out_of_fold: Sequence[Checkpoint],
    parts: Parts,
    provenance: Provenance,
    quantization: QuantizationParams,
    gate: GateParams,
    unknown: UnknownParams,
    bins: int,
    seed: int,
) -> Candidate:
    """Export, quantise, fit temperature and unknown threshold of each file, compare them, and judge.

    The INT8 ranges come from training clips, all else and the judgement from validation: from the val part, or,
    where there is none, from `out_of_fold` models (`earshot.deployment.convert.convert`). Test clips are looked at
    last and decide nothing.
    """
    pair = convert(checkpoint, out_of_fold, parts, quantization, seed)
    fp32, int8 = pair.fp32, pair.int8
    test = parts.part("test")

    def parity(labels: np.ndarray, fp32_logits: np.ndarray, int8_logits: np.ndarray) -> Parity:
        scores = (Scores(fp32_logits, fp32.temperature), Scores(int8_logits, int8.temperature))
        return compare(*scores, labels, parts.classes, bins)

    val_parity = parity(pair.val_labels, fp32.val_logits, int8.val_logits)
    int8_test, int8_test_none = run_outputs(int8.model, test.features)

    def line(converted: Converted) -> float:
        right = converted.val_logits.argmax(axis=1) == pair.val_labels
        score = known(converted.val_logits, converted.val_background_logits, converted.temperature)
        return threshold(score, right, unknown.max_accuracy_loss)

    test_parity = parity(test.labels, run_logits(fp32.model, test.features), int8_test)
    held = parts.validations[0].held.features
    difference = float(np.abs(predict_logits(checkpoint.model, held) - run_logits(fp32.model, held)).max())
    left, pairs = convolutions_left_in_float(int8.model), saturating_pairs(int8.model)

    card = Card(
        architecture=checkpoint.architecture,
        classes=checkpoint.classes,
        temperature=fp32.temperature,
        unknown_threshold=line(fp32),
        front_end=checkpoint.front_end.as_dict(),
        front_end_version=FRONT_END_VERSION,
        probe_db=probe_db(LogMel(checkpoint.front_end)),
        probe_probabilities=probe_probabilities(fp32.model, checkpoint.front_end, fp32.temperature),
        dataset=provenance.dataset,
        split=parts.split,
        params=provenance.params,
        code=provenance.code,
        metrics=_card_metrics("fp32", val_parity, test_parity),
    )
    int8_card = replace(
        card,
        temperature=int8.temperature,
        unknown_threshold=line(int8),
        probe_probabilities=probe_probabilities(int8.model, checkpoint.front_end, int8.temperature),
        metrics=_card_metrics("int8", val_parity, test_parity),
    )
    test_recordings = test.clips["recording"].to_numpy(dtype=str)
    return Candidate(
        fp32=_with_card(fp32.model, card),
        int8=_with_card(int8.model, int8_card),
        int8_card=int8_card,
        val=val_parity,
        test=test_parity,
        export_difference=difference,
        float_convolutions=left,
        saturating_pairs=pairs,
        broken=over_budget(val_parity, difference, left, pairs, gate),
        answers={
            "val": Answers(
                int8.val_logits, int8.temperature, pair.val_labels, pair.val_recordings, int8.val_background_logits
            ),
            "test": Answers(int8_test, int8.temperature, test.labels, test_recordings, int8_test_none),
        },
    )


def report(candidate: Candidate, dataset: str) -> dict[str, Any]:
    """``metrics/quantization.json``: figures on test, the same on validation under `gate`, and the verdict."""
    return {
        "dataset": dataset,
        **candidate.test.figures(),
        "gate": {
            **candidate.val.figures(),
            "export_difference": float(f"{candidate.export_difference:.3g}"),
            "float_convolutions": candidate.float_convolutions,
            "saturating_pairs": candidate.saturating_pairs,
        },
        "temperature": candidate.int8_card.temperature,
        "unknown_threshold": candidate.int8_card.unknown_threshold,
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
    save(candidate.answers, candidate.int8_card.classes, directory / ANSWERS)


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


def _with_card(model: onnx.ModelProto, card: Card) -> bytes:
    carrying = onnx.ModelProto()
    carrying.CopyFrom(model)
    onnx.helper.set_model_props(carrying, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(carrying)
    return carrying.SerializeToString(deterministic=True)
