"""Plots that compare runs, protocols and slices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lesions.classes import CODES, COLOURS
from lesions.figures.style import (
    MARKERS,
    SERIES,
    axes_or_new,
    finish,
    grouped_bars,
    legend_beside,
    plain_log_ticks,
    readable,
    require_columns,
)

WHITE_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}


def per_class_bars(
    tables: Mapping[str, pd.DataFrame], metric: str = "recall", ax: Axes | None = None
) -> Axes:
    """Draw one metric of each class, for one run or several side by side.

    Args:
        tables: Name of a run to its table from `evaluation.per_class`, indexed by class code.
        metric: A column: precision, recall, f1, auc or average_precision.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; a single run's bars wear the class colours.

    Raises:
        ValueError: If a table lacks the metric.
    """
    for name, table in tables.items():
        require_columns(table, [metric], f"per-class scores of {name}")
    values = pd.DataFrame({name: table[metric] for name, table in tables.items()}).reindex(CODES)
    ax = axes_or_new(ax, 9.5 if len(tables) > 1 else 7, 4.5)
    grouped_bars(values, ax, "{:.2f}" if len(tables) <= 4 else None)
    if len(tables) == 1:
        for bar, code in zip(ax.patches, CODES, strict=True):
            bar.set_color(COLOURS[code])
    else:
        legend_beside(ax, "Run")
    ax.set_ylim(0, 1.15)
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    return finish(ax, f"{readable(metric)} by class", "Diagnosis", readable(metric))


def _with_interval(table: pd.DataFrame, metric: str, label: str, what: str) -> pd.DataFrame:
    """Return value, low and high (NaN where no interval is known), indexed by name."""
    prefix = "" if metric == "value" else f"{metric}_"
    columns = [metric, f"{prefix}low", f"{prefix}high"]
    require_columns(table, columns, what)
    names = table[label] if label in table.columns else table.index
    values = table[columns].to_numpy(float)
    return pd.DataFrame(values, index=list(map(str, names)), columns=["value", "low", "high"])


def _margins(rows: pd.DataFrame) -> np.ndarray:
    reach = np.array([rows["value"] - rows["low"], rows["high"] - rows["value"]], float)
    return np.clip(np.nan_to_num(reach), 0, None)


def _intervals(rows: pd.DataFrame, number_format: str, ax: Axes | None) -> Axes:
    """Draw a dot with its interval for every row, the first on top, its numbers at the right."""
    ax = axes_or_new(ax, 9, 1.4 + 0.38 * len(rows))
    places = np.arange(len(rows))
    style = {"fmt": "o", "color": SERIES[0], "ecolor": SERIES[0], "capsize": 4, "markersize": 7}
    ax.errorbar(rows["value"], places, xerr=_margins(rows), **style)
    ax.set_yticks(places, rows.index)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    for place, (value, low, high) in zip(places, rows.to_numpy(), strict=True):
        text = number_format.format(value)
        if np.isfinite([low, high]).all():
            text += f" [{number_format.format(low)}, {number_format.format(high)}]"
        spot = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 9}
        # The same minus sign as on the axis.
        ax.text(1.01, place, text.replace("-", "−"), **spot)
    ax.grid(axis="y", visible=False)
    return ax


def forest(
    comparison: pd.DataFrame,
    metric: str = "value",
    label: str = "run",
    name: str = "Balanced accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Draw a score with its 95% interval for each run, best on top.

    Args:
        comparison: A row a run, with columns value, low and high; or, for a metric
            "test_balanced_accuracy", that column with "_low" and "_high" beside it.
        metric: The score's column.
        label: Column with the runs' names; the index where there is no such column.
        name: The score's name, for title and axis.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If a column is missing.
    """
    rows = _with_interval(comparison, metric, label, "comparison")
    ax = _intervals(rows.sort_values("value", ascending=False), "{:.3f}", ax)
    return finish(ax, f"{name} with 95% intervals", name, "Run")


