"""Read the tables of HAM10000, of ISIC's challenges and of the ISIC Archive into one form."""

import difflib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from lesions import classes
from lesions.data import diagnoses, values
from lesions.data.cells import (
    check_filled,
    check_unique,
    note_sites,
    read_cells,
    tidy_patients,
)

ARCHIVE_NAMES = {
    "isic_id": "image_id",
    "age_approx": "age",
    "anatom_site_general": "localization",
    "diagnosis_confirm_type": "dx_type",
}
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
# Columns of ISIC's ground truths; rows of the last two have no class and are left out.
ONE_HOT = {
    "ak": "akiec",
    **{code: code for code in classes.CODES},
    "scc": "squamous cell carcinoma",
    "unk": "unknown",
}
HAM_NAMES = ("ham10000_metadata.csv", "ham10000_metadata.tab", "ham10000_metadata")


def kind_of(columns, name: str = "") -> str | None:
    """Return which kind of table has columns of these names, in lower case.

    Returns:
        "ham10000" (by the file's own name; read strictly), "metadata" (HAM10000's columns, not
        all needed), "archive" (ISIC Archive), "one_hot" (ISIC challenges), or None.
    """
    columns = set(columns)
    if name.lower() in HAM_NAMES and not {"image", "mel"} <= columns:
        return "ham10000"
    # One-hot columns that somebody added to HAM10000's table must not cost its lesion ids.
    if {"image_id", "dx"} <= columns:
        return "metadata"
    if "isic_id" in columns and columns & set(diagnoses.ARCHIVE_COLUMNS):
        return "archive"
    return "one_hot" if {"image", "mel", "nv"} <= columns else None


def read_table(path, groupings=None, extra=None) -> tuple[pd.DataFrame, list[str]]:
    """Read and check one table of photographs.

    Args:
        path: The table.
        groupings: ISIC 2018's LesionGroupings table, for a one-hot table.
        extra: ISIC 2019's metadata table, for a one-hot table.

    Returns:
        The rows that have a class, with the columns `COLUMNS`: text, but age (float, years, NaN
        where missing); indexed by the row's line in the file. And sentences about what was left
        out or is not known.

    Raises:
        ValueError: One sentence that names the file, the row or column and the way out.
    """
    cells = read_cells(path)
    name = Path(path).name
    kind = kind_of(cells.columns, name)
    notes: list[str] = []
    if kind == "ham10000":
        _check_columns(cells, name)
    elif kind == "archive":
        cells = _from_archive(cells, name, notes)
    elif kind == "one_hot":
        cells = _from_one_hot(cells, name, notes, groupings, extra)
    elif kind is None:
        raise ValueError(
            f"{name} has the columns {', '.join(cells.columns[:12])}; it needs image_id and dx, "
            "isic_id and diagnosis, or image and one column for each diagnosis."
        )
    return _tidy(cells, name, kind, notes), notes


def _check_columns(cells: pd.DataFrame, name: str) -> None:
    lacking = next((column for column in COLUMNS if column not in cells.columns), None)
    if lacking:
        close = difflib.get_close_matches(lacking, cells.columns, n=1)
        hint = f"rename {close[0]!r} to {lacking!r}" if close else "download the table again"
        raise ValueError(f"{name} lacks the column {lacking!r}; {hint}.")


