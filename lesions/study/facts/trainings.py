"""Facts of the recorded trainings, notebooks 02 to 05."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from lesions import evaluation
from lesions.evaluation import CODES, comparison
from lesions.evaluation.answering import fit
from lesions.networks import models
from lesions.study import recipes
from lesions.study.facts.common import (
    PROFILE,
    Interval,
    answers,
    as_recorded,
    comparison_table,
    differences,
    fold_runs,
    recorded_entries,
    recorded_run,
    score,
    three_largest,
)
from lesions.training import Run

# What notebook 02 calls its arms.
ARMS = {
    "none": "no treatment",
    "square root": "square-root weighting",
    "weights": "balanced weighting",
    "focal": "the focal loss",
    "oversampling": "oversampling after the split",
    "augmentation": "augmentation",
    "all": "all of it at once",
}


@functools.cache
def notebook_02() -> dict:
    """Return the facts of notebook 02: treatments of the imbalance, on validation."""
    runs = {
        name: recorded_run(config) for name, config in recipes.balance_experiments(PROFILE).items()
    }
    rows = {name: answers(run) for name, run in runs.items()}
    scores = {name: evaluation.metrics(*evaluation.arrays(one)) for name, one in rows.items()}
    recall = {
        name: evaluation.per_class(*evaluation.arrays(r))["recall"] for name, r in rows.items()
    }
    pairs = {name: (one, rows["none"]) for name, one in rows.items() if name != "none"}
    gaps = differences(pairs, ("balanced_accuracy",), resamples=500)["balanced_accuracy"]
    leader = max(gaps, key=lambda name: gaps[name].value)
    ranked = max(scores, key=lambda name: scores[name]["macro_auc"])
    finder = max(recall, key=lambda name: recall[name]["mel"])
    moved = recall[leader] - recall["none"]
    return {
        **{f"gap_{name.replace(' ', '_')}": gap for name, gap in gaps.items()},
        "arms": len(runs),
        "epochs": len(runs["none"].history),
        "rising": sum(run.record["best_epoch"] == len(run.history) for run in runs.values()),
        "validation": len(rows["none"]),
        "leader": ARMS[leader],
        "gap_leader": gaps[leader],
        "accuracy_none": scores["none"]["balanced_accuracy"],
        "accuracy_leader": scores[leader]["balanced_accuracy"],
        "auc_none": scores["none"]["macro_auc"],
        "auc_highest": scores[ranked]["macro_auc"],
        "auc_leader": ARMS[ranked],
        "finder": ARMS[finder],
        "melanoma_finder": recall[finder]["mel"],
        "melanoma_none": recall["none"]["mel"],
        "gains_class": f"`{moved.idxmax()}`",
        "gains": moved.max(),
        "loses_class": f"`{moved.idxmin()}`",
        "loses": moved.min(),
        "found_nv": recall[leader]["nv"],
        "found_nv_none": recall["none"]["nv"],
        "recorded": as_recorded(runs.values()),
    }


@functools.cache
def notebook_03() -> dict:
    """Return the facts of notebook 03: the CNN from scratch, on validation."""
    run = recorded_run(recipes.config("cnn", PROFILE))
    rows = answers(run)
    labels, probabilities, named = evaluation.arrays(rows)
    history, recall = run.history, evaluation.per_class(labels, probabilities, named)["recall"]
    right = labels == named
    confidence = probabilities[np.arange(len(named)), named]
    sure = np.argsort(-confidence, kind="stable")[: len(rows) // 5]
    counts = pd.DataFrame(evaluation.confusion(labels, probabilities, named), CODES, CODES)
    shares = counts.div(counts.sum(axis=1), axis=0)
    return {
        "parameters": run.record["parameters"] / 1e6,
        "epochs": len(history),
        "image_size": run.record["config"]["image_size"],
        "accuracy": score(rows, "balanced_accuracy"),
        "auc": score(rows, "macro_auc"),
        "plain": right.mean(),
        "nv_share": (rows["dx"] == "nv").mean(),
        "images": len(rows),
        "lesions": rows["lesion_id"].nunique(),
        "highest": recall.max(),
        "highest_class": f"`{recall.idxmax()}`",
        "lowest": recall.min(),
        "lowest_class": f"`{recall.idxmin()}`",
        "confusions": three_largest(shares),
        "nv_as_mel": shares.loc["nv", "mel"],
        "melanomas": counts.loc["mel"].sum(),
        "melanomas_found": counts.loc["mel", "mel"],
        "melanomas_missed": counts.loc["mel"].sum() - counts.loc["mel", "mel"],
        "lowest_loss": history["val_loss"].argmin() + 1,
        "best_epoch": run.record["best_epoch"],
        "best_score": history["val_balanced_accuracy"].max(),
        "speed": history["images_per_second"].median(),
        "sure_right": right[sure].mean(),
        "sure_nv": (named[sure] == CODES.index("nv")).mean(),
        "last_block": _last_block(run),
        "recorded": as_recorded([run]),
    }


def _last_block(run: Run) -> float:
    """Return the share of the CNN's parameters that its last block has."""
    size = run.record["config"]["image_size"]
    network = models.build("cnn", size, "random")
    last = sum(one.count_params() for one in network.layers if one.name.startswith("cnn_block4"))
    return last / network.count_params()


