"""Plots of the table of explanations, `lesions.explanation.measurements.COLUMNS`.

`table` is from `benchmark.measure` or recorded; a part or metric that it lacks is a ValueError.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesions.classes import CODES, COLOURS
from lesions.figures import style
from lesions.figures.style import GREY, LINE_STYLES, MARKERS, SERIES, readable

# The scores of agreement, in the order and under the names that every page gives them.
SCORES = {
    "pointing_game": "Hottest point on the lesion",
    "energy_inside": "Share on the lesion",
    "intersection_over_union": "Intersection over union",
    "outside_over_inside": "Mean outside / inside (lower is better)",
}
NAMES = SCORES | {
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "hires_cam": "HiResCAM",
    "randomised top": "Last layer shuffled",
    "as much skin inpainted": "Skin inpainted instead",
    "road_gap": "ROAD gap",
    "most_relevant_first": "ROAD, hottest first (lower is better)",
    "least_relevant_first": "ROAD, coldest first (higher is better)",
}


def _named(name: str) -> str:
    return NAMES.get(name) or readable(name)


def _rows(table: pd.DataFrame, part: str, metric: str) -> pd.DataFrame:
    rows = table[(table["part"] == part) & (table["metric"] == metric)]
    if rows.empty:
        raise ValueError(
            f"The explanations table has no rows of the part {part!r} with the metric {metric!r}; "
            "measure it first."
        )
    return rows


def _of_all(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all classes and answers that stand on no curve, indexed by method."""
    whole = (rows["class"] == "all") & (rows["group"] == "all") & rows["step"].isna()
    return rows[whole].set_index("method")


