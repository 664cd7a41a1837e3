"""Probabilities with test-time augmentation, ensembles, and predictions.csv."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lesions import classes

COLUMNS = ["image_id", "lesion_id", "split", "dx", *classes.CODES]


def table(rows: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Lay predictions beside the rows they belong to.

    Args:
        rows: Table with image_id, lesion_id, split and dx.
        probabilities: (n, 7), for these rows.

    Returns:
        A frame with the columns of predictions.csv, `COLUMNS`.
    """
    frame = rows[["image_id", "lesion_id", "split", "dx"]].reset_index(drop=True)
    frame[list(classes.CODES)] = np.asarray(probabilities, dtype=np.float64)
    return frame


def write_predictions(predictions: pd.DataFrame, path) -> Path:
    """Write predictions.csv with six digits a probability.

    Returns:
        The path.
    """
    path = Path(path)
    beside = path.with_name(path.name + ".tmp")
    predictions[COLUMNS].to_csv(beside, index=False, float_format="%.6f", lineterminator="\n")
    os.replace(beside, path)
    return path


def read_predictions(path) -> pd.DataFrame:
    """Read predictions.csv.

    Returns:
        A frame with the columns `COLUMNS`, probabilities scaled to sum to 1 again.

    Raises:
        ValueError: If a column is missing.
    """
    frame = pd.read_csv(path)
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]!r}; write it by train again.")
    codes = list(classes.CODES)
    frame[codes] = frame[codes].div(frame[codes].sum(axis=1), axis=0)
    return frame


def _check_same_images(frames: list[pd.DataFrame]) -> None:
    if not frames:
        raise ValueError("An ensemble needs at least one run; name run folders.")
    for frame in frames[1:]:
        if not frame["image_id"].equals(frames[0]["image_id"]):
            raise ValueError(
                "The runs of an ensemble predict different images; use runs of the same split."
            )


def to_frequencies(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring a run's probabilities to how often the classes occur, by two numbers.

    A network trained on equal classes answers as if they were equally frequent (prior shift,
    Saerens et al. 2002); beside one trained on the rows as they are it would pull a mean aside.
    The log probabilities times one number plus the log frequencies times another minimise the
    log loss of the validation rows.

    Args:
        frame: predictions.csv of a run.

    Returns:
        The same frame with other probabilities, in all rows.
    """
    chosen = (frame["split"] == "validation").to_numpy()
    labels = frame["dx"].map(classes.CODES.index).to_numpy()[chosen]
    frequencies = np.bincount(labels, minlength=len(classes.CODES)) / len(labels)
    offsets = np.log(np.clip(frequencies, 1e-6, None))
    logs = np.log(np.clip(frame[list(classes.CODES)].to_numpy(), 1e-9, None))

    def loss(numbers):
        found = log_softmax(numbers[0] * logs[chosen] + numbers[1] * offsets, axis=1)
        return -found[np.arange(len(labels)), labels].mean()

    numbers = minimize(loss, [1.0, 0.0], method="L-BFGS-B", bounds=[(0.1, 10), (-5, 5)]).x
    return table(frame, softmax(numbers[0] * logs + numbers[1] * offsets, axis=1))


def fit_ensemble(frames: list[pd.DataFrame]) -> np.ndarray:
    """Fit averaging weights on the validation rows, by the log loss of the mean.

    The weights are at least 0 and sum to 1, and are drawn a little towards a plain mean.

    Args:
        frames: predictions.csv of every member, the same rows in the same order.

    Returns:
        float64, (members,).

    Raises:
        ValueError: If the members predict different images.
    """
    _check_same_images(frames)
    chosen = (frames[0]["split"] == "validation").to_numpy()
    labels = frames[0]["dx"].map(classes.CODES.index).to_numpy()[chosen]
    stack = np.stack([frame[list(classes.CODES)].to_numpy()[chosen] for frame in frames])
    true = stack[:, np.arange(len(labels)), labels]

    def loss(scores):
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        return -np.log(weights @ true + 1e-9).mean() + 1e-4 * (scores**2).sum()

    scores = minimize(loss, np.zeros(len(frames)), method="L-BFGS-B").x
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def ensemble(frames: list[pd.DataFrame], weights: np.ndarray) -> pd.DataFrame:
    """Average the members' probabilities.

    Args:
        frames: predictions.csv of every member, the same rows in the same order.
        weights: (members,), for example from `fit_ensemble`.

    Returns:
        A frame with the columns `COLUMNS`.
    """
    _check_same_images(frames)
    stack = np.stack([frame[list(classes.CODES)].to_numpy() for frame in frames])
    return table(frames[0], np.tensordot(np.asarray(weights), stack, axes=1))
