"""Pictures of a data set: how long its files are, at what rates they come, and which classes lie in which folds."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earshot.files import atomic_file

INK, GRID, BAR, ACCENT = "#22303c", "#d9dfe5", "#2f7f9f", "#d9822b"
DPI = 120
MOST_SEGMENTS = 6  # codecs told apart in the picture of the rates


def write_plots(table: pd.DataFrame, target: Path) -> None:
    """Write ``durations.png``, ``rates.png`` and ``classes_by_fold.png`` of the usable files into `target`.

    The bytes depend on `table` alone: no time and no version is written into them.
    """
    good = table[table["status"] == "ok"]
    for name, draw in (("durations", _durations), ("rates", _rates), ("classes_by_fold", _classes_by_fold)):
        with atomic_file(target / f"{name}.png") as temporary:
            draw(good).savefig(temporary, dpi=DPI, metadata={"Software": None})


def _durations(good: pd.DataFrame) -> Figure:
    """One strip a class: every file a dot, its duration across, the median marked."""
    labels = sorted(good["label"].unique(), reverse=True)
    figure, axes = _figure(7.5, 1.4 + 0.32 * len(labels), f"Duration of {len(good)} files")
    random = np.random.default_rng(0)
    for row, label in enumerate(labels):
        seconds = good["duration_s"][good["label"] == label].to_numpy()
        axes.scatter(seconds, row + random.uniform(-0.28, 0.28, len(seconds)), s=7, color=BAR, alpha=0.35, linewidths=0)
        axes.plot([np.median(seconds)] * 2, [row - 0.36, row + 0.36], color=ACCENT, linewidth=2.5)
    axes.plot([], [], color=ACCENT, linewidth=2.5, label="median")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(-0.7, len(labels) - 0.3)
    if good["duration_s"].max() > 20 * good["duration_s"].median():
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    axes.grid(axis="x", color=GRID)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    return figure


def _rates(good: pd.DataFrame) -> Figure:
    """Files at each sampling rate, split by how they are encoded."""
    codec = good["container"] + " " + good["codec"] + np.where(good["channels"] > 1, ", several channels", ", mono")
    common = codec.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:MOST_SEGMENTS]
    codec = codec.where(codec.isin(common), "others")
    counts = pd.crosstab(good["sample_rate_hz"], codec).sort_index()
    order = [name for name in [*common, "others"] if name in counts]
    figure, axes = _figure(7.5, 1.9 + 0.36 * max(len(counts), len(order)), "Sampling rates and encodings")
    colours = matplotlib.colormaps["viridis"](np.linspace(0.12, 0.92, len(order)))
    left = np.zeros(len(counts))
    for name, colour in zip(order, colours, strict=True):
        axes.barh(range(len(counts)), counts[name], left=left, height=0.7, color=colour, label=name)
        left += counts[name].to_numpy()
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:.0f}", va="center", color=INK)
    axes.set_yticks(range(len(counts)), [f"{rate / 1000:g} kHz" for rate in counts.index])
    axes.set_xlim(0, left.max() * 1.12)
    axes.set_xlabel("files")
    axes.grid(axis="x", color=GRID)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), title="encoding", alignment="left")
    return figure


def _classes_by_fold(good: pd.DataFrame) -> Figure:
    """Clips of each class in each fold, as a table in shades."""
    counts = pd.crosstab(good["label"], good["fold"]).sort_index()
    figure, axes = _figure(
        2.6 + 0.55 * counts.shape[1], 1.5 + 0.34 * counts.shape[0], f"Clips by class and fold ({len(good)})"
    )
    values = counts.to_numpy()
    axes.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=max(1, values.max()) * 1.15)
    for (row, column), count in np.ndenumerate(values):
        dark = count > 0.6 * values.max()
        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color="white" if dark else INK)
    axes.set_xticks(range(counts.shape[1]), counts.columns)
    axes.set_yticks(range(counts.shape[0]), counts.index)
    axes.set_xlabel("fold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _figure(width_in: float, height_in: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(max(5.0, width_in), height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=INK)
    axes.set_axisbelow(True)
    return figure, axes
