"""The ``quantization`` and ``gate`` sections of params.yaml, and the names of what is released."""

from dataclasses import dataclass

from earshot.core.params import ParamsError

FP32, INT8, CARD = "earshot.onnx", "earshot.int8.onnx", "model.json"


@dataclass(frozen=True)
class QuantizationParams:
    """How the INT8 file is made.

    Attributes:
        calibration_clips: training clips, stratified by class, whose activations set the INT8 ranges.
        latency_runs: timed runs for ``metrics/latency.json``.
    """

    calibration_clips: int = 300
    latency_runs: int = 300

    def __post_init__(self) -> None:
        for name in ("calibration_clips", "latency_runs"):
            if getattr(self, name) < 1:
                raise ParamsError(f"quantization.{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class GateParams:
    """Budgets that a candidate must keep, on *validation*, to be released.

    Attributes:
        max_accuracy_drop: fp32 accuracy less INT8 accuracy, as a share of the clips.
        max_class_recall_drop: the same for the recall of any class. Counts only from 2 net lost clips on: in a small
            class one clip more or less is no evidence.
        min_agreement: share of clips to which both files give the same class.
        max_calibration_error_increase: calibration error of the INT8 file, with its temperature, less that of fp32
            with its own; `earshot.evaluation.calibration.cumulative_calibration_error`.
        max_export_difference: largest difference between a PyTorch and an ONNX fp32 logit.
        max_saturating_pairs: pairs of INT8 weights whose products can exceed the 16 bits that CPUs without VNNI have
            for their sum (`earshot.deployment.saturation`); with none, the file answers alike on every CPU.
    """

    max_accuracy_drop: float = 0.02
    max_class_recall_drop: float = 0.05
    min_agreement: float = 0.97
    max_calibration_error_increase: float = 0.02
    max_export_difference: float = 1e-4
    max_saturating_pairs: int = 0
