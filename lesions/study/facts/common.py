"""What the facts of several notebooks are made of."""

from __future__ import annotations

import functools

import pandas as pd

from lesions import evaluation
from lesions.evaluation import Interval, comparison
from lesions.system.folders import MODELS
from lesions.training import Config, Run, find_recipe, read_run

PROFILE = "cpu"  # under which the recorded runs were trained


def listed(names, code: bool = True) -> str:
    """Join names as a sentence does, "`mel` and `nv`"; "none" where there is none."""
    shown = [f"`{name}`" if code else str(name) for name in names]
    if len(shown) < 2:
        return "".join(shown) or "none"
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


@functools.cache
def recorded_run(config: Config) -> Run:
    """Read the recorded run of a config, whichever run it started from.

    Raises:
        ValueError: If none is recorded.
    """
    found = find_recipe(config, MODELS)
    if found is None:
        named = f"{config.architecture} at {config.image_size} px, seed {config.seed}"
        raise ValueError(f"models/ holds no such run of {named}; train it and publish it.")
    return read_run(found)


def answers(run: Run, split: str = "validation") -> pd.DataFrame:
    """Return what a run answers to a split, see `evaluation.answer`."""
    return evaluation.rows_of(evaluation.answer(run.predictions, run.metrics), split)


def differences(pairs, metrics=("balanced_accuracy", "macro_auc"), **options) -> dict[str, dict]:
    """Return the paired differences of pairs of answers: metric to name to `Interval`."""
    found = evaluation.paired_differences(pairs, metrics, **options)
    return {
        metric: {name: Interval.of(row) for name, row in table.iterrows()}
        for metric, table in found.items()
    }


@functools.cache
def comparison_table() -> pd.DataFrame:
    """Read comparison.csv, with plain names in the column `name`."""
    return comparison.read_comparison(MODELS / "comparison.csv")


def best_row() -> pd.Series:
    """Return the best single network's row of `comparison_table`."""
    return comparison.best_row(comparison_table())


@functools.cache
def recorded_entries() -> dict[str, comparison.Entry]:
    """Read every recorded run of the comparison, and their ensemble."""
    return comparison.entries(comparison.run_folders(MODELS))
