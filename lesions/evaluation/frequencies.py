"""Class frequencies: bring a network's probabilities to how often the classes occur.

A network trained on balanced rows answers as if all classes were equally frequent (prior shift,
Saerens et al. 2002), and most networks are too sure of themselves. Two numbers correct both. They
come before any metric, choice, average, calibration or answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lesions import classes

# Tables hold six digits, so that a probability below this is 0 there.
FLOOR = 1e-7
POWERS = (0.05, 20.0)
OFFSETS = (-5.0, 5.0)
SEVEN = (len(classes.CODES),)
LARGEST = 100  # far above what is fitted; exponents beyond overflow
# What reading JSON raises where it is not what was stored.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


def class_frequencies(rows: pd.DataFrame) -> np.ndarray:
    """Count how often each class occurs among training and validation rows together.

    Validation rows alone are too few (22 of the rarest class), and test rows stay out of
    everything that is fitted.

    Args:
        rows: Table with dx and split.

    Returns:
        float64, (7,), in the order of `classes.CODES`, sum 1; a class without a row counts as if
        it had one.

    Raises:
        ValueError: If no row is of these splits.
    """
    known = rows.loc[rows["split"].isin(("train", "validation")), "dx"]
    if known.empty:
        raise ValueError(
            "No row is of the split train or validation, so the class frequencies are unknown; "
            "pass the table that the network was trained with."
        )
    counts = known.value_counts().reindex(classes.CODES).fillna(0).clip(lower=1).to_numpy(float)
    return counts / counts.sum()


def logs(probabilities: np.ndarray) -> np.ndarray:
    """Take logarithms, with 0 raised to `FLOOR`."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=float), FLOOR))


def stored_numbers(stored, shape: tuple = (), lowest: float = -LARGEST):
    """Read one number, or a list of them, from JSON; raise one of `MALFORMED` for anything else."""
    found = np.array(stored, dtype=float)
    if found.shape != shape or not ((found >= lowest) & (found <= LARGEST)).all():
        raise ValueError(f"{stored} is not what was stored.")
    return found.tolist()


def fit_exponents(
    true_labels: np.ndarray,
    terms: Sequence[np.ndarray],
    start: Sequence[float],
    bounds: Sequence[tuple[float, float]],
) -> np.ndarray:
    """Fit the exponents of a product of distributions by the log loss, a convex problem.

    Args:
        true_labels: int, (n,), 0 to 6.
        terms: Logarithms of each distribution, float, (n, 7) or (7,).
        start: The exponents to begin with, one a term.
        bounds: Lowest and highest exponent, one pair a term; without an error among the rows
            there is no finite optimum.

    Returns:
        float64, one exponent a term.
    """
    rows = np.arange(len(true_labels))
    stack = np.stack([np.broadcast_to(term, (len(rows), len(classes.CODES))) for term in terms])

    def loss(exponents):
        found = log_softmax(np.tensordot(exponents, stack, axes=1), axis=1)
        surplus = np.exp(found)
        surplus[rows, true_labels] -= 1
        gradient = (stack * surplus).sum(axis=(1, 2)) / len(rows)
        return -found[rows, true_labels].mean(), gradient

    return minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12}
    ).x


@dataclass(frozen=True)
class Correction:
    """Two numbers that bring a network's probabilities to the class frequencies.

    Corrected probabilities are proportional to p ** power * frequency ** offset. The power is
    an inverse temperature (Guo et al. 2017): below 1 the network is too sure of itself.

    Attributes:
        power: Exponent of the network's probabilities.
        offset: Exponent of the class frequencies; about 1 for a network trained on balanced
            rows, about 0 for one trained on the rows as they are.
        class_frequencies: (7,), in the order of `classes.CODES`, sum 1.
    """

    power: float = 1.0
    offset: float = 0.0
    class_frequencies: tuple[float, ...] = (1 / len(classes.CODES),) * len(classes.CODES)

    @classmethod
    def fit(
        cls, true_labels: np.ndarray, probabilities: np.ndarray, frequencies: np.ndarray
    ) -> Correction:
        """Fit both numbers by the log loss on rows that the network was not trained on.

        Args:
            true_labels: int, (n,), 0 to 6; a class may be absent.
            probabilities: float, (n, 7), sum 1.
            frequencies: float, (7,), from `class_frequencies`.
        """
        terms = [logs(probabilities), np.log(frequencies)]
        power, offset = fit_exponents(true_labels, terms, (1.0, 0.0), (POWERS, OFFSETS))
        return cls(float(power), float(offset), tuple(map(float, frequencies)))

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Correct a network's probabilities, float (n, 7), sum 1; float64 of the same shape."""
        offsets = self.offset * np.log(np.array(self.class_frequencies))
        return softmax(self.power * logs(probabilities) + offsets, axis=-1)

    def to_details(self) -> dict:
        """Return what a model file stores as `details["correction"]`, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_details(cls, stored: dict | None) -> Correction:
        """Read `details["correction"]`; None for a correction that changes nothing.

        Raises:
            ValueError: If a number is missing or is not what it must be.
        """
        if stored is None:
            return cls()
        try:
            return cls(
                stored_numbers(stored["power"], lowest=FLOOR),
                stored_numbers(stored["offset"]),
                tuple(stored_numbers(stored["class_frequencies"], SEVEN, lowest=FLOOR)),
            )
        except MALFORMED as error:
            raise ValueError(
                "The stored power, offset and class frequencies of the correction are incomplete; "
                "save the model again."
            ) from error
