"""What the commands of `python -m lesions` do, behind their arguments."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lesions import (
    agreement,
    classes,
    data,
    explain,
    explanations,
    hardware,
    images,
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
    if profile not in ("auto", *recipes.PROFILES):
        raise ValueError(f"Unknown profile {profile!r}; use auto, demo, cpu or gpu.")
    build = Path(os.environ.get("LESIONS_BUILD") or data.REPOSITORY / "build")
    dataset = _dataset(profile, folder, build)
    if profile == "auto" or dataset.is_demo:
        profile = "demo" if dataset.is_demo else "gpu" if hardware.gpus() else "cpu"
    config = recipes.config(architecture, profile, quick, **changes)
    metadata = data.with_split(data.read_metadata(dataset))
    if quick and not dataset.is_demo:
        metadata = data.sample_lesions(metadata)
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


def _dataset(profile: str, folder, build: Path) -> data.Dataset:
    if profile != "demo" or folder is not None:
        return data.find_dataset(folder, demo_folder=build / "demo")
    from lesions import demo

    reason = "the synthetic demo set, as the profile asks"
    return data.open_dataset(demo.make_demo(build / "demo"), reason, is_demo=True)


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


def measure_explanations(model, output=None, number: int | None = None, folder=None) -> Path:
    """Measure the explanations of a network and write the table, see `explanations.measure`.

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
    build = Path(os.environ.get("LESIONS_BUILD") or data.REPOSITORY / "build")
    classifier = Classifier(model, tta=False)
    dataset = _dataset("auto", folder, build)
    metadata = data.with_split(data.read_metadata(dataset))
    print(f"Data: {dataset.source}, {(metadata['split'] == 'test').sum():,} test photographs.")
    table = explanations.measure(classifier, metadata, number, progress=sys.stderr.isatty())
    _print_summary(table)
    return explanations.write_table(table, output or explanations.TABLE)


def _print_summary(table) -> None:
    """Print the agreement of all maps with the lesion, as the shortest useful answer."""
    rows = table[(table["part"] == "agreement") & (table["class"] == "all")]
    rows = rows[(rows["group"] == "all") & rows["metric"].isin(agreement.SCORES)]
    shown = rows.assign(
        text=[f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in rows[["value", "low", "high"]].values]
    )
    print(shown.pivot(index="method", columns="metric", values="text").to_string())
