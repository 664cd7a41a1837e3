"""Figures of merit of one set of photographs, from labels and probabilities.

Labels are positions in `classes.CODES`; probabilities are float (n, 7) in that order, each row
summing to 1. Nothing here needs a model, an image or a GPU.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn import metrics as sklearn_metrics

from lesions.evaluation import weighted
from lesions.evaluation.predictions import checked
from lesions.evaluation.weighted import (
    ALL_CLASSES,
    BINS,
    CODES,
    MALIGNANT,
    MELANOMA,
    SPECIFICITIES,
)


def metrics(
    true_labels: np.ndarray,
    probabilities: np.ndarray,
    predicted: np.ndarray | None = None,
    present_only: bool = False,
) -> dict[str, float]:
    """Compute every figure of merit of the study.

    Macro figures weigh each class alike. `brier_score` sums over classes, 0 to 2 (Brier, 1950).
    `expected_calibration_error` takes 15 equal-width bins of the highest probability (Guo et al.,
    2017). A melanoma sensitivity is the highest one among thresholds on P(mel) whose specificity
    reaches the target. `malignant_auc` ranks by the summed probability of `classes.MALIGNANT`.

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        predicted: int, (n,), 0 to 6, the classes named by the decision rule; None for the most
            probable class.
        present_only: Whether classes without an image are left out of macro figures instead of
            being refused; a figure that has no meaning is then NaN.

    Returns:
        Metric name to float. Balanced accuracy, accuracy and macro precision, recall and F1 are
        of `predicted`; `most_probable_balanced_accuracy` and `most_probable_accuracy` are of the
        most probable class.

    Raises:
        ValueError: If a class has no image and `present_only` is False, or the input is malformed.
    """
    labels, scores = checked(true_labels, probabilities)
    present = np.unique(labels)
    if not present_only:
        _require_all_classes(present)
    most_probable, named = scores.argmax(axis=1), _named(scores, predicted)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, named, labels=present, average="macro", zero_division=0
    )
    result = {
        "balanced_accuracy": recall,
        "accuracy": np.mean(labels == named),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": f1,
        "most_probable_balanced_accuracy": sklearn_metrics.recall_score(
            labels, most_probable, labels=present, average="macro", zero_division=0
        ),
        "most_probable_accuracy": np.mean(labels == most_probable),
        **_of_probabilities(labels, scores, present),
    }
    return {name: float(value) for name, value in result.items()}


def _require_all_classes(present: np.ndarray) -> None:
    absent = [CODES[label] for label in ALL_CLASSES if label not in present]
    if absent:
        raise ValueError(
            f"No image has the true class {', '.join(absent)}, and the evaluation needs all seven; "
            "add images of it or pass present_only=True."
        )


def _of_probabilities(labels: np.ndarray, scores: np.ndarray, present: np.ndarray) -> dict:
    """Compute the metrics that need no decision."""
    melanoma = labels == MELANOMA
    normalised = weighted.normalised(scores)
    return {
        "macro_auc": np.mean([auc(labels == k, scores[:, k]) for k in present]),
        "macro_average_precision": np.mean(
            [sklearn_metrics.average_precision_score(labels == k, scores[:, k]) for k in present]
        ),
        **{
            name: _sensitivity(melanoma, scores[:, MELANOMA], target)
            for name, target in SPECIFICITIES.items()
        },
        "malignant_auc": auc(MALIGNANT[labels], scores[:, MALIGNANT].sum(axis=1)),
        "brier_score": np.mean(((normalised - np.eye(len(CODES))[labels]) ** 2).sum(axis=1)),
        "expected_calibration_error": _calibration_error(reliability(labels, scores)),
        "log_loss": sklearn_metrics.log_loss(labels, normalised, labels=ALL_CLASSES),
    }


def per_class(
    true_labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> pd.DataFrame:
    """Compute each class's metrics against the other six.

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        predicted: As in `metrics`.

    Returns:
        One row a class, indexed by code: precision, recall, f1, auc, average_precision (0 to 1,
        NaN for a class without an image) and images (int).
    """
    labels, scores = checked(true_labels, probabilities)
    precision, recall, f1, images = sklearn_metrics.precision_recall_fscore_support(
        labels, _named(scores, predicted), labels=ALL_CLASSES, zero_division=0
    )
    table = pd.DataFrame(
        {"precision": precision, "recall": recall, "f1": f1, "auc": np.nan},
        index=pd.Index(CODES, name="code"),
    )
    table["average_precision"] = np.nan
    for label in np.unique(labels):
        row, positive = CODES[label], labels == label
        table.loc[row, "auc"] = auc(positive, scores[:, label])
        table.loc[row, "average_precision"] = sklearn_metrics.average_precision_score(
            positive, scores[:, label]
        )
    table.loc[images == 0] = np.nan
    return table.assign(images=images.astype(int))


def confusion(
    true_labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns).

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        predicted: As in `metrics`.

    Returns:
        int, (7, 7), in the order of `classes.CODES`.
    """
    labels, scores = checked(true_labels, probabilities)
    return sklearn_metrics.confusion_matrix(labels, _named(scores, predicted), labels=ALL_CLASSES)


