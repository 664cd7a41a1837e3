"""Drawings of networks and of what they have learned to tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyBboxPatch

from lesions.classes import CODES, COLOURS, CREDIT
from lesions.figures import style
from lesions.figures.style import GREY, SERIES

BOX = (0.82, 0.62)  # width and height of a box; one place is 1 by 1


def network_diagram(
    branches: Mapping[str, Sequence[str]],
    head: Sequence[str],
    title: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a network as boxes: branches from left to right, which join in a common end.

    Args:
        branches: Name of a branch to the texts of its boxes, in order.
        head: Texts of the boxes after the branches have joined.
        title: Title.
    """
    longest = max(map(len, branches.values()))
    places = 1 + longest + len(head)
    ax = style.axes_or_new(ax, 9, 0.7 + 1.05 * len(branches))
    middle = (len(branches) - 1) / 2
    _box(ax, 0, middle, "photograph", GREY)
    for row, (name, texts) in enumerate(branches.items()):
        # A short branch stands next to where it joins.
        shift = longest - len(texts)
        before = (0, middle)
        for place, text in enumerate(texts):
            here = (1 + shift + place, len(branches) - 1 - row)
            _box(ax, *here, text, SERIES[2 * row])
            _arrow(ax, before, here)
            before = here
        _arrow(ax, before, (1 + longest, middle))
        if len(branches) > 1:
            spot = (1 + shift - BOX[0] / 2, len(branches) - 1 - row + BOX[1] / 2 + 0.05)
            ax.text(*spot, name, fontsize=9, color=SERIES[2 * row], fontweight="bold")
    for place, text in enumerate(head):
        _box(ax, 1 + longest + place, middle, text, SERIES[3])
        if place:
            _arrow(ax, (longest + place, middle), (1 + longest + place, middle))
    ax.set(xlim=(-0.5, places - 0.5), ylim=(-0.5, len(branches) - 0.3), title=title)
    ax.axis("off")
    return ax


def _box(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    corner = (x - BOX[0] / 2, y - BOX[1] / 2)
    look = {"facecolor": "white", "edgecolor": colour, "linewidth": 1.6}
    ax.add_patch(FancyBboxPatch(corner, *BOX, boxstyle="round,pad=0,rounding_size=0.08", **look))
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ends = {"xytext": (start[0] + BOX[0] / 2, start[1]), "xy": (end[0] - BOX[0] / 2, end[1])}
    ax.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": GREY})


def _show_in_margin(ax: Axes, picture: np.ndarray, place, height: float, colour: str) -> None:
    """Show a photograph to the right of the axes, and lead a line from it to a ringed dot."""
    ring = {"markersize": 9, "markerfacecolor": "none", "markeredgewidth": 2}
    ax.plot(*place, marker="o", color=colour, **ring)
    box = AnnotationBbox(
        OffsetImage(picture, zoom=50 / len(picture)),
        place,
        xybox=(1.08, height),
        boxcoords="axes fraction",
        pad=0.1,
        bboxprops={"edgecolor": colour, "linewidth": 2},
        arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkB": 5},
    )
    ax.add_artist(box)


def feature_map(
    places: np.ndarray,
    codes: Sequence[str],
    pictures: Mapping[int, np.ndarray],
    title: str,
    credit: str | None = CREDIT,
) -> Figure:
    """Draw photographs as dots where a projection of their features puts them.

    Args:
        places: float, (n, 2), for example from t-SNE.
        codes: The diagnosis of each photograph.
        pictures: Row number to uint8 (height, width, 3), RGB: photographs to show.
        title: Title.
        credit: Small line below, or None.

    Returns:
        The figure; dots and frames have the class colours. The photographs stand in the right
        margin, where they hide no dot, and a line leads from each to its dot.
    """
    figure, ax = plt.subplots(figsize=(8.5, 6.5), layout="constrained")
    codes = np.asarray(codes)
    for code in CODES:
        chosen = codes == code
        look = {"s": 22, "alpha": 0.8, "linewidths": 0, "label": f"{code} ({chosen.sum()})"}
        ax.scatter(*places[chosen].T, color=COLOURS[code], **look)
    # Highest dot first, so that few lines cross.
    ordered = sorted(pictures, key=lambda number: -places[number][1])
    heights = np.linspace(0.93, 0.07, len(ordered)) if len(ordered) > 1 else [0.5] * len(ordered)
    for number, height in zip(ordered, heights, strict=True):
        _show_in_margin(ax, pictures[number], places[number], height, COLOURS[codes[number]])
    ax.set(xticks=[], yticks=[])
    figure.suptitle(title, fontsize=12, fontweight="bold")  # wider than the axes
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(CODES), columnspacing=1)
    if credit:
        figure.supxlabel(credit, fontsize=8, color=GREY)
    return figure
