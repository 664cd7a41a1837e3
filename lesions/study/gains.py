"""What each step of the study gave, and how sure its headline is: tables for the pages."""

from __future__ import annotations

from lesions import data, evaluation
from lesions.evaluation import Interval, choice, comparison
from lesions.study import recipes, tables
from lesions.study.facts import common
from lesions.system.folders import MODELS

METRICS = {
    "log_loss": "log loss",
    "macro_auc": "macro AUC",
    "balanced_accuracy": "balanced accuracy",
    "melanoma_sensitivity_at_90_specificity": "melanoma sensitivity",
}


def _pairs(found: dict[str, comparison.Entry], best: str) -> dict[str, tuple]:
    """Map each step to what the networks with it, and those without, answer to the test split."""

    def recorded(**changes) -> comparison.Entry:
        config = recipes.config(recipes.BEST, common.PROFILE, **changes)
        return found[common.recorded_run(config).folder.name]

    stages = recipes.STAGES[common.PROFILE]
    first, *_, last = (recorded(**changes) for changes in stages)
    few, given = recorded(), recorded(patient=True, **stages[0])
    folds, *twins = _of_folds(found)
    one_fold = comparison.read_entry(MODELS / next(iter(folds.members)))
    raw = evaluation.rows_of(last.predictions, "test")
    trained = [one.record["epochs_trained"] for one in (first, few)]
    steps = {
        "more epochs: DenseNet121, {} − {}".format(*trained): (first, few),
        f"age, sex and site as a second input, {trained[0]} epochs: with − without": (given, first),
        "192 px, strong augmentation, MixUp, oversampled rows: last stage − first": (last, first),
        f"more networks: {data.FOLDS} folds, averaged − the first of them": (folds, one_fold),
        "all networks of the split: ensemble − best model": (found["ensemble"], found[best]),
    }
    learning = "learning from them, 192 px, MixUp: {} − " + f"{data.FOLDS} folds"
    if found[best].record.get("teacher"):
        steps[learning.format("student")] = found[best], folds
    for entry in twins:
        steps[learning.format(f"{data.FOLDS} twins, averaged,")] = entry, folds
        steps[f"more networks: {data.FOLDS} twins, averaged − student"] = entry, found[best]
    answers = {name: tuple(one.answers() for one in pair) for name, pair in steps.items()}
    corrected = "class frequencies and decision rule: last stage, with − without"
    return {corrected: (last.answers(), raw)} | answers


def gains_block(found: dict[str, comparison.Entry], best: str) -> str:
    """Write what each step gave on the test split, as Markdown; `best` names the best network."""
    gaps = evaluation.paired_differences(pairs := _pairs(found, best), tuple(METRICS))
    rows = [
        [name, *(f"{Interval.of(gaps[metric].loc[name]):+.3f}" for metric in METRICS)]
        for name in pairs
    ]
    return tables.markdown(f"| step | {' | '.join(METRICS.values())} |", rows)


def _of_folds(found: dict[str, comparison.Entry]) -> list[comparison.Entry]:
    """Return the networks of the folds, and a student's twins where all of them are recorded."""
    return [*choice.of_folds(found).values(), *choice.of_folds(found, twins=True).values()]


def lesions_block(found: dict[str, comparison.Entry], best: str) -> str:
    """Write scores by photograph and by lesion, on test and out of fold, as Markdown."""
    shown, rows = [("best model, test", found[best], "test")], []
    for name, entry in zip(("folds", "twins"), _of_folds(found), strict=False):
        for place, split in (("test", "test"), ("out of fold", "validation")):
            shown.append((f"{data.FOLDS} {name}, {place}", entry, split))
    shown.append(("ensemble, test", found["ensemble"], "test"))
    for name, entry, split in shown:
        for by_lesion, unit in ((False, "photographs"), (True, "lesions")):
            answers = entry.answers(split, by_lesion)
            scores = evaluation.intervals(answers, names=comparison.WITH_INTERVAL)
            values = (f"{Interval.of(row):.3f}" for _, row in scores.iterrows())
            rows.append([name, f"{len(answers):,} {unit}", *values])
    header = "| networks | of | balanced accuracy | macro AUC | melanoma sensitivity |"
    return tables.markdown(header, rows)
