"""Plots of the data set: classes, patients, body sites, splits, weights and resampling.

`metadata` is a table of one row a photograph, with the columns that a plot names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesions.classes import CODES, COLOURS, MALIGNANT, NAMES
from lesions.figures import style
from lesions.figures.style import MARKERS, SERIES

SPLITS = ("train", "validation", "test")
RECORDED_COLUMNS = ("image_id", "lesion_id", "dx", "dx_type", "age", "sex", "localization")
DX_TYPE_NAMES = {
    "histo": "histopathology",
    "follow_up": "follow-up",
    "consensus": "expert consensus",
    "confocal": "confocal microscopy",
}


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
    """Draw how many photographs each class has, most frequent first; needs dx."""
    counts = metadata["dx"].value_counts().reindex(CODES, fill_value=0).sort_values()
    ax = style.axes_or_new(ax, 9, 4)
    names = [f"{NAMES[code]} ({code})".replace(" or ", "\nor ") for code in counts.index]
    colours = [COLOURS[code] for code in counts.index]
    _count_bars(names, counts, len(metadata), colours, ax)
    share = counts.max() / len(metadata)
    title = f"{share:.0%} of {len(metadata):,} photographs show {counts.index[-1]}"
    return style.finish(ax, title, "Photographs", "Diagnosis")


def age_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the patients' ages in each class as boxes (median, quartiles, 1.5 ranges).

    Args:
        metadata: With dx and age (years; NaN where unknown is left out).
    """
    ax = style.axes_or_new(ax)
    known = metadata.dropna(subset=["age"])
    sns.boxplot(
        known, x="dx", y="age", order=CODES, hue="dx", hue_order=CODES, palette=COLOURS,
        fill=False, linewidth=2, width=0.6, gap=0, fliersize=3, legend=False, ax=ax,
    )  # fmt: skip
    medians = known.groupby("dx")["age"].median()
    title = "Age by diagnosis"
    if len(medians):
        young, old = medians.idxmin(), medians.idxmax()
        title = f"Median age: {medians[young]:.0f} years in {young}, {medians[old]:.0f} in {old}"
    return style.finish(ax, title, "Diagnosis", "Age (years)")


