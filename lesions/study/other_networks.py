"""The other networks on photographs of other clinics: whether one of them travels better."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from lesions import data, evaluation
from lesions.data import images
from lesions.evaluation import choice, comparison, external
from lesions.evaluation.predictions import read_predictions, table, write_predictions
from lesions.networks import models, views
from lesions.study import other_clinics, recipes
from lesions.system.folders import MODELS

BEST, MEAN = "best model", "mean of the five folds"


@dataclass(frozen=True)
class Asked(comparison.Entry):
    """A network, or several together, that was asked about every external set.

    Attributes:
        there: Key of `external.SETS` to predictions of that set, one view each.
    """

    there: dict[str, pd.DataFrame] = field(default_factory=dict)


def predict(folder: Path, name: str) -> Path:
    """Predict a set of `external.SETS` by the network of a run folder, one view a photograph.

    Returns:
        The path written, `<name>.csv` in that folder, with the columns of predictions.csv and the
        split "test".

    Raises:
        ValueError: If EXTERNAL_DIR names no folder, or not one that holds the set.
    """
    rows = data.read_metadata(other_clinics.require_set(name)).assign(split="test")
    model, details = models.load(folder / "model.h5")
    store = images.ImageStore(
        rows,
        details["image_size"],
        data.build_folder() / "stores",
        colour_constancy=details.get("colour_constancy"),
    )
    patient = data.patient_features(rows) if details["patient"] else None
    predicted = views.predict(model, store.images, False, patient)
    return write_predictions(table(rows, predicted), folder / f"{name}.csv")


def answers(entry: comparison.Entry, name: str, folder=MODELS) -> pd.DataFrame:
    """Return `evaluation.answer` of what a recorded network predicts of a set of `external.SETS`.

    Raises:
        ValueError: If its predictions are not recorded.
    """
    path = folder / entry.name / f"{name}.csv"
    if not path.exists() and external.recorded_run() == entry.name:
        path = external.RECORDED / path.name
    if not path.exists():
        raise ValueError(f"{path} is missing; make it by `python -m lesions.study publish folds`.")
    return evaluation.answer(read_predictions(path), entry.details)


def keep_recorded(folder=MODELS) -> list[Path]:
    """Copy what `models/external` holds into the run folder, if any, of the network that it is of.

    Before another network is asked in its place, so that both can be compared.
    """
    run = folder / external.recorded_run()
    if not run.is_dir():
        return []
    return [
        write_predictions(external.read_recorded(name), run / f"{name}.csv")
        for name in external.SETS
    ]


def asked(folder=MODELS) -> dict[str, Asked]:
    """Read what the networks of a folder of run folders predict of the external sets.

    Returns:
        Plain name to network: the best model; the mean of the five networks of folds, and these
        one by one; what else was trained on a fold; and the asked networks of the comparison.
    """
    found = {BEST: Asked(BEST, {}, *other_clinics.home(), there=_there(external.RECORDED))}
    there = {run: _there(run) for run in comparison.finished_folders(folder)}
    alone = {
        run.name: Asked(**vars(comparison.read_entry(run)), there=sets)
        for run, sets in there.items()
        if sets
    }
    of_folds = [one for one in alone.values() if one.record.get("fold") is not None]
    for entry in choice.of_folds(comparison.joined(of_folds)).values():
        members = [alone.pop(name) for name in entry.members]
        found[MEAN] = _mean(entry, members)
        found |= {f"fold {one.record['fold']}": one for one in members}
    names = comparison.read_comparison(MODELS / "comparison.csv").set_index("run")["name"]
    for run, one in alone.items():
        name = _name(one, names)
        found[run if name in found else name] = one
    return found


def _mean(together: comparison.Entry, members: list[Asked]) -> Asked:
    """Average what the members of an entry answer, as it averages them at home."""
    weights = list(together.members.values())
    means = {
        name: evaluation.ensemble(
            [evaluation.answer(one.there[name], one.details) for one in members], weights
        )
        for name in external.SETS
    }
    return Asked(**vars(together), there=means)


def reports(resamples: int = 1000) -> dict[str, pd.DataFrame]:
    """Compare every network of `asked` on each external set with itself at home.

    Returns:
        Name of a set to a table indexed by metric and network, with the columns of
        `evaluation.external_report`.
    """
    networks = asked()
    return {
        label: pd.concat(
            {
                network: evaluation.external_report(
                    one.there[name], one.predictions, one.details, resamples
                )
                for network, one in networks.items()
            },
            names=["network"],
        ).swaplevel()
        for name, label in external.SETS.items()
    }


def _name(entry: comparison.Entry, names: pd.Series) -> str:
    """Name what was tried without a fold, or a network of the comparison as it is named there."""
    record = entry.record
    if record.get("fold") is None:
        return names.get(entry.name, entry.name)
    architecture = record["architecture"]
    network = "" if architecture == recipes.BEST else comparison.NETWORKS[architecture]
    tried = record.get("tag", "").removeprefix("pilot-").replace("-", " ")
    tried = tried or ("a student's twin" if record.get("teacher") else f"seed {record['seed']}")
    return ", ".join(part for part in (f"fold {record['fold']}", network, tried) if part)


def _there(folder: Path) -> dict[str, pd.DataFrame]:
    """Read what is recorded of the external sets in a folder; nothing unless all of them are."""
    paths = {name: folder / f"{name}.csv" for name in external.SETS}
    if not all(path.exists() for path in paths.values()):
        return {}
    return {name: read_predictions(path) for name, path in paths.items()}
