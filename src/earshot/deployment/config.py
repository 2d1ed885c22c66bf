"""The ``quantization`` and ``gate`` sections of params.yaml, and the names of what is released."""

from pydantic import Field

from earshot.core.params import Params

FP32, INT8, CARD = "earshot.onnx", "earshot.int8.onnx", "model.json"


class QuantizationParams(Params):
    """How the INT8 file is made."""

    calibration_clips: int = Field(
        300, ge=1, description="training clips, stratified by class, whose activations set the INT8 ranges"
    )
    long_sounds: int = Field(
        100,
        ge=1,
        description="sounds longer than a window, of validation and of test, at most: what answers over windows and "
        "events are calibrated on",
    )
    latency_runs: int = Field(300, ge=1, description="timed runs for metrics/latency.json")


class GateParams(Params):
    """Budgets that a candidate must keep, on *validation*, to be released."""

    max_accuracy_drop: float = Field(0.02, description="fp32 accuracy less INT8 accuracy, as a share of the clips")
    max_class_recall_drop: float = Field(
        0.05,
        description="the same for the recall of any class. Counts only from 2 net lost clips on: in a small class one "
        "clip more or less is no evidence",
    )
    min_agreement: float = Field(0.97, description="share of clips to which both files give the same class")
    max_calibration_error_increase: float = Field(
        0.02,
        description="calibration error of the INT8 file, with its temperature, less that of fp32 with its own (the "
        "cumulative one, which needs no bins)",
    )
    max_known_crossings: float = Field(
        0.08,
        description="share of windows whose score `known` the two files put on different sides of a threshold, at the "
        "worst of 19 thresholds",
    )
    max_frame_crossings: float = Field(
        0.1, description="of frames and classes above a threshold in either file, the share that only one file has"
    )
    min_event_agreement: float = Field(0.85, description="share of events that both files find in long sounds")
    max_export_difference: float = Field(
        1e-4, description="largest difference between a PyTorch and an ONNX fp32 logit"
    )
    max_saturating_pairs: int = Field(
        0,
        description="pairs of INT8 weights whose products can exceed the 16 bits that CPUs without VNNI have for their "
        "sum; with none, the file answers alike on every CPU",
    )
