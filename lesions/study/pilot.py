"""The pilot: which augmentation travels to other clinics without losing at home."""

from pathlib import Path

import pandas as pd

from lesions import data, evaluation
from lesions.data import images
from lesions.evaluation.comparison import Entry, finished_folders, read_entry
from lesions.evaluation.predictions import read_predictions, table, write_predictions
from lesions.networks import models, views
from lesions.study import other_clinics, recipes
from lesions.system.folders import REPOSITORY
from lesions.training import runs

SET = "isic2017"  # the second validation set
MARGIN = 0.003  # of macro AUC out of fold, within which the one that travels best is chosen
BASELINE = recipes.PILOT[0]
METRICS = ("log_loss", "macro_auc", "melanoma_auc")


def predict_elsewhere(folder: Path, name: str = SET) -> Path:
    """Predict an external set by the network of a run, one view a photograph.

    Args:
        folder: Run folder with model.h5; the predictions go beside it, as `<name>.csv`, with the
            columns of predictions.csv and the split "test".
        name: A key of `external.SETS`.

    Returns:
        The path written.

    Raises:
        ValueError: If EXTERNAL_DIR names no folder, or not one that holds the set.
    """
    dataset = other_clinics.find_set(name)
    if dataset is None:
        raise ValueError("The external photographs are missing; set EXTERNAL_DIR to their folder.")
    model, details = models.load(folder / "model.h5")
    rows = data.read_metadata(dataset).assign(split="test")
    store = images.ImageStore(rows, details["image_size"], data.build_folder() / "stores")
    predicted = views.predict(model, store.images, tta=False)
    return write_predictions(table(rows, predicted), folder / f"{name}.csv")


def publish(build: Path) -> list[Path]:
    """Copy the pilot's runs into the repository, each with its predictions of the external set.

    Args:
        build: Where `train_queue` left them.

    Returns:
        The folders written.

    Raises:
        ValueError: If there is no finished run of the pilot.
    """
    finished = [run for one in (build / "runs").glob("*") for run in finished_folders(one)]
    found = [run for run in finished if "-pilot-" in run.name and (run / "model.h5").exists()]
    if not found:
        raise ValueError(f"{build} holds no finished run of the pilot; train it first.")
    for folder in found:
        if not (folder / f"{SET}.csv").exists():
            predict_elsewhere(folder)
    return [runs.copy_records(folder, REPOSITORY / "models") for folder in found]


def recorded(folder=REPOSITORY / "models") -> dict[str, Entry]:
    """Read the recorded runs of the pilot.

    Args:
        folder: Folder of run folders.

    Returns:
        Augmentation to entry, in the order of `recipes.PILOT`.
    """
    found = [read_entry(path) for path in sorted(Path(folder).glob("*-pilot-*"))]
    by_name = {entry.record["augmentation"]: entry for entry in found}
    return {name: by_name[name] for name in recipes.PILOT if name in by_name}


def compare(folder=REPOSITORY / "models") -> pd.DataFrame:
    """Compare the augmentations out of fold and on the external set.

    Args:
        folder: Folder of run folders.

    Returns:
        One row an augmentation: log_loss and macro_auc out of fold and melanoma_auc on the
        external set, at the class frequencies; <figure>_difference from the mildest
        augmentation with <figure>_low and <figure>_high (95%, paired, over lesions).
    """
    answers = {}
    for name, entry in recorded(folder).items():
        elsewhere = read_predictions(Path(folder) / entry.name / f"{SET}.csv")
        at_home = entry.answers("validation")
        there = evaluation.answer(elsewhere, entry.details)
        answers[name] = {"log_loss": at_home, "macro_auc": at_home, "melanoma_auc": there}
    rows = {}
    for name, frames in answers.items():
        rows[name] = {}
        for metric, frame in frames.items():
            rows[name][metric] = evaluation.intervals(frame, names=(metric,)).loc[metric, "value"]
            baseline = answers[BASELINE][metric]
            difference = evaluation.paired_difference(frame, baseline, metric)
            rows[name] |= {f"{metric}_difference": difference["value"]}
            rows[name] |= {f"{metric}_{end}": difference[end] for end in ("low", "high")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("augmentation")


def choose(compared: pd.DataFrame) -> str:
    """Choose the augmentation of all later trainings.

    Args:
        compared: From `compare`.

    Returns:
        Of those within `MARGIN` macro AUC of the best, the one with the highest melanoma AUC on
        the external set.
    """
    near = compared["macro_auc"] >= compared["macro_auc"].max() - MARGIN
    return compared.loc[near, "melanoma_auc"].idxmax()


def chosen(folder=REPOSITORY / "models") -> str:
    """Return the augmentation that the recorded pilot chooses.

    Raises:
        ValueError: If an augmentation of the pilot is not recorded yet.
    """
    compared = compare(folder)
    missing = [name for name in recipes.PILOT if name not in compared.index]
    if missing:
        raise ValueError(
            f"The pilot lacks the augmentation {missing[0]}; train it by `python -m lesions.study "
            "train pilot` and record it by `publish pilot`."
        )
    return choose(compared)


def block(compared: pd.DataFrame) -> str:
    """Write the table of the pilot for the pages.

    Args:
        compared: From `compare`.

    Returns:
        Markdown.
    """
    lines = [
        "| augmentation | log loss, fold | macro AUC, fold | melanoma AUC, ISIC 2017 |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in compared.iterrows():
        cells = [f"{row[metric]:.3f}{_against(row, metric, name)}" for metric in METRICS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    missing = [name for name in recipes.PILOT if name not in compared.index]
    verdict = f"The choice waits for {' and '.join(missing)}."
    if not missing:
        verdict = f"Chosen: **{choose(compared)}**."
    return "\n".join([*lines, "", verdict])


def _against(row, metric: str, name: str) -> str:
    if name == BASELINE:
        return ""
    value, low, high = (row[f"{metric}_{end}"] for end in ("difference", "low", "high"))
    return f" ({value:+.3f}, {low:+.3f} to {high:+.3f})"
