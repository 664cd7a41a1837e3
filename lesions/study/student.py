"""What the student gained, where neither network of a comparison was trained."""

from pathlib import Path

import pandas as pd

from lesions import evaluation
from lesions.evaluation import Interval, choice, comparison, external
from lesions.evaluation.predictions import read_predictions
from lesions.system.folders import MODELS

HOME = {"log_loss": "log loss", "macro_auc": "macro AUC", "balanced_accuracy": "balanced accuracy"}
AWAY = {"melanoma_auc": "melanoma AUC"}
PLACES = {"validation": "the twin's fold", "test": "test split", **external.SETS}
TWIN, STUDENT = "twin against its fold network", "student against the last stage"


def compare(folder=MODELS) -> pd.DataFrame | None:
    """Compare the twin with the fold network before it, and the student with the last stage.

    The twin answers for the student on a fold; the last stage is the best network of the
    validation split.

    Args:
        folder: Folder of run folders.

    Returns:
        A table indexed by pair (`TWIN`, `STUDENT`), place (of `PLACES`) and metric (of `HOME`,
        eight views, or of `AWAY`, one view): images, before and after (the two networks' values),
        value, low and high (after less before, 95%, paired over lesions). None where no student is
        recorded.

    Raises:
        ValueError: If a run or its predictions of other clinics are not recorded.
    """
    runs = comparison.run_folders(folder)
    found = {one.name: comparison.read_entry(one) for one in runs}
    student = next((one for one in found.values() if one.record.get("answers_from")), None)
    if student is None:
        return None
    alone = {name: one for name, one in found.items() if one.record.get("fold") is None}
    twin = comparison.read_entry(folder / student.record["answers_from"])
    start = comparison.read_entry(folder / twin.record["start"])
    last = found[choice.best_of_the_split(alone)]
    rows = {}
    for pair, before, after in ((TWIN, start, twin), (STUDENT, last, student)):
        for place in PLACES:
            if pair == STUDENT and place == "validation":  # it was trained on these rows
                continue
            answers = [_answers(folder, one, place) for one in (before, after)]
            for metric in AWAY if place in external.SETS else HOME:
                rows[pair, place, metric] = _gain(*answers, metric)
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(["pair", "place", "metric"])


def _gain(before: pd.DataFrame, after: pd.DataFrame, metric: str) -> dict:
    ends = {
        name: evaluation.intervals(one, names=(metric,)).loc[metric, "value"]
        for name, one in (("before", before), ("after", after))
    }
    return {"images": len(after), **ends, **evaluation.paired_difference(after, before, metric)}


def _answers(folder: Path, entry: comparison.Entry, place: str) -> pd.DataFrame:
    if place not in external.SETS:
        return entry.answers(place)
    path = folder / entry.name / f"{place}.csv"
    if not path.exists() and external.recorded_network().startswith(entry.name):
        path = external.RECORDED / path.name
    return evaluation.answer(read_predictions(path), entry.details)


def block(compared: pd.DataFrame | None) -> str:
    """Write the table of `compare` for the pages, as Markdown."""
    if compared is None:
        return "No student is recorded."
    lines = ["| network | photographs | measure | before | after | difference |"]
    lines += ["|" + " --- |" * 6]
    for (pair, place, metric), row in compared.iterrows():
        lines.append(
            f"| {pair} | {PLACES[place]}, {row['images']:,.0f} | {(HOME | AWAY)[metric]} "
            f"| {row['before']:.3f} | {row['after']:.3f} | {Interval.of(row):+.3f} |"
        )
    return "\n".join(lines)
