"""The decision rule: from probabilities at the class frequencies to the class that is named."""

import numpy as np

from lesions.evaluation import frequencies, weighted

STRENGTHS = np.linspace(0, 1, 11)


def decide(probabilities: np.ndarray, class_frequencies: np.ndarray, strength: float) -> np.ndarray:
    """Divide each probability by its class's frequency to a power, and take the largest.

    This is logit adjustment after training (Menon et al. 2021). Strength 0 takes the most
    probable class, strength 1 the class whose probability most exceeds its frequency.

    Args:
        probabilities: float, (n, 7), corrected by `frequencies.Correction`, rows sum to 1.
        class_frequencies: float, (7,), of the correction.
        strength: The power, 0 to 1, from `fit_strength`.

    Returns:
        int, (n,), 0 to 6.
    """
    scores = frequencies.logs(probabilities) - strength * np.log(np.asarray(class_frequencies))
    return scores.argmax(axis=-1)


def fit_strength(
    true_labels: np.ndarray, probabilities: np.ndarray, class_frequencies: np.ndarray
) -> float:
    """Find the strength of the rule with the best balanced accuracy.

    A missed rare class costs balanced accuracy more than a missed common one, so the class to
    name is not always the most probable. Of 0, 0.1, ... 1, the middle of the values that come
    within half a percentage point of the best is taken, because single images of a rare class
    would otherwise decide; where the middle does not, the one of them nearest to it.

    Args:
        true_labels: int, (n,), 0 to 6, of rows that the network was not trained on.
        probabilities: float, (n, 7), for these rows, corrected.
        class_frequencies: float, (7,), of the correction.

    Returns:
        The strength, 0 to 1.
    """

    def balanced_accuracy(strength: float) -> float:
        named = decide(probabilities, class_frequencies, strength)
        found = weighted.once(true_labels, probabilities, ["balanced_accuracy"], named)
        return found["balanced_accuracy"]

    scores = np.array([balanced_accuracy(strength) for strength in STRENGTHS])
    least = scores.max() - 0.005
    good = STRENGTHS[scores >= least]
    middle = np.median(good)
    if balanced_accuracy(middle) < least:  # between two good ones, or between two stretches
        middle = good[np.abs(good - middle).argmin()]
    return float(middle)
