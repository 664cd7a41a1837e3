"""What the student gained, on photographs that neither network of a pair was trained on."""

import functools
from pathlib import Path

import pandas as pd

from lesions import evaluation
from lesions.evaluation import Interval, choice, comparison, external
from lesions.study import other_networks, recipes, tables
from lesions.system.folders import MODELS
from lesions.training import find_recipe

TWIN, FOLDS = "twin − the network it went on from", "twin − networks of the folds"
SHARED, STUDENT = "twin − best of the split", "student − last stage"
OTHER = "twin of fold {} − the network it went on from"
PLACES = {"validation": "the twin's fold", "test": "test split", **external.SETS}
# What the decision rule names melanoma: of melanomas, and of other lesions.
NAMED, ALARMS = "named", "alarms"
METRICS = {
    "log_loss": "log loss",
    "macro_auc": "macro AUC",
    "balanced_accuracy": "balanced accuracy",
    "melanoma_auc": "melanoma AUC",
    NAMED: "melanomas named by the rule",
    ALARMS: "others that it names melanoma",
}
AT_HOME, BY_THE_RULE = ("log_loss", "macro_auc", "balanced_accuracy"), (NAMED, ALARMS)
# Place to the metrics by which two networks are compared there.
THE_CHOICE = {"validation": ("log_loss",)}  # by which `choice.best_single` decides
OF_A_TWIN = dict.fromkeys(("validation", "test"), AT_HOME)
OF_THE_FIRST_TWIN = OF_A_TWIN | dict.fromkeys(external.SETS, ("melanoma_auc",))
OF_THE_STUDENT = {"test": (*AT_HOME, *BY_THE_RULE)} | dict.fromkeys(
    external.SETS, ("melanoma_auc", *BY_THE_RULE)
)


@functools.cache
def compare(folder=MODELS) -> pd.DataFrame | None:
    """Compare the student and its twin with the networks before them.

    The twin answers for the student on a fold, goes on from a network of that fold, and learns
    from the networks of the folds; see `last_stage` and `choice.best_of_the_split`. Twins of the
    other folds, where they are recorded, show what another fold and another seed change.

    Returns:
        A table indexed by pair, place (of `PLACES`) and metric, of the pairs that are recorded:
        images, first and second (the two networks' values; one view in other
        clinics, else eight), value, low and high (first less second, 95%, paired over lesions).
        None where no student is recorded.

    Raises:
        ValueError: If a run or its predictions of other clinics are not recorded.
    """
    found = {one.name: comparison.read_entry(one) for one in comparison.run_folders(folder)}
    pairs = _pairs(found, folder)
    if not pairs:
        return None
    rows = {}
    for pair, (*networks, asked) in pairs.items():
        for place, metrics in asked.items():
            shared = _on_shared(networks, place, folder)
            plain = tuple(name for name in metrics if name not in BY_THE_RULE)
            differences = _differences(*shared, plain)
            if NAMED in metrics:
                differences |= _named_melanoma(*shared)
            rows |= {(pair, place, name): differences[name] for name in metrics}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(["pair", "place", "metric"])


def last_stage(folder=MODELS) -> str:
    """Name the run of the last stage of notebook 04, the best model before there were students.

    Raises:
        ValueError: If it is not recorded.
    """
    wanted = recipes.config(recipes.BEST, "cpu", **recipes.STAGES["cpu"][-1])
    found = find_recipe(wanted, folder)
    if found is None:
        raise ValueError(f"{folder} lacks the last stage of notebook 04; train it and publish it.")
    return found.name


def _pairs(found: dict[str, comparison.Entry], folder: Path) -> dict[str, tuple]:
    """Map the name of a pair to its two entries, of what is recorded, and what is asked of them.

    Nothing without a student.
    """
    student = next((one for one in found.values() if one.record.get("answers_from")), None)
    if student is None:
        return {}
    twin = _of(found, folder / student.record["answers_from"])
    start = _of(found, folder / twin.record["start"])
    alone = {name: one for name, one in found.items() if one.record.get("fold") is None}
    taught_alike = [
        one
        for one in found.values()
        if one.record.get("teacher") == twin.record["teacher"]
        and one.record.get("fold") not in (None, twin.record["fold"])
    ]
    teachers = twin.record["teacher"].split("+")
    (of_folds,) = comparison.joined(_of(found, folder / one) for one in teachers).values()
    others = {
        OTHER.format(one.record["fold"] + 1): (
            one,
            _of(found, folder / one.record["start"]),
            OF_A_TWIN,
        )
        for one in taught_alike
    }
    return {
        TWIN: (twin, start, OF_THE_FIRST_TWIN),
        **others,
        FOLDS: (twin, of_folds, THE_CHOICE),
        SHARED: (twin, found[choice.best_of_the_split(alone)], THE_CHOICE),
        STUDENT: (student, found[last_stage(folder)], OF_THE_STUDENT),
    }


def _of(found: dict[str, comparison.Entry], run: Path) -> comparison.Entry:
    return found.get(run.name) or comparison.read_entry(run)  # which names what is missing


def _on_shared(networks: list, place: str, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read what two networks answer to the photographs of a place that neither was trained on."""
    first, second = (
        other_networks.answers(one, place, folder) if place in external.SETS else one.answers(place)
        for one in networks
    )
    first = first[first["image_id"].isin(second["image_id"])]
    return first, second[second["image_id"].isin(first["image_id"])]


def _differences(first: pd.DataFrame, second: pd.DataFrame, metrics: tuple) -> dict[str, dict]:
    """Return by metric the images, what each network reaches, and the paired difference."""
    alone = [evaluation.intervals(one, 0, metrics)["value"] for one in (first, second)]
    gaps = evaluation.paired_differences({"": (first, second)}, metrics)
    return {
        name: {"images": len(first), "first": alone[0][name], "second": alone[1][name]}
        | gaps[name].loc[""].to_dict()
        for name in metrics
    }


def _named_melanoma(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, dict]:
    """Return the same of the shares of melanomas and of others that the rule names melanoma."""
    melanomas = first["dx"].eq("mel").to_numpy()
    found = {}
    for name, asked in ((NAMED, melanomas), (ALARMS, ~melanomas)):
        # The share that is named melanoma is the accuracy where all are taken for one.
        parts = (one[asked].assign(dx="mel") for one in (first, second))
        found[name] = _differences(*parts, ("accuracy",))["accuracy"]
    return found


def block(compared: pd.DataFrame | None) -> str:
    """Write the table of `compare` for the pages, as Markdown."""
    if compared is None:
        return "No student is recorded."
    rows = []
    for (pair, place, metric), row in compared.iterrows():
        where = PLACES[place] + (" and validation" if pair == SHARED else "")
        values = f"{row['first']:.3f}", f"{row['second']:.3f}", f"{Interval.of(row):+.3f}"
        rows.append([pair, f"{where}, {row['images']:,.0f}", METRICS[metric], *values])
    header = "| networks | photographs | measure | first | second | difference |"
    return tables.markdown(header, rows)
