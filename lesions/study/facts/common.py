"""What the facts of several notebooks are made of."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lesions import evaluation
from lesions.evaluation import comparison
from lesions.study import durations
from lesions.system.folders import REPOSITORY
from lesions.training import Config, Run, from_record, read_run

MODELS = REPOSITORY / "models"
PROFILE = "cpu"  # under which the recorded runs were trained


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval; `{:.3f}` writes "0.771 (0.724 to 0.816)".

    Attributes:
        value: The number.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def __format__(self, how: str) -> str:
        return f"{self.value:{how}} ({self.low:{how}} to {self.high:{how}})"

    @property
    def zero(self) -> str:
        """Say whether the interval of a difference includes zero, as a verb and its object."""
        return "includes zero" if self.low <= 0 <= self.high else "excludes zero"


def recorded_run(config: Config) -> Run:
    """Read the recorded run of a config, whichever run it started from.

    Raises:
        ValueError: If none is recorded.
    """
    for path in sorted(MODELS.glob("*/config.json")):
        stored = from_record(json.loads(path.read_text(encoding="utf-8"))["config"])
        if replace(stored, start="") == replace(config, start=""):
            return read_run(path.parent)
    raise ValueError(f"models/ holds no run of {config}; train it and publish it.")


def fold_runs(architecture: str, taught: bool = False) -> list[Run]:
    """Read the recorded networks of folds that are no part of the pilot, in order of their fold.

    Args:
        architecture: A name of `models.ARCHITECTURES`.
        taught: Whether those are read that learned from other networks.

    Raises:
        ValueError: If none is recorded.
    """
    found = []
    for path in comparison.run_folders(MODELS):
        config = from_record(json.loads((path / "config.json").read_text("utf-8"))["config"])
        if (config.architecture, bool(config.teacher)) == (architecture, taught):
            found += [] if config.fold is None else [(config.fold, read_run(path))]
    if not found:
        raise ValueError(f"models/ holds no fold networks of {architecture}; publish them.")
    return [run for _, run in sorted(found, key=lambda pair: pair[0])]


def as_recorded(runs: Iterable[Run]) -> str:
    """Say how long runs took and on what, "3 hours on one GPU"."""
    runs = list(runs)
    hardware = " and ".join(sorted({run.record["hardware"] for run in runs}))
    seconds = sum(run.record["seconds"] for run in runs)
    return f"{durations.round_duration(seconds)} on {hardware}"


def three_largest(shares: pd.DataFrame) -> str:
    """Write the three largest confusions, "29% of `df` as `akiec`, ...".

    Args:
        shares: A row a true class, a column a predicted class, 0 to 1.
    """
    errors = shares.where(~np.eye(len(shares), dtype=bool)).stack().nlargest(3)
    parts = [f"{share:.0%} of `{dx}` as `{named}`" for (dx, named), share in errors.items()]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def answers(run: Run, split: str = "validation") -> pd.DataFrame:
    """Return what a run answers to a split, see `evaluation.answer`."""
    return evaluation.rows_of(evaluation.answer(run.predictions, run.metrics), split)


def differences(pairs, metrics=("balanced_accuracy", "macro_auc"), **options) -> dict[str, dict]:
    """Return the paired differences of pairs of answers: metric to name to `Interval`."""
    found = evaluation.paired_differences(pairs, metrics, **options)
    return {
        metric: {
            name: Interval(*row) for name, row in zip(table.index, table.to_numpy(), strict=True)
        }
        for metric, table in found.items()
    }


def score(rows: pd.DataFrame, metric: str) -> Interval:
    """Return a metric of answers with its interval."""
    return Interval(**evaluation.intervals(rows, names=(metric,)).loc[metric])


@functools.cache
def comparison_table() -> pd.DataFrame:
    """Read comparison.csv, with plain names in the column `name`."""
    table = pd.read_csv(MODELS / "comparison.csv")
    return table.assign(name=comparison.plain_names(table.fillna({"class_balance": ""})))


@functools.cache
def recorded_entries() -> dict[str, comparison.Entry]:
    """Read every recorded run of the comparison, and their ensemble."""
    return comparison.entries(comparison.run_folders(MODELS))
