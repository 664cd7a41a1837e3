"""Headline metrics under many weightings of the images at once, for the bootstrap.

Agrees with scikit-learn's `sample_weight`, tied scores included, at a small part of the time:
scores are sorted once for all weightings.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from lesions import classes

CODES = classes.CODES
CLASS_COUNT = len(CODES)
ALL_CLASSES = np.arange(CLASS_COUNT)
MELANOMA = CODES.index("mel")
MALIGNANT = np.isin(CODES, classes.MALIGNANT)
BINS = 15
SPECIFICITIES = {
    "melanoma_sensitivity_at_90_specificity": 0.90,
    "melanoma_sensitivity_at_95_specificity": 0.95,
}
HEADLINES = (
    "balanced_accuracy",
    "accuracy",
    "macro_f1",
    "macro_auc",
    "macro_average_precision",
    *SPECIFICITIES,
    "malignant_auc",
    "brier_score",
    "expected_calibration_error",
    "log_loss",
)
DECISIONS = {"balanced_accuracy", "accuracy", "macro_f1"}
LOSSES = {"brier_score", "expected_calibration_error", "log_loss"}
# A resample is one column of weights; blocks of columns keep the working set in the cache.
BLOCK = 125


def lesion_weights(lesion_ids: pd.Series, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield how often each image counts: once, then as it is drawn when lesions are resampled.

    Yields:
        float, (n, 1), ones; then float, (n, up to `BLOCK`), a column for each resample.
    """
    yield np.ones((len(lesion_ids), 1))
    # The number of a lesion is its place in sorted order, so that row order does not matter.
    unique, lesions = np.unique(lesion_ids.astype(str), return_inverse=True)
    count = len(unique)
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        columns = min(BLOCK, resamples - start)
        drawn = (
            generator.integers(count, size=(columns, count)) + count * np.arange(columns)[:, None]
        )
        times = np.bincount(drawn.ravel(), minlength=columns * count).reshape(columns, count)
        yield times.T[lesions].astype(float)


