"""Age, sex and body site by late fusion: a small model of the patient, times the photograph's.

The network sees the photograph alone. A logistic regression on age, sex and site gives a second
distribution, and the product of both, each to a fitted power (product of experts, Hinton 2002),
is the answer where these facts are known. No network is trained for it, and everything that is
stored is a table of numbers that a page without Python can add up.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from lesions.evaluation.frequencies import (
    FLOOR,
    MALFORMED,
    OFFSETS,
    POWERS,
    SEVEN,
    Correction,
    fit_exponents,
    logs,
    stored_numbers,
)
from lesions.evaluation.predictions import CODES, rows_of

UNKNOWN = "unknown"
BAND = 10  # years
OLDEST_BAND = 80
COLUMNS = ("age", "sex", "localization")


def categories(age: Sequence, sex: Sequence, localization: Sequence) -> pd.DataFrame:
    """Bring age, sex and site to the categories of the model; what is missing is "unknown".

    Args:
        age: Years, NaN or None where missing.
        sex: "female" or "male"; anything else is unknown.
        localization: A site as in HAM10000's table; None where missing.

    Returns:
        Strings, one row a patient: age ("0", "10", ... "80", the first year of the band, the
        last one open), sex and localization.
    """
    years = pd.to_numeric(pd.Series(list(age)), errors="coerce")
    bands = (years // BAND * BAND).clip(0, OLDEST_BAND)
    sexes = pd.Series(list(sex), dtype=object)
    sites = pd.Series(list(localization), dtype=object).fillna("").replace("", UNKNOWN)
    return pd.DataFrame(
        {
            "age": [UNKNOWN if np.isnan(band) else str(int(band)) for band in bands],
            "sex": sexes.where(sexes.isin(("female", "male")), UNKNOWN),
            "localization": sites.astype(str).str.replace("_", " "),
        }
    )


@dataclass(frozen=True)
class Fusion:
    """What a model file stores as `details["patient_fusion"]`.

    The fused probabilities are proportional to photograph ** power * frequency ** offset *
    patient ** weight, where the patient's distribution is the softmax of `intercepts` plus one
    row of each table.

    Attributes:
        power: Exponent of the photograph's corrected probabilities.
        offset: Exponent of the class frequencies; below 0, because both experts know them.
        weight: Exponent of the patient's distribution.
        class_frequencies: (7,), of the correction.
        intercepts: (7,).
        tables: "age", "sex" and "localization" to category to (7,), as of `categories`.
    """

    power: float
    offset: float
    weight: float
    class_frequencies: tuple[float, ...]
    intercepts: tuple[float, ...]
    tables: dict[str, dict[str, list[float]]]

    @classmethod
    def fit(cls, predictions: pd.DataFrame, correction: Correction, metadata: pd.DataFrame):
        """Fit the patient's model on training and validation rows, and three exponents.

        The exponents are fitted on the validation rows of the predictions, with the patient's
        distributions from models that have not seen these lesions.

        Args:
            predictions: predictions.csv of a run, as the network predicts.
            correction: Of this run.
            metadata: Table with image_id, lesion_id, dx, split, age, sex and localization.
        """
        rows = metadata[metadata["split"].isin(("train", "validation"))]
        rows = rows.drop_duplicates("image_id")  # rows oversampled before a leaky split repeat
        known = categories(*(rows[name] for name in COLUMNS))
        design = pd.get_dummies(known, prefix_sep="=", dtype=float)
        labels = rows["dx"].map(CODES.index).to_numpy()
        model = LogisticRegression(max_iter=2000)
        # Five, or as many as the largest class of a very small table has rows.
        count = int(np.clip(np.bincount(labels).max(), 2, 5))
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
        with warnings.catch_warnings():
            # A class of fewer than five lesions is absent from a fold of a small table.
            warnings.simplefilter("ignore")
            unseen = cross_val_predict(
                model, design, labels, groups=rows["lesion_id"], cv=folds, method="predict_proba"
            )
        patient = np.zeros((len(rows), len(CODES)))
        patient[:, np.unique(labels)] = unseen
        found = pd.DataFrame(logs(patient), index=rows["image_id"])
        validation = rows_of(predictions, "validation")
        photograph = logs(correction.apply(validation[CODES].to_numpy()))
        log_frequencies = np.log(np.array(correction.class_frequencies))
        exponents = fit_exponents(
            validation["dx"].map(CODES.index).to_numpy(),
            [photograph, log_frequencies, found.loc[validation["image_id"]].to_numpy()],
            (1.0, 0.0, 0.0),
            (POWERS, OFFSETS, (0.0, OFFSETS[1])),
        )
        model.fit(design, labels)
        return cls(
            *map(float, exponents), correction.class_frequencies, *_as_tables(model, design.columns)
        )

    def apply(
        self, probabilities: np.ndarray, age: Sequence, sex: Sequence, localization: Sequence
    ) -> np.ndarray:
        """Multiply the photograph's probabilities with the patient's.

        Args:
            probabilities: float, (n, 7), corrected, sum 1.
            age, sex, localization: n of each, as of `categories`.

        Returns:
            float64, (n, 7), sum 1. A row of which nothing is known stays as it is.
        """
        known = categories(age, sex, localization)
        patient = np.tile(self.intercepts, (len(known), 1))
        for name, table in self.tables.items():
            patient += np.array([table.get(one, [0.0] * len(CODES)) for one in known[name]])
        offsets = self.offset * np.log(np.array(self.class_frequencies))
        scores = self.power * logs(probabilities) + offsets
        fused = softmax(scores + self.weight * log_softmax(patient, axis=1), axis=1)
        nothing = (known == UNKNOWN).all(axis=1).to_numpy()
        return np.where(nothing[:, None], probabilities, fused)

    def to_details(self) -> dict:
        """Return what a model file stores, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_details(cls, stored: dict) -> Fusion:
        """Read `details["patient_fusion"]`.

        Raises:
            ValueError: If a part is missing or is not what it must be.
        """
        try:
            return cls(
                *(stored_numbers(stored[name]) for name in ("power", "offset", "weight")),
                tuple(stored_numbers(stored["class_frequencies"], SEVEN, lowest=FLOOR)),
                tuple(stored_numbers(stored["intercepts"], SEVEN)),
                {
                    name: {
                        category: stored_numbers(row, SEVEN)
                        for category, row in stored["tables"][name].items()
                    }
                    for name in COLUMNS
                },
            )
        except MALFORMED as error:
            raise ValueError(
                "The stored numbers for age, sex and site are incomplete; save the model again."
            ) from error


def _as_tables(model: LogisticRegression, columns: pd.Index):
    """Return the intercepts and the tables of a fitted model, with classes without a row at -20."""
    intercepts = np.full(len(CODES), -20.0)
    intercepts[model.classes_] = model.intercept_
    tables: dict[str, dict[str, list[float]]] = {name: {} for name in COLUMNS}
    for place, column in enumerate(columns):
        weights = np.zeros(len(CODES))
        weights[model.classes_] = model.coef_[:, place]
        name, category = column.split("=", 1)
        tables[name][category] = [round(float(one), 5) for one in weights]
    return tuple(round(float(one), 5) for one in intercepts), tables
