"""A candidate that passed the gate becomes the released model; one that failed changes nothing."""

import contextlib
import json
import shutil
from pathlib import Path

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.deployment.config import CARD, FP32, INT8


class GateError(EarshotError):
    """The candidate broke a budget; the released model is untouched."""


def release(candidate_dir: Path, quantization_json: Path, models_dir: Path) -> None:
    """Copy the candidate's three files to `models_dir` if ``quantization.json`` says it passed.

    Each takes its place atomically, and none before all three are copied: a full disk changes nothing.

    Raises:
        GateError: it did not; the message names each broken budget and by how much.
    """
    verdict = json.loads(quantization_json.read_text(encoding="utf-8"))
    if not verdict["passed"]:
        broken = "\n  ".join(verdict["broken"])
        raise GateError(
            f"the candidate may not be released; on validation its\n  {broken}\n"
            f"The released model in {models_dir} is untouched. See {quantization_json} and metrics/parity.csv; change "
            "the model or, knowing why, the budget under gate: in params.yaml."
        )
    with contextlib.ExitStack() as placed_on_exit:
        for name in (FP32, INT8, CARD):
            shutil.copyfile(candidate_dir / name, placed_on_exit.enter_context(atomic_file(models_dir / name)))
