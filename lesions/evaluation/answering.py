"""From a network's predictions to what a user reads: corrected probabilities and a class."""

import pandas as pd

from lesions.evaluation import decisions, patient_data
from lesions.evaluation.frequencies import Correction, class_frequencies
from lesions.evaluation.predictions import CODES, labels_and_probabilities, rows_of


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
    strength = decisions.fit_strength(labels, correction.apply(probabilities), frequencies)
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
    labels = decisions.decide(
        frame[CODES].to_numpy(), correction.class_frequencies, details.get("decision_strength", 0)
    )
    return frame.assign(predicted=[CODES[label] for label in labels])
