"""Pictures of an evaluation, as PNG files that are the same bytes for the same figures."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.decisions.fitting.operating_points import Curve
from earshot.evaluation.calibration import Reliability
from earshot.evaluation.metrics import NO_CLIPS, Evaluation
from earshot.evaluation.summary import percent

# Okabe and Ito's colours, which stay apart for colour-blind readers and in grey.
PALE_BLUE = "#A9CCE3"
BLUE, ORANGE, GREEN, RED, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8C8C8C", "#222222"
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
DPI = 130


class PlotError(EarshotError):
    """Figures that cannot be drawn, because their file is missing or damaged."""


def plot_confusion(evaluation: Evaluation, target: str | Path) -> None:
    """Rows true, columns predicted: shade is the share of the true class, numbers are clips. 2 to 50 classes."""
    confusion, names = evaluation.confusion, evaluation.classes
    count = len(names)
    support = confusion.sum(axis=1)
    share = confusion / np.maximum(support, 1)[:, None]
    cell_in = 0.62 if count <= 15 else 0.62 - 0.4 * min(1, (count - 15) / 35)  # 0.22 inches for 50 classes
    small = 10 if count <= 15 else 10 - 4.5 * min(1, (count - 15) / 35)
    side_in = max(3.0, cell_in * count)
    with _figure(target, side_in + 3.4, side_in + 2.2) as figure:
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        for i, j in np.argwhere(confusion).tolist():
            shade = "white" if share[i, j] > 0.55 else INK
            bold = "bold" if i == j else "normal"
            axes.text(j, i, str(confusion[i, j]), ha="center", va="center", color=shade, size=small, weight=bold)
        axes.set_xticks(range(count), names, rotation=45 if count <= 15 else 90, size=small + 0.5)
        if count <= 15:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), names, size=small + 0.5)
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#E6E6E6", linewidth=0.6)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        right = axes.secondary_yaxis("right")
        right.set_yticks(range(count), [_recall_text(report.recall) for report in evaluation.per_class], size=small)
        right.tick_params(length=0)
        right.spines[:].set_visible(False)
        axes.text(count - 0.45, -0.6, "recall", size=small)
        axes.set_xlabel("predicted as")
        axes.set_ylabel("actual class")
        axes.set_title(f"{percent(evaluation.accuracy)} of {evaluation.clips} clips correct", pad=12)


def plot_per_class(evaluation: Evaluation, target: str | Path) -> None:
    """A bar for each class's recall with its interval, a mark for its precision, the lowest recall on top."""
    reports = sorted(evaluation.per_class, key=lambda report: (report.recall is None, report.recall or 0.0))
    with _figure(target, 9.5, 1.9 + 0.42 * len(reports)) as figure:
        axes = figure.subplots()
        for row, report in enumerate(reports):
            if report.recall is None:
                axes.text(0.01, row, NO_CLIPS, va="center", color=GREY, style="italic")
            else:
                axes.barh(row, report.recall, height=0.62, color=BLUE if report.interval else PALE_BLUE)
            if report.interval:
                axes.hlines(row, *report.interval, color=INK, linewidth=1.4)
                axes.vlines(report.interval, row - 0.13, row + 0.13, color=INK, linewidth=1.4)
            if report.precision is not None and report.support:
                axes.plot(
                    report.precision,
                    row,
                    "D",
                    color=ORANGE,
                    markersize=6,
                    markeredgecolor=INK,
                    markeredgewidth=0.6,
                    clip_on=False,
                )
            words = f"{report.support} clips, {report.recordings} rec."
            if report.interval_note and report.support:
                words += f" ({report.interval_note})"
            axes.text(1.02, row, words, va="center", size=9, color=GREY if report.interval_note else INK)
        axes.axvline(evaluation.balanced_accuracy, color=GREY, linestyle="--", linewidth=1)
        axes.set_yticks(range(len(reports)), [report.name for report in reports])
        axes.set_ylim(len(reports) - 0.4, -0.6)
        _share_axis(axes, "x")
        axes.set_xlabel("recall, precision")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color="#E6E6E6")
        handles: list[Any] = []
        if any(report.interval for report in reports):
            handles.append(Patch(color=BLUE, label="recall with its interval"))
        if any(report.interval is None and report.support for report in reports):
            handles.append(Patch(color=PALE_BLUE, label="recall, too few recordings for an interval"))
        handles.append(Line2D([], [], color=ORANGE, marker="D", linestyle="", markeredgecolor=INK, label="precision"))
        handles.append(Line2D([], [], color=GREY, linestyle="--", label="mean recall"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
        axes.set_title("Per class, the worst on top")


def plot_reliability(reliability: Reliability, target: str | Path) -> None:
    """Accuracy against confidence above, how many clips have which confidence below."""
    bins = reliability
    with _figure(target, 6.4, 7.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
        upper.vlines(
            bins.confidence,
            *bins.accuracy_if_calibrated,
            color="#BFBFBF",
            linewidth=7,
            label="if calibrated, 95 % interval",
        )
        upper.plot(
            bins.confidence,
            bins.accuracy,
            "o-",
            color=BLUE,
            linewidth=1.2,
            markersize=6,
            label="fp32 network, uncalibrated",
        )
        upper.set_ylabel("accuracy")
        _share_axis(upper, "y")
        upper.set_ylim(-0.02, 1.02)
        upper.grid(color="#E6E6E6")
        upper.legend(loc="upper left")
        direction = "overconfident" if bins.weight @ (bins.confidence - bins.accuracy) > 0 else "underconfident"
        beyond = bins.ece > bins.ece_if_calibrated_high
        verdict = f"on the whole {direction}" if beyond else "a calibrated model may show as much"
        upper.set_title(f"Uncalibrated: ECE {bins.ece:.3f}, {verdict}", size=11)
        upper.text(
            0.98,
            0.03,
            f"a calibrated model would show {bins.ece_if_calibrated:.3f}\n"
            f"({bins.ece_if_calibrated_low:.3f} to {bins.ece_if_calibrated_high:.3f})",
            transform=upper.transAxes,
            ha="right",
            size=9,
        )
        width = np.maximum(bins.upper - bins.lower, 0.004)
        lower.bar(
            bins.lower,
            bins.clips / (100 * width),
            width=width,
            align="edge",
            color=BLUE,
            edgecolor="white",
            linewidth=0.5,
        )
        lower.set_ylabel("clips per\n1 % of confidence")
        lower.set_xlabel("confidence (probability of the predicted class)")
        _share_axis(lower, "x")
        lower.set_xlim(0, 1)


def plot_history(history_csv: str | Path, chosen_epoch: int, target: str | Path) -> None:
    """Losses, validation accuracy and learning rate by epoch, with the chosen epoch marked.

    Args:
        history_csv: columns epoch, train_loss, val_loss, val_accuracy, learning_rate.
        chosen_epoch: the one whose weights were kept, from 1; training has its own rule which.
        target: the PNG file.

    Raises:
        PlotError: the file is missing, empty or not such a table, or holds no such epoch.
    """
    history = _read_history(history_csv)
    epoch = history["epoch"]
    if chosen_epoch not in epoch:
        raise PlotError(f"{history_csv} holds no epoch {chosen_epoch}: run `dvc repro train` again")
    best = int(np.flatnonzero(epoch == chosen_epoch)[0])
    with _figure(target, 7.5, 6.4) as figure:
        losses, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=[2, 2, 0.8])
        marker = "o" if len(epoch) == 1 else None
        losses.plot(epoch, history["train_loss"], color=GREY, marker=marker, label="training")
        losses.plot(epoch, history["val_loss"], color=BLUE, marker=marker, label="validation")
        losses.set_ylabel("loss")
        losses.legend()
        accuracy.plot(epoch, history["val_accuracy"], color=BLUE, marker=marker)
        accuracy.plot(epoch[best], history["val_accuracy"][best], "o", color=RED)
        accuracy.set_ylabel("validation\naccuracy")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1))
        rate.plot(epoch, history["learning_rate"], color=GREEN, marker=marker)
        rate.set_ylabel("learning\nrate")
        rate.set_ylim(bottom=0)
        rate.set_xlabel("epoch")
        rate.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (losses, accuracy, rate):
            axes.axvline(epoch[best], color=RED, linestyle=":", linewidth=1.2)
            axes.grid(color="#E6E6E6")
        losses.set_title(f"Epoch {chosen_epoch} was kept: {percent(history['val_accuracy'][best])} on validation")


