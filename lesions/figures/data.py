"""Plots of the data set: classes, patients, body sites, splits, weights and resampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from lesions.classes import CODES, COLOURS, NAMES
from lesions.figures.style import (
    HEAT_MAP,
    SERIES,
    axes_or_new,
    finish,
    grouped_bars,
    legend_beside,
    plain_log_ticks,
    require_columns,
    series_colours,
)

SPLITS = ("train", "validation", "test")
RECORDED_COLUMNS = ("image_id", "lesion_id", "dx", "dx_type", "age", "sex", "localization")
DX_TYPE_NAMES = {
    "histo": "histopathology",
    "follow_up": "follow-up",
    "consensus": "expert consensus",
    "confocal": "confocal microscopy",
}


def _class_counts(metadata: pd.DataFrame) -> pd.Series:
    require_columns(metadata, ["dx"], "metadata")
    return metadata["dx"].value_counts().reindex(CODES, fill_value=0)


def _count_bars(names, counts: pd.Series, total: int, colours, ax: Axes) -> None:
    """Draw horizontal bars with "count (per cent of total)" after each."""
    bars = ax.barh(names, counts, color=colours)
    labels = [f"{count:,} ({count / total:.1%})" for count in counts]
    ax.bar_label(bars, labels, padding=4, fontsize=9)
    # Room at the right for the longest label.
    ax.set_xlim(0, max(1, counts.max()) * 1.3)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(visible=False)  # a line would strike through the numbers


def class_counts_bar(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many images each class has, most frequent first.

    Args:
        metadata: Table with a column dx (class codes), one row an image.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If dx is missing.
    """
    counts = _class_counts(metadata).sort_values()
    ax = axes_or_new(ax, 8.5, 4)
    names = [f"{NAMES[code]} ({code})" for code in counts.index]
    _count_bars(names, counts, len(metadata), [COLOURS[code] for code in counts.index], ax)
    return finish(ax, f"{counts.sum():,} images in seven classes", "Images", "Diagnosis")


