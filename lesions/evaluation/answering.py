"""From a network's predictions to what a user reads: corrected probabilities and a class."""

import numpy as np
import pandas as pd

from lesions.evaluation import patient_data, weighted
from lesions.evaluation.frequencies import Correction, class_frequencies, logs
from lesions.evaluation.predictions import CODES, labels_and_probabilities, rows_of

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
    scores = logs(probabilities) - strength * np.log(np.asarray(class_frequencies))
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


def fit(predictions: pd.DataFrame, frequencies) -> dict:
    """Fit the correction and the strength of the decision rule on the validation rows.

    Args:
        predictions: predictions.csv of a run; the network was not trained on its validation rows.
        frequencies: float, (7,), from `class_frequencies`.

    Returns:
        What metrics.json and the model file store: correction (`Correction.to_details`) and
        decision_strength.
    """
    labels, probabilities = labels_and_probabilities(rows_of(predictions, "validation"))
    correction = Correction.fit(labels, probabilities, frequencies)
    strength = fit_strength(labels, correction.apply(probabilities), frequencies)
    return {"correction": correction.to_details(), "decision_strength": strength}


def answers_details(predictions: pd.DataFrame, metadata: pd.DataFrame) -> dict:
    """Compute all that a model file stores so that its answers are those of the evaluation.

    Args:
        predictions: predictions.csv of the run that the network comes from.
        metadata: The table that it was trained with, with a column `split`.

    Returns:
        As of `fit`, and patient_fusion (`Fusion.to_details`, for networks that see the photograph
        alone); ready for JSON.
    """
    details = fit(predictions, class_frequencies(metadata))
    correction = Correction.from_details(details["correction"])
    fusion = patient_data.Fusion.fit(predictions, correction, metadata)
    return {**details, "patient_fusion": fusion.to_details()}


def answer(
    predictions: pd.DataFrame,
    details: dict,
    by_lesion: bool = False,
    metadata: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Bring predictions to the class frequencies and name a class by the decision rule.

    Args:
        predictions: predictions.csv of a run, as the network predicts, any rows of it.
        details: metrics.json of the run, or what is stored with its model.
        by_lesion: Whether each lesion is one row, the mean of its photographs, whose image_id is
            the lesion_id.
        metadata: Table with image_id, age, sex and localization of these photographs, to answer
            given age, sex and site by `details["patient_fusion"]`; None for the photograph alone.

    Returns:
        The frame with corrected probabilities and a column predicted (code).
    """
    correction = Correction.from_details(details.get("correction"))
    frame = predictions.copy()
    frame[CODES] = correction.apply(frame[CODES].to_numpy())
    if metadata is not None:
        fusion = patient_data.Fusion.from_details(details["patient_fusion"])
        known = metadata.set_index("image_id").loc[frame["image_id"]]
        facts = [known[name] for name in patient_data.COLUMNS]
        frame[CODES] = fusion.apply(frame[CODES].to_numpy(), *facts)
    if by_lesion:
        means = frame.groupby(["lesion_id", "split", "dx"], sort=True, as_index=False)[CODES].mean()
        frame = means.assign(image_id=means["lesion_id"])
    labels = decide(
        frame[CODES].to_numpy(), correction.class_frequencies, details.get("decision_strength", 0)
    )
    return frame.assign(predicted=[CODES[label] for label in labels])