def plot_operating_points(
    curves: Mapping[str, Curve | None], rows: Sequence[Mapping[str, Any]], target: str | Path
) -> None:
    """Precision against recall on test, a panel for each class, with the operating points chosen on validation.

    Args:
        curves: class to its curve on test; None where it has no clip there.
        rows: of `earshot.evaluation.operating_points.rows`.
        target: the PNG file.
    """
    columns = min(5, len(curves))
    height = -(-len(curves) // columns)
    colours = {"precision": ORANGE, "recall": GREEN}
    sizes = {"precision": 9, "recall": 5}  # one inside the other where both are the same point
    with _figure(target, 2.5 * columns + 0.6, 2.5 * height + 0.9) as figure:
        panels = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False).ravel().tolist()
        for axes, (name, curve) in zip(panels, curves.items(), strict=False):
            axes.set_title(name.replace("_", " "), size=9)
            axes.grid(color="#E6E6E6")
            _share_axis(axes, "x")
            _share_axis(axes, "y")
            axes.set_ylim(0, 1.04)
            axes.set_xlim(0, 1.04)
            axes.tick_params(labelsize=7)
            if curve is None:
                axes.text(0.5, 0.5, "no clips", ha="center", color=GREY)
                continue
            axes.plot(curve.recall, curve.precision, color=BLUE, linewidth=1.2)
            for row in rows:
                if row["class"] == name and row["threshold"] is None:
                    axes.text(0.04, 0.04, f"{row['value']:.0%} {row['wanted']}: none on validation", size=6.5)
                elif row["class"] == name and row["test_precision"] is not None:
                    axes.plot(
                        row["test_recall"],
                        row["test_precision"],
                        "o",
                        color=colours[row["wanted"]],
                        markersize=sizes[row["wanted"]],
                        clip_on=False,
                    )
        for axes in panels[len(curves) :]:
            axes.set_visible(False)
        wanted = {row["wanted"]: row["value"] for row in rows}
        marks = [
            Line2D([], [], marker="o", linestyle="none", color=colours[kind], label=f"{kind} {value:.0%} on validation")
            for kind, value in wanted.items()
        ]
        figure.legend(handles=marks, loc="outside upper left", ncols=2, fontsize=9)
        figure.suptitle("INT8 file on test clips", x=0.99, ha="right", size=10, weight="bold")
        figure.supxlabel("recall on test", size=10)
        figure.supylabel("precision on test", size=10)