def paired_differences(
    differences: pd.DataFrame,
    label: str = "change",
    name: str = "balanced accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Draw paired differences with their 95% intervals against a line at zero.

    Args:
        differences: A row a comparison in the order to show, with columns value, low and high.
        label: Column with the comparisons' names; the index where there is no such column.
        name: The score's name, for title and axis.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If a column is missing.
    """
    ax = _intervals(_with_interval(differences, "value", label, "differences"), "{:+.3f}", ax)
    ax.axvline(0, color="black", linewidth=1)
    ax.locator_params(axis="x", nbins=5)  # signed labels are long
    title = f"Difference in {name} with 95% intervals"
    return finish(ax, title, f"Difference in {name} (right of zero: better)", "Comparison")


def leakage_bars(
    scores: pd.DataFrame, name: str = "Balanced accuracy", ax: Axes | None = None
) -> Axes:
    """Draw what each protocol reports about itself beside what holds on unseen lesions.

    Args:
        scores: A row a bar, with columns protocol, test_set ("own test set", "common clean
            set"), value, low and high.
        name: The score's name, for title and axis.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If a column is missing.
    """
    require_columns(scores, ["protocol", "test_set", "value", "low", "high"], "leakage")
    protocols, test_sets = scores["protocol"].unique(), scores["test_set"].unique()
    values, margins = pd.DataFrame(index=protocols), {}
    for test_set in test_sets:
        rows = scores[scores["test_set"] == test_set].set_index("protocol").reindex(protocols)
        values[test_set], margins[test_set] = rows["value"], _margins(rows)
    ax = axes_or_new(ax, 9.5, 4.5)
    grouped_bars(values, ax, margins=margins)
    for bars in ax.containers:
        if hasattr(bars, "patches"):
            ax.bar_label(bars, fmt="{:.3f}", label_type="center", fontsize=10, bbox=WHITE_BOX)
    ax.set_ylim(0, 1)
    legend_beside(ax, "Scored on")
    return finish(ax, f"{name} by protocol, with 95% intervals", "Protocol", name)


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


def size_against_score(
    comparison: pd.DataFrame,
    metric: str = "balanced_accuracy",
    label: str = "run",
    ax: Axes | None = None,
) -> Axes:
    """Draw the score of each run against the number of parameters of its network.

    Args:
        comparison: A row a run, with the columns parameters, the metric and the label.
        metric: The score's column.
        label: Column with the runs' names.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes, with a logarithmic horizontal scale.

    Raises:
        ValueError: If a column is missing.
    """
    require_columns(comparison, ["parameters", metric, label], "comparison")
    ax = axes_or_new(ax, 9, 4.5)
    ranked = comparison.sort_values(metric, ascending=False)
    for number, (_, run) in enumerate(ranked.iterrows()):
        lap, place = divmod(number, len(SERIES))  # the second lap shifts the markers
        marker, colour = MARKERS[(place + lap) % len(MARKERS)], SERIES[place]
        style = {"marker": marker, "color": colour, "edgecolor": "black", "s": 90}
        text = f"{run[label]} ({run[metric]:.3f})"
        ax.scatter(run["parameters"] / 1e6, run[metric], label=text, **style)
    ax.set_xscale("log")
    plain_log_ticks(ax.xaxis)
    legend_beside(ax, "Run, best first")
    title = f"{readable(metric)} against size"
    return finish(ax, title, "Parameters (millions, log scale)", readable(metric))


def ensemble_weights_bar(weights: Mapping[str, float] | pd.Series, ax: Axes | None = None) -> Axes:
    """Draw the weight of each run in the ensemble.

    Args:
        weights: Name of a run to its weight (0-1, sum 1).
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes, heaviest run on top.
    """
    weights = pd.Series(weights, dtype=float).sort_values()
    ax = axes_or_new(ax, 8, 1.4 + 0.36 * len(weights))
    bars = ax.barh(list(map(str, weights.index)), weights, 0.7, color=SERIES[0])
    ax.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=9)
    ax.margins(x=0.1)
    ax.grid(axis="y", visible=False)
    return finish(ax, "Weight of each run in the ensemble", "Weight (sum 1)", "Run")
