"""Run folders side by side, every number computed anew from their predictions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lesions.evaluation import metrics


def run_folders(folder) -> list[Path]:
    """List the finished runs below a folder that belong into the comparison.

    A run with a tag or a leaky split is an experiment of a notebook, not a competitor.

    Args:
        folder: Folder of run folders, for example `models`.

    Returns:
        Run folders in the order of their names.
    """
    found = []
    for path in sorted(Path(folder).glob("*/config.json")):
        config = json.loads(path.read_text()).get("config", {})
        experiment = config.get("tag") or config.get("protocol", "lesion") != "lesion"
        if (path.parent / "metrics.json").exists() and not experiment:
            found.append(path.parent)
    return found


def compare(run_folders: Iterable[str | Path]) -> pd.DataFrame:
    """Puts runs side by side, every metric recomputed from their predictions.csv.

    Args:
        run_folders: Folders that hold config.json and predictions.csv.

    Returns:
        One row a run, best validation balanced accuracy first: run, architecture, image_size,
        patient (whether age, sex and site are told), class_balance (what the training did about
        the imbalance), epochs (trained), seed, initial_weights, hardware, minutes, parameters,
        validation_balanced_accuracy, test_<metric> for each key of `metrics`, _low and _high of
        test_balanced_accuracy and test_macro_auc (95%, over lesions), and temperature.

    Raises:
        ValueError: If a folder lacks one of the two files, or its predictions cannot be used.
    """
    rows = [_run_row(Path(folder)) for folder in run_folders]
    if not rows:
        raise ValueError("There is no run folder to compare; train one or name one.")
    table = pd.DataFrame(rows)
    return table.sort_values("validation_balanced_accuracy", ascending=False, ignore_index=True)


def write_comparison(table: pd.DataFrame, path) -> Path:
    """Write the table of `compare` as CSV with six digits.

    Returns:
        The path.
    """
    path = Path(path)
    beside = path.with_name(path.name + ".tmp")
    table.to_csv(beside, index=False, float_format="%.6f", lineterminator="\n")
    os.replace(beside, path)
    return path


def labels(runs: Iterable[str], balances: Iterable[str]) -> list[str]:
    """Shorten the names of runs as far as they stay apart.

    Args:
        runs: Names of run folders, which end in eight digits of the config.
        balances: What `class_balance` says of each.

    Returns:
        Names without the digits; of namesakes with the class balance, else the whole names.
    """
    table = pd.DataFrame({"whole": list(runs), "balance": list(balances)})
    short = table["whole"].str.replace(r"-[0-9a-f]{8}$", "", regex=True)
    longer = short.where(~short.duplicated(keep=False), short + ", " + table["balance"])
    return longer.where(~longer.duplicated(keep=False), table["whole"]).to_list()


def class_balance(config: dict) -> str:
    """Say what a config does about the imbalance, "oversampled" or "square-root weights"."""
    if "+" in config.get("start", "") and not config.get("epochs"):
        return f"mean of {len(config['start'].split('+'))} runs"
    weighting = config.get("class_weighting") or "none"
    parts = ["oversampled"] if config.get("oversampling") else []
    parts += ["logit-adjusted loss"] if config.get("loss") == "logit_adjusted" else []
    parts += [] if weighting == "none" else [f"{weighting.replace('_', '-')} weights"]
    return " and ".join(parts) or "none"


def _run_row(folder: Path) -> dict:
    for name in ("config.json", "predictions.csv"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; train that run or leave the folder out.")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'} is not whole; train that run again.") from error
    config = {**config.get("config", {}), **config}
    seconds = config.get("seconds")
    try:
        predictions = pd.read_csv(folder / "predictions.csv")
        test = metrics.rows_of(predictions, "test")
        validation_labels, validation_scores = metrics.labels_and_probabilities(
            metrics.rows_of(predictions, "validation")
        )
        labels, scores = metrics.labels_and_probabilities(test)
        validation_metrics = metrics.metrics(validation_labels, validation_scores)
        test_metrics = metrics.metrics(labels, scores)
        bounds = metrics.intervals(test, names=("balanced_accuracy", "macro_auc"))
    except ValueError as error:
        raise ValueError(f"{folder / 'predictions.csv'}: {error}") from error
    row = {
        "run": folder.name,
        "architecture": config.get("architecture"),
        "image_size": config.get("image_size"),
        "patient": bool(config.get("patient")),
        "class_balance": class_balance(config),
        "epochs": config.get("epochs_trained", config.get("epochs")),
        **{name: config.get(name) for name in ("seed", "initial_weights", "hardware")},
        "minutes": None if seconds is None else seconds / 60,
        "parameters": config.get("parameters"),
        "validation_balanced_accuracy": validation_metrics["balanced_accuracy"],
    }
    for name, value in test_metrics.items():
        row[f"test_{name}"] = value
        if name in bounds.index:
            row[f"test_{name}_low"] = float(bounds.loc[name, "low"])
            row[f"test_{name}_high"] = float(bounds.loc[name, "high"])
    temperature = metrics.fit_temperature(validation_labels, validation_scores)
    calibrated = metrics.apply_temperature(scores, temperature)
    calibrated_metrics = metrics.metrics(labels, calibrated)
    for name in ("expected_calibration_error", "brier_score"):
        row[f"test_calibrated_{name}"] = calibrated_metrics[name]
    validation_calibrated = metrics.apply_temperature(validation_scores, temperature)
    decision = metrics.decided_scores(validation_labels, validation_calibrated, labels, calibrated)
    row["test_decided_balanced_accuracy"] = decision["test_balanced_accuracy"]
    row["test_decided_accuracy"] = decision["test_accuracy"]
    row["decision_strength"] = decision["strength"]
    return {**row, "temperature": temperature, "test_images": len(test)}
