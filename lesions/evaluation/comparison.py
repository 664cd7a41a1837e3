"""Run folders side by side, every number computed anew from their predictions."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lesions.evaluation.answering import answer, fit
from lesions.evaluation.choice import best_single, of_the_split
from lesions.evaluation.ensembles import ensemble, fit_ensemble, out_of_fold
from lesions.evaluation.frequencies import Correction
from lesions.evaluation.predictions import read_predictions, rows_of
from lesions.evaluation.summary import evaluate
from lesions.system.files import write_csv
from lesions.system.folders import MODELS

# Architectures as people write them.
NETWORKS = {
    "cnn": "CNN",
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "efficientnetb0": "EfficientNet-B0",
    "efficientnetb3": "EfficientNet-B3",
    "cnn_densenet121": "CNN + DenseNet121",
    "densenet121_efficientnetb3": "DenseNet121 + EfficientNet-B3",
    "ensemble": "ensemble",
}
# Settings that earlier versions had, at the value that every recorded run has.
RETIRED = {
    "patience": 100,
    "cutmix": 0.0,
    "accumulation": 1,
    "first_layer_rate": 1.0,
    "weight_decay": 1e-4,
    "clip_norm": 1.0,
    "hair_removal": False,
}
WITH_INTERVAL = ("balanced_accuracy", "macro_auc", "melanoma_sensitivity_at_90_specificity")
# What the networks of all folds have in common.
SHARED = (
    "architecture",
    "image_size",
    "patient",
    "class_weighting",
    "oversampling",
    "loss",
    "epochs_trained",
    "epochs_before",
    "config",
    "teacher",
)


def finished_folders(folder) -> list[Path]:
    """List the finished runs below a folder, in the order of their names."""
    found = [path.parent for path in sorted(Path(folder).glob("[!.]*/config.json"))]
    return [
        one
        for one in found  # of the others a training or a copy is under way
        if one.suffix != ".partial" and (one / "metrics.json").exists()
    ]


def run_folders(folder) -> list[Path]:
    """List the finished runs below a folder that belong into the comparison, by name.

    A run with a tag or a leaky split is an experiment of a notebook, not a competitor; of the
    pilot on the first fold, `entries` takes the run whose recipe the other folds share.
    """
    found = []
    for run in finished_folders(folder):
        config = read_record(run / "config.json").get("config", {})
        competes = not config.get("tag") or config.get("fold") is not None
        if competes and config.get("protocol", "lesion") == "lesion":
            found.append(run)
    return found


@dataclass(frozen=True)
class Entry:
    """One row of the comparison: a network, the networks of all folds, or the ensemble.

    Attributes:
        name: Name of the run folder, or "... (5 folds)", or "ensemble".
        record: What config.json says, its `config` unfolded into it; of a run also `earlier`,
            the runs whose weights it went on from, the last one first.
        predictions: Validation or out-of-fold rows and test rows; a network's own answers, or
            the mean of several at the class frequencies.
        details: `correction` and `decision_strength`, fitted on the validation rows.
        members: Name to weight, of an ensemble and of the networks of folds; else empty.
    """

    name: str
    record: dict
    predictions: pd.DataFrame
    details: dict
    members: dict[str, float] = field(default_factory=dict)

    def answers(self, split: str = "test", by_lesion: bool = False) -> pd.DataFrame:
        """Return `answering.answer` of one split."""
        return answer(rows_of(self.predictions, split), self.details, by_lesion)


def entries(run_folders: Iterable[str | Path]) -> dict[str, Entry]:
    """Read run folders, with config.json, metrics.json and predictions.csv, as `joined`.

    Raises:
        ValueError: If there is no folder, one lacks a file, or its predictions cannot be used.
    """
    runs = [read_entry(Path(folder)) for folder in run_folders]
    if not runs:
        raise ValueError("There is no run folder to compare; train one or name one.")
    return joined(runs)


def joined(runs: Iterable[Entry]) -> dict[str, Entry]:
    """Put runs of folds together, and add the ensemble of the others.

    Runs that differ only in their fold, seed, earlier stage and tag become one entry once they
    cover all folds; before, they are left out. Of several on one fold, the first counts.

    Returns:
        Name to entry. Where several networks predict the validation split, the last is their
        "ensemble": networks of folds and of all rows predict others.
    """
    found: dict[str, Entry] = {}
    folds: dict[str, dict[int, Entry]] = {}
    for run in runs:
        if run.record.get("fold") is None:
            found[run.name] = run
            continue
        # A setting that came later is missing in earlier records, one that is gone in later.
        left_out = {"fold", "seed", "start", "tag", *RETIRED}
        kept = {"tta": True, **run.record["config"]}.items()
        recipe = sorted(one for one in kept if one[0] not in left_out and one[1] not in (None, ""))
        folds.setdefault(json.dumps(recipe), {}).setdefault(run.record["fold"], run)
    for group in filter(_is_whole, ([*of_recipe.values()] for of_recipe in folds.values())):
        entry = _of_folds(group)
        if entry.name in found:  # another recipe of the same architecture and size
            entry = replace(entry, name=f"{entry.name}, {group[0].name}")
        found[entry.name] = entry
    members = list(of_the_split(found).values())
    if len(members) > 1:
        found["ensemble"] = _ensemble(members)
    return found


def compare(found: dict[str, Entry]) -> pd.DataFrame:
    """Compute the table of `entries`, every metric from their predictions.

    Returns:
        One row an entry, lowest validation log loss first: run, architecture, networks (how many
        answer), image_size, patient (whether age, sex and site are an input), student (whether
        other networks taught it), class_balance, epochs (trained), epochs_before (of the runs
        whose weights it went on from), seed, initial_weights, hardware, minutes, parameters,
        members (weights of several networks), validation_images,
        validation_<metric> and test_<metric> for each key of `metrics` (photographs),
        test_lesion_<metric> for the headlines with every lesion counted once, _low and _high of the
        metrics of `WITH_INTERVAL` (95%, over lesions), power, offset, decision_strength and best
        (whether `best_single` chooses it).

    Raises:
        ValueError: If there is no entry, because the runs are of single folds.
    """
    if not found:
        raise ValueError(
            "Every run here is of a fold whose recipe lacks others; train the other folds, or "
            "name a folder with a run of the whole split."
        )
    table = pd.DataFrame([_row(entry) for entry in found.values()])
    table["best"] = table["run"] == best_single(found)
    return table.sort_values("validation_log_loss", ignore_index=True)


def best_row(table: pd.DataFrame) -> pd.Series:
    """Return the row of `compare` that `best_single` chooses, or raise a ValueError without any."""
    if not table["best"].any():
        raise ValueError("No run here is of the whole split, so none is the best; train one.")
    return table[table["best"]].iloc[0]


def write_comparison(table: pd.DataFrame, path) -> Path:
    """Write the table of `compare` as CSV with six digits, and return the path."""
    return write_csv(table, path)


def read_comparison(path) -> pd.DataFrame:
    """Read what `write_comparison` wrote, with plain names in the column `name`."""
    table = pd.read_csv(path)
    return table.assign(name=plain_names(table.fillna({"class_balance": ""})))


def plain_names(table: pd.DataFrame) -> list[str]:
    """Name the rows of a table as from `compare` as people do, as short as they stay apart.

    Returns:
        Names such as "DenseNet121, 192 px", with "5 folds" where that many answer; of namesakes
        with what they differ in: random weights, the class balance, the epochs or the seed; else
        the names of the runs.
    """
    names = [
        row.architecture
        if row.architecture == "ensemble"
        else f"{NETWORKS.get(row.architecture, row.architecture)}, {row.image_size:.0f} px"
        + (f", {row.networks} folds" if row.networks > 1 else "")
        + (", given age, sex and site" if row.patient else "")
        + (", student" if row.student else "")
        for row in table.itertuples()
    ]
    named = table.reset_index(drop=True).assign(name=names)
    texts = {
        "initial_weights": lambda weights: ", random weights" * (weights == "random"),
        "class_balance": ", {}".format,
        "epochs": ", {:.0f} epochs".format,
        "seed": ", seed {:.0f}".format,
    }
    for column, text in texts.items():
        for _, namesakes in named.groupby("name"):
            if namesakes[column].nunique() > 1:
                longer = namesakes["name"] + namesakes[column].map(text)
                named.loc[namesakes.index, "name"] = longer
    again = named["name"].duplicated(keep=False)
    return named["name"].where(~again, named["run"]).to_list()


def names(found: dict[str, Entry]) -> dict[str, str]:
    """Map the name of each entry to its plain name, see `plain_names`."""
    return dict(zip(found, plain_names(pd.DataFrame(map(_about, found.values()))), strict=True))


def class_balance(config: dict) -> str:
    """Name what a config does about the imbalance, "oversampled" or "square-root weights"."""
    weighting = config.get("class_weighting") or "none"
    parts = ["oversampled"] if config.get("oversampling") else []
    parts += [] if weighting == "none" else [f"{weighting.replace('_', '-')} weights"]
    return " and ".join(parts) or "none"


def read_entry(folder: Path) -> Entry:
    """Read one run folder, and fit its correction and decision rule on its validation rows.

    Raises:
        ValueError: If the folder lacks a file or its predictions cannot be used.
    """
    for name in ("config.json", "metrics.json", "predictions.csv"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}; train that run or leave the folder out.")
    record = read_record(folder / "config.json")
    record = record.get("config", {}) | record
    of_fold = {"config", "images"} if record.get("fold") is not None else set()
    if not {"architecture", "image_size"} | of_fold <= set(record):
        raise ValueError(f"{folder / 'config.json'} is incomplete; train that run again.")
    earlier = _earlier(record, folder.parent)
    record |= {"earlier": list(earlier), "epochs_before": sum(earlier.values())}
    predictions = read_predictions(folder / "predictions.csv")
    twice = predictions.loc[predictions["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise ValueError(
            f"{folder / 'predictions.csv'} holds {twice.iloc[0]} twice; restore the file or train "
            "that run again."
        )
    # How often the classes occur in training is all that predictions.csv cannot tell.
    stored = read_record(folder / "metrics.json").get("correction") or {}
    try:
        frequencies = Correction.from_details(stored).class_frequencies
        details = fit(predictions, np.array(frequencies))
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    return Entry(folder.name, record, predictions, details)


def _earlier(config: dict, runs_folder: Path) -> dict[str, int]:
    """Map the runs, there or recorded, whose weights a run went on from to their epochs."""
    start = config.get("start") or "none"
    places = [place / start / "config.json" for place in (runs_folder, MODELS)]
    found = next(filter(Path.is_file, places), None)
    if found is None:
        return {}
    record = read_record(found, "epochs_trained")
    return {start: record["epochs_trained"], **_earlier(record.get("config", {}), runs_folder)}


def read_record(path: Path, *needed: str) -> dict:
    """Read config.json or metrics.json of a run folder, and check that it has what is needed.

    Raises:
        ValueError: If it is incomplete; names it.
    """
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        if not set(needed) <= set(record):
            raise ValueError("an entry is missing")
        return record
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is incomplete; remove its folder or train that run again."
        ) from error


def _together(
    name: str, parts: list[Entry], predictions: pd.DataFrame, weights, record: dict
) -> Entry:
    """Make an entry of several, calibrated anew, as a mean of networks is less sure than they are.

    But of networks of folds one answers for each held-out row, so their mean stays as it is.
    """
    frequencies = np.array(parts[0].details["correction"]["class_frequencies"])
    record = {
        "networks": sum(part.record.get("networks", 1) for part in parts),
        "hardware": ", ".join(sorted({str(part.record.get("hardware")) for part in parts})),
        "seconds": sum(part.record.get("seconds") or 0 for part in parts),
        "parameters": sum(part.record.get("parameters") or 0 for part in parts),
        **record,
    }
    members = {part.name: float(weight) for part, weight in zip(parts, weights, strict=True)}
    return Entry(name, record, predictions, fit(predictions, frequencies), members)


def _is_whole(runs: list[Entry]) -> bool:
    """Check whether the networks of one recipe have predicted every row out of fold, once."""
    images = runs[0].record["images"]
    predicted = pd.concat([rows_of(run.predictions, "validation")["image_id"] for run in runs])
    return predicted.is_unique and len(predicted) == images["train"] + images["validation"]


def _of_folds(runs: list[Entry]) -> Entry:
    """Put the networks of one recipe on different folds together."""
    first = runs[0].record
    name = f"{first.get('architecture')}-{first.get('image_size')}px ({len(runs)} folds)"
    frames = [answer(run.predictions, run.details) for run in runs]
    record = {key: first.get(key) for key in SHARED}
    # Where each went on from a run of its own, what they have in common is what came before it.
    record["initial_weights"] = (first.get("initial_weights") or "").partition(", then ")[0]
    return _together(name, runs, out_of_fold(frames), [1 / len(runs)] * len(runs), record)


def _ensemble(members: list[Entry]) -> Entry:
    """Average all members with weights fitted on validation or out-of-fold rows."""
    images = members[0].predictions["image_id"]
    other = [one.name for one in members if not one.predictions["image_id"].equals(images)]
    if other:
        raise ValueError(
            f"{members[0].name} and {other[0]} predict different images; compare them from "
            "folders of their own, or train one of them again."
        )
    frames = [answer(member.predictions, member.details) for member in members]
    weights = fit_ensemble(frames)
    record = {"architecture": "ensemble", "initial_weights": f"{len(members)} members"}
    return _together("ensemble", members, ensemble(frames, weights), weights, record)


def _about(entry: Entry) -> dict:
    """Return what a row says of an entry before any metric."""
    record, seconds = entry.record, entry.record.get("seconds")
    return {
        "run": entry.name,
        "architecture": record.get("architecture"),
        "networks": record.get("networks", 1),
        "image_size": record.get("image_size"),
        "patient": bool(record.get("patient")),
        "student": bool(record.get("teacher")),
        "class_balance": class_balance(record) if "config" in record else "",
        "epochs": record.get("epochs_trained", record.get("epochs")),
        "epochs_before": record.get("epochs_before"),
        **{name: record.get(name) for name in ("seed", "initial_weights", "hardware")},
        "minutes": None if seconds is None else seconds / 60,
        "parameters": record.get("parameters"),
        "members": "; ".join(f"{name}: {one:.3f}" for name, one in entry.members.items()),
        "validation_images": len(rows_of(entry.predictions, "validation")),
    }


def _row(entry: Entry) -> dict:
    frequencies = np.array(entry.details["correction"]["class_frequencies"])
    figures = evaluate(entry.predictions, frequencies, names=WITH_INTERVAL)
    row = _about(entry)
    row |= {f"validation_{name}": value for name, value in figures["validation"].items()}
    for prefix, metrics, bounds in (
        ("test", figures["test"], figures["test_intervals"]),
        ("test_lesion", figures["test_lesions"], figures["test_lesion_intervals"]),
    ):
        for name, value in metrics.items():
            row[f"{prefix}_{name}"] = value
            if name in bounds:
                row[f"{prefix}_{name}_low"], row[f"{prefix}_{name}_high"] = bounds[name]
    correction = figures["correction"]
    test = rows_of(entry.predictions, "test")
    return {
        **row,
        "power": correction["power"],
        "offset": correction["offset"],
        "decision_strength": figures["decision_strength"],
        "test_images": len(test),
        "test_lesions": test["lesion_id"].nunique(),
    }
