"""What the commands of `python -m lesions` do, behind their arguments."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lesions import (
    classes,
    data,
    evaluation,
    explain,
    hardware,
    images,
    predictions,
    recipes,
    training,
)
from lesions.inference import COLUMNS, Classifier


def train(
    architecture: str,
    profile: str = "auto",
    quick: bool = False,
    folder=None,
    runs=None,
    retrain: bool = False,
    **changes,
) -> training.Run:
    """Train one network by its recorded recipe, or load the run where it is done already.

    Args:
        architecture: A name of `models.ARCHITECTURES`.
        profile: "demo", "cpu", "gpu", or "auto" for what the data and the machine allow.
        quick: Whether a sample of lesions and two epochs are enough.
        folder: Folder of the data; None for the usual places, see `data.find_dataset`.
        runs: Where the run folder goes; default `build/runs/<profile>`.
        retrain: Whether to train even where `runs` holds this run.
        **changes: Fields of `training.Config` to set differently.

    Returns:
        The run.

    Raises:
        ValueError: If the data, the recipe or a change cannot be used.
    """
    build = Path(os.environ.get("LESIONS_BUILD") or data.REPOSITORY / "build")
    dataset, profile, metadata = recipes.open_data(profile, quick, folder, build)
    config = recipes.config(architecture, profile, quick, **changes)
    print(f"Data: {dataset.source}, {len(metadata):,} photographs.")
    print(f"Profile {profile}{', quick' if quick else ''} on {hardware.describe()}.")
    store = images.ImageStore(
        metadata,
        config.image_size,
        build / "stores",
        hair_removal=config.hair_removal,
        colour_constancy=config.colour_constancy,
        progress=sys.stderr.isatty(),
    )
    runs = Path(runs or build / "runs" / (profile + ("-quick" if quick else "")))
    return training.train_or_load(config, metadata, store, runs, runs, retrain)


def score(model, folder, tta: bool = True) -> tuple[pd.DataFrame, float, int]:
    """Score a network on the labelled photographs of a folder, such as the official test set.

    Args:
        model: An `.h5` file from `models.save`.
        folder: A folder in any layout of `data.open_dataset`.
        tta: Whether the mean over eight views is taken.

    Returns:
        `evaluation.intervals` of the calibrated probabilities; the balanced accuracy of the
        classes that the model names by its decision rule; and how many of the photographs are
        among those that the recorded split trains or validates on.

    Raises:
        ValueError: If the folder, a photograph or the model cannot be used.
    """
    from sklearn.metrics import balanced_accuracy_score
    from tqdm import tqdm

    rows = data.read_metadata(data.open_dataset(folder, "the folder that was named"))
    classifier = Classifier(model, tta)
    answers = classifier.classify(rows["image_path"])
    bar = tqdm(answers, total=len(rows), unit="images", disable=not sys.stderr.isatty())
    table = pd.DataFrame(list(bar))
    faulty = table.index[table["error"] != ""]
    if len(faulty):
        raise ValueError(table["error"][faulty[0]])
    frame = predictions.table(rows.assign(split="test"), table[list(classes.CODES)].to_numpy())
    splits = pd.read_csv(data.REPOSITORY / "models" / "splits.csv")
    known = splits.loc[splits["split"] != "test", "image_id"]
    decided = balanced_accuracy_score(rows["dx"], table["predicted"])
    return evaluation.intervals(frame), decided, int(rows["image_id"].isin(known).sum())


def write_table(rows: Iterable[dict], path) -> tuple[int, int]:
    """Write rows of `Classifier.classify` as CSV, six digits a probability, as they come.

    The file is written beside its place and renamed when whole.

    Returns:
        How many rows were written, and how many of them have an error.

    Raises:
        ValueError: If the file cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    written = faulty = 0
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "w", newline="", encoding="utf-8", errors="replace") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            for row in rows:
                table.writerow(
                    {k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()}
                )
                written, faulty = written + 1, faulty + bool(row["error"])
        os.replace(beside, path)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); name another --output."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # already renamed, or its folder is not one
            beside.unlink()
    return written, faulty


def write_heat_maps(
    classifier: Classifier,
    paths: Iterable,
    folder,
    method: str = "grad_cam",
    target: str | None = None,
) -> Iterator[tuple[Path | None, str]]:
    """Write `<stem>_gradcam.jpg` for each photograph: image, heat map and overlay.

    Args:
        classifier: The network to look into.
        paths: Files.
        folder: Where the pictures go. Of files with the same stem, the later get a number.
        method: See `explain.heat_maps`.
        target: The class to explain; None for the class that is predicted.

    Yields:
        One pair a path, in their order: the picture and "", or None and what is wrong.

    Raises:
        ValueError: If the method or class is unknown or a picture cannot be written.
    """
    taken: dict[str, int] = {}
    for path, image, error in (one for batch in classifier.read(paths, 8) for one in batch):
        if error:
            yield None, error
            continue
        probabilities = classifier.probabilities(image[np.newaxis])
        predicted = classifier.decide(probabilities)[0]
        explained = target or predicted
        maps = explain.heat_maps(
            classifier.model,
            image[np.newaxis],
            explained,
            method,
            patient=classifier.patient_input(1),
        )
        stem = Path(path).stem
        taken[stem] = taken.get(stem, 0) + 1
        number = f"_{taken[stem]}" if taken[stem] > 1 else ""
        picture = Path(folder) / f"{stem}{number}_gradcam.jpg"
        try:
            explain.save_example(
                picture,
                image,
                maps[0],
                None,
                predicted,
                float(probabilities[0, classes.CODES.index(predicted)]),
                credit=f"Image: {Path(path).name}",
                explained_code=explained,
            )
        except OSError as error:
            raise ValueError(
                f"{picture} cannot be written ({error.strerror}); name another --output."
            ) from error
        yield picture, ""
