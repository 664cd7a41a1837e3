"""The one style of all figures, and the helpers that the plots share."""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

# Paul Tol's colour-blind safe "muted" scheme (https://personal.sron.nl/~pault/), ordered so that
# the first three differ in lightness too and survive a black-and-white print.
SERIES = (
    "#332288",
    "#DDCC77",
    "#AA4499",
    "#44AA99",
    "#882255",
    "#88CCEE",
    "#117733",
    "#CC6677",
    "#999933",
)
LINE_STYLES = ("-", "--", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
READABLE = {"auc": "AUC", "roc": "ROC", "f1": "F1", "val": "validation"}
HEAT_MAP = "mako_r"
ON_ANY_COLOUR = "#8C8C8C"  # a grey that is seen on white and on black, the colour of mel
GREY = "#666666"
TITLE = 52  # characters in a line of a title


def use_style() -> None:
    """Set the one figure style of the study; in a notebook, figures get twice the shown pixels."""
    style = {
        "figure.dpi": 100,
        "savefig.dpi": 100,
        "figure.figsize": (8, 4.5),
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.labelsize": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "legend.fontsize": 9,
        "legend.title_fontsize": 10,
        "legend.frameon": False,
        "grid.color": "#E5E5E5",
        "axes.edgecolor": "#AAAAAA",
    }
    sns.set_theme(context="notebook", style="whitegrid", palette=list(SERIES), rc=style)
    if "ipykernel" in sys.modules:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")
        _describe_in_notebooks()


def description(figure: Figure) -> str:
    """Return a figure's titles, or the labels of its axes, for readers who cannot see it."""
    parts = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    if not any(parts):
        parts = [label for axes in figure.axes for label in (axes.get_ylabel(), axes.get_xlabel())]
    texts = dict.fromkeys(" ".join(part.split()) for part in parts if part.strip())
    return f"Figure: {'; '.join(texts)}" if texts else "Figure"


def _describe_in_notebooks() -> None:
    """Let a notebook show `description` where it cannot show the figure."""
    from IPython import get_ipython

    formatter = get_ipython().display_formatter.formatters["text/plain"]
    formatter.for_type(Figure, lambda figure, printer, _: printer.text(description(figure)))


def axes_or_new(ax: Axes | None, width: float = 8, height: float = 4.5) -> Axes:
    """Return the given axes, or those of a new figure of width by height inches."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def finish(ax: Axes, title: str, x_label: str, y_label: str) -> Axes:
    """Set title, in several lines where it is long, and labels; put the grid behind the data."""
    lines = [_balanced(line) for line in title.splitlines()]
    ax.set(title="\n".join(lines), xlabel=x_label, ylabel=y_label)
    ax.set_axisbelow(True)
    return ax


def _balanced(text: str) -> str:
    """Break a text into as few lines as `TITLE` allows, about equally long ones."""
    count = len(textwrap.wrap(text, TITLE))
    for width in range(len(text) // max(1, count), TITLE):
        if width and len(textwrap.wrap(text, width)) == count:
            return textwrap.fill(text, width)
    return textwrap.fill(text, TITLE)


def legend_beside(ax: Axes, title: str | None = None) -> None:
    """Put the legend right of the axes, where it cannot cover data."""
    ax.legend(
        title=title, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title_fontsize=10
    )


def plain_log_ticks(axis: Axis) -> None:
    """Write 1, 2, 5, 10 ... on a logarithmic axis instead of powers of ten alone."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def reach(rows: pd.DataFrame | pd.Series, name: str = "") -> np.ndarray:
    """Return how far intervals reach down and up from their values, at least 0, float (2, n).

    Args:
        rows: One row an interval, or one interval, with value, low and high; or name, name_low
            and name_high.
        name: The column, where the columns carry a name.
    """
    value, low, high = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    ends = np.array([rows[value] - rows[low], rows[high] - rows[value]], float)
    return np.clip(np.nan_to_num(ends), 0, None).reshape(2, -1)


def interval_rows(rows: pd.DataFrame, labels, colours: Sequence[str], ax: Axes, **look) -> None:
    """Draw a dot with its interval for each row of value, low and high, the first on top."""
    for place, colour in enumerate(colours):
        row = rows.iloc[[place]]
        ax.errorbar(row["value"], [place], xerr=reach(row), fmt="o", color=colour, **look)
    ax.set_yticks(range(len(rows)), labels)
    ax.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def grouped_bars(
    table: pd.DataFrame,
    ax: Axes,
    label_format: str | pd.DataFrame | None = None,
    base: float = 0,
    margins: Mapping[str, np.ndarray] | None = None,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw bars side by side: a group per row, a colour per column.

    Args:
        table: Numbers, (groups, series).
        ax: Axes to draw on.
        label_format: Format of the number on each bar ("{:,.0f}"), or a text for each bar in a
            table like the numbers'; None for none.
        base: Value at which every bar starts.
        margins: Series name to float (2, groups): how far the interval reaches down and up.
        colours: Series name to its colour; None for those of SERIES.
    """
    series = list(table.columns)
    whiskers = ON_ANY_COLOUR if colours else "black"
    colours = colours or dict(zip(series, itertools.cycle(SERIES), strict=False))
    width = 0.84 / len(series)
    for number, name in enumerate(series):
        values = table[name].to_numpy(float)
        bars = ax.bar(
            np.arange(len(table)) + (number - (len(series) - 1) / 2) * width,
            values - base,
            width * 0.94,
            bottom=base,
            color=colours[name],
            linewidth=0,
            label=str(name),
            yerr=None if margins is None else margins[name],
            error_kw={"ecolor": whiskers, "elinewidth": 1.2, "capsize": 4},
        )
        if label_format is not None:
            labels = label_format[name] if isinstance(label_format, pd.DataFrame) else values
            if isinstance(label_format, str):
                labels = [label_format.format(value).replace("-", "−") for value in values]
            labels = ["" if np.isnan(v) else text for v, text in zip(values, labels, strict=True)]
            ax.bar_label(bars, labels, fontsize=8, padding=2, rotation=90 * (len(series) > 1))
    ax.set_xticks(np.arange(len(table)), [str(name) for name in table.index])
    # Where numbers stand on the bars, a line would strike through them.
    ax.grid(axis="x" if label_format is None else "both", visible=False)


def ink(colour) -> str:
    """Return black or white, whichever has the higher contrast (WCAG 2) on a colour."""
    return "black" if sns.utils.relative_luminance(colour) > 0.179 else "white"


def heat_map(values: pd.DataFrame | np.ndarray, ax: Axes, highest: float | None, **options) -> None:
    """Draw a table as a heat map from 0 to `highest`, with its numbers in the cells.

    Other arguments are those of `seaborn.heatmap`, whose white numbers are hard to read on the
    middle of the colour map.
    """
    options = {"annot": True, "vmin": 0, "vmax": highest, "linewidths": 1, **options}
    sns.heatmap(values, cmap=HEAT_MAP, ax=ax, **options)
    colours = ax.collections[0].get_facecolors().reshape(*values.shape, 4)
    for text in ax.texts:
        column, row = map(int, text.get_position())
        text.set_color(ink(colours[row, column]))


def readable(metric: str) -> str:
    """Write a metric's name as people read it: "macro_auc" becomes "Macro AUC"."""
    words = " ".join(READABLE.get(word, word) for word in metric.split("_"))
    words = re.sub(r"(\d+) specificity", r"\1% specificity", words)
    return words[:1].upper() + words[1:]
