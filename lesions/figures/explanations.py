"""Plots of the table of explanations, `lesions.explanation.measurements.COLUMNS`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesions.classes import CODES, COLOURS
from lesions.figures.style import (
    GREY,
    HEAT_MAP,
    LINE_STYLES,
    MARKERS,
    SERIES,
    axes_or_new,
    finish,
    legend_beside,
    reach,
    require_columns,
)
from lesions.figures.style import readable as plain

NAMES = {
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "hires_cam": "HiResCAM",
    "randomised top": "Last layer shuffled",
    "road_gap": "ROAD gap",
    "most_relevant_first": "ROAD, hottest first (lower is better)",
    "least_relevant_first": "ROAD, coldest first (higher is better)",
}
KEYS = ("part", "method", "class", "group", "metric", "step", "value", "low", "high", "images")


def _named(name: str) -> str:
    return NAMES.get(name) or plain(name)


def _rows(table: pd.DataFrame, part: str, **wanted) -> pd.DataFrame:
    require_columns(table, KEYS, "explanations")
    rows = table[table["part"] == part]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if rows.empty:
        raise ValueError(
            f"The explanations table has no rows of the part {part!r} with "
            f"{', '.join(f'{key} {value!r}' for key, value in wanted.items())}; measure it first."
        )
    return rows


def _with_maps(table: pd.DataFrame, part: str, method: str) -> str:
    """Name a method, and how many of its maps are not empty where some are."""
    rows = _rows(table, part, method=method)
    whole = rows[(rows["class"] == "all") & (rows["group"] == "all") & rows["step"].isna()]
    whole = whole.set_index("metric")
    empty = whole["value"].get("empty_map", 0.0)
    if not empty > 0:
        return _named(method)
    images = whole.loc["empty_map", "images"]
    return f"{_named(method)}\n(n = {(1 - empty) * images:,.0f} of {images:,.0f})"


def map_scores(
    table: pd.DataFrame, part: str, metrics: Sequence[str], title: str | None = None
) -> Figure:
    """Draw scores of maps with their intervals: a panel a metric, a line a map.

    Args:
        table: From `benchmark.measure`.
        part: "agreement", "faithfulness" or "methods".
        metrics: The panels.
        title: Above the figure, or None.

    Returns:
        The figure; where maps of a method are empty, its label says how many are not.

    Raises:
        ValueError: If the table lacks the part, a metric or a column.
    """
    whole = {metric: _rows(table, part, metric=metric) for metric in metrics}
    methods = list(dict.fromkeys(whole[metrics[0]]["method"]))
    size = (9, 1.5 + 0.34 * len(methods))
    figure, grid = plt.subplots(
        1, len(metrics), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for ax, metric in zip(grid[0], metrics, strict=True):
        rows = whole[metric]
        rows = rows[(rows["class"] == "all") & (rows["group"] == "all") & rows["step"].isna()]
        rows = rows.set_index("method").reindex(methods)
        for place, method in enumerate(methods):
            row = rows.loc[[method]]
            colour = SERIES[0] if place == 0 else GREY
            style = {"fmt": "o", "color": colour, "capsize": 3, "markersize": 6}
            ax.errorbar(row["value"], [place], xerr=reach(row), **style)
        ax.set_yticks(range(len(methods)), [_with_maps(table, part, name) for name in methods])
        ax.set_ylim(len(methods) - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=4)
        ax.margins(x=0.12)
        ax.grid(axis="y", visible=False)
        finish(ax, "", _named(metric), "")
    figure.get_layout_engine().set(w_pad=0.1)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def paired_scores_by_class(
    table: pd.DataFrame, metric: str = "intersection_over_union", ax: Axes | None = None
) -> Axes:
    """Draw how much more a map agrees with the lesion than a Gaussian, photograph by photograph.

    Args:
        table: From `benchmark.measure`, with the part "agreement, paired".
        metric: The score.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes: a dot a class, hollow where the interval includes zero.

    Raises:
        ValueError: If the table lacks the part.
    """
    ax = axes_or_new(ax, 9, 4)
    order = [("all", "all"), *((code, "all") for code in CODES), ("all", "right"), ("all", "wrong")]
    rows = _rows(table, "agreement, paired", metric=metric)
    rows = rows.set_index(["class", "group"])[["value", "low", "high"]].reindex(order)
    for place, key in enumerate(order):
        row, colour = rows.iloc[[place]], COLOURS.get(key[0], SERIES[0])
        clear = not row["low"].iloc[0] <= 0 <= row["high"].iloc[0]
        style = {"fmt": "o", "color": colour, "capsize": 4, "markersize": 8}
        style["markerfacecolor"] = colour if clear else "white"
        ax.errorbar([place], row["value"], yerr=reach(row), **style)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(range(len(order)), ["all", *CODES, "right\nanswers", "wrong\nanswers"])
    ax.grid(axis="x", visible=False)
    worse = [code for code in CODES if rows.loc[(code, "all"), "high"] < 0]
    better = [code for code in CODES if rows.loc[(code, "all"), "low"] > 0]
    title = f"Grad-CAM against the blob: better in {', '.join(better) or 'no class'}, "
    title += f"worse in {', '.join(worse) or 'no class'}"
    return finish(
        ax, title, "Class (hollow: the interval includes zero)", f"Gain in {plain(metric).lower()}"
    )


def faithfulness_curves(table: pd.DataFrame) -> Figure:
    """Draw what is left of the probability while pixels are removed and filled by ROAD.

    Args:
        table: From `benchmark.measure`, with the part "faithfulness".

    Returns:
        The figure: hottest pixels first, and coldest first.

    Raises:
        ValueError: If the table lacks them.
    """
    metrics = ("most_relevant_first", "least_relevant_first")
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for ax, metric in zip(axes, metrics, strict=True):
        rows = _rows(table, "faithfulness", metric=metric)
        for number, (method, curve) in enumerate(rows.groupby("method", sort=False)):
            curve = curve.sort_values("step")
            style = {"color": SERIES[number], "linestyle": LINE_STYLES[number % 3]}
            style |= {"marker": MARKERS[number], "markersize": 4, "linewidth": 2 - (number > 0)}
            ax.plot(curve["step"], curve["value"], label=_named(method), **style)
        finish(ax, _named(metric), "Share of pixels removed", "Probability")
        ax.title.set_fontsize(10)
    legend_beside(axes[1])
    gaps = _rows(table, "faithfulness", metric="road_gap")
    gaps = gaps.drop_duplicates("method").head(2)
    named = [
        f"{_named(row.method)} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
        for row in gaps.itertuples()
    ]
    figure.suptitle(f"ROAD gap: {', '.join(named)}", fontsize=12, fontweight="bold")
    return figure


def cascade_curve(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how alike maps stay while the network's layers are randomised, last one first.

    Args:
        table: From `benchmark.measure`, with the part "sanity".
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; no line joins the dots, because each is of the photographs that still have a
        map, and these differ.

    Raises:
        ValueError: If the table lacks the part.
    """
    curve = _rows(table, "sanity", metric="rank_correlation").sort_values("step")
    ax = axes_or_new(ax, 8.5, 4)
    places = range(len(curve))
    ax.errorbar(
        places,
        curve["value"],
        yerr=reach(curve),
        color=SERIES[0],
        fmt="o",
        capsize=4,
        markersize=7,
    )
    labels = [
        f"{'last layer' if row.step == 0 else f'{row.step:.0%}'}\nn = {row.images}"
        for row in curve.itertuples()
    ]
    ax.set_xticks(places, labels)
    ax.set(xlim=(-0.5, len(curve) - 0.5), ylim=(min(-0.25, curve["low"].min() - 0.05), 1.02))
    ax.axhline(0, color="black", linewidth=1)
    last = curve.iloc[-1]
    title = f"With all layers shuffled, {last['images'] or 'none'} of the photographs have a map"
    if last["images"]:
        title += f"; their mean rank correlation is {last['value']:.2f}"
    label = "Layers randomised, from the last (n: photographs whose map is not empty)"
    return finish(ax, title, label, "Rank correlation (unchanged map: 1)")


def flip_rates(table: pd.DataFrame, part: str = "perturbations", ax: Axes | None = None) -> Axes:
    """Draw how often each change of the photograph changes the predicted class, by true class.

    Args:
        table: From `benchmark.measure`.
        part: "perturbations" or "lesion".
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the table lacks the part.
    """
    rows = _rows(table, part, metric="flipped", group="all")
    changes = list(dict.fromkeys(rows["method"]))
    order = ["all", *CODES]
    shares = rows.pivot(index="method", columns="class", values="value")
    shares = shares.reindex(index=changes, columns=order)
    counts = rows[rows["method"] == changes[0]].set_index("class")["images"].reindex(order)
    ax = axes_or_new(ax, 8.5, 1.6 + 0.45 * len(changes))
    sns.heatmap(
        100 * shares,
        annot=True,
        fmt=".0f",
        cmap=HEAT_MAP,
        vmin=0,
        vmax=100,
        ax=ax,
        linewidths=1,
        annot_kws={"fontsize": 10},
        cbar_kws={"label": "Answers that change (%)"},
    )
    labels = [f"{code}\nn = {0 if np.isnan(n) else int(n)}" for code, n in counts.items()]
    ax.set_xticks(np.arange(len(order)) + 0.5, labels)
    ax.set_yticks(np.arange(len(changes)) + 0.5, list(map(_named, changes)), rotation=0)
    most = shares["all"].idxmax()
    title = f"{_named(most)}: {shares.loc[most, 'all']:.0%} of the answers change"
    return finish(ax, title, "True class", "Change of the photograph")
