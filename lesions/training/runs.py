"""Two-phase fine-tuning that resumes after a kill and leaves a run folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import images
from lesions.evaluation import predictions
from lesions.networks import models, views
from lesions.system import hardware
from lesions.training import torch_layers
from lesions.training.trainer import BEST, CHECKPOINT, HISTORY, SOFT_LABELS, Config, Trainer

LATER_FIELDS = ("start", "keep", "cutmix", "accumulation", "first_layer_rate", "teacher")
LOCK = "lock"
RUN_FILES = ("config.json", "history.csv", "predictions.csv", "metrics.json")


@dataclass(frozen=True)
class Run:
    """What a training left behind, as read from its folder.

    Attributes:
        folder: The run folder.
        record: config.json: `config`, `initial_weights`, `hardware`, `seconds`, ...
        history: history.csv, one row an epoch.
        predictions: predictions.csv.
        metrics: metrics.json.
    """

    folder: Path
    record: dict
    history: pd.DataFrame
    predictions: pd.DataFrame
    metrics: dict


def read_run(folder) -> Run:
    """Read a run folder.

    Raises:
        ValueError: If a file of it is missing.
    """
    folder = Path(folder)
    for name in RUN_FILES:
        if not (folder / name).exists():
            raise ValueError(f"The run folder {folder} lacks {name}; train it again.")
    return Run(
        folder,
        json.loads((folder / "config.json").read_text()),
        pd.read_csv(folder / "history.csv"),
        predictions.read_predictions(folder / "predictions.csv"),
        json.loads((folder / "metrics.json").read_text()),
    )


def run_name(config: Config, metadata: pd.DataFrame) -> str:
    """Name a run by what it is, with eight digits of its config and data."""
    fields = asdict(config)
    for name in LATER_FIELDS:  # at their defaults, names are as they were before these fields
        if fields[name] == getattr(Config, name):
            del fields[name]
    text = json.dumps([fields, data.data_fingerprint(metadata)], sort_keys=True)
    parts = [config.architecture, f"{config.image_size}px", f"seed{config.seed}"]
    parts += ["patient"] * config.patient + [config.tag] * bool(config.tag)
    return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def find_run(config: Config, metadata: pd.DataFrame, folders) -> Path | None:
    """Find a recorded run of this config on these rows.

    Args:
        config: The config, which must match in every field.
        metadata: Table with a column `split`, which must match in every row.
        folders: Folders that hold run folders, searched in this order.

    Returns:
        The run folder, or None.
    """
    name = run_name(config, metadata)
    for folder in folders:
        if all((Path(folder) / name / file).exists() for file in RUN_FILES):
            return Path(folder) / name
    return None


def open_store(config: Config, metadata: pd.DataFrame, build, **options) -> images.ImageStore:
    """Open the image store that a config trains on, building it where needed.

    Args:
        config: What is to be trained.
        metadata: Table of the photographs, see `data.read_metadata`.
        build: Folder for everything made here.
        **options: More for `images.ImageStore`.
    """
    return images.ImageStore(
        metadata,
        config.image_size,
        Path(build) / "stores",
        hair_removal=config.hair_removal,
        colour_constancy=config.colour_constancy,
        **options,
    )


def train_or_load(
    config: Config, metadata: pd.DataFrame, store, runs_folder, recorded, retrain=False
) -> Run:
    """Load the recorded run of a config, or train it, and say which.

    Args:
        config: What to train.
        metadata: Table with a column `split`.
        store: The `images.ImageStore` of the table.
        runs_folder: Where a new run folder goes; searched too.
        recorded: Folder of the runs that came with the repository.
        retrain: Whether finished runs are left aside; a half-done training is resumed.

    Returns:
        The run.
    """
    folder = None if retrain else find_run(config, metadata, [runs_folder, recorded])
    if folder is None:
        return read_run(train(config, metadata, store, runs_folder))
    run = read_run(folder)
    print(
        f"Loaded the recorded run {folder.name}: {run.record['date']}, "
        f"{run.record['seconds']:.0f} s on {run.record['hardware']}, "
        f"initial weights {run.record['initial_weights']}."
    )
    return run


def train(config: Config, metadata, store, runs_folder) -> Path:
    """Train one network and leave a run folder, resuming where a killed training stopped.

    Args:
        config: What to train.
        metadata: Table with a column `split`; every split but "train" is predicted.
        store: The `images.ImageStore` of the table.
        runs_folder: Where the run folder goes.

    Returns:
        The run folder: config.json, history.csv, predictions.csv, metrics.json, model.h5.

    Raises:
        ValueError: If lesions leak between splits, a class is absent from a split, the loss is
            no longer a number, or another process trains this run.
    """
    _check_split(config, metadata)
    final = Path(runs_folder) / run_name(config, metadata)
    work = final.with_name(final.name + ".partial")
    work.mkdir(parents=True, exist_ok=True)
    with _claim(work / LOCK):
        print(f"Training {final.name} on {hardware.describe()}.", flush=True)
        with torch_layers.native():
            with hardware.distribution(), hardware.precision(config.precision) as precision:
                trainer = Trainer(config, metadata, store, work)
                print(f"Initial weights: {trainer.model.initial_weights}.", flush=True)
                trainer.fit()
            record = _record(config, metadata, trainer, precision)
            _write_results(record, config, metadata, store, trainer, work)
        _replace_folder(work, final)
    # Only now: a kill before the rename resumes from the finished checkpoint.
    for name in (CHECKPOINT, BEST, SOFT_LABELS, LOCK):
        (final / name).unlink(missing_ok=True)
    return final


class Busy(ValueError):
    """Another process is training the same run."""


@contextlib.contextmanager
def _claim(lock: Path):
    """Hold a lock inside a `with` block, so that no two processes write one run.

    Raises:
        Busy: If another process holds it.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    with open(lock, "w") as file:  # the system lets go of the lock even of a killed process
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(
                f"Another process trains {lock.parent.stem}; wait for it or stop it."
            ) from error
        yield