def class_counts_pie(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of each class as a ring; counts and percentages stand in the legend.

    Args:
        metadata: Table with a column dx.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.
    """
    counts = _class_counts(metadata).sort_values(ascending=False)
    ax = axes_or_new(ax, 8, 4.2)
    colours = [COLOURS[code] for code in counts.index]
    ring = {"width": 0.42, "edgecolor": "white", "linewidth": 1}
    wedges, *_ = ax.pie(counts, colors=colours, startangle=90, counterclock=False, wedgeprops=ring)
    labels = [f"{code}: {count:,} ({count / counts.sum():.1%})" for code, count in counts.items()]
    ax.legend(wedges, labels, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    ax.text(0, 0, f"{counts.sum():,}\nimages", ha="center", va="center", fontsize=12)
    ax.set_title("Share of each diagnosis")
    return ax


def age_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the patients' ages in each class as boxes (median, quartiles, 1.5 ranges).

    Args:
        metadata: Table with columns dx and age (years; NaN where unknown is left out).
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.
    """
    require_columns(metadata, ["dx", "age"], "metadata")
    ax = axes_or_new(ax)
    known = metadata.dropna(subset=["age"])
    sns.boxplot(
        known, x="dx", y="age", order=CODES, hue="dx", hue_order=CODES, palette=COLOURS,
        fill=False, linewidth=2, width=0.6, gap=0, fliersize=3, legend=False, ax=ax,
    )  # fmt: skip
    title = f"Age by diagnosis ({len(metadata) - len(known):,} images without age left out)"
    return finish(ax, title, "Diagnosis", "Age (years)")


def _shares(metadata: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the percentage of every value of a column within each class, (7, values)."""
    require_columns(metadata, ["dx", column], "metadata")
    values = metadata[column].fillna("unknown")
    shares = pd.crosstab(metadata["dx"], values, normalize="index") * 100
    frequent_first = values.value_counts().index
    return shares.reindex(index=CODES, columns=frequent_first).fillna(0)


def _stacked_shares(shares: pd.DataFrame, ax: Axes) -> None:
    bottom = np.zeros(len(shares))
    for name, colour in zip(shares.columns, series_colours(shares.shape[1]), strict=True):
        values = shares[name].to_numpy()
        bars = ax.bar(shares.index, values, 0.75, bottom=bottom, color=colour, label=name)
        # A slice below seven per cent is thinner than the number that would stand in it.
        labels = [f"{value:.0f}%" if value >= 7 else "" for value in values]
        dark = sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) < 400
        ink = "white" if dark else "black"
        ax.bar_label(bars, labels, label_type="center", color=ink, fontsize=9)
        bottom += values
    ax.set_ylim(0, 100)
    ax.grid(axis="x", visible=False)


def sex_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of female, male and unknown patients in each class.

    Args:
        metadata: Table with columns dx and sex.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.
    """
    shares = _shares(metadata, "sex")
    ax = axes_or_new(ax)
    _stacked_shares(shares, ax)
    legend_beside(ax, "Sex")
    return finish(ax, "Sex by diagnosis", "Diagnosis", "Share of the images (%)")


def dx_type_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how the diagnoses of each class were confirmed, as shares.

    Args:
        metadata: Table with columns dx and dx_type.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.
    """
    shares = _shares(metadata, "dx_type").rename(columns=DX_TYPE_NAMES)
    ax = axes_or_new(ax)
    _stacked_shares(shares, ax)
    legend_beside(ax, "Confirmed by")
    return finish(ax, "How diagnoses were confirmed", "Diagnosis", "Share of the images (%)")


def localization_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a heat map of where on the body the lesions of each class are.

    Args:
        metadata: Table with columns dx and localization.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; each column of the map sums to 100%.
    """
    shares = _shares(metadata, "localization").T
    ax = axes_or_new(ax, 8, 5.5)
    bar = {"label": "Share of the diagnosis (%)"}
    sns.heatmap(
        shares, annot=True, fmt=".0f", cmap=HEAT_MAP, vmin=0, linewidths=0.5, cbar_kws=bar, ax=ax
    )
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=0)
    return finish(ax, "Body site by diagnosis (columns sum to 100%)", "Diagnosis", "Body site")


def missing_values(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many images lack a value, or say "unknown", in each recorded column.

    Args:
        metadata: Table with any of the columns of HAM10000_metadata.csv.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the table has none of those columns.
    """
    columns = [column for column in RECORDED_COLUMNS if column in metadata.columns]
    if not columns:
        require_columns(metadata, RECORDED_COLUMNS, "metadata")
    recorded = metadata[columns]
    missing = (recorded.isna() | recorded.eq("unknown")).sum()[::-1]
    ax = axes_or_new(ax, 8, 3.5)
    _count_bars(missing.index, missing, len(metadata), SERIES[0], ax)
    return finish(ax, "Missing and unknown values", "Images", "Column")


def photographs_per_lesion(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many lesions were photographed once, twice, and so on.

    Args:
        metadata: Table with a column lesion_id, one row an image.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.
    """
    require_columns(metadata, ["lesion_id"], "metadata")
    photographs = metadata["lesion_id"].value_counts()
    lesions = photographs.value_counts().sort_index()
    ax = axes_or_new(ax, 7, 4)
    bars = ax.bar(lesions.index.astype(str), lesions, color=SERIES[0])
    ax.bar_label(bars, [f"{count:,}" for count in lesions], padding=2, fontsize=9)
    ax.margins(y=0.1)  # room for the highest number below the title
    ax.grid(visible=False)
    title = f"{(photographs > 1).sum():,} of {len(photographs):,} lesions have several photographs"
    return finish(ax, title, "Photographs of the same lesion", "Lesions")


def split_counts(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many images of each class lie in each split, on a logarithmic scale.

    Args:
        metadata: Table with columns dx and split ("train", "validation" or "test").
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.
    """
    require_columns(metadata, ["dx", "split"], "metadata")
    counts = pd.crosstab(metadata["dx"], metadata["split"])
    counts = counts.reindex(index=CODES, columns=SPLITS, fill_value=0)
    return resampling_bars(counts, "Images of each class in each split", ax=ax)


def class_weights_bar(weights: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw the weight of each class by several methods; a bar starts at 1, which is no weight.

    Args:
        weights: Method name to seven positive weights in the order of CODES.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes, with a logarithmic scale: twice and half stand equally far from 1.

    Raises:
        ValueError: If a method does not have seven positive weights.
    """
    for method, values in weights.items():
        if len(values) != len(CODES) or not np.all(np.asarray(values) > 0):
            raise ValueError(f"Method {method} has the weights {values}; pass seven above zero.")
    ax = axes_or_new(ax, 9.5, 4.5)
    ax.set_yscale("log")
    table = pd.DataFrame({method.replace("_", " "): w for method, w in weights.items()}, CODES)
    grouped_bars(table, ax, "{:.2g}", base=1)
    ax.axhline(1, color="black", linewidth=1)
    plain_log_ticks(ax.yaxis)
    ax.margins(y=0.15)
    legend_beside(ax, "Method")
    return finish(ax, "Weight of one image in the loss", "Diagnosis", "Class weight (log scale)")


def resampling_bars(
    counts: pd.DataFrame | Mapping[str, Sequence[int]],
    title: str = "Training images before and after resampling",
    ax: Axes | None = None,
) -> Axes:
    """Draw the class counts of several versions of a data set side by side.

    Args:
        counts: A column (or key) for each version, seven counts in the order of CODES.
        title: Title of the plot.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes, with a logarithmic scale, on which the rarest class stays visible.
    """
    table = pd.DataFrame(counts, index=CODES)
    ax = axes_or_new(ax, 9.5, 4.5)
    ax.set_yscale("log")
    # Bars start at one half so that a single image still shows.
    grouped_bars(table.where(table > 0), ax, "{:,.0f}", base=0.5)
    ax.set_ylim(0.5, max(10, table.max().max() * 4))
    ax.yaxis.set_major_formatter("{x:,g}")
    legend_beside(ax)
    return finish(ax, title, "Diagnosis", "Images (log scale)")
