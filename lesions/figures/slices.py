"""Plots of groups of patients or photographs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesions.figures.style import (
    SERIES,
    axes_or_new,
    finish,
    legend_beside,
    readable,
    require_columns,
)


def slices_plot(
    slices: pd.DataFrame,
    metric: str = "balanced_accuracy",
    overall: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric in each slice of the test images, with the number of images.

    Args:
        slices: Table from `evaluation.slices`, indexed by slice, with a column images.
        metric: A column; NaN reads "not defined".
        overall: The metric over all images, drawn as a dashed line, or None.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If a column is missing.
    """
    require_columns(slices, [metric, "images"], "slices")
    ax = axes_or_new(ax, 8, 1.4 + 0.34 * len(slices))
    names = [f"{name} (n = {count:,})" for name, count in slices["images"].items()]
    values = slices[metric].to_numpy(float)
    ax.barh(names, np.nan_to_num(values), 0.7, color=SERIES[3])
    for place, value in enumerate(values):
        # At the foot of the bar, where the dashed line cannot cross the number.
        text = "not defined" if np.isnan(value) else f"{value:.2f}"
        ax.text(0.01, place, text, va="center", fontsize=9)
    if overall is not None:
        label = f"all images ({overall:.2f})"
        ax.axvline(overall, color="black", linestyle="--", linewidth=1, label=label)
        legend_beside(ax)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.grid(axis="y", visible=False)
    by = readable(str(slices.index.name or "slice"))
    return finish(ax, f"{readable(metric)} by {by.lower()}", readable(metric), by)


def slices_with_intervals(
    rows: pd.DataFrame,
    overall: float,
    name: str,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric with its interval in slices of the test photographs.

    Args:
        rows: Table from `evaluation.slice_intervals`, indexed by kind and slice, with columns
            value, low, high, images and malignant.
        overall: The metric over all photographs, drawn as a dashed line.
        name: The metric's name, for title and axis.
        title: Title, or None for one that names the lowest slice.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; slices of one kind stand together.

    Raises:
        ValueError: If a column is missing.
    """
    require_columns(rows, ["value", "low", "high", "images", "malignant"], "slices")
    ax = axes_or_new(ax, 9, 1.6 + 0.32 * len(rows))
    kinds = list(dict.fromkeys(rows.index.get_level_values(0)))
    labels = []
    for place, ((kind, slice_name), row) in enumerate(rows.iterrows()):
        reach = np.clip([[row["value"] - row["low"]], [row["high"] - row["value"]]], 0, None)
        colour = SERIES[2 * kinds.index(kind) % len(SERIES)]
        ax.errorbar([row["value"]], [place], xerr=reach, fmt="o", color=colour, capsize=4)
        counts = f"{row['images']:,.0f}, {row['malignant']:.0f} malignant"
        labels.append(f"{readable(kind)}: {slice_name} ({counts})")
    ax.axvline(overall, color="black", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    if title is None and len(rows):
        kind, slice_name = rows["value"].idxmin()
        lowest = f"{readable(kind).lower()} {slice_name}"
        title = f"Lowest {name}: {rows['value'].min():.2f}, {lowest}; all {overall:.2f}"
    label = f"{name}, 95% interval over lesions; dashed: all photographs"
    return finish(ax, title or f"{name} by slice", label, "")
