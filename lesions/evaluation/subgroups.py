"""Groups of patients or photographs, evaluated apart."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lesions import classes
from lesions.evaluation import weighted
from lesions.evaluation.bootstrap import score
from lesions.evaluation.predictions import arrays, one_split

METRICS = ("accuracy", "balanced_accuracy", "malignant_auc", "melanoma_auc")
AGE_BANDS = ("0-29", "30-44", "45-59", "60-74", "75+")


def slices(predictions: pd.DataFrame, metadata: pd.DataFrame, by: str) -> pd.DataFrame:
    """Evaluate groups of patients or photographs apart.

    Args:
        predictions: Predictions of one split.
        metadata: As `data.read_metadata` returns it; joined on image_id.
        by: A column of the metadata, or 'age_band' (0-29, 30-44, 45-59, 60-74, 75+ years, missing).

    Returns:
        One row a group, age bands in order and others by size: images, lesions, melanomas,
        accuracy, balanced_accuracy over the classes present, malignant_auc and melanoma_auc (NaN
        where a group has only lesions of one side).
    """
    rows = {}
    for group, part in _groups(predictions, metadata, by):
        labels, probabilities, named = arrays(part)
        rows[group] = {
            "images": len(part),
            "lesions": part["lesion_id"].nunique(),
            "melanomas": int((part["dx"] == "mel").sum()),
            **weighted.once(labels, probabilities, METRICS, named),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)


def slice_intervals(
    predictions: pd.DataFrame, metadata: pd.DataFrame, by: Iterable[str], least: int = 10
) -> pd.DataFrame:
    """Compute `malignant_auc` with its interval in the groups that are large enough.

    Args:
        predictions, metadata: As in `slices`.
        by: As in `slices`, any number of them.
        least: Malignant lesions, and benign ones, that a group needs; a score of fewer is mostly
            chance.

    Returns:
        Indexed by `by` and group: value, low, high, images and malignant (lesions).
    """
    rows = {}
    for kind in by:
        for group, part in _groups(predictions, metadata, kind):
            lesions = part.drop_duplicates("lesion_id")["dx"].isin(classes.MALIGNANT)
            if min(lesions.sum(), (~lesions).sum()) >= least:
                found = vars(score(part, "malignant_auc"))
                rows[kind, group] = {**found, "images": len(part), "malignant": lesions.sum()}
    columns = ["value", "low", "high", "images", "malignant"]
    index = pd.MultiIndex.from_tuples(list(rows), names=("by", "group"))
    return pd.DataFrame(list(rows.values()), index, columns)


def _groups(predictions: pd.DataFrame, metadata: pd.DataFrame, by: str):
    """Yield the groups of a column with their predictions: bands in order, others by size."""
    one_split(predictions)
    known = metadata.set_index("image_id")["age" if by == "age_band" else by]
    groups = pd.Series(known.loc[predictions["image_id"]].to_numpy())
    if by == "age_band":
        edges = [0, 30, 45, 60, 75, np.inf]
        groups = pd.cut(groups.astype(float), edges, right=False, labels=AGE_BANDS).astype(object)
    groups = groups.fillna("missing")
    rows = groups.groupby(groups).indices
    if by == "age_band":
        order = [band for band in (*AGE_BANDS, "missing") if band in rows]
    else:
        order = sorted(rows, key=lambda group: -len(rows[group]))
    for group in order:
        yield group, predictions.iloc[rows[group]]
