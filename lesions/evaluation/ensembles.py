"""Several networks that answer together: ensembles, and the networks of five folds."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import softmax

from lesions.evaluation.answering import answer, fit
from lesions.evaluation.predictions import CODES, rows_of, table


def _stacked(frames: list[pd.DataFrame]) -> np.ndarray:
    """Stack the members' probabilities, (members, n, 7), of the same images."""
    for frame in frames[1:]:
        if not frame["image_id"].equals(frames[0]["image_id"]):
            raise ValueError(
                "The runs of an ensemble predict different images; use runs of the same split."
            )
    return np.stack([frame[CODES].to_numpy() for frame in frames])


def fit_ensemble(frames: list[pd.DataFrame]) -> np.ndarray:
    """Fit averaging weights on the validation rows, by the log loss of the mean.

    The weights are at least 0 and sum to 1, and are drawn a little towards a plain mean.

    Args:
        frames: Predictions of every member, brought to the class frequencies (`answer`), the
            same rows in the same order.

    Returns:
        float64, (members,).

    Raises:
        ValueError: If the members predict different images.
    """
    rows = [rows_of(frame, "validation") for frame in frames]
    labels = rows[0]["dx"].map(CODES.index).to_numpy()
    true = _stacked(rows)[:, np.arange(len(labels)), labels]

    def loss(scores):
        return -np.log(softmax(scores) @ true + 1e-9).mean() + 1e-4 * (scores**2).sum()

    return softmax(minimize(loss, np.zeros(len(frames)), method="L-BFGS-B").x)


def ensemble(frames: list[pd.DataFrame], weights: np.ndarray) -> pd.DataFrame:
    """Average the members' probabilities by weights (members,); frames as of `fit_ensemble`."""
    return table(frames[0], np.tensordot(np.asarray(weights), _stacked(frames), axes=1))


def vote(frames: list[pd.DataFrame], weights: np.ndarray, frequencies) -> pd.DataFrame:
    """Average as `ensemble` does, and answer by a correction and a rule fitted to the mean.

    A mean of networks is less sure than they are.

    Args:
        frames, weights: As there.
        frequencies: float, (7,), from `class_frequencies`.

    Returns:
        What `answer` returns.
    """
    mean = ensemble(frames, weights)
    return answer(mean, fit(mean, frequencies))


def out_of_fold(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Put the predictions of fold networks together into one frame.

    Each network predicts its own fold, on which it was not trained, and the test split.

    Args:
        frames: Predictions of the fold networks, brought to the class frequencies each by a
            correction fitted on its own fold; no two of them predict the same fold.

    Returns:
        Every validation row as its own network predicts it, then every test row with the mean
        over the networks; the columns of predictions.csv.

    Raises:
        ValueError: If two networks predict different test rows.
    """
    folds = pd.concat([rows_of(frame, "validation") for frame in frames], ignore_index=True)
    tests = [rows_of(frame, "test").sort_values("image_id", ignore_index=True) for frame in frames]
    test = ensemble(tests, np.full(len(tests), 1 / len(tests)))
    folds = folds.sort_values("image_id", ignore_index=True)
    return pd.concat([folds, test], ignore_index=True)[test.columns]
