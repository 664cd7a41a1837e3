"""What the student gained over the network that it went on from, where neither was trained."""

from pathlib import Path

import pandas as pd

from lesions import evaluation
from lesions.evaluation import Interval, comparison, external
from lesions.evaluation.predictions import read_predictions
from lesions.system.folders import MODELS

METRICS = {
    "log_loss": "log loss",
    "macro_auc": "macro AUC",
    "balanced_accuracy": "balanced accuracy",
    "melanoma_auc": "melanoma AUC",
}
PLACES = {"validation": "its fold", "test": "test split", **external.SETS}


def compare(folder=MODELS) -> pd.DataFrame | None:
    """Compare the recorded student's twin of one fold with the fold network that it went on from.

    Args:
        folder: Folder of run folders.

    Returns:
        One row for each of `PLACES` and of the metrics asked there (melanoma AUC in other
        clinics, one view, else the other three, eight views), in a table indexed by both: images,
        before and after (the two networks' values), value, low and high (after less before, 95%,
        paired over lesions). None where no student is recorded.

    Raises:
        ValueError: If one of the two runs is not recorded.
    """
    runs = comparison.run_folders(folder)
    records = [comparison.read_record(one / "config.json") for one in runs]
    twins = [name for one in records if (name := one["config"].get("answers_from"))]
    if not twins:
        return None
    after = comparison.read_entry(folder / twins[0])
    before = comparison.read_entry(folder / after.record["start"])
    rows = {}
    for place in PLACES:
        answers = [_answers(folder, one, place) for one in (before, after)]
        for metric in list(METRICS)[3:] if place in external.SETS else list(METRICS)[:3]:
            values = [
                evaluation.intervals(one, names=(metric,)).loc[metric, "value"] for one in answers
            ]
            gain = evaluation.paired_difference(*reversed(answers), metric)
            ends = dict(zip(("before", "after"), values, strict=True))
            rows[place, metric] = {"images": len(answers[0]), **ends, **gain}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["place", "metric"])


def _answers(folder: Path, entry: comparison.Entry, place: str) -> pd.DataFrame:
    if place not in external.SETS:
        return entry.answers(place)
    there = read_predictions(folder / entry.name / f"{place}.csv")
    return evaluation.answer(there, entry.details)


def block(compared: pd.DataFrame | None) -> str:
    """Write the table of `compare` for the pages, as Markdown."""
    if compared is None:
        return "No student is recorded."
    lines = ["| photographs | measure | fold network | twin | difference |", "|" + " --- |" * 5]
    for (place, metric), row in compared.iterrows():
        lines.append(
            f"| {PLACES[place]}, {row['images']:,.0f} | {METRICS[metric]} | {row['before']:.3f} "
            f"| {row['after']:.3f} | {Interval.of(row):+.3f} |"
        )
    return "\n".join(lines)
