"""Plots of trainings, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesions.figures import style
from lesions.figures.style import GREY, LINE_STYLES, MARKERS, SERIES, readable

# Which layers a phase of training changes.
LAYERS = {"head": "new layers", "all": "all layers"}


def _mark_phases(history: pd.DataFrame, ax: Axes) -> None:
    """Draw a dashed line where a new phase of training starts and name the phases."""
    phases = history["phase"]
    for start in np.flatnonzero(phases != phases.shift())[1:]:
        ax.axvline(start + 0.5, color=GREY, linestyle="--", linewidth=1)
        look = {"color": GREY, "fontsize": 9, "transform": ax.get_xaxis_transform()}
        ax.text(start + 0.6, 0.02, f"{LAYERS[phases.iloc[start]]} →", **look)


def training_history(history: pd.DataFrame, title: str) -> Figure:
    """Draw the losses and the validation scores of one run, epoch by epoch.

    Args:
        history: A row an epoch, with the columns of history.csv.
        title: Title over both panels.

    Returns:
        The figure: losses left, balanced accuracy right with its best epoch marked.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    epochs = history["epoch"]
    left.plot(epochs, history["loss"], "o-", ms=4, color=SERIES[0], label="training")
    left.plot(epochs, history["val_loss"], "s--", ms=4, color=SERIES[2], label="validation")
    score = history["val_balanced_accuracy"]
    right.plot(epochs, score, "s-", ms=4, color=SERIES[2], label="balanced accuracy")
    right.plot(epochs, history["val_accuracy"], ":", color=GREY, label="plain accuracy")
    best = history.loc[history["val_balanced_accuracy"].idxmax()]
    place, height = best["epoch"], best["val_balanced_accuracy"]
    label = f"best: {height:.3f} in epoch {place}"
    right.plot(place, height, "*", ms=15, color=SERIES[1], mec="black", label=label)
    for ax in (left, right):
        _mark_phases(history, ax)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    style.finish(left, "Loss", "Epoch", "Loss")
    style.finish(right, "Validation score", "Epoch", "Score")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    return figure


def several_histories(
    histories: Mapping[str, pd.DataFrame],
    metric: str = "val_balanced_accuracy",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric of several runs, epoch by epoch, and name each run's best value.

    Args:
        histories: Name of a run to its history.
        metric: Column of the histories; of a loss the lowest value is the best.
        title: Title, or None for one made of the metric's name.
    """
    ax = style.axes_or_new(ax, 9, 4.5)
    best = pd.Series.min if "loss" in metric else pd.Series.max
    for number, (name, history) in enumerate(histories.items()):
        ax.plot(
            history["epoch"],
            history[metric],
            LINE_STYLES[number % len(LINE_STYLES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            color=SERIES[number % len(SERIES)],
            label=f"{name} ({best(history[metric]):.3f})",
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    style.legend_beside(ax, "Run (best value)")
    return style.finish(ax, title or f"{readable(metric)} by epoch", "Epoch", readable(metric))


def stages_plot(histories: Mapping[str, pd.DataFrame], scores: pd.DataFrame, title: str) -> Figure:
    """Draw stages of one network on one axis of epochs, and the AUC that each ends with.

    Args:
        histories: Name of a stage to its history, in order.
        scores: A row a stage, with columns value, low and high: the macro AUC of its kept epoch.
        title: Title of the figure.

    Returns:
        The figure: validation balanced accuracy left, AUC right.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.8), width_ratios=(2.2, 1), layout="constrained"
    )
    start = 0
    for number, (name, history) in enumerate(histories.items()):
        look = {"color": SERIES[2 * number], "marker": MARKERS[number]}
        epochs = start + history["epoch"]
        left.plot(epochs, history["val_balanced_accuracy"], label=name, markersize=5, **look)
        start += len(history)
        left.axvline(start + 0.5, color=GREY, linestyle="--", linewidth=1)
        row = scores.loc[name]
        reach = style.reach(row)
        right.errorbar([number], row["value"], yerr=reach, capsize=4, markersize=7, **look)
        spot = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 9}
        right.annotate(f"{row['value']:.3f}", (number, row["value"]), **spot)
    left.lines[-1].remove()  # nothing follows the last stage
    # Opaque, so that no line between two stages runs through it.
    left.legend(loc="lower right", frameon=True, framealpha=1, edgecolor="none")
    right.set_xticks(range(len(histories)), [name.replace(", ", "\n") for name in histories])
    right.set_xlim(-0.5, len(histories) - 0.2)
    right.locator_params(axis="y", nbins=5)
    right.yaxis.set_major_formatter("{x:.3f}")
    right.grid(axis="x", visible=False)
    style.finish(left, "Balanced accuracy, one view", "Epoch, all stages", "Balanced accuracy")
    style.finish(right, "Macro AUC, eight views", "", "Macro AUC")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure
