"""Figures of merit of one set of photographs, from labels and probabilities.

Labels are positions in `classes.CODES`; probabilities are float (n, 7) in that order, each row
summing to 1. Nothing here needs a model, an image or a GPU.
"""

import numpy as np
import pandas as pd
from sklearn import metrics as sklearn_metrics

from lesions.evaluation import weighted
from lesions.evaluation.predictions import checked
from lesions.evaluation.weighted import (
    ALL_CLASSES,
    BINS,
    CODES,
    HEADLINES,
    MELANOMA,
    SPECIFICITIES,
)


def metrics(
    true_labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
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

    Returns:
        Metric name to float. Balanced accuracy, accuracy and macro precision, recall and F1 are
        of `predicted`; `most_probable_balanced_accuracy` and `most_probable_accuracy` are of the
        most probable class.

    Raises:
        ValueError: If a class has no image or the input is malformed.
    """
    labels, scores = checked(true_labels, probabilities)
    absent = [code for label, code in enumerate(CODES) if label not in labels]
    if absent:
        raise ValueError(
            f"No image has the true class {', '.join(absent)}, and the evaluation needs all seven; "
            "add images of it."
        )
    named = _named(scores, predicted)
    found = weighted.once(labels, scores, HEADLINES, named)
    decided = ("balanced_accuracy", "accuracy")
    most_probable = weighted.once(labels, scores, decided)
    recall = found["balanced_accuracy"]
    return {
        **{name: found.pop(name) for name in decided},
        "macro_precision": float(
            sklearn_metrics.precision_score(labels, named, average="macro", zero_division=0)
        ),
        "macro_recall": recall,
        "macro_f1": found.pop("macro_f1"),
        **{f"most_probable_{name}": value for name, value in most_probable.items()},
        **found,
    }


def per_class(
    true_labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> pd.DataFrame:
    """Compute each class's metrics against the other six; arguments as of `metrics`.

    Returns:
        One row a class, indexed by code: precision, recall, f1, auc, average_precision (0 to 1,
        NaN for a class without an image) and images (int).
    """
    labels, scores = checked(true_labels, probabilities)
    precision, recall, f1, images = sklearn_metrics.precision_recall_fscore_support(
        labels, _named(scores, predicted), labels=ALL_CLASSES, zero_division=0
    )
    curves = [weighted.areas(labels == label, scores[:, label]) for label in ALL_CLASSES]
    figures = {"precision": precision, "recall": recall, "f1": f1}
    figures["auc"], figures["average_precision"] = np.transpose(curves)
    table = pd.DataFrame(figures, index=pd.Index(CODES, name="code"))
    table.loc[images == 0] = np.nan
    return table.assign(images=images.astype(int))


def confusion(
    true_labels: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns); arguments as of `metrics`.

    Returns:
        int, (7, 7), in the order of `classes.CODES`.
    """
    labels, scores = checked(true_labels, probabilities)
    return sklearn_metrics.confusion_matrix(labels, _named(scores, predicted), labels=ALL_CLASSES)


def _named(scores: np.ndarray, predicted: np.ndarray | None) -> np.ndarray:
    return scores.argmax(axis=1) if predicted is None else np.asarray(predicted)


def reliability(true_labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Compare confidence with accuracy in 15 bins of equal width (Guo et al., 2017).

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.

    Returns:
        One row a bin, lowest first: mean confidence (the highest probability), accuracy (both 0
        to 1, NaN in an empty bin) and images (int).
    """
    labels, scores = checked(true_labels, probabilities)
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == labels
    frame = pd.DataFrame({"confidence": confidence, "accuracy": correct.astype(float), "images": 1})
    bins = frame.groupby(weighted.bin_numbers(confidence))
    found = bins.agg({"confidence": "mean", "accuracy": "mean", "images": "sum"})
    found = found.reindex(pd.RangeIndex(BINS, name="bin"))
    return found.assign(images=found["images"].fillna(0).astype(int))


def screening(true_labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Count what thresholds on the probability of melanoma do to a thousand lesions.

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.

    Returns:
        One row a specificity of `weighted.SPECIFICITIES`, the share of other lesions that stay
        below the threshold: sensitivity and precision (0 to 1), and of 1,000 lesions like these
        melanomas found, melanomas missed and others sent on.
    """
    labels, scores = checked(true_labels, probabilities)
    melanomas = 1000 * (labels == MELANOMA).mean()
    rows = {}
    for name, sensitivity in weighted.once(labels, scores, SPECIFICITIES).items():
        specificity = SPECIFICITIES[name]
        found, others = sensitivity * melanomas, (1 - specificity) * (1000 - melanomas)
        rows[specificity] = {
            "sensitivity": sensitivity,
            "precision": found / (found + others),
            "melanomas found": found,
            "melanomas missed": melanomas - found,
            "others sent on": others,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("specificity")
