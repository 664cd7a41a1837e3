"""Facts of what the recorded networks answer to the test split, notebooks 06, 07 and 09."""

from __future__ import annotations

import functools

import pandas as pd
from scipy import stats

from lesions import evaluation, training
from lesions.data import images, leaky_splits, skin_tone
from lesions.evaluation import comparison, score, weighted
from lesions.inference import familiarity
from lesions.study import leakage
from lesions.study.facts.common import (
    MODELS,
    Interval,
    best_row,
    comparison_table,
    differences,
    listed,
    recorded_entries,
)

FOUND_90 = "melanoma_sensitivity_at_90_specificity"
TIE = 0.01  # recalls closer than this count as equal


def _best() -> tuple[pd.Series, pd.DataFrame]:
    """Return the best network's row of the comparison, and its answers to the test split."""
    best = best_row()
    return best, recorded_entries()[best["run"]].answers("test")


@functools.cache
def notebook_06() -> dict:
    """Return the facts of notebook 06: every recorded network on the test split."""
    table, (best, test) = comparison_table(), _best()
    together = table[table["run"] == "ensemble"].iloc[0]
    trained = table[table["run"] != "ensemble"]
    folds = trained[(trained["networks"] > 1) & ~trained["student"]].iloc[0]
    others = table[~table["best"]]
    top = others.loc[others["test_balanced_accuracy"].idxmax()]
    return {
        "best": best["name"],
        "images": len(test),
        "runs": trained["networks"].sum(),
        "others": len(others),
        "top": top["name"],
        "top_accuracy": top["test_balanced_accuracy"],
        "accuracy": Interval.of(best, "test_balanced_accuracy"),
        "auc": Interval.of(best, "test_macro_auc"),
        "lesion_accuracy": Interval.of(best, "test_lesion_balanced_accuracy"),
        "found_90": score(test, FOUND_90),
        "malignant_auc": best["test_malignant_auc"],
        "melanoma_auc": score(test, "melanoma_auc"),
        "power": best["power"],
        "offset": best["offset"],
        "best_parameters": best["parameters"] / 1e6,
        "ensemble_parameters": together["parameters"] / 1e6,
        "ensemble_accuracy": together["test_balanced_accuracy"],
        "ensemble_auc": together["test_macro_auc"],
        "folds": folds["networks"],
        "folds_accuracy": Interval.of(folds, "test_balanced_accuracy"),
        "folds_auc": Interval.of(folds, "test_macro_auc"),
        "folds_rows": folds["validation_images"],
        "hours": trained["minutes"].sum() / 60,
        **_differences(
            best, {"ensemble": "ensemble", "folds": folds["run"], "top": top["run"]}, test
        ),
        **_by_class(test),
        **_screening(best),
        **_calibration(best, test),
    }


def _differences(best: pd.Series, quoted: dict[str, str], test: pd.DataFrame) -> dict:
    """Count the models whose difference to the best one excludes zero; quote those of several."""
    entries = recorded_entries()
    pairs = {name: (entries[name].answers("test"), test) for name in entries if name != best["run"]}
    gaps, found = differences(pairs), {}
    for short, metric in (("accuracy", "balanced_accuracy"), ("auc", "macro_auc")):
        found[f"better_{short}"] = sum(gap.low > 0 for gap in gaps[metric].values())
        found[f"worse_{short}"] = sum(gap.high < 0 for gap in gaps[metric].values())
        found |= {f"{name}_gap_{short}": gaps[metric][run] for name, run in quoted.items()}
    return found


def _by_class(test: pd.DataFrame) -> dict:
    """Return what is found of each diagnosis, and what is called benign or malignant wrongly."""
    labels, probabilities, named = evaluation.arrays(test)
    table = evaluation.per_class(labels, probabilities, named)
    malignant = weighted.MALIGNANT
    found = {
        "df_images": table.loc["df", "images"],
        "df_step": 100 / table.loc["df", "images"],
        "malignant": malignant[labels].sum(),
        "benign": (~malignant[labels]).sum(),
    }
    for metric in ("recall", "auc"):
        for place, row in (("lowest", table[metric].idxmin()), ("highest", table[metric].idxmax())):
            found[f"{place}_{metric}"] = table.loc[row, metric]
            found[f"{place}_{metric}_class"] = f"`{row}`"
    near = table.index[table["recall"] < table["recall"].min() + TIE]
    found["lowest_recall_classes"] = listed(near)
    for end, answer in (("", named), ("_plainly", probabilities.argmax(axis=1))):
        found[f"missed{end}"] = (malignant[labels] & ~malignant[answer]).sum()
        found[f"alarms{end}"] = (~malignant[labels] & malignant[answer]).sum()
    return found


def _screening(best: pd.Series) -> dict:
    """Return what thresholds for melanoma do to a thousand lesions."""
    rows = recorded_entries()[best["run"]].answers("test", by_lesion=True)
    labels, probabilities, _ = evaluation.arrays(rows)
    found = {}
    names = (FOUND_90, FOUND_90.replace("90", "95"))
    shares = evaluation.intervals(rows, names=names)
    for name, end in zip(names, ("", "_95"), strict=True):
        found[f"lesion_share{end}"] = Interval.of(shares.loc[name])
    for end, row in zip(("", "_95"), evaluation.screening(labels, probabilities).iloc, strict=True):
        found |= {
            f"thousand_found{end}": row["melanomas found"],
            f"thousand_missed{end}": row["melanomas missed"],
            f"thousand_sent{end}": row["others sent on"],
        }
    return found | {"thousand_melanomas": row[["melanomas found", "melanomas missed"]].sum()}