def map_scores(
    table: pd.DataFrame, part: str, metrics: Sequence[str], title: str | None = None
) -> Figure:
    """Draw scores of maps with their values and intervals: a panel a metric, a line a map.

    Args:
        table: See the module.
        part: "agreement", "faithfulness" or "methods".
        metrics: The panels.
        title: Above the figure, or None.

    Returns:
        The figure; where maps of a method are empty, its label says how many are not.
    """
    whole = {metric: _of_all(_rows(table, part, metric)) for metric in metrics}
    methods = list(dict.fromkeys(whole[metrics[0]].index))
    figure, grid = plt.subplots(
        1, len(metrics), figsize=(9, 1.5 + 0.42 * len(methods)), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    empty = _of_all(table[(table["part"] == part) & (table["metric"] == "empty_map")])
    labels = [_with_maps(name, empty) for name in methods]
    colours = [SERIES[0], *[GREY] * (len(methods) - 1)]
    for ax, metric in zip(grid[0], metrics, strict=True):
        rows = whole[metric].reindex(methods)
        style.interval_rows(rows, labels, colours, ax, capsize=3, markersize=6)
        for place, value in enumerate(rows["value"]):
            text = f"{value:.2f}".replace("-", "−") if np.isfinite(value) else "undefined"
            above = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center"}
            where = value if np.isfinite(value) else 0
            ax.annotate(text, (where, place), fontsize=9, **above)
        ax.locator_params(axis="x", nbins=4)
        ax.margins(x=0.15)
        style.finish(ax, "", textwrap.fill(_named(metric), 18), "")
    figure.get_layout_engine().set(w_pad=0.1)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def _with_maps(method: str, empty: pd.DataFrame) -> str:
    """Name a method, and how many of its maps are not empty where some are."""
    if method not in empty.index or not empty.loc[method, "value"] > 0:
        return _named(method)
    share, images = empty.loc[method, ["value", "images"]]
    return f"{_named(method)}\n(n = {(1 - share) * images:,.0f} of {images:,.0f})"


def paired_scores_by_class(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how much more a map overlaps with the lesion than a Gaussian, photograph by photograph.

    Args:
        table: With the part "agreement, paired".

    Returns:
        The axes: a dot a class, hollow where the interval includes zero.
    """
    ax = style.axes_or_new(ax, 9, 4)
    order = [("all", "all"), *((code, "all") for code in CODES), ("all", "right"), ("all", "wrong")]
    rows = _rows(table, "agreement, paired", "intersection_over_union")
    rows = rows.set_index(["class", "group"])[["value", "low", "high"]].reindex(order)
    for place, (code, _) in enumerate(order):
        row, colour = rows.iloc[[place]], COLOURS.get(code, SERIES[0])
        clear = not row["low"].iloc[0] <= 0 <= row["high"].iloc[0]
        look = {"fmt": "o", "color": colour, "capsize": 4, "markersize": 8}
        look["markerfacecolor"] = colour if clear else "white"
        ax.errorbar([place], row["value"], yerr=style.reach(row), **look)
    ax.axhline(0, color="black", linewidth=1)
    ax.set_xticks(range(len(order)), ["all", *CODES, "right\nanswers", "wrong\nanswers"])
    ax.grid(axis="x", visible=False)
    worse = [code for code in CODES if rows.loc[(code, "all"), "high"] < 0]
    better = [code for code in CODES if rows.loc[(code, "all"), "low"] > 0]
    title = f"Grad-CAM against the blob: better in {', '.join(better) or 'no class'}, "
    title += f"worse in {', '.join(worse) or 'no class'}"
    label = "Class (hollow: the interval includes zero)"
    return style.finish(ax, title, label, "Gain in intersection over union")


def faithfulness_curves(table: pd.DataFrame) -> Figure:
    """Draw what is left of the probability while pixels are removed and filled by ROAD.

    Args:
        table: With the part "faithfulness".

    Returns:
        The figure: hottest pixels first, and coldest first.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for ax, metric in zip(axes, ("most_relevant_first", "least_relevant_first"), strict=True):
        rows = _rows(table, "faithfulness", metric)
        for number, (method, curve) in enumerate(rows.groupby("method", sort=False)):
            curve = curve.sort_values("step")
            look = {"color": SERIES[number], "linestyle": LINE_STYLES[number % 3]}
            look |= {"marker": MARKERS[number], "markersize": 4, "linewidth": 2 - (number > 0)}
            ax.plot(curve["step"], curve["value"], label=_named(method), **look)
        style.finish(ax, _named(metric), "Share of pixels removed", "Probability")
        ax.title.set_fontsize(10)
    style.legend_beside(axes[1])
    gaps = _rows(table, "faithfulness", "road_gap").drop_duplicates("method").head(2)
    named = [
        f"{_named(row.method)} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
        for row in gaps.itertuples()
    ]
    figure.suptitle(f"ROAD gap: {', '.join(named)}", fontsize=12, fontweight="bold")
    return figure


def cascade_curve(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how alike maps stay while the network's layers are shuffled, last one first.

    No line joins the dots, because each is of the photographs that still have a map, and these
    differ.

    Args:
        table: With the part "sanity".
    """
    curve = _rows(table, "sanity", "rank_correlation").sort_values("step")
    measured = _rows(table, "sanity", "empty_map")["images"].max()
    ax = style.axes_or_new(ax, 8.5, 4)
    places = range(len(curve))
    look = {"color": SERIES[0], "fmt": "o", "capsize": 4, "markersize": 7}
    ax.errorbar(places, curve["value"], yerr=style.reach(curve), **look)
    labels = [
        f"{'last layer' if row.step == 0 else f'{row.step:.0%}'}\nn = {row.images} of {measured}"
        for row in curve.itertuples()
    ]
    ax.set_xticks(places, labels)
    ax.set(xlim=(-0.5, len(curve) - 0.5), ylim=(min(-0.25, curve["low"].min() - 0.05), 1.02))
    ax.axhline(0, color="black", linewidth=1)
    first, last = curve.iloc[0], curve.iloc[-1]
    title = f"Of {measured} photographs, {first['images'] or 'none'} with a map once the last "
    title += f"layer is shuffled, {last['images'] or 'none'} once all are"
    label = "Layers shuffled, from the last (n: photographs whose map is not empty)"
    return style.finish(ax, title, label, "Rank correlation (unchanged map: 1)")


def flip_rates(
    table: pd.DataFrame,
    part: str = "perturbations",
    titled: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each change of the photograph changes the predicted class, by true class.

    Args:
        table: See the module.
        part: "perturbations" or "lesion".
        titled: The change that the title quotes; None for the one that changes most answers.
    """
    rows = _rows(table, part, "flipped")
    rows = rows[rows["group"] == "all"]
    changes = list(dict.fromkeys(rows["method"]))
    order = ["all", *CODES]
    shares = rows.pivot(index="method", columns="class", values="value")
    shares = shares.reindex(index=changes, columns=order)
    counts = rows[rows["method"] == changes[0]].set_index("class")["images"]
    counts = counts.reindex(order, fill_value=0)
    ax = style.axes_or_new(ax, 8.5, 1.6 + 0.45 * len(changes))
    bar = {"label": "Answers that change (%)"}
    options = {"fmt": ".0f", "cbar_kws": bar, "annot_kws": {"fontsize": 10}}
    style.heat_map(100 * shares, ax, 100, **options)
    labels = [f"{code}\nn = {count:.0f}" for code, count in counts.items()]
    ax.set_xticks(np.arange(len(order)) + 0.5, labels)
    ax.set_yticks(np.arange(len(changes)) + 0.5, list(map(_named, changes)), rotation=0)
    titled = titled or shares["all"].idxmax()
    title = f"{_named(titled)}: {shares.loc[titled, 'all']:.0%} of the answers change"
    return style.finish(ax, title, "True class", "Change of the photograph")