def _replace_folder(work: Path, final: Path) -> None:
    """Put a folder in the place of another, which is never seen half deleted."""
    old = final.with_name(final.name + ".replaced")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(work, final)
    shutil.rmtree(old, ignore_errors=True)


def _check_split(config: Config, metadata: pd.DataFrame) -> None:
    data.check_classes_present(metadata)
    absent = [code for code in classes.CODES if code not in set(metadata["dx"])]
    if absent:
        raise ValueError(
            f"No photograph shows {', '.join(absent)}, and a network is trained and tested on all "
            "seven classes; add photographs of it."
        )
    if config.protocol != "lesion":
        return
    sides = [metadata[metadata["split"] == split] for split in data.SPLITS]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        data.check_no_leak(sides[first], sides[second])


def _record(config: Config, metadata: pd.DataFrame, trainer: Trainer, precision: str) -> dict:
    return {
        "config": asdict(config),
        "initial_weights": trainer.model.initial_weights,
        "precision": precision,
        **trainer.environment,
        "parameters": trainer.model.count_params(),
        "epochs_trained": len(trainer.history),
        "best_epoch": trainer.best_epoch,
        "seconds": round(trainer.seconds, 1),
        "data_fingerprint": data.data_fingerprint(metadata),
        "images": {split: int(n) for split, n in metadata["split"].value_counts().items()},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _write_results(record, config, metadata, store, trainer, work: Path) -> None:
    """Predict with a float32 twin, which is what anyone who loads model.h5 has."""
    twin = models.build(
        config.architecture, config.image_size, "random", config.patient, config.dropout
    )
    for variable, value in zip(twin.weights, trainer.best_weights(), strict=True):
        variable.assign(models.rounded(value))
    rows = metadata[metadata["split"] != "train"]
    once = rows.drop_duplicates("image_id")  # rows oversampled before the split repeat
    patient = data.patient_features(once) if config.patient else None
    print(f"Predicting {len(once)} images, {views.VIEWS} views each.", flush=True)
    probabilities = views.predict(twin, store.images[store.rows(once["image_id"])], patient=patient)
    places = pd.Index(once["image_id"]).get_indexer(rows["image_id"])
    frame = predictions.table(rows, probabilities[places])
    predictions.write_predictions(frame, work / "predictions.csv")
    frame = predictions.read_predictions(work / "predictions.csv")
    metrics = evaluation.evaluate(frame, evaluation.class_frequencies(metadata))
    details = {
        **evaluation.answers_details(frame, metadata),
        "initial_weights": record["initial_weights"],
        "colour_constancy": config.colour_constancy,
        "hair_removal": config.hair_removal,
        "run": work.stem,
    }
    models.save(twin, work / "model.h5", details)
    pd.DataFrame(trainer.history, columns=HISTORY).to_csv(work / "history.csv", index=False)
    (work / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    (work / "config.json").write_text(json.dumps(record, indent=1) + "\n")
