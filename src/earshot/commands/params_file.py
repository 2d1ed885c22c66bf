"""All of params.yaml: the models of its sections together, and the JSON schema that editors complete it by.

``python -m earshot.commands.params_file`` (or ``make schema``) writes the schema.
"""

from pathlib import Path
from typing import Any

from pydantic import Field

from earshot.audit.config import AuditParams
from earshot.clips.config import DatasetParams
from earshot.clips.split import SplitParams
from earshot.clips.turns import CrossvalParams
from earshot.core.files import write_json
from earshot.core.front_end import FrontEndParams
from earshot.core.params import Params
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.deployment.config import GateParams, QuantizationParams
from earshot.evaluation.config import EvaluationParams
from earshot.evaluation.robustness import RobustnessParams
from earshot.service.config import ServiceParams
from earshot.sources.registry import NAMES
from earshot.stream.config import TimelineParams
from earshot.training.config import TrainParams
from earshot.training.networks import NETWORKS

SCHEMA = Path("docs/params.schema.json")


class ParamsFile(Params):
    """Every number that Earshot's pipeline and service depend on."""

    seed: int = Field(7, ge=0, description="the one random seed of the project")
    dataset: DatasetParams = Field(default_factory=DatasetParams)
    audit: AuditParams = Field(default_factory=AuditParams)
    audio: FrontEndParams = Field(default_factory=FrontEndParams)
    split: SplitParams = Field(default_factory=SplitParams)
    crossval: CrossvalParams = Field(default_factory=CrossvalParams)
    train: TrainParams = Field(default_factory=TrainParams)
    evaluation: EvaluationParams = Field(default_factory=EvaluationParams)
    quantization: QuantizationParams = Field(default_factory=QuantizationParams)
    gate: GateParams = Field(default_factory=GateParams)
    unknown: UnknownParams = Field(default_factory=UnknownParams)
    operating_points: OperatingPointsParams = Field(default_factory=OperatingPointsParams)
    robustness: RobustnessParams = Field(default_factory=RobustnessParams)
    timeline: TimelineParams = Field(default_factory=TimelineParams)
    service: ServiceParams = Field(default_factory=ServiceParams)


def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of params.yaml, and of files that are laid over it."""
    made = ParamsFile.model_json_schema()
    # Of these two the models know no list of names: registries of higher layers do.
    made["$defs"]["DatasetParams"]["properties"]["name"]["enum"] = list(NAMES)
    made["$defs"]["TrainParams"]["properties"]["model"]["enum"] = list(NETWORKS)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


if __name__ == "__main__":
    write_json(SCHEMA, schema())
