"""Facts of the recorded trainings, notebooks 02 to 05."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from lesions import evaluation
from lesions.evaluation import CODES, choice, comparison, score
from lesions.networks import models
from lesions.study import recipes
from lesions.study.facts.common import (
    PROFILE,
    Interval,
    answers,
    best_row,
    comparison_table,
    differences,
    listed,
    recorded_entries,
    recorded_run,
)
from lesions.training import Run


@functools.cache
def notebook_02() -> dict:
    """Return the facts of notebook 02: treatments of the imbalance, on validation."""
    configs = recipes.balance_experiments(PROFILE)
    runs = {name.replace(" ", "_"): recorded_run(config) for name, config in configs.items()}
    rows = {name: answers(run) for name, run in runs.items()}
    recall = {name: _recall(one) for name, one in rows.items()}
    pairs = {name: (one, rows["none"]) for name, one in rows.items() if name != "none"}
    pairs["lead"] = rows["oversampling"], rows["weights"]
    gaps = differences(pairs, resamples=500)
    moved = recall["weights"] - recall["none"]
    of_df = {name: one["df"] for name, one in recall.items()}
    repeated = of_df.pop("oversampling")
    share = (repeated - of_df["weights"]) / len(CODES)
    rising = sum(run.record["best_epoch"] == len(run.history) for run in runs.values())
    return {
        **{f"gap_{name}": gap for name, gap in gaps["balanced_accuracy"].items()},
        **{f"auc_gap_{name}": gap for name, gap in gaps["macro_auc"].items()},
        "df_repeated": repeated,
        "df_others": max(of_df.values()),
        "df_share": share,
        "lead_without_df": gaps["balanced_accuracy"]["lead"].value - share,
        "rising": "all seven" if rising == len(runs) else f"{rising} of the seven",
        "validation": len(rows["none"]),
        "accuracy_none": score(rows["none"], "balanced_accuracy", 0).value,
        "accuracy_oversampling": score(rows["oversampling"], "balanced_accuracy", 0).value,
        "plain_none": score(rows["none"], "accuracy", 0).value,
        "melanoma_weights": recall["weights"]["mel"],
        "recall_vasc": moved["vasc"],
        "recall_nv": moved["nv"],
        "found_nv": recall["oversampling"]["nv"],
        "found_nv_none": recall["none"]["nv"],
    }


def _recall(rows: pd.DataFrame) -> pd.Series:
    return evaluation.per_class(*evaluation.arrays(rows))["recall"]


@functools.cache
def notebook_03() -> dict:
    """Return the facts of notebook 03: the CNN from scratch, on validation."""
    run = recorded_run(recipes.config("cnn", PROFILE))
    rows = answers(run)
    labels, probabilities, named = evaluation.arrays(rows)
    history = run.history
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
        "recall": evaluation.per_class(labels, probabilities, named)["recall"],
        "share": shares.T.to_dict(),
        "melanomas": counts.loc["mel"].sum(),
        "melanomas_found": counts.loc["mel", "mel"],
        "melanomas_missed": counts.loc["mel"].sum() - counts.loc["mel", "mel"],
        "lowest_loss": history["val_loss"].argmin() + 1,
        "best_epoch": run.record["best_epoch"],
        "best_score": history["val_balanced_accuracy"].max(),
        "minutes": run.record["seconds"] / 60,
        "speed": history["images_per_second"].median(),
        "right": right.sum(),
        "sure": len(sure),
        "sure_right": right[sure].sum(),
        "sure_nv": (named[sure] == CODES.index("nv")).mean(),
        "last_block": _last_block(run),
    }


def _last_block(run: Run) -> float:
    """Return the share of the CNN's parameters that its last block has."""
    size = run.record["config"]["image_size"]
    network = models.build("cnn", size, "random")
    last = sum(one.count_params() for one in network.layers if one.name.startswith("cnn_block4"))
    return last / network.count_params()


