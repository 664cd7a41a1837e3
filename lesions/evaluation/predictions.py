"""predictions.csv: one row a photograph, as the network predicts it, before any correction."""

from pathlib import Path

import numpy as np
import pandas as pd

from lesions import classes
from lesions.system.files import read_csv, write_csv

CODES = list(classes.CODES)
COLUMNS = ["image_id", "lesion_id", "split", "dx", *CODES]
SPLITS = ("train", "validation", "test", "clean")
SUM_TOLERANCE = 1e-3  # far above what rounding to six digits leaves
RESTORE = "restore the file or train that run again"


def table(rows: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Join probabilities (n, 7) to their rows; a frame with the `COLUMNS` of predictions.csv."""
    frame = rows[["image_id", "lesion_id", "split", "dx"]].reset_index(drop=True)
    frame[CODES] = np.asarray(probabilities, dtype=np.float64)
    return frame


def write_predictions(predictions: pd.DataFrame, path) -> Path:
    """Write predictions.csv with six digits a probability, and return its path."""
    return write_csv(predictions[COLUMNS], path)


def read_predictions(path) -> pd.DataFrame:
    """Read predictions.csv.

    Returns:
        A frame with the columns `COLUMNS`, probabilities scaled to sum to 1 again.

    Raises:
        ValueError: If it is not such a table; names the file and the row.
    """
    text = ("image_id", "lesion_id", "split", "dx")
    try:
        # Ids are text, even where they are numbers with zeros in front.
        types = dict.fromkeys(text, str)
        frame = read_csv(path, dtype=types, keep_default_na=False, na_values=[""])
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a complete table of predictions; {RESTORE}.") from error
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; {RESTORE}.")
    frame[CODES] = frame[CODES].apply(pd.to_numeric, errors="coerce")
    _check_rows(frame, path)
    frame[CODES] = frame[CODES].div(frame[CODES].sum(axis=1), axis=0)
    return frame


def _check_rows(frame: pd.DataFrame, path) -> None:
    """Check every cell, because a damaged one would change figures without a word."""
    shares = frame[CODES]
    wrong = {
        "no image_id": frame["image_id"].isna(),
        "no lesion_id": frame["lesion_id"].isna(),
        "the unknown split {split!r}": ~frame["split"].isin(SPLITS),
        "the unknown diagnosis {dx!r}": ~frame["dx"].isin(CODES),
        "no probabilities from 0 to 1": ~((shares >= 0) & (shares <= 1)).all(axis=1),
        "probabilities whose sum is not 1": (shares.sum(axis=1) - 1).abs() > SUM_TOLERANCE,
    }
    for problem, rows in wrong.items():
        if rows.any():
            row = frame[rows].iloc[0]
            raise ValueError(
                f"{path}, row {row.name + 2} ({row['image_id']}) has {problem.format(**row)}; "
                f"{RESTORE}."
            )


def labels_and_probabilities(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Take labels, int (n,), 0 to 6, and probabilities, float64 (n, 7), from a frame.

    Raises:
        ValueError: If the probabilities of an image do not sum to 1, as of a network that
            diverged.
    """
    labels = predictions["dx"].map(CODES.index).to_numpy(dtype=int)
    scores = predictions[CODES].to_numpy(dtype=float)
    right = (scores >= 0).all(axis=1) & np.isclose(scores.sum(axis=1), 1, atol=SUM_TOLERANCE)
    if not right.all():
        row = predictions[~right].iloc[0]
        raise ValueError(
            f"Image {row['image_id']} has the probabilities {row[CODES].tolist()}; they must be at "
            "least 0 and sum to 1."
        )
    return labels, scores


def rows_of(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    """Select one split; raise a ValueError where it has no row."""
    rows = predictions[predictions["split"] == split]
    if rows.empty:
        raise ValueError(f"The predictions have no row with split '{split}'; predict that split.")
    return rows


def one_split(predictions: pd.DataFrame) -> None:
    """Raise a ValueError where a frame mixes splits."""
    splits = predictions["split"].unique() if "split" in predictions else []
    if len(splits) > 1:
        raise ValueError(
            f"The predictions mix the splits {', '.join(map(str, splits))}; "
            "pass one, such as predictions[predictions['split'] == 'test']."
        )


def arrays(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Take from a frame what `metrics`, `per_class` and `confusion` compute with.

    Returns:
        Labels, int (n,); probabilities, float64 (n, 7); and the classes that the decision rule
        names, int (n,), or None where no column `predicted` holds them.
    """
    labels, probabilities = labels_and_probabilities(predictions)
    if "predicted" not in predictions:
        return labels, probabilities, None
    return labels, probabilities, predictions["predicted"].map(CODES.index).to_numpy(dtype=int)