@functools.cache
def notebook_04() -> dict:
    """Return the facts of notebook 04: pretrained networks, and larger pictures, on validation."""
    names = ("cnn", *recipes.NETWORKS[PROFILE])
    runs = {name: recorded_run(recipes.config(name, PROFILE)) for name in names}
    runs["random"] = recorded_run(recipes.control(PROFILE))
    rows = {name: answers(run) for name, run in runs.items()}
    best = rows[recipes.BEST]
    folds = fold_runs(recipes.BEST)
    larger = _of_folds(folds)
    pairs = {name: (one, rows["cnn"]) for name, one in rows.items() if name != "cnn"}
    pairs["imagenet"] = best, rows["random"]
    pairs["larger"] = larger[larger["image_id"].isin(best["image_id"])], best
    config = folds[0].record["config"]
    table = comparison_table()
    recalls = {
        name: evaluation.per_class(*evaluation.arrays(one))["recall"] for name, one in rows.items()
    }
    facts = {
        "image_size": recipes.PROFILES[PROFILE]["image_size"],
        "epochs": len(runs[recipes.BEST].history),
        "random_epochs": len(runs["random"].history),
        "folds": len(folds),
        "fold_size": config["image_size"],
        "fold_epochs": folds[0].record["epochs_trained"],
        "out_of_fold": len(larger),
        "fold_accuracy": score(larger, "balanced_accuracy"),
        "fold_auc": score(larger, "macro_auc"),
        "df_images": (best["dx"] == "df").sum(),
        "df_lowest": min(recall["df"] for recall in recalls.values()),
        "df_highest": max(recall["df"] for recall in recalls.values()),
        "best": table.loc[table["networks"] == 1, "name"].iloc[0],
        "recorded": as_recorded([run for name, run in runs.items() if name != "cnn"]),
        "fold_recorded": as_recorded(folds),
    }
    gaps = differences(pairs)
    for short, metric in (("auc", "macro_auc"), ("accuracy", "balanced_accuracy")):
        facts[short] = {name: score(one, metric) for name, one in rows.items()}
        facts[f"gap_{short}"] = gaps[metric]
    return facts


def _of_folds(runs: list[Run]) -> pd.DataFrame:
    """Return what fold networks answer to the rows that they were not trained on, together."""
    found = comparison.entries(run.folder for run in runs)
    return next(iter(found.values())).answers("validation")