@functools.cache
def notebook_04() -> dict:
    """Return the facts of notebook 04: pretrained networks and the stages, on validation."""
    names = ("cnn", *recipes.NETWORKS[PROFILE])
    rows = {name: answers(recorded_run(recipes.config(name, PROFILE))) for name in names}
    kinds = "random", "treated", "longer", "random_longer", "treated_longer"
    controls = map(recorded_run, recipes.controls(PROFILE).values())
    controls = dict(zip(kinds, controls, strict=True))
    rows |= {name: answers(run) for name, run in controls.items()}
    longer = recipes.longer(PROFILE, recipes.NETWORKS[PROFILE])
    more = {name: answers(recorded_run(one)) for name, one in longer.items()}
    configs = [recipes.config(recipes.BEST, PROFILE, **one) for one in recipes.STAGES[PROFILE]]
    first, *later = runs = [recorded_run(config) for config in configs]
    stages = list(map(answers, runs))
    before = [rows[recipes.BEST], *stages]
    scratch = ["cnn", "resnet18", *controls]
    recalls = pd.DataFrame({name: _recall(one) for name, one in rows.items()})
    from_scratch, pretrained = recalls[scratch], recalls.drop(columns=scratch)
    own = recorded_run(recipes.config(recipes.BEST, PROFILE))
    facts = {
        "image_size": recipes.PROFILES[PROFILE]["image_size"],
        "stage_size": [config.image_size for config in configs],
        "epochs": own.record["epochs_trained"],
        "epochs_more": first.record["epochs_trained"],
        "order": {"few": _order(rows, more), "more": _order(more, more)},
        "stage_loss_lowest": first.history["val_loss"].min(),
        "stage_loss_last": first.history["val_loss"].iloc[-1],
        "later_epochs": [run.record["epochs_trained"] for run in later],
        "later_kept": [run.record["best_epoch"] for run in later],
        "best": best_row()["name"],
        "trained": {name: run.record["epochs_trained"] for name, run in controls.items()},
        "kept": {name: run.record["best_epoch"] for name, run in controls.items()},
        "scratch_recall": from_scratch.max(axis=1),
        "pretrained_recall": pretrained.min(axis=1),
        "df_images": (rows["cnn"]["dx"] == "df").sum(),
    }
    metrics = ("balanced_accuracy", "macro_auc", "melanoma_auc")
    gaps = differences(_compared(rows, more), metrics)
    facts["gap_melanoma"] = gaps["melanoma_auc"]
    gains = differences(dict(enumerate(zip(stages, before, strict=False))))
    seeds = [(one.architecture, answers(recorded_run(one))) for one in recipes.repeats(PROFILE)]
    for short, metric in (("auc", "macro_auc"), ("accuracy", "balanced_accuracy")):
        facts[f"gap_{short}"] = gaps[metric]
        facts[f"stage_{short}"] = score(stages[-1], metric)
        facts[f"gain_{short}"] = gains[metric]
        facts |= _seeds(short, metric, seeds, rows["densenet169"])
    return facts


def _compared(rows: dict, more: dict) -> dict[str, tuple]:
    """Name the pairs of answers that notebook 04 compares; `more` are of more epochs."""
    pairs = {name: (one, rows["cnn"]) for name, one in rows.items() if name != "cnn"}
    for name, one in more.items():
        pairs[f"{name}_more"] = one, rows[name]
        pairs[f"{name}_before"] = rows[name], rows[recipes.BEST]
        pairs[f"{name}_beside"] = one, more[recipes.BEST]
    pairs["imagenet"] = rows[recipes.BEST], rows["random"]
    pairs["imagenet_longer"] = rows[recipes.BEST], rows["random_longer"]
    pairs["random_thrice"] = rows["random_longer"], rows["random"]
    pairs["design"] = rows["resnet18"], rows["treated"]
    pairs["design_longer"] = rows["longer"], rows["treated_longer"]
    pairs["thrice"] = rows["longer"], rows["resnet18"]
    pairs["treated_thrice"] = rows["treated_longer"], rows["treated"]
    pairs["short"] = rows[recipes.BEST], rows["longer"]
    return pairs


def _order(rows: dict, names) -> str:
    """Name the networks from the lowest macro AUC to the highest."""
    ranked = sorted(names, key=lambda name: score(rows[name], "macro_auc", resamples=0).value)
    return listed([comparison.NETWORKS[name] for name in ranked], code=False)


def _seeds(short: str, metric: str, seeds: list, deeper: pd.DataFrame) -> dict:
    """Return how far apart the seeds of a recipe are, and the recipes from each other."""
    scores = {}
    for name, rows in seeds:
        scores.setdefault(name, []).append(score(rows, metric, resamples=0).value)
    best, above = scores[recipes.BEST], score(deeper, metric, resamples=0).value
    return {
        "seeds": len(recipes.SEEDS),
        f"seed_{short}": {name: max(values) - min(values) for name, values in scores.items()},
        f"seed_gap_{short}": min(best) - max(scores["cnn"]),
        f"seed_deeper_{short}": above - max(best),
    }


