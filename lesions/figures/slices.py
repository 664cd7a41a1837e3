"""Plots of groups of patients or photographs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from lesions.figures.style import (
    SERIES,
    axes_or_new,
    finish,
    reach,
    readable,
    require_columns,
)


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
        colour = SERIES[2 * kinds.index(kind) % len(SERIES)]
        ax.errorbar([row["value"]], [place], xerr=reach(row), fmt="o", color=colour, capsize=4)
        counts = f"{row['images']:,.0f}; {row['malignant']:.0f}"
        labels.append(f"{readable(kind)}: {slice_name} ({counts})")
    ax.axvline(overall, color="black", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    if title is None and len(rows):
        kind, slice_name = rows["value"].idxmin()
        lowest = f"{readable(kind).lower()} {slice_name}"
        lower = name[:1].lower() + name[1:]
        title = f"Lowest {lower} of {len(rows)} groups: {rows['value'].min():.2f}, {lowest}; "
        title += f"all {overall:.2f}"
    label = f"{name}, 95% interval over lesions; dashed: all photographs\n"
    label += "in brackets: photographs; malignant lesions"
    return finish(ax, title or f"{name} by slice", label, "")