def _named(scores: np.ndarray, predicted: np.ndarray | None) -> np.ndarray:
    return scores.argmax(axis=1) if predicted is None else np.asarray(predicted)


def reliability(
    true_labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> pd.DataFrame:
    """Compare confidence with accuracy in equal-width bins (Guo et al., 2017).

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        bins: How many bins divide 0 to 1; each is closed on the right.

    Returns:
        One row a bin, lowest first: mean confidence (the highest probability), accuracy (both 0
        to 1, NaN in an empty bin) and images (int).
    """
    labels, scores = checked(true_labels, probabilities)
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == labels
    position = weighted.bin_numbers(confidence, bins)
    images = np.bincount(position, minlength=bins)
    filled = np.where(images > 0, images, np.nan)
    return pd.DataFrame(
        {
            "confidence": np.bincount(position, weights=confidence, minlength=bins) / filled,
            "accuracy": np.bincount(position, weights=correct, minlength=bins) / filled,
            "images": images,
        },
        index=pd.RangeIndex(bins, name="bin"),
    )


def screening(
    true_labels: np.ndarray, probabilities: np.ndarray, specificities=(0.9, 0.95)
) -> pd.DataFrame:
    """Count what thresholds on the probability of melanoma do to a thousand lesions.

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        specificities: The share of the other lesions that stays below the threshold, 0 to 1.

    Returns:
        Indexed by specificity: sensitivity and precision (0 to 1), and of 1,000 lesions like
        these melanomas found, melanomas missed and others sent on.
    """
    labels, scores = checked(true_labels, probabilities)
    melanoma = labels == MELANOMA
    found = 1000 * melanoma.mean()
    rows = {}
    for specificity in specificities:
        sensitivity = _sensitivity(melanoma, scores[:, MELANOMA], specificity)
        right, wrong = sensitivity * found, (1 - specificity) * (1000 - found)
        rows[specificity] = {
            "sensitivity": sensitivity,
            "precision": right / (right + wrong),
            "melanomas found": right,
            "melanomas missed": found - right,
            "others sent on": wrong,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("specificity")


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Compute the area under the ROC curve, NaN where one side is empty."""
    if positive.all() or not positive.any():
        return np.nan
    return sklearn_metrics.roc_auc_score(positive, score)


def _sensitivity(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    if positive.all() or not positive.any():
        return np.nan
    false_rate, true_rate, _ = sklearn_metrics.roc_curve(positive, score, drop_intermediate=False)
    return true_rate[false_rate <= 1 - specificity + 1e-9].max()


def _calibration_error(table: pd.DataFrame) -> float:
    gaps = (table["confidence"] - table["accuracy"]).abs().fillna(0)
    return float((gaps * table["images"]).sum() / table["images"].sum())
