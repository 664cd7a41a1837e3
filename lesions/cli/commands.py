"""What the commands of `python -m lesions` do, behind their arguments."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lesions import classes, data, evaluation, explanation, training
from lesions.evaluation import predictions
from lesions.explanation import agreement, benchmark, measurements
from lesions.inference import COLUMNS, Classifier
from lesions.study import recipes
from lesions.system import hardware


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
    build = data.build_folder()
    dataset, profile, metadata = recipes.open_data(profile, quick, folder, build)
    config = recipes.config(architecture, profile, quick, **changes)
    print(f"Data: {dataset.source}, {len(metadata):,} photographs.")
    print(f"Profile {profile}{', quick' if quick else ''} on {hardware.describe()}.")
    store = training.open_store(config, metadata, build, progress=sys.stderr.isatty())
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

    rows = data.read_metadata(data.open_dataset(folder, "the folder that was named"))
    classifier = Classifier(model, tta)
    answers = classifier.classify(rows["image_path"], patient=data.patient_features(rows))
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


def write_answers(
    classifier: Classifier,
    paths: list[str],
    output,
    batch_size: int = 32,
    resume: bool = False,
    progress: bool = False,
) -> tuple[int, int]:
    """Write the answers to photographs as CSV, six digits a probability, as they come.

    The file is written beside its place, in `<output>.<digest>.partial`, where the digest is of
    the network and its views, and renamed when whole. If the command is stopped, that file stays.

    Args:
        classifier: The network.
        paths: Files.
        output: The table.
        batch_size: Photographs a step.
        resume: Whether rows that a stopped command left are kept and not computed again.
        progress: Whether a bar on stderr shows how far it is.

    Returns:
        How many rows the table has, and how many of them have an error.

    Raises:
        ValueError: If the file cannot be written.
    """
    output = Path(output)
    beside = output.with_name(f"{output.name}.{_digest(classifier)}.partial")
    written = faulty = 0
    try:
        if output.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        output.parent.mkdir(parents=True, exist_ok=True)
        if resume and beside.exists():
            written, faulty = _kept_rows(beside, paths)
        rows = classifier.classify(islice(paths, written, None), batch_size)
        with open(
            beside, "a" if written else "w", newline="", encoding="utf-8", errors="replace"
        ) as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if not written:
                table.writeheader()
            for row in _with_bar(rows, len(paths), written, progress):
                table.writerow(
                    {k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()}
                )
                file.flush()  # what is answered outlives the process
                written, faulty = written + 1, faulty + bool(row["error"])
        os.replace(beside, output)
    except OSError as error:
        raise ValueError(
            f"{output} cannot be written ({error.strerror}); name another --output."
        ) from error
    finally:
        if not written:
            with contextlib.suppress(OSError):  # its folder may not be one
                beside.unlink()
    return written, faulty


def _with_bar(rows, total: int, done: int, progress: bool):
    return tqdm(rows, total=total, initial=done, unit="images", disable=not progress)


def _digest(classifier: Classifier) -> str:
    """Tell networks, and one look from eight, apart."""
    digest = hashlib.sha256(f"{classifier.tta} {classifier.path.stat().st_size}".encode())
    with open(classifier.path, "rb") as file:
        while part := file.read(1_000_000):
            digest.update(part)
    return digest.hexdigest()[:8]


def _kept_rows(table: Path, paths: list[str]) -> tuple[int, int]:
    """Cut a stopped table behind its last whole row that belongs to these paths, in their order.

    Returns:
        How many rows are kept, and how many of them have an error.
    """
    kept = faulty = end = 0
    torn = False
    with open(table, "rb+") as file:

        def lines():
            nonlocal torn
            for line in iter(file.readline, b""):
                torn = not line.endswith(b"\n")
                yield line.decode("utf-8", "replace")

        rows = csv.reader(lines())
        if next(rows, None) == list(COLUMNS) and not torn:
            end = file.tell()
            for row, path in zip(rows, paths, strict=False):
                expected = path.encode("utf-8", "replace").decode("utf-8")
                if torn or len(row) != len(COLUMNS) or row[0] != expected:
                    break
                kept, faulty, end = kept + 1, faulty + bool(row[-1]), file.tell()
        file.truncate(end)
    return kept, faulty


def calibration_images(classifier: Classifier, folder=None, number: int = 210) -> np.ndarray:
    """Prepare training photographs, as many of each class, that int8 takes its ranges from.

    Args:
        classifier: The network.
        folder: Folder of the data; None for the usual places, see `data.find_dataset`.
        number: How many at most.

    Returns:
        uint8, (n, image_size, image_size, 3), RGB 0-255.

    Raises:
        ValueError: If there are no data or a photograph is faulty.
    """
    rows = data.with_split(data.read_metadata(data.find_photographs(folder)))
    rows = rows[rows["split"] == "train"].sample(frac=1, random_state=42)
    rows = rows.groupby("dx").head(number // len(classes.CODES))
    return np.stack([classifier.prepare(path) for path in rows["image_path"]])


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
        method: See `explanation.METHODS`.
        target: The class to explain; None for the class that is predicted.

    Yields:
        One pair a path, in their order: the picture and "", or None and what is wrong.

    Raises:
        ValueError: If the method or class is unknown or a picture cannot be written.
    """
    explainer, taken = explanation.Explainer(classifier.model), set()
    for path, image, error in (one for batch in classifier.read(paths, 8) for one in batch):
        if error:
            yield None, error
            continue
        probabilities = classifier.probabilities(image[np.newaxis])
        predicted = classifier.decide(probabilities)[0]
        explained = target or predicted
        maps = explainer(
            image[np.newaxis],
            explained,
            method,
            patient=classifier.patient_input(1),
        )
        picture = Path(folder) / f"{_free_name(Path(path).stem, taken)}_gradcam.jpg"
        try:
            explanation.save_example(
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


def _free_name(stem: str, taken: set[str]) -> str:
    """Number a name that was given out before; to some systems A and a are one file."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return name


def measure_explanations(model, output=None, number: int | None = None, folder=None) -> Path:
    """Measure a network's explanations and write the table, see `benchmark.measure`.

    Args:
        model: An `.h5` file from `models.save`.
        output: The table; default `models/explanations.csv` of this repository.
        number: At most so many test photographs a part; None for the usual numbers.
        folder: Folder of the data; None for the usual places, see `data.find_dataset`.

    Returns:
        The path written.

    Raises:
        ValueError: If the model, the data or the output cannot be used.
    """
    classifier = Classifier(model, tta=False)
    dataset = data.find_photographs(folder)
    metadata = data.with_split(data.read_metadata(dataset))
    print(f"Data: {dataset.source}, {(metadata['split'] == 'test').sum():,} test photographs.")
    table = benchmark.measure(classifier, metadata, number, progress=sys.stderr.isatty())
    _print_summary(table)
    return measurements.write_table(table, output or measurements.TABLE)


def _print_summary(table) -> None:
    """Print the agreement of all maps with the lesion, as the shortest useful answer."""
    rows = table[(table["part"] == "agreement") & (table["class"] == "all")]
    rows = rows[(rows["group"] == "all") & rows["metric"].isin(agreement.SCORES)]
    shown = rows.assign(
        text=[f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in rows[["value", "low", "high"]].values]
    )
    print(shown.pivot(index="method", columns="metric", values="text").to_string())
