"""Facts of what the recorded networks answer to the test split, notebooks 06, 07 and 09."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from lesions import classes, evaluation
from lesions.data import leaky_splits
from lesions.evaluation import CODES
from lesions.evaluation.comparison import NETWORKS
from lesions.inference import familiarity
from lesions.study import readme
from lesions.study.facts.common import (
    MODELS,
    Interval,
    answers,
    as_recorded,
    comparison_table,
    differences,
    recorded_entries,
)

PROTOCOLS = {
    "oversampled": "oversampled before the split",
    "image": "split by image",
    "lesion": "split by lesion",
}
PUBLISHED = 0.92  # the lowest accuracy of the reports that notebook 07 speaks of


def _best() -> tuple[pd.Series, pd.DataFrame]:
    """Return the best network's row of the comparison, and its answers to the test split."""
    table = comparison_table()
    best = table[table["networks"] == 1].iloc[0]
    return best, recorded_entries()[best["run"]].answers("test")


@functools.cache
def notebook_06() -> dict:
    """Return the facts of notebook 06: every recorded network on the test split."""
    table, (best, test) = comparison_table(), _best()
    alone = table[table["networks"] == 1]
    several = table[table["networks"] > 1].iloc[0]
    trained = table[table["run"] != "ensemble"]
    return {
        "best": best["name"],
        "best_rows": best["validation_images"],
        "images": len(test),
        "runs": trained["networks"].sum(),
        "others": len(table) - 1,
        "accuracy": _interval(best, "test_balanced_accuracy"),
        "auc": _interval(best, "test_macro_auc"),
        "lesion_accuracy": best["test_lesion_balanced_accuracy"],
        "found_90": best["test_melanoma_sensitivity_at_90_specificity"],
        "malignant_auc": best["test_malignant_auc"],
        "power": best["power"],
        "offset": best["offset"],
        "best_parameters": best["parameters"] / 1e6,
        "several": several["name"],
        "several_parameters": several["parameters"] / 1e6,
        "several_accuracy": _interval(several, "test_balanced_accuracy"),
        "several_auc": _interval(several, "test_macro_auc"),
        "hours": trained["minutes"].sum() / 60,
        "hardware": " and ".join(sorted(alone["hardware"].unique())),
        **_differences(best, several, test),
        **_by_class(test),
        **_screening(best),
        **_calibration(best, test),
    }


def _interval(row: pd.Series, name: str) -> Interval:
    return Interval(*(row[name + end] for end in ("", "_low", "_high")))


def _differences(best: pd.Series, several: pd.Series, test: pd.DataFrame) -> dict:
    """Compare the other models with the best one, on the same lesions.

    Returns:
        How many of them have a difference whose interval lies above or below zero, and the
        difference of the best model of several networks.
    """
    entries = recorded_entries()
    pairs = {name: (entries[name].answers("test"), test) for name in entries if name != best["run"]}
    gaps, found = differences(pairs), {}
    for short, metric in (("accuracy", "balanced_accuracy"), ("auc", "macro_auc")):
        found[f"better_{short}"] = sum(gap.low > 0 for gap in gaps[metric].values())
        found[f"worse_{short}"] = sum(gap.high < 0 for gap in gaps[metric].values())
        found[f"several_gap_{short}"] = gaps[metric][several["run"]]
    return found


def _by_class(test: pd.DataFrame) -> dict:
    """Return what is found of each diagnosis, and what is called benign or malignant wrongly."""
    labels, probabilities, named = evaluation.arrays(test)
    table = evaluation.per_class(labels, probabilities, named)
    malignant = np.isin(np.array(CODES), classes.MALIGNANT)
    found = {
        "df_images": table.loc["df", "images"],
        "df_step": 100 / table.loc["df", "images"],
        "malignant": malignant[labels].sum(),
        "benign": (~malignant[labels]).sum(),
    }
    wrong = labels != named
    certain = probabilities[np.arange(len(named)), named] > 0.5
    found |= {"errors": wrong.sum(), "certain_errors": (wrong & certain).sum()}
    found["mel_auc"] = table.loc["mel", "auc"]
    for metric in ("recall", "auc"):
        for place, row in (("lowest", table[metric].idxmin()), ("highest", table[metric].idxmax())):
            found[f"{place}_{metric}"] = table.loc[row, metric]
            found[f"{place}_{metric}_class"] = f"`{row}`"
    for end, answer in (("", named), ("_plainly", probabilities.argmax(axis=1))):
        found[f"nv{end}"] = (answer == labels)[labels == CODES.index("nv")].mean()
        found[f"missed{end}"] = (malignant[labels] & ~malignant[answer]).sum()
        found[f"alarms{end}"] = (~malignant[labels] & malignant[answer]).sum()
    return found


