"""Plots of predictions: confusions, curves, calibration, single answers.

True labels are int (n,), positions in CODES, and probabilities float (n, 7), 0-1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics

from lesions.classes import CODES, COLOURS
from lesions.figures import style
from lesions.figures.style import GREY, LINE_STYLES, MARKERS, SERIES

SHOWN_SHARE = 0.005


def confusion_matrix(
    counts: np.ndarray, title: str = "Confusion matrix", ax: Axes | None = None
) -> Axes:
    """Draw which class was classified as which; the diagonal holds each class's recall.

    Args:
        counts: int, (7, 7), images by true class (rows) and predicted class (columns). A class
            without images reads "–".
        title: Title.

    Raises:
        ValueError: If counts is not (7, 7).
    """
    counts = np.asarray(counts)
    if counts.shape != (len(CODES), len(CODES)):
        raise ValueError(f"The confusion matrix has shape {counts.shape}; pass (7, 7) counts.")
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, np.newaxis]
    labels = [
        [f"{share:.0%}\n{count:,}" if total else "–" for share, count in zip(*row, strict=True)]
        for total, *row in zip(totals, shares, counts, strict=True)
    ]
    whole = ax is None
    ax = style.axes_or_new(ax, 7.5, 6)
    style.heat_map(
        shares,
        ax,
        1,
        annot=np.array(labels),
        fmt="",
        annot_kws={"fontsize": 9 if whole else 8},
        linewidths=0.5,
        xticklabels=CODES,
        yticklabels=[f"{code} ({total:,})" for code, total in zip(CODES, totals, strict=True)],
        cbar=whole,
        cbar_kws={"label": "Share of the true class"},
    )
    ax.tick_params(axis="both", rotation=0)
    return style.finish(ax, title, "Predicted diagnosis", "True diagnosis (photographs)")


def confusion_matrices(counts: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draw two confusion matrices of the same photographs side by side.

    Args:
        counts: Name of a rule to int (7, 7), as in `confusion_matrix`; two of them.
        title: Title of the figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.9), sharey=True, layout="constrained")
    for ax, (name, table) in zip(axes, counts.items(), strict=True):
        confusion_matrix(table, title=name, ax=ax)
        ax.title.set_fontsize(11)
    axes[1].set_ylabel("")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def _check_probabilities(true_labels: np.ndarray, probabilities: np.ndarray) -> None:
    if np.shape(probabilities) != (len(true_labels), len(CODES)):
        raise ValueError(
            f"The probabilities have shape {np.shape(probabilities)}; pass "
            f"({len(true_labels)}, {len(CODES)}), a row for each true label."
        )


def _curve_of_each_class(true_labels, probabilities, curve, area, area_name, ax) -> None:
    """Draw curve(is_class, score) -> x, y of every class against the rest."""
    true_labels, probabilities = np.asarray(true_labels), np.asarray(probabilities)
    _check_probabilities(true_labels, probabilities)
    for label, code in enumerate(CODES):
        is_class, score = true_labels == label, probabilities[:, label]
        if is_class.all() or not is_class.any():
            continue  # Without both sides there is no curve.
        text = f"{code}: {area_name} {area(is_class, score):.3f}"
        # Line styles beside colours, for those who see seven colours as four.
        line = LINE_STYLES[label % len(LINE_STYLES)]
        ax.plot(*curve(is_class, score), line, color=COLOURS[code], linewidth=2, label=text)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    style.legend_beside(ax, "Class against the rest")


def _recall_and_precision(is_class, score) -> tuple[np.ndarray, np.ndarray]:
    return metrics.precision_recall_curve(is_class, score)[1::-1]


def roc_curves(
    true_labels: np.ndarray, probabilities: np.ndarray, title: str = "ROC curves",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the receiver operating characteristic (ROC) of each class against the rest.

    A class without images has no curve.

    Raises:
        ValueError: If the shapes do not fit.
    """
    ax = style.axes_or_new(ax, 7, 5)

    def curve(is_class, score):
        return metrics.roc_curve(is_class, score)[:2]

    _curve_of_each_class(true_labels, probabilities, curve, metrics.roc_auc_score, "AUC", ax)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (1, 4)))
    return style.finish(ax, title, "False positive rate (1 − specificity)", "Sensitivity")


