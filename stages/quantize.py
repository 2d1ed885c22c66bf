"""Stage: export to ONNX, quantise to INT8, and judge the candidate on validation."""

from pathlib import Path

from earshot.clips.config import DatasetParams
from earshot.clips.parts import load_parts
from earshot.clips.paths import clips_root
from earshot.clips.split import SplitParams
from earshot.core import params, stage
from earshot.core.files import atomic_directory, exclusive, write_csv, write_json
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.deployment import candidate
from earshot.deployment.config import FP32, INT8, GateParams, QuantizationParams
from earshot.deployment.latency import latency_ms
from earshot.deployment.provenance import gather
from earshot.evaluation.config import EvaluationParams
from earshot.training import checkpoint


def main() -> None:
    seed, dataset = params.load_seed(stage.PARAMS), params.load("dataset", DatasetParams, stage.PARAMS)
    settings = candidate.CandidateParams(
        quantization=params.load("quantization", QuantizationParams, stage.PARAMS),
        gate=params.load("gate", GateParams, stage.PARAMS),
        unknown=params.load("unknown", UnknownParams, stage.PARAMS),
        operating_points=params.load("operating_points", OperatingPointsParams, stage.PARAMS),
        bins=params.load("evaluation", EvaluationParams, stage.PARAMS).calibration_bins,
    )
    with exclusive("quantize"):
        parts = load_parts(params.load("split", SplitParams, stage.PARAMS), seed)
        metadata = ("data/raw/source.json", "data/audited", "metrics/train.json", stage.PARAMS, "dvc.yaml")
        made = candidate.make_candidate(
            checkpoint.load("models/checkpoint.pt"),
            [checkpoint.load(path) for path in sorted(Path("models/out_of_fold").glob("*.pt"))],
            parts,
            clips_root(dataset),
            gather(*(Path(path) for path in metadata)),
            settings,
            seed,
        )
        with atomic_directory("models/candidate") as directory:
            candidate.write_candidate(made, directory)
        clip = parts.part("train").features[0]
        latency = {
            name: latency_ms(f"models/candidate/{file}", clip, settings.quantization.latency_runs)
            for name, file in (("fp32", FP32), ("int8", INT8))
        }
        write_json("metrics/latency.json", {"dataset": dataset.called, "threads": 1, "batch": 1, **latency})
        rows = candidate.parity_rows(made)
        write_csv("metrics/parity.csv", rows, list(rows[0]))
        write_json("metrics/quantization.json", candidate.report(made, dataset.called))
    print(candidate.summary(made))


if __name__ == "__main__":
    stage.run(main)
