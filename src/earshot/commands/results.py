"""`earshot results`: the headline figures of the last run, and where the rest lies."""

import argparse
import json
from pathlib import Path
from typing import Any

from earshot.commands.common import DEFAULT_MODEL, Subparsers, add_command, in_folds, table
from earshot.core.errors import EarshotError

_DETAILS = """\
Print the headline figures of the pipeline's last run, read from metrics/*.json, and where to look
further. `dvc metrics diff` compares them with those of the last commit."""

_EXAMPLES = """\
  earshot results
  earshot results --metrics docs/results/us8k_sample/compact-fold1"""


def add_parser(commands: Subparsers) -> None:
    """Add the subcommand to `commands`."""
    parser = add_command(commands, "results", "print the figures of the pipeline's last run", _DETAILS, _EXAMPLES)
    parser.add_argument("--metrics", metavar="DIR", default="metrics", help="where the figures lie (default: metrics)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the figures under one directory."""
    metrics = Path(arguments.metrics)
    evaluation = _read(metrics / "evaluation.json")
    quantization = _read(metrics / "quantization.json")
    plots = sorted(path for path in (metrics / "plots").rglob("*.png"))
    print(summary(evaluation, quantization, plots, _others(metrics)))
    return 0


def summary(
    evaluation: dict[str, Any], quantization: dict[str, Any], plots: list[Path], others: dict[str, dict[str, Any]]
) -> str:
    """The figures in words, from the documents' contents and the pictures' paths; `others` holds those of `OTHERS`."""
    where = in_folds(evaluation.get("test_folds")).replace(", fold", ", test fold", 1)
    lines = [
        ("data", f"{evaluation['dataset']}: {evaluation['test_clips']} test clips of {evaluation['test_recordings']} "
         f"recordings, split by {evaluation['split']}{where}"),
        ("accuracy", f"{evaluation['accuracy']:.3f}{_interval(evaluation)} in full precision"),
        ("INT8", f"{quantization['int8_accuracy']:.3f}, {_drop(quantization['accuracy_drop'])}; the same answer for "
         f"{quantization['agreement']:.1%} of clips; {quantization['int8_bytes'] / 1e3:.0f} kB"),
        ("gate", _gate(quantization)),
        ("worst class", f"{evaluation['worst_class']}, recall {evaluation['worst_class_recall']:.3f}"),
    ]  # fmt: skip
    lines += [(name, words(others[name])) for name, words in OTHERS.items() if name in others]
    known = evaluation.get("test_clips_of_known_recordings")
    if known:
        lines.append(("leak", f"{known} test clips come from recordings that were trained on: accuracy is flattered"))
    lines += [("plots" if number == 0 else "", path.as_posix()) for number, path in enumerate(plots)]
    lines.append(("compare", "dvc metrics diff"))
    return table(lines)


def _confidence(found: dict[str, Any]) -> str:
    return (
        f"ECE {found['ece']:.3f}, if calibrated {found['ece_if_calibrated']:.3f} "
        f"({found['ece_if_calibrated_low']:.3f} to {found['ece_if_calibrated_high']:.3f}); negative log-likelihood "
        f"{found['nll']:.3f}, uncalibrated {found['nll_uncalibrated']:.3f}"
    )


def _robustness(found: dict[str, Any]) -> str:
    return f"{found['worst_condition']} costs most: {found['worst_change_points']:+.1f} points"


def _open_set(found: dict[str, Any]) -> str:
    sides = [
        f"{found[side]['called_unknown_mean']:.0%} of {words} (AUROC {found[side]['auroc_mean']:.3f})"
        for side, words in (("near", "the classes left out"), ("far", "ambience, noise and tones"))
        if side in found
    ]
    return f"called unknown: {found['known_called_unknown']:.1%} of the classes' own clips, " + ", ".join(sides)


OTHERS = {"confidence": _confidence, "robustness": _robustness, "open_set": _open_set}


def _others(metrics: Path) -> dict[str, dict[str, Any]]:
    """What an older run, or one that was stopped early, may not have."""
    paths = {name: metrics / f"{name}.json" for name in OTHERS}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def _interval(evaluation: dict[str, Any]) -> str:
    low, high = evaluation["accuracy_ci_low"], evaluation["accuracy_ci_high"]
    return " (too few recordings for an interval)" if low is None else f" (interval {low:.3f} to {high:.3f})"


def _drop(drop: float) -> str:
    if abs(drop) < 5e-5:
        return "equal to full precision"
    return f"{abs(drop) * 100:.2f} points {'below' if drop > 0 else 'above'} full precision"


def _gate(quantization: dict[str, Any]) -> str:
    if quantization["passed"]:
        return f"passed; released as {DEFAULT_MODEL}"
    return "NOT passed, the released model is an older one: " + "; ".join(quantization["broken"])


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EarshotError(f"no results at {path}: run `make repro` (or `dvc repro`) first") from error
    except json.JSONDecodeError as error:
        raise EarshotError(f"{path} is not JSON ({error}): run `dvc repro` again") from error