def precision_recall_curves(
    true_labels: np.ndarray, probabilities: np.ndarray, title: str = "Precision-recall curves",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw precision against recall of each class against the rest, with average precision (AP).

    Raises:
        ValueError: If the shapes do not fit.
    """
    ax = style.axes_or_new(ax, 7, 5)
    area = metrics.average_precision_score
    _curve_of_each_class(true_labels, probabilities, _recall_and_precision, area, "AP", ax)
    return style.finish(ax, title, "Recall (sensitivity)", "Precision")


def melanoma_curve(
    true_labels: np.ndarray,
    probabilities: np.ndarray,
    points: pd.DataFrame,
    title: str = "Precision and recall for melanoma",
    ax: Axes | None = None,
) -> Axes:
    """Draw precision against recall for melanoma, with thresholds marked.

    Args:
        true_labels, probabilities: See the module.
        points: A row a threshold, indexed by specificity (0-1), with columns sensitivity and
            precision.
        title: Title.

    Raises:
        ValueError: If the shapes do not fit.
    """
    _check_probabilities(true_labels, probabilities)
    label = CODES.index("mel")
    is_melanoma = np.asarray(true_labels) == label
    ax = style.axes_or_new(ax, 7, 4.2)
    curve = _recall_and_precision(is_melanoma, np.asarray(probabilities)[:, label])
    ax.plot(*curve, color=COLOURS["mel"], linewidth=2)
    share = is_melanoma.mean()
    ax.axhline(share, color=GREY, linestyle=":", label=f"share of melanomas ({share:.0%})")
    for number, (specificity, row) in enumerate(points.iterrows()):
        look = {"color": SERIES[2 * number], "marker": MARKERS[number], "linestyle": "none"}
        text = f"{specificity:.0%} specificity: {row['sensitivity']:.0%} found"
        ax.plot(row["sensitivity"], row["precision"], markersize=11, label=text, **look)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    ax.legend(loc="upper right")
    return style.finish(ax, title, "Recall (melanomas found)", "Precision (calls that are right)")


def reliability_lines(lines, dots: tuple[float, float, float], title: str, ax: Axes | None) -> Axes:
    """Draw how often predictions come true against how sure the network was.

    Args:
        lines: A label with a place for the expected calibration error (ECE: the mean gap to the
            diagonal, weighted by images), a table with a row a bin and columns confidence (0-1),
            accuracy (0-1) and images, how many images a bin needs to be drawn, because chance
            places smaller ones, and a look.
        dots: A dot's least area, what is added for all images, and its opacity.
        title: Title.
    """
    ax = style.axes_or_new(ax, 8, 5)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect calibration")
    for label, table, least, look in lines:
        share = table["images"] / table["images"].sum()
        error = (share * (table["accuracy"] - table["confidence"]).abs()).sum()
        drawn = table["images"] >= least
        places = table.loc[drawn, "confidence"], table.loc[drawn, "accuracy"]
        ax.plot(*places, markersize=4, label=label.format(error), **look)
        ax.scatter(*places, s=dots[0] + dots[1] * share[drawn], alpha=dots[2], **look)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    style.legend_beside(ax)
    return style.finish(ax, title, "Confidence (highest probability)", "Share of right predictions")


def reliability_diagram(
    before: pd.DataFrame, after: pd.DataFrame, title: str = "Reliability", ax: Axes | None = None
) -> Axes:
    """Draw how often predictions come true against how sure the network was.

    Args:
        before: From `evaluation.reliability`.
        after: The same at the class frequencies.
        title: Title.

    Returns:
        The axes; bins with less than half a per cent of the images are not drawn.
    """
    lines = []
    for name, table, colour, marker in (
        ("before correction", before, SERIES[2], "s"),
        ("after correction", after, SERIES[0], "o"),
    ):
        least, look = SHOWN_SHARE * table["images"].sum(), {"color": colour, "marker": marker}
        lines.append((f"{name}\n(ECE {{:.3f}})", table, least, look))
    return reliability_lines(lines, (20, 500, 0.3), title, ax)


def probability_bars(
    probabilities: Sequence[float],
    predicted: str | None = None,
    true: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the seven probabilities of one image.

    Args:
        probabilities: float, (7,), 0-1, in the order of CODES.
        predicted: Code of the predicted class, or None for the most probable.
        true: Code of the true class, named in the title, or None.

    Raises:
        ValueError: If there are not seven probabilities.
    """
    probabilities = np.asarray(probabilities, float)
    _check_probabilities([0], probabilities[None])
    predicted = predicted or CODES[int(probabilities.argmax())]
    ax = style.axes_or_new(ax, 5.5, 3.2)
    bars = ax.barh(CODES, probabilities, color=[COLOURS[code] for code in CODES])
    ax.bar_label(bars, [f"{value:.1%}" for value in probabilities], padding=3, fontsize=9)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.15)
    ax.set_xticks(np.arange(0, 1.01, 0.25))
    ax.spines["bottom"].set_bounds(0, 1)  # what is right of it is room for the numbers
    ax.grid(axis="y", visible=False)
    ax.get_yticklabels()[CODES.index(predicted)].set_fontweight("bold")
    title = f"Predicted {predicted}" + (f", true {true}" if true else "")
    return style.finish(ax, title, "Probability", "Diagnosis")
