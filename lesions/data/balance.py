"""Class weights and oversampling of training rows."""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from lesions import classes

WEIGHTINGS = ("none", "balanced", "square_root", "effective")
BETA = 0.999  # of the effective number of samples


def class_weights(labels: np.ndarray, method: str) -> np.ndarray:
    """Compute a loss weight for each class.

    Args:
        labels: int, (n,), training labels 0 to 6.
        method: "none" (ones), "balanced" (inverse frequency, scikit-learn), "square_root"
            (its square root) or "effective" (inverse effective number of samples, Cui et al.
            2019).

    Returns:
        float32, (7,), scaled so that the mean weight of a training image is 1.

    Raises:
        ValueError: If the method is unknown or a class has no training image.
    """
    counts = np.bincount(labels, minlength=len(classes.CODES))
    if method not in WEIGHTINGS:
        raise ValueError(f"Unknown class weighting {method!r}; use {', '.join(WEIGHTINGS)}.")
    if method == "none":
        return np.ones(len(classes.CODES), dtype=np.float32)
    if counts.min() == 0:
        raise ValueError(
            f"The class {classes.CODES[counts.argmin()]!r} has no training image to weight; "
            "use more images."
        )
    if method == "effective":
        weights = (1 - BETA) / (1 - BETA**counts)
    else:
        weights = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
        weights = np.sqrt(weights) if method == "square_root" else weights
    return (weights / np.average(weights, weights=counts)).astype(np.float32)


def oversample(labels: np.ndarray, seed: int = 42) -> np.ndarray:
    """Repeat rows of small classes until all classes are equal, by imbalanced-learn.

    Returns:
        int64, positions in `labels`, every class as often as the largest one.
    """
    from imblearn.over_sampling import RandomOverSampler  # a prediction does without it

    positions = np.arange(len(labels)).reshape(-1, 1)
    chosen, _ = RandomOverSampler(random_state=seed).fit_resample(positions, labels)
    return chosen.ravel()
