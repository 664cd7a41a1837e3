"""From probabilities to an answer: logit adjustment after training (Menon et al. 2021)."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from lesions import classes

STRENGTHS = np.linspace(0, 1, 11)


def decide(probabilities: np.ndarray, log_prior=None) -> np.ndarray:
    """Choose a class for each row of probabilities.

    Args:
        probabilities: float, (n, 7), rows sum to 1.
        log_prior: float, (7,), what each class's log probability must exceed, see `fit`; None
            for the most probable class.

    Returns:
        int, (n,), 0 to 6.
    """
    scores = np.log(np.maximum(probabilities, 1e-12))
    if log_prior is not None:
        scores = scores - np.asarray(log_prior)
    return scores.argmax(axis=1)


def fit(true_labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    """Find how far to lean towards rare classes for the best balanced accuracy.

    A missed rare class costs balanced accuracy more than a missed common one, so the class to
    name is not always the most probable. The strength is chosen among 0, 0.1, ... 1; the middle
    of the values that come within half a percentage point of the best is taken, because single
    images of a rare class would otherwise decide.

    Args:
        true_labels: int, (n,), 0 to 6, of validation images.
        probabilities: float, (n, 7), for these images, rows sum to 1.

    Returns:
        The strength, 0 to 1, and strength times the log of the class frequencies, (7,).
    """
    counts = np.bincount(true_labels, minlength=len(classes.CODES))
    log_frequency = np.log(np.maximum(counts, 1) / counts.sum())
    scores = [
        balanced_accuracy_score(true_labels, decide(probabilities, strength * log_frequency))
        for strength in STRENGTHS
    ]
    strength = float(np.median(STRENGTHS[np.array(scores) >= max(scores) - 0.005]))
    return strength, strength * log_frequency