def _calibration(best: pd.Series, test: pd.DataFrame) -> dict:
    """Return what the correction to the class frequencies does on test."""
    raw = evaluation.rows_of(recorded_entries()[best["run"]].predictions, "test")
    found = {}
    for short, metric in (("error", "expected_calibration_error"), ("loss", "log_loss")):
        found[f"{short}_before"] = score(raw, metric, resamples=0).value
        found[f"{short}_after"] = score(test, metric, resamples=0).value
        found[f"{short}_change"] = Interval(**evaluation.paired_difference(test, raw, metric))
    return found


def notebook_06_of_patients(metadata: pd.DataFrame) -> dict:
    """Return the facts of notebook 06 that need the patients' age, sex and site."""
    best, test = _best()
    entry = recorded_entries()[best["run"]]
    rows = training.rows_of(entry.record["config"], metadata)
    details = evaluation.answers_details(entry.predictions, rows)
    raw = evaluation.rows_of(entry.predictions, "test")
    fused = evaluation.answer(raw, details, metadata=metadata)
    metrics = {"auc": "macro_auc", "loss": "log_loss", "accuracy": "balanced_accuracy"}
    metrics["found"] = FOUND_90
    gains = differences({"patient": (fused, test)}, tuple(metrics.values()))
    return {
        **{f"patient_{short}": gains[metric]["patient"] for short, metric in metrics.items()},
        **_groups(test, metadata, best["test_malignant_auc"]),
        **_confirmed(test, metadata),
    }


def _groups(test: pd.DataFrame, metadata: pd.DataFrame, overall: float) -> dict:
    """Return in which groups of patients malignant and benign lesions are ranked worst."""
    tested = metadata[metadata["image_id"].isin(test["image_id"])].copy()
    pictures = (images.prepare(path, 192) for path in tested["image_path"])
    tested["skin_tone"] = [skin_tone.tone(skin_tone.typology_angle(one)) for one in pictures]
    kinds = ("sex", "age_band", "localization", "skin_tone")
    slices = evaluation.slice_intervals(test, tested, kinds)
    apart = slices[(slices["low"] > overall) | (slices["high"] < overall)]
    kind, name = slices["value"].idxmin()
    return {
        "slices": len(slices),
        "lowest_slice": Interval.of(slices.loc[(kind, name)]),
        "lowest_slice_name": _group_name((kind, name)),
        "slices_apart": listed(map(_group_name, apart.index), code=False),
        "tones_shown": listed(slices.loc["skin_tone"].index, code=False),
    }


def _group_name(key: tuple[str, str]) -> str:
    """Write kind and group as words, "age band 30-44"."""
    return f"{key[0].replace('_', ' ')} {key[1]}"


def _confirmed(test: pd.DataFrame, metadata: pd.DataFrame) -> dict:
    """Return how the network does on biopsied photographs, and on moles that were followed up."""
    table = evaluation.slices(test, metadata, "dx_type")
    ways = metadata.set_index("image_id")["dx_type"].loc[test["image_id"]].to_numpy()
    return {
        "follow_up_share": (ways == "follow_up").mean(),
        "follow_up_right": table.loc["follow_up", "accuracy"],
        "biopsied_right": table.loc["histo", "accuracy"],
        "biopsied_auc": score(test[ways == "histo"], "melanoma_auc"),
    }


@functools.cache
def notebook_07() -> dict:
    """Return the facts of notebook 07: three protocols, on two test sets each."""
    found = {}
    for protocol in leaky_splits.PROTOCOLS:
        scores = zip(("own", "clean"), leakage.score(protocol), strict=True)
        found |= {f"{name}_{protocol}": interval for name, interval in scores}
        plain = zip(("own", "clean"), leakage.score(protocol, False, "accuracy"), strict=True)
        found |= {f"{name}_accuracy_{protocol}": one.value for name, one in plain}
        found[f"gap_{protocol}"] = leakage.gap(protocol) * 100
        found[f"raw_gap_{protocol}"] = leakage.gap(protocol, by_rule=False) * 100
        found[f"steps_{protocol}"] = leakage.steps(protocol)
        found[f"loss_{protocol}"] = leakage.run(protocol).history["loss"].iloc[-1]
    architecture = leakage.run("lesion").record["config"]["architecture"]
    found["network"] = comparison.NETWORKS[architecture]
    return found | _of_classes(*leakage.sides("oversampled"))


def _of_classes(own: pd.DataFrame, clean: pd.DataFrame) -> dict:
    """Return what becomes of each class's recall from the own test set to the clean set."""
    own, clean = (evaluation.per_class(*evaluation.arrays(one)) for one in (own, clean))
    recall, seen = own["recall"], clean["recall"]
    largest = (recall - seen).nlargest(3).index
    dropped = [
        f"`{code}` (from {recall[code]:.0%} to {seen[code]:.0%}, "
        f"{clean.loc[code, 'images']:,} photographs in the clean set)"
        for code in largest
    ]
    return {
        "own_recall": recall,
        "clean_recall": seen,
        "dropped": listed(dropped, code=False),
        "fewest": clean["images"].min(),
    }


@functools.cache
def notebook_09() -> dict:
    """Return the facts of notebook 09: how far the best network's answers can be believed."""
    measured = familiarity.load(MODELS / familiarity.FILE).measured
    totals = {"others": measured["other_images"], "tested": measured["test_images"]}
    found = {
        "unlike": round(measured["unlike_found"] * totals["others"]),
        "unlike_false": round(measured["unlike_false"] * totals["tested"]),
        "blurred": round(measured["blurred_found"] * totals["tested"]),
    }
    exact = stats.binomtest(found["unlike"], totals["others"]).proportion_ci(0.95)
    error = score(_best()[1], "expected_calibration_error")
    return totals | found | {"unlike_low": exact.low, "unlike_high": exact.high, "error": error}