def plot_robustness(rows: Sequence[Mapping[str, Any]], target: str | Path) -> None:
    """Change of accuracy under each condition, with its interval; the worst on top.

    `rows` are those of `earshot.evaluation.robustness.table`, the clean one first.
    """
    changed = sorted(rows[1:], key=lambda row: -row["change_points"])
    with _figure(target, 9.0, 1.6 + 0.3 * len(changed)) as figure:
        axes = figure.subplots()
        places = np.arange(len(changed))
        points = np.array([row["change_points"] for row in changed])
        reach = np.array([[row["change_low"], row["change_high"]] for row in changed]).T
        axes.axvline(0, color=GREY, linewidth=1)
        axes.barh(places, points, color=[BLUE if value >= -3 else ORANGE for value in points], height=0.65)
        axes.errorbar(points, places, xerr=np.abs(reach - points), fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        names = [re.sub(r" -(?=\d)", " \N{MINUS SIGN}", row["condition"]) for row in changed]
        axes.set_yticks(places, [f"{name}  ({row['clips']})" for name, row in zip(names, changed, strict=True)], size=9)
        axes.set_xlabel("points of accuracy, with 95 % interval; in brackets, clips")
        handles = [Patch(color=BLUE, label="3 points lost at most"), Patch(color=ORANGE, label="more than 3 lost")]
        axes.legend(handles=handles, fontsize=9)
        axes.grid(axis="x", color="#E6E6E6")
        clean = f"{percent(rows[0]['accuracy'])} of {rows[0]['clips']} clips"
        figure.suptitle(f"What disturbances cost: accuracy against {clean} undisturbed", weight="bold", size=11)


@contextmanager
def _figure(target: str | Path, width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure in the project's style, written atomically to `target` at the end."""
    with matplotlib.style.context(["default", STYLE]):  # a user's matplotlibrc must not change the bytes
        figure = Figure(figsize=(width_in, height_in), layout="constrained")  # no pyplot: no display, nothing to close
        yield figure
        with atomic_file(target) as temporary:
            figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def _share_axis(axes: Axes, which: str) -> None:
    """0 to 100 % on one axis."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(0, 1)
    axis.set_major_locator(MultipleLocator(0.2))
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _recall_text(recall: float | None) -> str:
    return "" if recall is None else f"{100 * recall:.0f} %"


def _read_history(path: str | Path) -> dict[str, np.ndarray]:
    columns = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate")
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        history = {name: np.array([float(row[name]) for row in rows]) for name in columns}
    except FileNotFoundError as error:
        raise PlotError(f"{path} not found: run `dvc repro train`, which writes it") from error
    except (KeyError, TypeError, ValueError) as error:
        raise PlotError(
            f"{path} is not a table of {', '.join(columns)}: {error!r}; run `dvc repro -f train`"
        ) from error
    if not rows:
        raise PlotError(f"{path} holds no epoch; run `dvc repro -f train`")
    return history
