"""Pictures of a data set: how long its files are, at what rates they come, and which classes lie in which folds."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earshot.core.files import atomic_file

INK, GRID, BAR, ACCENT = "#22303c", "#d9dfe5", "#2f7f9f", "#d9822b"
DPI = 120


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
    """Files by encoding and sampling rate."""
    channels = good["channels"].map({1: "mono", 2: "stereo"}).fillna(good["channels"].astype(str) + " channels")
    counts = pd.crosstab(good["container"] + " " + good["codec"] + ", " + channels, good["sample_rate_hz"]).sort_index()
    columns = [f"{rate / 1000:g} kHz" for rate in counts.columns.to_numpy()]
    return _shades(counts, columns, "sampling rate", f"Files by encoding and sampling rate ({len(good)})", 0.85)


def _classes_by_fold(good: pd.DataFrame) -> Figure:
    """Clips of each class in each fold."""
    counts = pd.crosstab(good["label"], good["fold"]).sort_index()
    columns = [str(fold) for fold in counts.columns]
    return _shades(counts, columns, "fold", f"Clips by class and fold ({len(good)})", 0.6)


def _shades(counts: pd.DataFrame, columns: list[str], axis: str, title: str, column_in: float) -> Figure:
    """A table of counts, the higher the darker; a zero is left blank."""
    values = counts.to_numpy()
    names_in = 0.085 * max(len(str(name)) for name in counts.index)
    figure, axes = _figure(names_in + 0.5 + column_in * values.shape[1], 1.2 + 0.34 * values.shape[0], title)
    axes.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=values.max() * 1.15)
    for (row, column), count in np.ndenumerate(values):
        colour = "white" if count > 0.6 * values.max() else INK
        axes.text(column, row, str(count or ""), ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(values.shape[1]), columns)
    axes.set_yticks(range(values.shape[0]), counts.index)
    axes.set_xlabel(axis)
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