def _shares(metadata: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the percentage of every value of a column within each class, (7, values)."""
    values = metadata[column].fillna("unknown")
    shares = pd.crosstab(metadata["dx"], values, normalize="index") * 100
    frequent_first = values.value_counts().index
    return shares.reindex(index=CODES, columns=frequent_first).fillna(0)


def _stacked_shares(shares: pd.DataFrame, legend_title: str, ax: Axes | None) -> Axes:
    ax = style.axes_or_new(ax)
    bottom = np.zeros(len(shares))
    for number, name in enumerate(shares.columns):
        values, colour = shares[name].to_numpy(), SERIES[number % len(SERIES)]
        bars = ax.bar(shares.index, values, 0.75, bottom=bottom, color=colour, label=name)
        # A slice below five per cent is thinner than the number that would stand in it.
        labels = [f"{value:.0f}%" if value >= 5 else "" for value in values]
        ax.bar_label(bars, labels, label_type="center", color=style.ink(colour), fontsize=9)
        bottom += values
    ax.set_ylim(0, 100)
    ax.grid(axis="x", visible=False)
    style.legend_beside(ax, legend_title)
    return ax


def sex_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the share of female, male and unknown patients in each class; needs dx and sex."""
    shares = _shares(metadata, "sex")
    ax = _stacked_shares(shares, "Sex", ax)
    title = "Sex by diagnosis"
    if "male" in shares:
        men = shares.loc[shares.index.isin(metadata["dx"]), "male"].sort_values()
        title = (
            f"Men: {men.iloc[0]:.0f}% of {men.index[0]} to {men.iloc[-1]:.0f}% of {men.index[-1]}"
        )
    return style.finish(ax, title, "Diagnosis", "Share of the photographs (%)")


def dx_type_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how the diagnoses of each class were confirmed, as shares; needs dx and dx_type."""
    shares = _shares(metadata, "dx_type").rename(columns=DX_TYPE_NAMES)
    ax = _stacked_shares(shares, "Confirmed by", ax)
    known = metadata[metadata["dx_type"].isin(DX_TYPE_NAMES)]
    by_tissue = known["dx_type"].eq("histo").groupby(known["dx"].isin(MALIGNANT)).mean()
    shares = [f"{by_tissue[side]:.0%}" if side in by_tissue else "none" for side in (True, False)]
    title = f"By histopathology: {shares[0]} of malignant, {shares[1]} of benign"
    return style.finish(ax, title, "Diagnosis", "Share of the photographs (%)")


def localization_by_class(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw a heat map of where on the body the lesions of each class are.

    Args:
        metadata: With dx and localization; each column of the map sums to 100%.
    """
    shares = _shares(metadata, "localization").T
    ax = style.axes_or_new(ax, 8, 5.5)
    bar = {"label": "Share of the diagnosis (%)"}
    style.heat_map(shares, ax, None, fmt=".0f", linewidths=0.5, cbar_kws=bar)
    ax.tick_params(axis="both", rotation=0)
    known, title = shares.drop("unknown", errors="ignore"), "Body site by diagnosis"
    if len(known):
        code = known.max().idxmax()
        site = known[code].idxmax()
        title = f"Most concentrated: {known.loc[site, code]:.0f}% of {code} on the {site}"
    return style.finish(ax, title, "Diagnosis (columns sum to 100%)", "Body site")


def missing_values(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many images lack a value, or say "unknown", in each recorded column.

    Args:
        metadata: With any of the columns of HAM10000_metadata.csv.
    """
    recorded = metadata[[column for column in RECORDED_COLUMNS if column in metadata.columns]]
    missing = (recorded.isna() | recorded.eq("unknown")).sum()[::-1]
    ax = style.axes_or_new(ax, 8, 3.5)
    _count_bars(missing.index, missing, len(metadata), SERIES[0], ax)
    title = f"Missing or unknown: at most {missing.max() / len(metadata):.1%} of a column"
    return style.finish(ax, title, "Photographs", "Column")


def photographs_per_lesion(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many lesions were photographed once, twice, and so on; needs lesion_id."""
    photographs = metadata["lesion_id"].value_counts()
    lesions = photographs.value_counts().sort_index()
    ax = style.axes_or_new(ax, 7, 4)
    bars = ax.bar(lesions.index.astype(str), lesions, color=SERIES[0])
    ax.bar_label(bars, [f"{count:,}" for count in lesions], padding=2, fontsize=9)
    ax.margins(y=0.1)  # room for the highest number below the title
    ax.grid(visible=False)
    title = f"{(photographs > 1).sum():,} of {len(photographs):,} lesions have several photographs"
    return style.finish(ax, title, "Photographs of the same lesion", "Lesions")


def split_counts(metadata: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many photographs of each class lie in each split, as dots on a logarithmic scale.

    Args:
        metadata: With dx and split ("train", "validation" or "test").
    """
    counts = pd.crosstab(metadata["dx"], metadata["split"])
    counts = counts.reindex(index=CODES, columns=SPLITS, fill_value=0)
    rarest = counts["test"].idxmin()
    title = f"Rarest in the test split: {rarest}, {counts['test'].min():,} photographs"
    ax = style.axes_or_new(ax, 9, 4.5)
    ax.set_yscale("log")
    # Dots, because a logarithmic scale has no zero for a bar to start at.
    for number, split in enumerate(SPLITS):
        places = np.arange(len(counts)) + 0.28 * (number - 1)
        shown = counts[split].where(counts[split] > 0)
        look = {"color": SERIES[number], "markersize": 8, "label": split}
        ax.plot(places, shown, MARKERS[number], **look)
        for place, count in zip(places, counts[split], strict=True):
            spot = {"xytext": (0, 6), "textcoords": "offset points", "rotation": 90}
            spot |= {"ha": "center", "va": "bottom"}
            ax.annotate(f"{count:,}" if count else "", (place, max(count, 1)), fontsize=8, **spot)
    ax.set_xticks(range(len(counts)), counts.index)
    ax.set_ylim(0.7, max(10, counts.max().max() * 4))
    ax.yaxis.set_major_formatter("{x:,g}")
    ax.grid(visible=False)  # a line would strike through the numbers
    style.legend_beside(ax)
    return style.finish(ax, title, "Diagnosis", "Photographs (log scale)")


def class_weights_bar(weights: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw the weight of each class by several methods; a bar starts at 1, which is no weight.

    On the logarithmic scale, twice and half stand equally far from 1.

    Args:
        weights: Method name to seven positive weights in the order of CODES.
    """
    ax = style.axes_or_new(ax, 9, 4.5)
    ax.set_yscale("log")
    table = pd.DataFrame({method.replace("_", " "): w for method, w in weights.items()}, CODES)
    style.grouped_bars(table, ax, "{:.2g}", base=1)
    ax.axhline(1, color="black", linewidth=1)
    style.plain_log_ticks(ax.yaxis)
    ax.margins(y=0.15)
    style.legend_beside(ax, "Method")
    ratios = table.max() / table.min()
    method = ratios.idxmax()
    most, least = table[method].idxmax(), table[method].idxmin()
    title = f"One photograph of {most} weighs as much as {ratios[method]:.0f} of {least} ({method})"
    return style.finish(ax, title, "Diagnosis", "Class weight (log scale)")


def original_and_augmented(
    original: Sequence[int], augmented: Sequence[int], names: tuple[str, str], title: str
) -> Figure:
    """Draw the rows of each class in a data set and in what is made of it, on one scale.

    Args:
        original: Seven counts in the order of CODES.
        augmented: The same for the other panel.
        names: Titles of the two panels.
        title: Title of the figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for ax, counts, name in zip(axes, (original, augmented), names, strict=True):
        bars = ax.bar(CODES, counts, 0.75, color=[COLOURS[code] for code in CODES])
        ax.bar_label(bars, [f"{count:,}" for count in counts], padding=2, fontsize=9)
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.margins(y=0.1)
        ax.grid(axis="x", visible=False)
        style.finish(ax, name, "Diagnosis", "Rows" if ax is axes[0] else "")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure
