"""What metrics.json holds: one run's figures on validation and test."""

import numpy as np
import pandas as pd

from lesions.evaluation import answering
from lesions.evaluation.bootstrap import intervals
from lesions.evaluation.predictions import arrays, rows_of
from lesions.evaluation.scores import metrics, per_class
from lesions.evaluation.weighted import HEADLINES


def evaluate(predictions: pd.DataFrame, frequencies, names=HEADLINES) -> dict:
    """Evaluate a run at the class frequencies; whatever is fitted is fitted on validation.

    Args:
        predictions: predictions.csv of the run, as the network predicts, validation and test.
        frequencies: float, (7,), from `class_frequencies`.
        names: Of which headlines intervals are computed.

    Returns:
        correction and decision_strength (`answering.fit`); validation, test and test_lesions,
        the metrics of `metrics` (test_lesions counts every lesion once); test_intervals and
        test_lesion_intervals (metric to [low, high]); test_per_class. Plain floats, None where
        undefined.

    Raises:
        ValueError: If a split is missing, or a class is absent from one of them.
    """
    rows_of(predictions, "test")
    details = answering.fit(predictions, frequencies)
    answers = answering.answer(predictions, details)
    lesions = answering.answer(rows_of(predictions, "test"), details, by_lesion=True)
    test = rows_of(answers, "test")
    return _plain(
        {
            **details,
            "validation": metrics(*arrays(rows_of(answers, "validation"))),
            "test": metrics(*arrays(test)),
            "test_lesions": metrics(*arrays(lesions)),
            "test_intervals": _bounds(test, names),
            "test_lesion_intervals": _bounds(lesions, names),
            "test_per_class": per_class(*arrays(test)).to_dict("index"),
        }
    )


def _bounds(answers: pd.DataFrame, names) -> dict[str, list[float]]:
    table = intervals(answers, names=names)
    return {name: [row["low"], row["high"]] for name, row in table.iterrows()}


def _plain(value):
    """Turn nested results into what JSON can hold, NaN into None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if np.isfinite(value) else None
