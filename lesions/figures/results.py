"""Plots of training and of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics

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
    readable,
    require_columns,
)


def _epochs(history: pd.DataFrame) -> np.ndarray:
    # Rows are counted, because the epochs of the second phase may start at 1 again.
    return np.arange(1, len(history) + 1)


def _mark_phases(history: pd.DataFrame, ax: Axes) -> None:
    """Draw a dashed line where a new phase of training starts and name the phases."""
    if "phase" not in history or history["phase"].nunique() < 2:
        return
    phases = history["phase"].astype(str).to_numpy()
    starts = [row for row in range(len(phases)) if row == 0 or phases[row] != phases[row - 1]]
    for start in starts[1:]:
        ax.axvline(start + 0.5, color=GREY, linestyle="--", linewidth=1)
        name = phases[start].replace("_", " ")
        ax.text(
            start + 0.6,
            0.02,
            f"{name} →",
            color=GREY,
            fontsize=9,
            transform=ax.get_xaxis_transform(),
        )


def training_history(
    history: pd.DataFrame, title: str = "Training", axes: Sequence[Axes] | None = None
) -> Figure:
    """Draw the losses and the validation scores of one run, epoch by epoch.

    Args:
        history: A row an epoch, with columns loss, val_loss and val_balanced_accuracy; where
            val_accuracy and phase are there, they are drawn too.
        title: Title over both panels.
        axes: Two axes to draw on, or None for a new figure.

    Returns:
        The figure: losses left, balanced accuracy right with its best epoch marked.

    Raises:
        ValueError: If a column is missing.
    """
    require_columns(history, ["loss", "val_loss", "val_balanced_accuracy"], "history")
    if axes is None:
        axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")[1]
    epochs, (left, right) = _epochs(history), axes
    left.plot(epochs, history["loss"], "o-", ms=4, color=SERIES[0], label="training")
    left.plot(epochs, history["val_loss"], "s--", ms=4, color=SERIES[2], label="validation")
    score = history["val_balanced_accuracy"].to_numpy(float)
    right.plot(epochs, score, "s-", ms=4, color=SERIES[2], label="balanced accuracy")
    if "val_accuracy" in history:
        right.plot(epochs, history["val_accuracy"], ":", color=GREY, label="plain accuracy")
    if np.isfinite(score).any():
        best = int(np.nanargmax(score))
        label = f"best: {score[best]:.3f} in epoch {epochs[best]}"
        right.plot(epochs[best], score[best], "*", ms=15, color=SERIES[1], mec="black", label=label)
    for ax in axes:
        _mark_phases(history, ax)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend()
    finish(left, "Loss", "Epoch", "Loss")
    finish(right, "Validation score", "Epoch", "Score")
    left.figure.suptitle(title, fontsize=13, fontweight="bold")
    return left.figure


def several_histories(
    histories: Mapping[str, pd.DataFrame],
    metric: str = "val_balanced_accuracy",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one metric of several runs, epoch by epoch.

    Args:
        histories: Name of a run to its history.
        metric: Column of the histories.
        title: Title, or None for one made of the metric's name.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; the legend gives each run's best value (lowest for a loss).

    Raises:
        ValueError: If a history lacks the column.
    """
    ax = axes_or_new(ax, 9.5, 4.5)
    best = pd.Series.min if "loss" in metric else pd.Series.max
    for number, (name, history) in enumerate(histories.items()):
        require_columns(history, [metric], f"history of {name}")
        ax.plot(
            _epochs(history),
            history[metric],
            LINE_STYLES[number % len(LINE_STYLES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            color=SERIES[number % len(SERIES)],
            label=f"{name} ({best(history[metric]):.3f})",
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    legend_beside(ax, "Run (best value)")
    return finish(ax, title or f"{readable(metric)} by epoch", "Epoch", readable(metric))


def confusion_matrix(
    counts: np.ndarray,
    normalise: bool = True,
    title: str = "Confusion matrix",
    ax: Axes | None = None,
) -> Axes:
    """Draw which class was taken for which.

    Args:
        counts: int, (7, 7), images by true class (rows) and predicted class (columns).
        normalise: True colours by the share of the true class, and writes it over the count.
        title: Title.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; the diagonal holds each class's recall. A class without images reads "–".

    Raises:
        ValueError: If counts is not (7, 7).
    """
    counts = np.asarray(counts)
    if counts.shape != (len(CODES), len(CODES)):
        raise ValueError(f"The confusion matrix has shape {counts.shape}; pass (7, 7) counts.")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    labels = [f"{count:,}" for count in counts.flat]
    if normalise:
        # An empty row has no shares to write.
        labels = [
            "–" if np.isnan(share) else f"{share:.0%}\n{label}"
            for share, label in zip(shares.flat, labels, strict=True)
        ]
    ax = axes_or_new(ax, 7.5, 6)
    rows = [f"{code} ({total:,})" for code, total in zip(CODES, totals.flat, strict=True)]
    sns.heatmap(
        np.nan_to_num(shares) if normalise else counts,
        annot=np.reshape(labels, counts.shape),
        fmt="",
        annot_kws={"fontsize": 9},
        cmap=HEAT_MAP,
        vmin=0,
        vmax=1 if normalise else None,
        linewidths=0.5,
        xticklabels=CODES,
        yticklabels=rows,
        cbar_kws={"label": "Share of the true class" if normalise else "Images"},
        ax=ax,
    )
    ax.tick_params(axis="both", rotation=0)
    return finish(ax, title, "Predicted diagnosis", "True diagnosis (images)")


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
        style = LINE_STYLES[label % len(LINE_STYLES)]
        ax.plot(*curve(is_class, score), style, color=COLOURS[code], linewidth=2, label=text)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    legend_beside(ax, "Class against the rest")


def roc_curves(
    true_labels: np.ndarray, probabilities: np.ndarray, title: str = "ROC curves",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the receiver operating characteristic (ROC) of each class against the rest.

    Args:
        true_labels: int, (n,), positions in CODES.
        probabilities: float, (n, 7), 0-1.
        title: Title.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; a class without images has no curve.

    Raises:
        ValueError: If the shapes do not fit.
    """
    ax = axes_or_new(ax, 7, 5)

    def curve(is_class, score):
        return metrics.roc_curve(is_class, score)[:2]

    _curve_of_each_class(true_labels, probabilities, curve, metrics.roc_auc_score, "AUC", ax)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (1, 4)))
    return finish(ax, title, "False positive rate (1 − specificity)", "Sensitivity")


def precision_recall_curves(
    true_labels: np.ndarray, probabilities: np.ndarray, title: str = "Precision-recall curves",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw precision against recall of each class against the rest.

    Args:
        true_labels: int, (n,), positions in CODES.
        probabilities: float, (n, 7), 0-1.
        title: Title.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; the legend gives the average precision (AP).

    Raises:
        ValueError: If the shapes do not fit.
    """
    ax = axes_or_new(ax, 7, 5)

    def curve(is_class, score):
        precision, recall, _ = metrics.precision_recall_curve(is_class, score)
        return recall, precision

    area = metrics.average_precision_score
    _curve_of_each_class(true_labels, probabilities, curve, area, "AP", ax)
    return finish(ax, title, "Recall (sensitivity)", "Precision")


def reliability_diagram(
    before: pd.DataFrame, after: pd.DataFrame | None = None, title: str = "Reliability",
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw how often predictions come true against how sure the network was.

    Args:
        before: A row a bin, with columns confidence (0-1), accuracy (0-1) and images.
        after: The same at the class frequencies, or None.
        title: Title.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes; a dot's area grows with its images, and the legend gives the expected
        calibration error (ECE): the mean gap to the diagonal, weighted by images.

    Raises:
        ValueError: If a column is missing.
    """
    ax = axes_or_new(ax, 8, 5)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="perfect calibration")
    tables = {"as trained": before, "at the class frequencies": after}
    colours = dict(zip(tables, (SERIES[2], SERIES[0]), strict=True))
    for name, table in tables.items():
        if table is None:
            continue
        require_columns(table, ["confidence", "accuracy", "images"], "reliability")
        bins = table[table["images"] > 0]
        share = bins["images"] / bins["images"].sum()
        error = (share * (bins["accuracy"] - bins["confidence"]).abs()).sum()
        style = {"color": colours[name], "marker": "s" if table is before else "o"}
        label = f"{name}\n(ECE {error:.3f})"
        ax.plot(bins["confidence"], bins["accuracy"], markersize=4, label=label, **style)
        ax.scatter(bins["confidence"], bins["accuracy"], s=20 + 500 * share, alpha=0.3, **style)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    legend_beside(ax)
    return finish(ax, title, "Confidence (highest probability)", "Share of right predictions")


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
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there are not seven probabilities.
    """
    probabilities = np.asarray(probabilities, float)
    _check_probabilities([0], probabilities[None])
    predicted = predicted or CODES[int(probabilities.argmax())]
    ax = axes_or_new(ax, 5.5, 3.2)
    bars = ax.barh(CODES, probabilities, color=[COLOURS[code] for code in CODES])
    ax.bar_label(bars, [f"{value:.1%}" for value in probabilities], padding=3, fontsize=9)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.15)
    ax.set_xticks(np.arange(0, 1.01, 0.25))
    ax.grid(axis="y", visible=False)
    ax.get_yticklabels()[CODES.index(predicted)].set_fontweight("bold")
    title = f"Predicted {predicted}" + (f", true {true}" if true else "")
    return finish(ax, title, "Probability", "Diagnosis")
