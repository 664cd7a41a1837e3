"""Groups of patients or photographs, evaluated apart."""

import numpy as np
import pandas as pd

from lesions.evaluation import weighted
from lesions.evaluation.predictions import arrays, one_split

SLICES = ("sex", "age_band", "localization", "dx_type")
# Measured on the photographs, by whoever passes the metadata.
MEASURED = ("skin_tone", "dark_corners")
METRICS = ("accuracy", "balanced_accuracy", "malignant_auc", "melanoma_auc")
AGE_BANDS = ("0-29", "30-44", "45-59", "60-74", "75+", "missing")


def slices(predictions: pd.DataFrame, metadata: pd.DataFrame, by: str) -> pd.DataFrame:
    """Evaluate groups of patients or photographs apart.

    Args:
        predictions: Predictions of one split.
        metadata: As `data.read_metadata` returns it; joined on image_id.
        by: 'sex', 'age_band' (0-29, 30-44, 45-59, 60-74, 75+ years, missing), 'localization',
            'dx_type', or a column of `MEASURED`, which has to be added to the metadata.

    Returns:
        One row a group, age bands in order and others by size: images, lesions, melanomas,
        accuracy, balanced_accuracy over the classes present, malignant_auc and melanoma_auc (NaN
        where a group has only lesions of one side).

    Raises:
        ValueError: If `by` is unknown or the metadata lacks an image.
    """
    if by not in (*SLICES, *MEASURED):
        known = ", ".join((*SLICES, *MEASURED))
        raise ValueError(f"There are no slices by '{by}'; choose one of {known}.")
    one_split(predictions)
    known = metadata.set_index("image_id")["age" if by == "age_band" else by]
    lacking = predictions.loc[~predictions["image_id"].isin(known.index), "image_id"]
    if len(lacking):
        raise ValueError(
            f"The metadata has no row for {len(lacking)} predicted images, first "
            f"{lacking.iloc[0]}; pass the metadata these predictions were made with."
        )
    values = known.loc[predictions["image_id"]].to_numpy()
    groups = _age_bands(values) if by == "age_band" else pd.Series(values).fillna("missing")
    rows = {}
    for group, positions in groups.groupby(groups).indices.items():
        part = predictions.iloc[positions]
        labels, probabilities, named = arrays(part)
        rows[group] = {
            "images": len(part),
            "lesions": part["lesion_id"].nunique(),
            "melanomas": int((part["dx"] == "mel").sum()),
            **weighted.once(labels, probabilities, METRICS, named),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
    if by == "age_band":
        return table.loc[[band for band in AGE_BANDS if band in table.index]]
    return table.sort_values("images", ascending=False, kind="stable")


def _age_bands(ages: np.ndarray) -> pd.Series:
    bands = pd.cut(
        pd.Series(ages, dtype=float),
        [0, 30, 45, 60, 75, np.inf],
        right=False,
        labels=list(AGE_BANDS[:-1]),
    )
    return bands.astype(object).fillna("missing")
