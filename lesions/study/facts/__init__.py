"""What the notebooks' sentences quote, by name: computed from the data set and the recorded runs.

`numbers` writes them into the Markdown. A number that a sentence quotes belongs here, one that only
a cell shows does not.
"""

from __future__ import annotations

import pandas as pd

from lesions.study.facts import dataset, elsewhere, explanations, results, trainings
from lesions.study.facts.common import recorded_entries

__all__ = ["OF_THE_DATA", "OF_THE_RUNS", "of", "recorded_entries"]

OF_THE_DATA = {
    "01": dataset.notebook_01,
    "02": dataset.notebook_02,
    "03": dataset.notebook_03,
    "06": results.notebook_06_of_patients,
    "07": dataset.notebook_07,
}
OF_THE_RUNS = {
    "02": trainings.notebook_02,
    "03": trainings.notebook_03,
    "04": trainings.notebook_04,
    "05": trainings.notebook_05,
    "06": results.notebook_06,
    "07": results.notebook_07,
    "08": explanations.notebook_08,
    "09": results.notebook_09,
    "10": elsewhere.notebook_10,
}


def of(number: str, metadata: pd.DataFrame | None = None) -> dict:
    """Map the names of the facts that the notebook of these two digits quotes to their values.

    Without HAM10000's table, which has the columns `split` and `label`, those that need it lack.
    """
    found = OF_THE_RUNS[number]() if number in OF_THE_RUNS else {}
    if metadata is not None and number in OF_THE_DATA:
        found = found | OF_THE_DATA[number](metadata)  # not into what is cached
    return found
