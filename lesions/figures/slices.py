"""Plots of groups of patients or photographs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from lesions.classes import in_a_sentence
from lesions.figures import style
from lesions.figures.style import SERIES, readable


def slices_with_intervals(
    rows: pd.DataFrame,
    overall: float,
    name: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric with its interval in slices of the test photographs, kind by kind.

    Args:
        rows: Table from `evaluation.slice_intervals`, indexed by kind and slice, with columns
            value, low, high, images and malignant.
        overall: The metric over all photographs, drawn as a dashed line.
        name: The metric's name, for axis and title, which also names the lowest slice.
    """
    ax = style.axes_or_new(ax, 9, 1.6 + 0.32 * len(rows))
    kinds = list(dict.fromkeys(rows.index.get_level_values(0)))
    colours = [SERIES[2 * kinds.index(kind) % len(SERIES)] for kind, _ in rows.index]
    labels = [
        f"{readable(kind)}: {group} ({row['images']:,.0f}; {row['malignant']:.0f})"
        for (kind, group), row in rows.iterrows()
    ]
    style.interval_rows(rows, labels, colours, ax, capsize=4)
    ax.axvline(overall, color="black", linestyle="--", linewidth=1)
    title = f"{name} by slice"
    if len(rows):
        kind, group = rows["value"].idxmin()
        title = f"Lowest {in_a_sentence(name)} of {len(rows)} groups: "
        title += f"{rows['value'].min():.2f}, {readable(kind).lower()} {group}; all {overall:.2f}"
    label = f"{name}, 95% interval over lesions; dashed: all photographs\n"
    label += "in brackets: photographs; malignant lesions"
    return style.finish(ax, title, label, "")