def metrics(
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    names: Iterable[str] = HEADLINES,
    predicted: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute headline metrics under many weightings of the images at once.

    Args:
        labels: int, (n,), 0 to 6.
        scores: float, (n, 7), rows sum to 1.
        weights: float, (n, weightings), whole numbers from 0.
        names: Which of `HEADLINES` to compute; "melanoma_auc" as well.
        predicted: int, (n,), the classes named by the decision rule; None for the most probable.

    Returns:
        Metric name to float (weightings,); macro figures average over the classes with weight.
    """
    names = tuple(names)
    most_probable = scores.argmax(axis=1)
    result = {}
    if DECISIONS & set(names):
        result |= _decisions(labels, most_probable if predicted is None else predicted, weights)
    if LOSSES & set(names):
        result |= _losses(labels, most_probable, scores, weights)
    macro = {name: [] for name in MACRO.keys() & names}
    of_melanoma = {"melanoma_auc", *SPECIFICITIES} & set(names)
    drawn = ALL_CLASSES if macro else [MELANOMA] * bool(of_melanoma)
    for label in drawn:
        curve = _curve(labels == label, scores[:, label], weights)
        for name, values in macro.items():
            values.append(MACRO[name](*curve))
        for name in of_melanoma if label == MELANOMA else ():
            target = SPECIFICITIES.get(name)
            result[name] = _curve_sensitivity(*curve, target) if target else _curve_auc(*curve)
    result |= {name: _mean(np.array(values)) for name, values in macro.items()}
    if "malignant_auc" in names:
        malignancy = scores[:, MALIGNANT].sum(axis=1)
        result["malignant_auc"] = _curve_auc(*_curve(MALIGNANT[labels], malignancy, weights))
    return {name: result[name] for name in names}


def once(
    labels: np.ndarray,
    scores: np.ndarray,
    names: Iterable[str],
    predicted: np.ndarray | None = None,
) -> dict[str, float]:
    """Compute `metrics` with every image counted once: name to float."""
    found = metrics(labels, scores, np.ones((len(labels), 1)), names, predicted)
    return {name: float(value[0]) for name, value in found.items()}


def areas(positive: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Compute the area under the ROC curve and the average precision of one class."""
    found = _curve(positive, score, np.ones((len(score), 1)))
    return float(_curve_auc(*found)[0]), float(_curve_average_precision(*found)[0])


def _decisions(
    labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the metrics of the classes that are named."""
    images, ones = np.arange(len(labels)), np.ones(len(labels))
    shape = CLASS_COUNT**2, len(labels)
    cells = csr_array((ones, (labels * CLASS_COUNT + predicted, images)), shape) @ weights
    cells = cells.reshape(CLASS_COUNT, CLASS_COUNT, -1)
    hits, true, claimed = np.einsum("iik->ik", cells), cells.sum(axis=1), cells.sum(axis=0)
    # A class without weight is NaN, which `_mean` leaves out.
    weighed = np.where(true > 0, true, np.nan)
    return {
        "balanced_accuracy": _mean(hits / weighed),
        "accuracy": hits.sum(axis=0) / weights.sum(axis=0),
        "macro_f1": _mean(2 * hits / (weighed + claimed)),
    }


def _losses(
    labels: np.ndarray, most_probable: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the metrics of the probabilities that need no sorting."""
    total = weights.sum(axis=0)
    # Rounding in a CSV file leaves sums a little off 1.
    scores = scores / scores.sum(axis=1, keepdims=True)
    squares = (scores - np.eye(CLASS_COUNT)[labels]) ** 2
    confidence = scores.max(axis=1)
    gaps = np.eye(BINS)[bin_numbers(confidence)] * (confidence - (most_probable == labels))[:, None]
    true = np.maximum(scores[np.arange(len(labels)), labels], np.finfo(float).eps)
    return {
        "brier_score": squares.sum(axis=1) @ weights / total,
        "expected_calibration_error": np.abs(gaps.T @ weights).sum(axis=0) / total,
        "log_loss": -np.log(true) @ weights / total,
    }


def _curve(
    positive: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Accumulate true and false positives, float (corners, weightings), highest score first."""
    order = np.argsort(-score, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(score[order])) + 1)
    # Between scores that only negatives have, the curve is a straight line.
    holds = np.logical_or.reduceat(positive[order], starts)
    starts = starts[holds | np.append(True, holds[:-1])]
    rows = np.append(starts, len(score))
    true, false = (
        np.cumsum(csr_array((among[order].astype(float), order, rows)) @ weights, axis=0)
        for among in (positive, ~positive)
    )
    return true, false


def _curve_auc(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    # Trapezia: a tied positive and negative count one half.
    steps = np.diff(false, axis=0, prepend=0)
    heights = true.copy()
    heights[1:] += true[:-1]
    area = np.einsum("ij,ij->j", steps, heights) / 2
    return ratio(area, true[-1] * false[-1])


def _curve_average_precision(true: np.ndarray, false: np.ndarray) -> np.ndarray:
    steps = np.diff(true, axis=0, prepend=0)
    # Before the first weighted image the step is 0, so any denominator above 0 serves.
    area = np.einsum("ij,ij->j", steps, true / np.maximum(true + false, 1))
    return ratio(area, true[-1])


def _curve_sensitivity(true: np.ndarray, false: np.ndarray, specificity: float) -> np.ndarray:
    # The small allowance keeps a specificity of exactly the target, whatever the rounding.
    allowed = false <= (1 - specificity) * false[-1] + 1e-9
    best = np.where(allowed, true, 0).max(axis=0)
    return np.where(false[-1] > 0, ratio(best, true[-1]), np.nan)


MACRO = {"macro_auc": _curve_auc, "macro_average_precision": _curve_average_precision}


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide element by element, NaN where the denominator is not above 0."""
    return numerator / np.where(denominator > 0, denominator, np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Average over classes (first axis), leaving out NaN."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=0), known.sum(axis=0))


def bin_numbers(confidence: np.ndarray) -> np.ndarray:
    """Find the bin of each confidence, float (n,), 0-1: int (n,), 0 to `BINS` - 1."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence, side="left")