def _from_archive(cells: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """Turn the ISIC Archive's metadata into HAM10000's columns, without rows of no class."""
    if "image_type" in cells.columns:
        seen = cells["image_type"].map(values.text).str.lower()
        other = ~(seen.str.startswith("dermoscop") | seen.isin(values.MISSING))
        cells = _leave_out(cells, other, seen, name, "is not a dermatoscopic image", notes)
    levels = [column for column in diagnoses.ARCHIVE_COLUMNS if column in cells.columns]
    found = [
        diagnoses.of_archive(map(values.text, row)) for row in cells[levels].itertuples(index=False)
    ]
    return _renamed(cells).assign(dx=found)


def _renamed(cells: pd.DataFrame) -> pd.DataFrame:
    """Rename the archive's columns to HAM10000's, in the place of any that have them already."""
    renamed = {old: new for old, new in ARCHIVE_NAMES.items() if old in cells.columns}
    return cells.drop(columns=list(renamed.values()), errors="ignore").rename(columns=renamed)


def _from_one_hot(cells, name: str, notes: list[str], groupings, extra) -> pd.DataFrame:
    """Turn a ground truth of ISIC 2018 or 2019 into HAM10000's columns."""
    held = {ONE_HOT.get(column) for column in cells.columns}
    missing = [code.upper() for code in classes.CODES if code not in held]
    if missing:
        raise ValueError(
            f"{name} lacks the column {', '.join(missing)}; an ISIC ground truth has image, MEL, "
            "NV, BCC, AKIEC or AK, BKL, DF and VASC."
        )
    columns = [column for column in ONE_HOT if column in cells.columns]
    marks = cells[columns].map(lambda cell: values.text(cell).replace(",", "."))
    one_hot = marks.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    wrong = ((one_hot == 1).sum(axis=1) != 1) | ((one_hot == 0).sum(axis=1) != len(columns) - 1)
    if wrong.any():
        line = cells.index[wrong][0]
        raise ValueError(
            f"{name}, row {line} ({cells['image'][line]}) marks not exactly one diagnosis with 1 "
            "and the others with 0; correct that row."
        )
    rows = pd.DataFrame({"image_id": cells["image"].map(values.image_id)}, index=cells.index)
    rows["dx"] = np.array([ONE_HOT[column] for column in columns])[one_hot.argmax(axis=1)]
    for column in set(COLUMNS) & set(cells.columns) - {"image_id", "dx"}:  # added by somebody
        rows[column] = cells[column]
    if extra is not None:
        rows = _join_extra(rows, extra)
    if groupings is not None:
        rows["lesion_id"] = _grouped(rows["image_id"], groupings)
    return rows


def _join_extra(rows: pd.DataFrame, path) -> pd.DataFrame:
    """Add lesion, age, sex and site from the metadata that come with ISIC 2019."""
    extra = _renamed(read_cells(path))
    if "image" not in extra.columns:
        raise ValueError(f"{Path(path).name} lacks the column 'image'; download it again.")
    extra["image"] = extra["image"].map(values.image_id)
    check_unique(extra, "image", Path(path).name)
    extra = extra.set_index("image").reindex(rows["image_id"]).fillna("")
    for column in ("lesion_id", "age", "sex", "localization"):
        if column in extra.columns:
            rows[column] = extra[column].to_numpy()
    return rows


def _grouped(image_ids: pd.Series, path) -> pd.Series:
    """Return the lesion of every image from ISIC 2018's groupings."""
    name = Path(path).name
    cells = read_cells(path)
    for column in ("image", "lesion_id"):
        if column not in cells.columns:
            raise ValueError(f"{name} lacks the column {column!r}; download it again.")
    cells = cells[["image", "lesion_id"]].map(values.text)
    cells["image"] = cells["image"].map(values.image_id)
    cells = cells.drop_duplicates()
    check_unique(cells, "image", name)
    lesions = image_ids.map(cells.set_index("image")["lesion_id"]).fillna("")
    without = image_ids[lesions == ""]
    if len(without):
        raise ValueError(
            f"{name} names no lesion for {len(without)} of {len(image_ids)} photographs, the "
            f"first is {without.iloc[0]}, so a split would leak; download it again."
        )
    return lesions


def _leave_out(cells, out: pd.Series, reasons: pd.Series, name: str, why: str, notes):
    if out.any():
        counts = Counter(reasons[out])
        listed = ", ".join(f"{number} {reason}" for reason, number in counts.most_common())
        notes.append(
            f"{name}: {int(out.sum())} of {len(cells)} rows are left out, because what they show "
            f"{why} ({listed})."
        )
    return cells[~out]


def _tidy(cells: pd.DataFrame, name: str, kind: str, notes: list[str]) -> pd.DataFrame:
    """Check every cell and bring it to one form."""
    strict = kind == "ham10000"
    table = pd.DataFrame(index=cells.index)
    for column in COLUMNS:
        table[column] = cells[column].map(values.text) if column in cells.columns else ""
    table["image_id"] = table["image_id"].map(values.image_id)
    table["lesion_id"] = table["lesion_id"].map(values.lesion_id)
    check_filled(table, name, ("lesion_id", "image_id", "dx") if strict else ("image_id", "dx"))
    table["dx"] = _coded(table, name, strict)
    unknown = ~table["dx"].isin(classes.CODES)
    table = _leave_out(table, unknown, table["dx"], name, "has no class in HAM10000", notes)
    if table.empty:
        raise ValueError(f"{name} has no row with one of {', '.join(classes.CODES)}; check it.")
    check_unique(table, "image_id", name)
    tidy_patients(table, name)
    table["dx_type"] = table["dx_type"].where(table["dx_type"] != "", "unknown")
    table = _with_lesions(table, name, kind, notes)
    note_sites(table, name, notes)
    return table


def _coded(table: pd.DataFrame, name: str, strict: bool) -> pd.Series:
    if not strict:
        return table["dx"].map(lambda dx: diagnoses.code_of(dx) or dx.lower())
    codes = table["dx"].str.lower()
    unknown = table[~codes.isin(classes.CODES)]
    if len(unknown):
        row = unknown.iloc[0]
        raise ValueError(
            f"{name}, row {unknown.index[0]} ({row['image_id']}) has the unknown diagnosis "
            f"{row['dx']!r}; it must be one of {', '.join(classes.CODES)}."
        )
    return codes


def _with_lesions(table: pd.DataFrame, name: str, kind: str, notes) -> pd.DataFrame:
    """Assign every photograph without a lesion id one of its own, and check the others."""
    alone = table["lesion_id"].str.lower().isin(values.MISSING)
    if alone.any():
        notes.append(
            f"{name} does not say which lesion {int(alone.sum())} of {len(table)} photographs "
            "show, so each of these counts as a lesion of its own, and a split may leak; add a "
            "column lesion_id, or for ISIC 2018 its LesionGroupings table."
        )
    taken = alone & table["image_id"].isin(table.loc[~alone, "lesion_id"])
    if taken.any():
        first = table.loc[taken, "image_id"].iloc[0]
        raise ValueError(
            f"{name} names no lesion for photograph {first}, and the lesion of another photograph "
            f"is called {first}; fill in the lesion_id of {first}."
        )
    table["lesion_id"] = table["lesion_id"].where(~alone, table["image_id"])
    folded = table["lesion_id"].str.casefold()
    # Of photographs without a lesion, each is its own, even if names differ in capitals alone.
    with_lesion = table[folded.isin(folded[~alone])]
    spellings = with_lesion.groupby(folded)["lesion_id"].unique()
    double = spellings[spellings.map(len) > 1]
    if len(double):
        raise ValueError(
            f"{name} writes lesions in two ways, the first as {' and '.join(double.iloc[0])}, so a "
            "split would leak; write each in one way."
        )
    diagnoses_of = table.groupby("lesion_id")["dx"].unique()
    torn = diagnoses_of[diagnoses_of.map(len) > 1]
    if len(torn):
        first, named = torn.index[0], " and ".join(torn.iloc[0])
        if kind not in ("archive", "one_hot"):
            raise ValueError(
                f"{name}: lesion {first} has the diagnoses {named}; give all its rows the same dx."
            )
        # Nobody can correct a public collection, and its lesions may change over the years.
        notes.append(
            f"{name}: {len(torn)} lesions have several diagnoses, the first is {first} ({named})."
        )
    return table
