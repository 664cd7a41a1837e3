"""Age, sex and site of patients: what users give, and what networks take as a second input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesions.data import cells as checked
from lesions.data import tables, values
from lesions.data.values import SEXES, SITES

PATIENT_FEATURES = 2 + len(SEXES) + len(SITES)
# What other collections call HAM10000's columns.
_OTHER_NAMES = {"image": "image_id", **tables.ARCHIVE_NAMES, "site": "localization"}
_FACTS = ["age", "sex", "localization"]
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class Patient:
    """What is known of the person in a photograph.

    Attributes:
        age: Years, 0 to 120; None where unknown.
        sex: One of `SEXES`.
        localization: One of `SITES`, with spaces.
    """

    age: float | None = None
    sex: str = "unknown"
    localization: str = "unknown"

    @classmethod
    def read(cls, age="", sex="", site="") -> Patient:
        """Read what somebody wrote, as cells of a table are read; empty is unknown.

        Raises:
            ValueError: If one of them makes no sense; names it and its value.
        """
        years = _read("age", age, values.age)
        return cls(
            None if np.isnan(years) else years,
            _read("sex", sex, values.sex),
            _read("site", site, values.known_site),
        )

    @property
    def is_known(self) -> bool:
        """Whether anything is known."""
        return self != UNKNOWN_PATIENT

    def describe(self) -> str:
        """Return what is known in a few words, "" where nothing is."""
        age = "" if self.age is None else f"age {self.age:g}"
        known = [age, *(one for one in (self.sex, self.localization) if one != "unknown")]
        return ", ".join(filter(None, known))


UNKNOWN_PATIENT = Patient()


def _read(name: str, cell, convert):
    try:
        return convert("" if cell is None else cell)
    except ValueError as error:
        raise ValueError(
            f"The {name} {str(cell)[:_SHOWN_CHARACTERS]!r} is not understood; {error}."
        ) from error


def read_patients(path) -> tuple[dict[str, Patient], list[str]]:
    """Read a table of patients, such as HAM10000's own.

    Args:
        path: A table with image_id and any of age, sex and localization; empty cells are
            unknown, and further columns are passed over.

    Returns:
        The patient of every image id, and sentences about what is not known here.

    Raises:
        ValueError: One sentence that names the file, the row or column and the way out.
    """
    name = Path(path).name
    cells = checked.read_cells(path)
    renamed: dict[str, str] = {}
    for old, new in _OTHER_NAMES.items():
        if old in cells.columns and new not in {*cells.columns, *renamed.values()}:
            renamed[old] = new
    cells = cells.rename(columns=renamed)
    if "image_id" not in cells.columns or not set(_FACTS) & set(cells.columns):
        raise ValueError(
            f"{name} has the columns {', '.join(cells.columns[:12])}; it needs image_id and any "
            "of age, sex and localization."
        )
    table = cells.reindex(columns=["image_id", *_FACTS], fill_value="").map(values.text)
    table["image_id"] = table["image_id"].map(values.image_id)
    checked.check_filled(table, name, ("image_id",))
    checked.tidy_patients(table, name)
    table = table.drop_duplicates()
    checked.check_unique(table, "image_id", name)
    notes: list[str] = []
    checked.note_sites(table, name, notes)
    known = table["localization"].map(values.is_known_site)
    table["localization"] = table["localization"].where(known, "unknown")
    ages = [None if np.isnan(age) else age for age in table["age"]]
    patients = map(Patient, ages, table["sex"], table["localization"])
    return dict(zip(table["image_id"], patients, strict=True)), notes


def as_table(patients: Sequence[Patient]) -> pd.DataFrame:
    """Return HAM10000's columns age (float, years, NaN where unknown), sex and localization."""
    rows = [(np.nan if one.age is None else one.age, one.sex, one.localization) for one in patients]
    return pd.DataFrame(rows, columns=_FACTS).astype({"age": float})


def patient_features(metadata: pd.DataFrame) -> np.ndarray:
    """Encode age, sex and body site; never `dx_type`, which gives the diagnosis away.

    Args:
        metadata: Table with age (years), sex and localization.

    Returns:
        float32, (n, PATIENT_FEATURES): age / 100 (0 to 1.2, 0 where missing), 1 where age is
        missing, sex one-hot over `SEXES`, site one-hot over `SITES`.
    """
    age = metadata["age"].to_numpy(dtype=np.float32)
    site = metadata["localization"].str.replace(" ", "_")
    columns = [np.nan_to_num(age) / 100, np.isnan(age)]
    sex = metadata["sex"].where(metadata["sex"].isin(SEXES), "unknown")
    site = site.where(site.isin(SITES), "unknown")
    columns += [sex == value for value in SEXES] + [site == value for value in SITES]
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
