"""Plots that compare runs and protocols."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesions.classes import CODES
from lesions.figures import style
from lesions.figures.style import GREY, MARKERS, SERIES, readable

MOST = 0.8  # of an ensemble's weight; a title counts the runs that have it
LEAST = 0.02  # runs with less of the weight are one bar together
WHITE_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}


def _recalls(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the recall of each class and run, (7, runs)."""
    return pd.DataFrame({name: table["recall"] for name, table in tables.items()}).reindex(CODES)


def per_class_bars(tables: Mapping[str, pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Draw the recall of each class, for several runs side by side.

    Args:
        tables: Name of a run to its table from `evaluation.per_class`, indexed by class code.
    """
    values = _recalls(tables)
    ax = style.axes_or_new(ax, 9, 4.5)
    style.grouped_bars(values, ax, "{:.2f}")
    style.legend_beside(ax, "Run")
    ax.set_ylim(0, 1.15)
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    return style.finish(ax, "Recall by class", "Diagnosis", "Recall")


def per_class_heat_map(
    tables: Mapping[str, pd.DataFrame], title: str, ax: Axes | None = None
) -> Axes:
    """Draw the recall of each class and run as a heat map, in which a zero is seen as well.

    Args:
        tables: As in `per_class_bars`, with a column images.
        title: Title.
    """
    values = _recalls(tables).T
    images = next(iter(tables.values()))["images"].reindex(CODES)
    ax = style.axes_or_new(ax, 9, 1.3 + 0.42 * len(values))
    options = {"fmt": ".2f", "cbar_kws": {"label": "Recall"}, "annot_kws": {"fontsize": 10}}
    style.heat_map(values, ax, 1, **options)
    labels = [f"{code}\n{count:,.0f}" for code, count in images.items()]
    ax.set_xticks(np.arange(len(CODES)) + 0.5, labels, rotation=0)
    ax.tick_params(axis="y", rotation=0)
    return style.finish(ax, title, "Diagnosis, and how many photographs show it", "")


def _with_interval(table: pd.DataFrame, metric: str = "value") -> pd.DataFrame:
    """Return value, low and high (NaN where no interval is known), with names as an index."""
    prefix = "" if metric == "value" else f"{metric}_"
    values = table[[metric, f"{prefix}low", f"{prefix}high"]].to_numpy(float)
    return pd.DataFrame(values, index=list(map(str, table.index)), columns=["value", "low", "high"])


def _write_beside(ax: Axes, place: int, text: str) -> None:
    """Write a row's numbers right of the axes, with the same minus sign as on the axis."""
    spot = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 9}
    ax.text(1.01, place, text.replace("-", "−"), **spot)


def forest(
    comparison: pd.DataFrame,
    metric: str = "value",
    label: str = "run",
    name: str = "Balanced accuracy",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a score with its 95% interval for each run, best on top, and the numbers at the right.

    Args:
        comparison: A row a run, with columns value, low and high; or, for a metric
            "test_balanced_accuracy", that column with "_low" and "_high" beside it.
        metric: The score's column.
        label: Column with the runs' names; the index where there is no such column.
        name: The score's name, for the axis.
        title: Title, or None for one made of the name.
    """
    named = comparison.set_index(label) if label in comparison.columns else comparison
    rows = _with_interval(named, metric).sort_values("value", ascending=False)
    ax = style.axes_or_new(ax, 9, 1.4 + 0.38 * len(rows))
    colours = [SERIES[0]] * len(rows)
    style.interval_rows(rows, rows.index, colours, ax, capsize=4, markersize=7)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    for place, (value, low, high) in enumerate(rows.to_numpy()):
        known = np.isfinite([low, high]).all()
        _write_beside(ax, place, f"{value:.3f}{f' [{low:.3f}, {high:.3f}]' if known else ''}")
    return style.finish(ax, title or f"{name} with 95% intervals", name, "")


def paired_panels(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Draw paired differences in several scores side by side, a panel a score.

    Args:
        tables: Name of a metric to its table, the same rows in each, with columns value, low
            and high; from `evaluation.paired_differences`.
        title: Title of the figure.

    Returns:
        The figure; an interval that includes zero is grey, as a line below says.
    """
    first = next(iter(tables.values()))
    figure, axes = plt.subplots(
        1, len(tables), figsize=(9, 1.5 + 0.3 * len(first)), sharey=True, layout="constrained"
    )
    for ax, (name, table) in zip(np.atleast_1d(axes), tables.items(), strict=True):
        rows = _with_interval(table)
        colours = np.where((rows["low"] <= 0) & (rows["high"] >= 0), GREY, SERIES[0])
        style.interval_rows(rows, rows.index, colours, ax, capsize=3)
        for place, value in enumerate(rows["value"]):
            _write_beside(ax, place, f"{value:+.3f}")
        ax.axvline(0, color="black", linewidth=1)
        ax.locator_params(axis="x", nbins=5)
        style.finish(ax, readable(name), "", "")
        ax.title.set_fontsize(11)
    figure.get_layout_engine().set(w_pad=0.1)
    text = "Difference, right of zero: better. Grey: its 95% interval includes zero"
    figure.supxlabel(text, fontsize=10)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def leakage_bars(
    scores: pd.DataFrame,
    name: str = "Balanced accuracy",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what each protocol reports about itself beside what holds on unseen lesions.

    Args:
        scores: A row a bar, with columns protocol, test_set ("own test set", "common clean
            set"), value, low and high.
        name: The score's name, for the axis.
        title: Title, or None for one made of the name.
    """
    protocols = scores["protocol"].unique()
    values, margins = pd.DataFrame(index=protocols), {}
    for test_set, rows in scores.groupby("test_set", sort=False):
        rows = rows.set_index("protocol").reindex(protocols)
        values[test_set], margins[test_set] = rows["value"], style.reach(rows)
    ax = style.axes_or_new(ax, 9, 4.5)
    style.grouped_bars(values, ax, margins=margins)
    for bars in ax.containers:
        if hasattr(bars, "patches"):
            ax.bar_label(bars, fmt="{:.3f}", label_type="center", fontsize=10, bbox=WHITE_BOX)
    ax.set_ylim(0, 1)
    style.legend_beside(ax, "Scored on")
    title = title or f"{name} by protocol, with 95% intervals"
    return style.finish(ax, title, "Protocol", name)


def size_against_score(
    comparison: pd.DataFrame,
    metric: str = "balanced_accuracy",
    group: str = "architecture",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the score of each run against the number of parameters of its network.

    Args:
        comparison: A row a run, with the columns parameters, the metric and the group.
        metric: The score's column.
        group: Column whose values have a colour each, best first.
        title: Title, or None for one made of the metric's name.
    """
    ax = style.axes_or_new(ax, 9, 4.2)
    ranked = comparison.sort_values(metric, ascending=False)
    for number, (name, runs) in enumerate(ranked.groupby(group, sort=False)):
        lap, place = divmod(number, len(SERIES))  # the second lap shifts the markers
        marker, colour = MARKERS[(place + lap) % len(MARKERS)], SERIES[place]
        look = {"marker": marker, "color": colour, "edgecolor": "black", "s": 80, "alpha": 0.85}
        text = f"{name} ({runs[metric].max():.3f})"
        ax.scatter(runs["parameters"] / 1e6, runs[metric], label=text, **look)
    ax.set_xscale("log")
    style.plain_log_ticks(ax.xaxis)
    style.legend_beside(ax, "Network (best run)")
    title = title or f"{readable(metric)} against size"
    return style.finish(ax, title, "Parameters (millions, log scale)", readable(metric))


def ensemble_weights_bar(weights: Mapping[str, float] | pd.Series, ax: Axes | None = None) -> Axes:
    """Draw the weight of each run in the ensemble, heaviest on top, small ones together.

    Args:
        weights: Name of a run to its weight (0-1, sum 1).
    """
    weights = pd.Series(weights, dtype=float).sort_values()
    small = weights[weights < LEAST]
    shown = weights[weights >= LEAST]
    if len(small):
        rest = pd.Series({f"{len(small)} others together": small.sum()})
        shown = pd.concat([rest, shown])
    ax = style.axes_or_new(ax, 9, 1.4 + 0.36 * len(shown))
    bars = ax.barh(list(map(str, shown.index)), shown, 0.7, color=SERIES[0])
    ax.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=9)
    ax.margins(x=0.1)
    ax.grid(axis="y", visible=False)
    largest = weights[::-1].cumsum()
    heavy = int((largest < MOST).sum()) + 1
    title = f"{largest.iloc[heavy - 1]:.0%} of the weight is on {heavy} of {len(weights)} runs"
    return style.finish(ax, title, "Weight (sum 1)", "")
