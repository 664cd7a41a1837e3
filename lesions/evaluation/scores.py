"""Figures of merit of one set of photographs, from labels and probabilities.

Labels are positions in `classes.CODES`; probabilities are float64 (n, 7) in that order, each row
summing to 1, both as from `predictions.arrays`. Nothing here needs a model, an image or a GPU.
"""

import numpy as np
import pandas as pd
from sklearn import metrics as sklearn_metrics

from lesions.evaluation import weighted
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
        probabilities: float64, (n, 7), rows sum to 1.
        predicted: int, (n,), 0 to 6, the classes named by the decision rule; None for the most
            probable class.

    Returns:
        Metric name to float. Balanced accuracy, accuracy and macro precision, recall and F1 are
        of `predicted`; `most_probable_balanced_accuracy` and `most_probable_accuracy` are of the
        most probable class.

    Raises:
        ValueError: If a class has no image.
    """
    absent = [code for label, code in enumerate(CODES) if label not in true_labels]
    if absent:
        raise ValueError(
            f"No photograph has the true class {', '.join(absent)}, and the evaluation needs all "
            "seven; add photographs of it."
        )
    named = _named(probabilities, predicted)
    found = weighted.once(true_labels, probabilities, HEADLINES, named)
    decided = ("balanced_accuracy", "accuracy")
    most_probable = weighted.once(true_labels, probabilities, decided)
    recall = found["balanced_accuracy"]
    return {
        **{name: found.pop(name) for name in decided},
        "macro_precision": float(
            sklearn_metrics.precision_score(true_labels, named, average="macro", zero_division=0)
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
    precision, recall, f1, images = sklearn_metrics.precision_recall_fscore_support(
        true_labels, _named(probabilities, predicted), labels=ALL_CLASSES, zero_division=0
    )
    curves = [
        weighted.areas(true_labels == label, probabilities[:, label]) for label in ALL_CLASSES
    ]
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
    named = _named(probabilities, predicted)
    return sklearn_metrics.confusion_matrix(true_labels, named, labels=ALL_CLASSES)


def _named(probabilities: np.ndarray, predicted: np.ndarray | None) -> np.ndarray:
    return probabilities.argmax(axis=1) if predicted is None else predicted


def reliability(true_labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Compare confidence with accuracy in 15 bins of equal width (Guo et al., 2017).

    Returns:
        One row a bin, lowest first: mean confidence (the highest probability), accuracy (both 0
        to 1, NaN in an empty bin) and images (int).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == true_labels
    frame = pd.DataFrame({"confidence": confidence, "accuracy": correct.astype(float), "images": 1})
    bins = frame.groupby(weighted.bin_numbers(confidence))
    found = bins.agg({"confidence": "mean", "accuracy": "mean", "images": "sum"})
    found = found.reindex(pd.RangeIndex(BINS, name="bin"))
    return found.assign(images=found["images"].fillna(0).astype(int))


def screening(true_labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Count what thresholds on the probability of melanoma do to a thousand lesions.

    Returns:
        One row a specificity of `weighted.SPECIFICITIES`, the share of other lesions that stay
        below the threshold: sensitivity and precision (0 to 1), and of 1,000 lesions like these
        melanomas found, melanomas missed and others sent on, whole lesions each.
    """
    melanomas = 1000 * (true_labels == MELANOMA).mean()
    rows = {}
    for name, sensitivity in weighted.once(true_labels, probabilities, SPECIFICITIES).items():
        specificity = SPECIFICITIES[name]
        found, others = sensitivity * melanomas, (1 - specificity) * (1000 - melanomas)
        rows[specificity] = {
            "sensitivity": sensitivity,
            "precision": found / (found + others),
            "melanomas found": round(found),
            "melanomas missed": round(melanomas) - round(found),
            "others sent on": round(others),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("specificity")