def _screening(best: pd.Series) -> dict[str, float]:
    """Return what thresholds for melanoma do to a thousand lesions."""
    rows = recorded_entries()[best["run"]].answers("test", by_lesion=True)
    labels, probabilities, _ = evaluation.arrays(rows)
    found = {"thousand_melanomas": 1000 * (labels == CODES.index("mel")).mean()}
    for end, row in zip(("", "_95"), evaluation.screening(labels, probabilities).iloc, strict=True):
        found[f"thousand_found{end}"] = row["melanomas found"]
        found[f"thousand_missed{end}"] = row["melanomas missed"]
        found[f"thousand_sent{end}"] = row["others sent on"]
    return found


def _calibration(best: pd.Series, test: pd.DataFrame) -> dict[str, float]:
    """Return what the correction to the class frequencies does on test."""
    raw = evaluation.rows_of(recorded_entries()[best["run"]].predictions, "test")
    sides = {"before": raw, "after": test}
    found = {}
    for name, rows in sides.items():
        metrics = evaluation.metrics(*evaluation.labels_and_probabilities(rows))
        found[f"error_{name}"] = metrics["expected_calibration_error"]
        found[f"loss_{name}"] = metrics["log_loss"]
    return found


def notebook_06_of_patients(metadata: pd.DataFrame) -> dict:
    """Return the facts of notebook 06 that need the patients' age, sex and site.

    Args:
        metadata: HAM10000's table, with a column `split`.
    """
    best, test = _best()
    predictions = recorded_entries()[best["run"]].predictions
    details = evaluation.answers_details(predictions, metadata)
    raw = evaluation.rows_of(predictions, "test")
    fused = evaluation.answer(raw, details, metadata=metadata)
    gains = differences({"patient": (fused, test)}, ("macro_auc", "log_loss"))
    kinds = ("sex", "age_band", "localization")
    slices = evaluation.slice_intervals(test, metadata, kinds)
    kind, name = slices["value"].idxmin()
    return {
        "patient_auc": gains["macro_auc"]["patient"],
        "patient_loss": gains["log_loss"]["patient"],
        "lowest_slice": Interval(*slices.loc[(kind, name), ["value", "low", "high"]]),
        "lowest_slice_name": f"{kind.replace('_', ' ')} {name}",
    }


@functools.cache
def notebook_07() -> dict:
    """Return the facts of notebook 07: three protocols, on two test sets each."""
    found, reported = {}, {}
    for protocol in leaky_splits.PROTOCOLS:
        own, clean = readme.leakage_scores(protocol)
        reported[protocol] = own.loc["accuracy", "value"]
        for name, table in (("own", own), ("clean", clean)):
            found[f"{name}_{protocol}"] = Interval(**table.loc["balanced_accuracy"])
            found[f"plain_{name}_{protocol}"] = table.loc["accuracy", "value"]
        ends = found[f"own_{protocol}"], found[f"clean_{protocol}"]
        found[f"gap_{protocol}"] = 100 * (ends[0].value - ends[1].value)
        apart = ends[0].low > ends[1].high or ends[1].low > ends[0].high
        found[f"overlap_{protocol}"] = "do not overlap" if apart else "overlap"
    run, grouped = readme.leakage_run("oversampled"), readme.leakage_run("lesion")
    recall = pd.DataFrame(
        {
            name: evaluation.per_class(*evaluation.arrays(answers(run, split)))["recall"]
            for name, split in (("own", "test"), ("clean", leaky_splits.CLEAN))
        }
    )
    lost = (recall["own"] - recall["clean"]).idxmax()
    record, history = grouped.record, grouped.history
    steps = record["images"]["train"] * record["epochs_trained"] / record["config"]["batch_size"]
    predicted = found["own_lesion"]
    inside = predicted.low <= found["clean_lesion"].value <= predicted.high
    clean = evaluation.rows_of(run.predictions, leaky_splits.CLEAN)["dx"].value_counts()
    return {
        **found,
        "highest": max(reported.values()),
        "highest_protocol": PROTOCOLS[max(reported, key=reported.get)],
        "published": "reaches" if max(reported.values()) >= PUBLISHED else "does not reach",
        "inside": "inside" if inside else "outside",
        "own_recall": recall["own"],
        "clean_recall": recall["clean"],
        "lost_class": f"`{lost}`",
        "lost_own": recall.loc[lost, "own"],
        "lost_clean": recall.loc[lost, "clean"],
        "fewest": clean.min(),
        "network": NETWORKS[record["config"]["architecture"]],
        "image_size": record["config"]["image_size"],
        "epochs": record["epochs_trained"],
        "steps": int(round(steps, -2)),
        "loss_first": history["loss"].iloc[0],
        "loss_last": history["loss"].iloc[-1],
        "recorded": as_recorded(map(readme.leakage_run, leaky_splits.PROTOCOLS)),
    }


@functools.cache
def notebook_09() -> dict:
    """Return the facts of notebook 09: how far the best network's answers can be believed."""
    measured = familiarity.load(MODELS / familiarity.FILE).measured
    best = _best()[0]
    shown = ("unlike_found", "unlike_false", "blurred_found")
    return {
        **{name: measured[name] for name in shown},
        "others": measured["other_images"],
        "error": best["test_expected_calibration_error"],
    }
