"""What networks with patient data take as input."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lesions.data.values import SEXES, SITES

PATIENT_FEATURES = 2 + len(SEXES) + len(SITES)


def patient_features(metadata: pd.DataFrame) -> np.ndarray:
    """Encode age, sex and body site; never `dx_type`, which gives the diagnosis away.

    Args:
        metadata: Table with age (years), sex and localization.

    Returns:
        float32, (n, PATIENT_FEATURES): age / 100 (0 where missing), 1 where age is missing,
        sex one-hot over `SEXES`, site one-hot over `SITES`. Values 0 to 1.
    """
    age = metadata["age"].to_numpy(dtype=np.float32)
    site = metadata["localization"].str.replace(" ", "_")
    columns = [np.nan_to_num(age) / 100, np.isnan(age)]
    sex = metadata["sex"].where(metadata["sex"].isin(SEXES), "unknown")
    site = site.where(site.isin(SITES), "unknown")
    columns += [sex == value for value in SEXES] + [site == value for value in SITES]
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