@functools.cache
def notebook_05() -> dict:
    """Return the facts of notebook 05: hybrids and their branches, the ensemble, on validation."""
    cnn = recorded_run(recipes.config("cnn", PROFILE))
    names = (*recipes.HYBRIDS[PROFILE], recipes.BEST)
    few = {name: recipes.config(name, PROFILE) for name in names}
    pairs, found = {}, {}
    for suffix, configs in (("", few), ("_longer", recipes.longer(PROFILE, names))):
        hybrid, _, branch = runs = [recorded_run(configs[name]) for name in names]
        joined, with_b3, alone = map(answers, runs)
        branches = [evaluation.answer(run.predictions, run.metrics) for run in (cnn, branch)]
        voted = _mean(branches, hybrid.metrics)
        pairs |= {
            f"vote{suffix}": (joined, voted),
            f"branch{suffix}": (joined, alone),
            f"voting{suffix}": (voted, alone),
            f"with_b3{suffix}": (with_b3, alone),
            f"hybrids{suffix}": (with_b3, joined),
        }
        found[f"epochs{suffix}"] = hybrid.record["epochs_trained"]
        for name, rows in (("hybrid", joined), ("voted", voted), ("b3", with_b3)):
            found[f"{name}{suffix}_accuracy"] = score(rows, "balanced_accuracy")
            found[f"{name}{suffix}_auc"] = score(rows, "macro_auc")
    return {
        "image_size": few[recipes.BEST].image_size,
        "cnn_epochs": cnn.record["epochs_trained"],
        **found,
        **_gaps(pairs),
        **_ensemble(),
    }


def _gaps(pairs) -> dict[str, Interval]:
    """Return the paired differences of pairs as facts, name_accuracy and name_auc."""
    found = differences(pairs)
    return {
        f"{name}_{short}": found[metric][name]
        for name in pairs
        for short, metric in (("accuracy", "balanced_accuracy"), ("auc", "macro_auc"))
    }


def _mean(frames: list[pd.DataFrame], details: dict) -> pd.DataFrame:
    """Average answers plainly, correct the mean, and answer for validation."""
    equal, correction = np.full(len(frames), 1 / len(frames)), details["correction"]
    mean = evaluation.vote(frames, equal, np.array(correction["class_frequencies"]))
    return evaluation.rows_of(mean, "validation")


def _plain_name(run: str) -> str:
    return comparison_table().set_index("run").loc[run, "name"]


def _weights(entries: dict[str, comparison.Entry]) -> dict:
    """Return which members have the most weight, and what those trained for it alone have."""
    ranked = pd.Series(entries["ensemble"].members).sort_values(ascending=False)
    first, second = ranked.index[:2]
    earlier = {name: entries[name].record["earlier"] for name in (first, second)}
    one_training = second in earlier[first] or first in earlier[second]
    seed = recipes.MEMBER["seed"]
    trained = {f"{name}-{px}px-seed{seed}" for name, px in recipes.MEMBERS[PROFILE]}
    alone = ranked[ranked.index.str.rsplit("-", n=1).str[0].isin(trained)]
    return {
        "line": "stages of one training" if one_training else "separate trainings",
        "heaviest": _plain_name(first),
        "second": _plain_name(second),
        "two_weight": ranked.iloc[:2].sum(),
        "alone_weight": alone.max(),
    }


def _ensemble() -> dict:
    """Return what notebook 05 says of the ensemble of all recorded runs."""
    entries = recorded_entries()
    best = choice.best_of_the_split(entries)
    whole = entries["ensemble"]
    members = [entries[name] for name in whole.members]
    frames = [evaluation.answer(one.predictions, one.details) for one in members]
    weights = np.array(list(whole.members.values()))
    ensemble, single = whole.answers("validation"), entries[best].answers("validation")
    raw, mean = evaluation.rows_of(whole.predictions, "validation"), _mean(frames, whole.details)
    before, after, alone = (
        evaluation.metrics(*evaluation.arrays(rows)) for rows in (raw, ensemble, single)
    )
    return {
        "members": len(members),
        "heavy": (weights >= 0.02).sum(),
        "light": weights[weights < 0.02].sum(),
        "plain_weight": 1 / len(members),
        **_weights(entries),
        **_gaps({"ensemble": (ensemble, single), "mean": (mean, single)}),
        "power": whole.details["correction"]["power"],
        "loss_before": before["log_loss"],
        "loss_after": after["log_loss"],
        "error_before": before["expected_calibration_error"],
        "error_after": after["expected_calibration_error"],
        "best_loss": alone["log_loss"],
        "best": _plain_name(best),
    }
