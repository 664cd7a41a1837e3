"""Plots that set one network's figures on other clinics' photographs beside those at home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from matplotlib.transforms import ScaledTranslation
from sklearn.metrics import auc, roc_curve

from lesions.figures import style
from lesions.figures.results import reliability_lines
from lesions.figures.style import GREY, MARKERS, SERIES

SIDES = ("home", "there")
FEWEST = 10  # photographs that a bin needs to be drawn: chance places smaller ones
NARROW = 0.06  # an axis of shares that ends below it has ticks closer than whole per cents


def metrics_by_clinic(
    reports: Mapping[str, pd.DataFrame],
    metrics: Sequence[str],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw metrics of each external set beside the same metrics at home, with 95% intervals.

    Args:
        reports: Name of a set to its table from `evaluation.external_report`.
        metrics: Which rows of the tables.
        title: Title.

    Returns:
        The axes; the hollow marker is HAM10000, with the classes of the external set.
    """
    ax = style.axes_or_new(ax, 8.5, 1.2 + 0.32 * len(metrics) * len(reports) * len(SIDES))
    step = 0.8 / (len(reports) * len(SIDES))
    for number, (name, report) in enumerate(reports.items()):
        rows, colour = report.loc[list(metrics)], SERIES[2 * number]
        for place, side in enumerate(SIDES):
            height = np.arange(len(rows)) - 0.4 + step * (number * len(SIDES) + place + 0.5)
            ax.errorbar(
                rows[side],
                height,
                xerr=style.reach(rows, side),
                fmt=MARKERS[number],
                color=colour,
                markerfacecolor="white" if side == "home" else colour,
                capsize=3,
                label=name if side == "there" else f"HAM10000, classes of {name}",
            )
    for place in range(1, len(metrics)):
        ax.axhline(place - 0.5, color="#CCCCCC", linewidth=0.8)
    labels = [style.readable(metric).replace(" at ", "\nat ") for metric in metrics]
    ax.set_yticks(range(len(metrics)), labels)
    ax.set(xlim=(0, 1), ylim=(len(metrics) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    _legend_below(ax)
    return style.finish(ax, title, "Value, with a 95% interval over lesions", "Metric")


def networks_by_clinic(
    reports: Mapping[str, pd.DataFrame],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw the melanoma AUC of many networks on each external set, and at home.

    Args:
        reports: Name of a set to its table of that AUC, with a row a network and the columns of
            `evaluation.external_report`; the same networks in each.
        title: Title.

    Returns:
        The axes; the hollow marker is HAM10000, with the classes of the external set.
    """
    networks = list(next(iter(reports.values())).index)
    ax = style.axes_or_new(ax, 8.5, 1.4 + 0.3 * len(networks))
    for number, (name, report) in enumerate(reports.items()):
        rows, colour = report.loc[networks], SERIES[2 * number]
        height = np.arange(len(networks)) + 0.3 * (number - (len(reports) - 1) / 2)
        marks = {"fmt": MARKERS[number], "color": colour, "capsize": 2}
        ax.errorbar(rows["there"], height, xerr=style.reach(rows, "there"), label=name, **marks)
        known = {"label": f"HAM10000, classes of {name}", "markerfacecolor": "white"}
        ax.errorbar(rows["home"], height, **marks | known)
    ax.set_yticks(range(len(networks)), networks)
    ax.set_ylim(len(networks) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    _legend_below(ax)
    return style.finish(ax, title, "Melanoma AUC, with a 95% interval over lesions", "Network")


def _legend_below(ax: Axes) -> None:
    # Points below the axes, whatever their height: the labels need as much room everywhere.
    below = ScaledTranslation(0, -50 / 72, ax.figure.dpi_scale_trans)
    options = {"bbox_transform": ax.transAxes + below, "borderaxespad": 0}
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, 0), ncols=2, **options)


def roc_by_clinic(
    scores: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    thresholds: Mapping[str, float],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw one class's ROC curve of each external set beside the curve at home.

    Args:
        scores: Name of a set to "home" and "there", each bool (n,), whether a photograph shows
            the class, and float (n,), its probability.
        thresholds: Name of a set to the probability, 0 to 1, from which on a photograph counts.
        title: Title.

    Returns:
        The axes; the dashed curve is the home set, with the classes of the external one.
    """
    ax = style.axes_or_new(ax, 9, 5)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance")
    for number, (name, sides) in enumerate(scores.items()):
        colour = SERIES[2 * number]
        for side in SIDES:
            positive, score = sides[side]
            false_rate, true_rate, _ = roc_curve(positive, score)
            known = name if side == "there" else f"HAM10000, classes of {name}"
            label = f"{known}\n(AUC {auc(false_rate, true_rate):.2f})"
            look = {"color": colour, "linestyle": "-" if side == "there" else "--"}
            ax.plot(false_rate, true_rate, label=label, **look)
            called = score >= thresholds[name]
            point = called[~positive].mean(), called[positive].mean()
            fill = {"markerfacecolor": "white"} if side == "home" else {}
            ax.plot(*point, marker="o", markersize=8, color=colour, zorder=3, **fill)
    ax.plot([], [], "o", color=GREY, markersize=9, label="threshold fixed at home")
    ax.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    style.legend_beside(ax)
    x_label = "Other lesions called melanoma (1 − specificity)"
    return style.finish(ax, title, x_label, "Melanomas found (sensitivity)")


def reliability_by_clinic(
    tables: Mapping[str, pd.DataFrame], title: str, ax: Axes | None = None
) -> Axes:
    """Draw how often predictions come true against how sure the network was, for each set.

    Args:
        tables: Name of a set to its table from `evaluation.reliability`; the first one is home.
        title: Title.

    Returns:
        The axes; bins of fewer than ten photographs are not drawn.
    """
    colours = ["black", *SERIES[::2]]
    lines = [
        # Markers, too, because the second colour is nearly as dark as the first.
        (f"{name}\n(ECE {{:.2f}})", table, FEWEST, {"color": colour, "marker": marker})
        for (name, table), colour, marker in zip(tables.items(), colours, MARKERS, strict=False)
    ]
    return reliability_lines(lines, (15, 400, 0.4), title, ax)


def clinic_bars(
    table: pd.DataFrame,
    title: str,
    y_label: str,
    label_format: str | pd.DataFrame | None = "{:.0%}",
    margins: Mapping[str, np.ndarray] | None = None,
    legend_title: str | None = None,
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw bars side by side, a group per row and a colour per column.

    Args:
        table: Numbers, (groups, series); the index's name is the label of the axis.
        title: Title.
        y_label: What the numbers are.
        label_format: Format of the number on each bar; or a text for each bar, in a table like
            the numbers', which are then shares, 0 to 1; None for none.
        margins: As of `grouped_bars`: how far each interval reaches down and up.
        legend_title: What the columns are.
        colours: Column name to its colour, such as `classes.COLOURS` where columns are classes.
    """
    ax = style.axes_or_new(ax, 8.5, 4.2)
    # Names of two words stand on two lines, so that neighbours do not touch.
    lines = table.rename(index=lambda name: str(name).replace(" ", "\n"))
    style.grouped_bars(lines, ax, label_format, margins=margins, colours=colours)
    ax.axhline(0, color=GREY, linewidth=0.8)
    texts = isinstance(label_format, pd.DataFrame)
    ax.margins(y=0.3 if texts else 0.2)
    if texts or str(label_format).endswith("%}"):
        decimals = int(ax.get_ylim()[1] < NARROW)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=decimals))
    style.legend_beside(ax, legend_title)
    return style.finish(ax, title, str(table.index.name or "Photographs"), y_label)