@functools.cache
def notebook_05() -> dict:
    """Return the facts of notebook 05: the hybrid and its branches, the ensemble, on validation."""
    names = ("cnn_densenet121", "cnn", "densenet121")
    runs = {name: recorded_run(recipes.config(name, PROFILE)) for name in names}
    rows = {name: answers(run) for name, run in runs.items()}
    branches = [evaluation.answer(runs[name].predictions, runs[name].metrics) for name in names[1:]]
    frequencies = runs["cnn"].metrics["correction"]["class_frequencies"]
    voted = _mean(branches, frequencies)
    hybrid = rows["cnn_densenet121"]
    hybrids = [recorded_run(recipes.config(name, PROFILE)) for name in recipes.HYBRIDS[PROFILE]]
    return {
        "image_size": runs["cnn_densenet121"].record["config"]["image_size"],
        "epochs": runs["cnn_densenet121"].record["epochs_trained"],
        "cnn_epochs": runs["cnn"].record["epochs_trained"],
        "hybrid_accuracy": score(hybrid, "balanced_accuracy"),
        "hybrid_auc": score(hybrid, "macro_auc"),
        "voted_accuracy": score(voted, "balanced_accuracy"),
        "voted_auc": score(voted, "macro_auc"),
        **_gaps({"vote": (hybrid, voted), "branch": (hybrid, rows["densenet121"])}),
        **_ensemble(),
        **_student(),
        "recorded": as_recorded(hybrids),
    }


def _gaps(pairs) -> dict[str, Interval]:
    """Return the paired differences of pairs as facts, name_accuracy and name_auc."""
    found = differences(pairs)
    return {
        f"{name}_{short}": found[metric][name]
        for name in pairs
        for short, metric in (("accuracy", "balanced_accuracy"), ("auc", "macro_auc"))
    }


def _mean(frames: list[pd.DataFrame], frequencies) -> pd.DataFrame:
    """Average answers plainly, correct the mean, and answer for validation."""
    mean = evaluation.ensemble(frames, np.full(len(frames), 1 / len(frames)))
    return _corrected(mean, frequencies)


def _corrected(mean: pd.DataFrame, frequencies) -> pd.DataFrame:
    details = fit(mean, np.array(frequencies))
    return evaluation.rows_of(evaluation.answer(mean, details), "validation")


def _ensemble() -> dict:
    """Return what notebook 05 says of the ensemble of all networks of the validation split."""
    found = comparison.of_the_split(recorded_entries())
    frames = [evaluation.answer(one.predictions, one.details) for one in found.values()]
    singles = {name: one.answers("validation") for name, one in found.items()}
    losses = {
        name: evaluation.metrics(*evaluation.arrays(rows))["log_loss"]
        for name, rows in singles.items()
    }
    best = min(losses, key=losses.get)
    frequencies = found[best].details["correction"]["class_frequencies"]
    weights = evaluation.fit_ensemble(frames)
    whole = evaluation.ensemble(frames, weights)
    details = fit(whole, np.array(frequencies))
    ensemble, mean = _corrected(whole, frequencies), _mean(frames, frequencies)
    before, after = (
        evaluation.metrics(*evaluation.arrays(rows))
        for rows in (evaluation.rows_of(whole, "validation"), ensemble)
    )
    return {
        "members": len(found),
        "heavy": (weights >= 0.02).sum(),
        "light": weights[weights < 0.02].sum(),
        "plain_weight": 1 / len(found),
        **_gaps({"ensemble": (ensemble, singles[best]), "mean": (mean, singles[best])}),
        "power": details["correction"]["power"],
        "sharpens": "sharpens" if details["correction"]["power"] > 1 else "softens",
        "loss_before": before["log_loss"],
        "loss_after": after["log_loss"],
        "error_before": before["expected_calibration_error"],
        "error_after": after["expected_calibration_error"],
        "best_loss": losses[best],
        "best": best,
    }


def _student() -> dict:
    """Return how a network that learned from the fold networks does on a fold held out."""
    student = fold_runs(recipes.BEST, taught=True)[0]
    fold = student.record["config"]["fold"]
    (alone,) = [run for run in fold_runs(recipes.BEST) if run.record["config"]["fold"] == fold]
    rows, others = answers(student), answers(alone)
    return {
        "teachers": len(student.record["config"]["teacher"].split("+")),
        "student_size": student.record["config"]["image_size"],
        "student_images": len(rows),
        "taught_accuracy": score(rows, "balanced_accuracy"),
        "taught_auc": score(rows, "macro_auc"),
        **_gaps({"student": (rows, others)}),
        "student_loss": differences({"": (rows, others)}, ("log_loss",))["log_loss"][""],
    }
