"""Stage: export to ONNX, quantise to INT8, and judge the candidate on validation."""

from pathlib import Path

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import atomic_directory, exclusive, write_csv, write_json
from earshot.deployment import candidate
from earshot.deployment.config import FP32, INT8, GateParams, QuantizationParams
from earshot.deployment.latency import latency_ms
from earshot.deployment.provenance import gather
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.unknown import UnknownParams
from earshot.training import checkpoint


def main() -> None:
    seed = params.load_seed(stage.PARAMS)
    dataset = params.load("dataset", DatasetParams, stage.PARAMS).called
    settings = params.load("quantization", QuantizationParams, stage.PARAMS)
    bins = params.load("evaluation", EvaluationParams, stage.PARAMS).calibration_bins
    with exclusive("quantize"):
        parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed)
        made = candidate.make_candidate(
            checkpoint.load("models/checkpoint.pt"),
            [checkpoint.load(path) for path in sorted(Path("models/out_of_fold").glob("*.pt"))],
            parts,
            gather(
                Path("data/raw/source.json"),
                Path("data/audited"),
                Path("metrics/train.json"),
                stage.PARAMS,
                Path("dvc.yaml"),
            ),
            settings,
            params.load("gate", GateParams, stage.PARAMS),
            params.load("unknown", UnknownParams, stage.PARAMS),
            bins,
            seed,
        )
        with atomic_directory("models/candidate") as directory:
            candidate.write_candidate(made, directory)
        clip = parts.part("train").features[0]
        latency = {
            name: latency_ms(f"models/candidate/{file}", clip, settings.latency_runs)
            for name, file in (("fp32", FP32), ("int8", INT8))
        }
        write_json("metrics/latency.json", {"dataset": dataset, "threads": 1, "batch": 1, **latency})
        rows = candidate.parity_rows(made)
        write_csv("metrics/parity.csv", rows, list(rows[0]))
        write_json("metrics/quantization.json", candidate.report(made, dataset))
    print(candidate.summary(made))


if __name__ == "__main__":
    stage.run(main)
