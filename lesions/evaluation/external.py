"""Photographs of other clinics: sets that lack classes, beside the same network at home."""

import json

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from lesions.evaluation import weighted
from lesions.evaluation.answering import answer, decide
from lesions.evaluation.bootstrap import summary
from lesions.evaluation.frequencies import Correction
from lesions.evaluation.predictions import (
    CODES,
    arrays,
    labels_and_probabilities,
    read_predictions,
    rows_of,
)
from lesions.evaluation.weighted import MELANOMA
from lesions.system.folders import MODELS

RECORDED = MODELS / "external"
SETS = {"isic2017": "ISIC 2017", "ph2": "PH2"}
SPECIFICITY = 0.9
OF_ANSWERS = (
    "melanoma_auc",
    "melanoma_sensitivity_at_90_specificity",
    "expected_calibration_error",
    "log_loss",
)


def read_recorded(name: str) -> pd.DataFrame:
    """Read what is recorded of a set of `SETS`: the best model's predictions, one view each.

    `lesions.study.other_clinics` says what further columns hold; the split is "test".
    """
    return read_predictions(RECORDED / f"{name}.csv")


def recorded_network() -> str:
    """Read of which network the recorded sets are; see `inference.familiarity.identity`."""
    return json.loads((RECORDED / "network.json").read_text(encoding="utf-8"))["network"]


def recorded_run() -> str:
    """Read which run `recorded_network` is of."""
    return recorded_network().split()[0]


def melanoma_threshold(answers: pd.DataFrame) -> float:
    """Find the lowest threshold on P(mel) below which 90% of other lesions stay.

    Args:
        answers: From `answer`, with melanomas and other lesions; at home, validation rows.
    """
    labels, probabilities = labels_and_probabilities(answers)
    false_rate, _, thresholds = roc_curve(
        labels == MELANOMA, probabilities[:, MELANOMA], drop_intermediate=False
    )
    return float(thresholds[false_rate <= 1 - SPECIFICITY + 1e-9][-1])


def answer_among(predictions: pd.DataFrame, details: dict, codes) -> pd.DataFrame:
    """Answer as `answer` does, where only the classes `codes` can be right.

    The probabilities of all others are 0, and the decision rule chooses among the labelled ones.
    """
    frame = answer(predictions, details)
    kept = np.isin(CODES, list(codes))
    inside = np.where(kept, np.maximum(frame[CODES].to_numpy(), np.finfo(float).tiny), 0.0)
    frame[CODES] = inside / inside.sum(axis=1, keepdims=True)
    correction = Correction.from_details(details.get("correction"))
    frequencies = np.array(correction.class_frequencies)[kept]
    strength = details.get("decision_strength", 0.0)
    named = decide(frame[CODES].to_numpy()[:, kept], frequencies, strength)
    return frame.assign(predicted=np.array(CODES)[kept][named])


def external_report(
    there: pd.DataFrame, home: pd.DataFrame, details: dict, resamples: int = 1000
) -> pd.DataFrame:
    """Compare a network on photographs of another clinic with the same network at home.

    Args:
        there: Its predictions of an external set with melanomas and at least one other class.
        home: predictions.csv of the run: validation and test rows.
        details: As of `answer`.
        resamples: How many resamples of lesions to draw.

    Returns:
        One row a figure, with columns home, there and difference (there minus home), each with
        _low and _high (95%, over lesions; the two sets are drawn independently). At home only
        the test rows of the classes that are labelled there count. The figures: melanoma_auc;
        melanoma_sensitivity_at_90_specificity, at a threshold fitted on the set itself;
        sensitivity_at_home_threshold and specificity_at_home_threshold, at `melanoma_threshold`
        of the home validation rows of these classes;
        expected_calibration_error and log_loss of all seven probabilities; balanced_accuracy by
        the decision rule among the labelled classes.

    Raises:
        ValueError: If the external set has no melanoma, or nothing else.
    """
    codes = sorted(there["dx"].unique())
    if "mel" not in codes or len(codes) < 2:
        raise ValueError(
            f"The external set shows {', '.join(codes)}; melanomas and at least one other class "
            "are needed."
        )
    home = home[home["dx"].isin(codes)]
    threshold = melanoma_threshold(answer(rows_of(home, "validation"), details))
    drawn = {
        "home": _drawn(rows_of(home, "test"), details, codes, threshold, resamples, seed=1),
        # Drawn as `intervals` draws; the other side is not drawn alike.
        "there": _drawn(there, details, codes, threshold, resamples, seed=0),
    }
    drawn["difference"] = {
        name: drawn["there"][name] - values for name, values in drawn["home"].items()
    }
    sides = []
    for side, figures in drawn.items():
        found = pd.DataFrame({name: summary(values) for name, values in figures.items()}).T
        sides.append(found.add_prefix(f"{side}_").rename(columns={f"{side}_value": side}))
    return pd.concat(sides, axis=1).rename_axis("metric")


def _drawn(predictions, details, codes, threshold, resamples, seed) -> dict[str, np.ndarray]:
    """Compute every figure on all rows (first) and on resamples of lesions (the others)."""
    labels, scores, _ = arrays(answer(predictions, details))
    among = arrays(answer_among(predictions, details, codes))
    melanoma, called = labels == MELANOMA, scores[:, MELANOMA] >= threshold
    found = []
    for weights in weighted.lesion_weights(predictions["lesion_id"], resamples, seed):
        figures = weighted.metrics(labels, scores, weights, OF_ANSWERS)
        figures["sensitivity_at_home_threshold"] = weighted.ratio(
            (melanoma & called) @ weights, melanoma @ weights
        )
        figures["specificity_at_home_threshold"] = weighted.ratio(
            (~melanoma & ~called) @ weights, ~melanoma @ weights
        )
        figures |= weighted.metrics(*among[:2], weights, ("balanced_accuracy",), among[2])
        found.append(figures)
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}
