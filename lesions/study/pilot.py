"""The pilot: which augmentation travels to other clinics without losing at home."""

from pathlib import Path

import pandas as pd

from lesions import data, evaluation
from lesions.evaluation import Interval, external
from lesions.evaluation.comparison import Entry, finished_folders, read_entry, read_record
from lesions.study import other_networks, recipes, tables
from lesions.study.facts.common import listed
from lesions.system.folders import MODELS
from lesions.training import runs

SET = "isic2017"  # the second validation set
MARGIN = 0.003  # of macro AUC out of fold, within which the one that travels best is chosen
BASELINE = recipes.PILOT[0]
METRICS = ("log_loss", "macro_auc", "melanoma_auc")


def publish(build: Path) -> list[Path]:
    """Copy the runs of folds and students, each with its predictions of the external sets.

    Raises:
        ValueError: If there is no finished run of a fold.
    """
    finished = [run for one in recipes.REAL for run in finished_folders(build / "runs" / one)]
    configs = [read_record(run / "config.json", "config")["config"] for run in finished]
    found = [
        run
        for run, config in zip(finished, configs, strict=True)
        if (config.get("fold") is not None or config.get("answers_from"))
        and (run / "model.h5").exists()
    ]
    if not found:
        raise ValueError(f"{build} holds no finished run of a fold; train one first.")
    for folder in found:
        for name in external.SETS:
            if not (folder / f"{name}.csv").exists():
                other_networks.predict(folder, name)
    return [runs.copy_records(folder, MODELS) for folder in found]


def recorded() -> dict[str, Entry]:
    """Map augmentation, or what was tried later, to its run, in the order of `recipes.pilot`."""
    found = [read_entry(path) for path in sorted(MODELS.glob("*-pilot-*"))]
    by_tag = {entry.record["tag"]: entry for entry in found}
    names = (*recipes.PILOT, *recipes.AFTERWARDS)
    tags = [config.tag for config in recipes.pilot()]
    return {name: by_tag[tag] for name, tag in zip(names, tags, strict=True) if tag in by_tag}


def compare(resamples: int = 1000) -> pd.DataFrame:
    """Compare the augmentations out of fold and on the external set.

    Returns:
        One row each of `recorded`: log_loss and macro_auc out of fold and melanoma_auc on the
        external set, at the class frequencies; <figure>_difference from the mildest
        augmentation, an `Interval` (95%, paired, over lesions).

    Raises:
        ValueError: If runs are recorded, but none with the mildest augmentation.
    """
    found, rows = recorded(), {}
    if found and BASELINE not in found:
        raise ValueError(f"models/ holds no pilot run of {BASELINE}; train and publish it.")
    for name, entry in found.items():  # the mildest comes first
        at_home, there = entry.answers("validation"), other_networks.answers(entry, SET)
        frames = dict(zip(METRICS, (at_home, at_home, there), strict=True))
        if name == BASELINE:
            baseline = frames
        rows[name] = {}
        for metric, frame in frames.items():
            rows[name][metric] = evaluation.score(frame, metric, resamples=0).value
            difference = evaluation.paired_difference(frame, baseline[metric], metric, resamples)
            rows[name][f"{metric}_difference"] = Interval(**difference)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("augmentation")


def of_all_folds() -> tuple[Interval, Interval] | None:
    """Return the melanoma AUC of the mean of five folds on the external set, and its gain over one.

    None where these networks are not recorded.
    """
    asked = other_networks.asked()
    if other_networks.MEAN not in asked:
        return None
    mean, first = (
        evaluation.answer(one.there[SET], one.details)
        for one in (asked[other_networks.MEAN], asked["fold 0"])
    )
    gain = evaluation.paired_difference(mean, first, "melanoma_auc")
    return evaluation.score(mean, "melanoma_auc"), Interval(**gain)


def choose(compared: pd.DataFrame) -> str:
    """Choose the augmentation of all later trainings from the table of `compare`.

    Of `recipes.PILOT`, and of those within `MARGIN` macro AUC of the best of them, it is the one
    with the highest melanoma AUC on the external set.
    """
    return _best_traveller(compared[compared.index.isin(recipes.PILOT)])


def _best_traveller(compared: pd.DataFrame) -> str:
    return _within_margin(compared)["melanoma_auc"].idxmax()


def _within_margin(compared: pd.DataFrame) -> pd.DataFrame:
    return compared[compared["macro_auc"] >= compared["macro_auc"].max() - MARGIN]


def chosen() -> str:
    """Return the augmentation that the recorded pilot chooses, or raise a ValueError."""
    missing = _missing(recorded())
    if missing:
        raise ValueError(
            f"The pilot lacks the augmentation {missing[0]}; train it by `python -m lesions.study "
            "train pilot` and record it by `publish folds`."
        )
    return choose(compare(resamples=0))


def _missing(recorded_names) -> list[str]:
    return [name for name in recipes.PILOT if name not in recorded_names]


def block(compared: pd.DataFrame, together: tuple[Interval, Interval] | None) -> str:
    """Write the tables of `compare` and `of_all_folds` for the pages, as Markdown."""
    rows = []
    for name, row in compared.iterrows():
        cells = [f"{row[metric]:.3f}" for metric in METRICS]
        if name != BASELINE:
            cells = [f"{row[one]:.3f}, {row[f'{one}_difference']:+.3f}" for one in METRICS]
        late = "" if name in recipes.PILOT else ", after the choice"
        rows.append([f"{name}{late}", *cells])
    header = "| augmentation | log loss, fold | macro AUC, fold | melanoma AUC, ISIC 2017 |"
    missing = _missing(compared.index)
    verdict = f"The choice waits for {listed(missing, code=False)}."
    if not missing:
        before, of_all = choose(compared), _best_traveller(compared)
        near = _within_margin(compared[compared.index.isin(recipes.PILOT)])
        verdict = f"Chosen: **{before}**"
        verdict += ", the only one of them within that margin." if len(near) == 1 else "."
        if of_all != before:
            verdict += f" The same rule would have chosen {of_all}, had it been tried before."
    if together is not None:
        verdict += (
            f" The mean of the {data.FOLDS} networks of this recipe, one a fold, has a melanoma "
            f"AUC of {together[0]:.3f} on ISIC 2017, and differs from the first of them alone by "
            f"{together[1]:+.3f}."
        )
    return f"{tables.markdown(header, rows)}\n\n{verdict}"
