"""Run folders: how a run is named, found, trained and written."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import images
from lesions.evaluation import comparison, predictions
from lesions.networks import models, views
from lesions.system import files, hardware
from lesions.system.files import replacing
from lesions.system.folders import MODELS
from lesions.training import checkpoint, earlier, photographs, torch_layers
from lesions.training.config import Config, from_record
from lesions.training.trainer import BEST, CHECKPOINT, HISTORY, Trainer, epoch_line

GONE = ("patience", "weight_decay", "clip_norm", "hair_removal")  # but not from runs' names
LATER_FIELDS = ("start", "keep", "teacher", "fold", "answers_from", "tta")
RECORDED = ("config", "initial_weights", "hardware", "seconds", "date")  # of config.json
LOCK = "lock"
PARTIAL = ".partial"
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
        ValueError: If a file of it is missing or cannot be read; names it.
    """
    folder = Path(folder)
    for name in RUN_FILES:
        if not (folder / name).exists():
            raise ValueError(f"The run folder {folder} lacks {name}; train it again.")
    try:
        history = files.read_csv(folder / "history.csv")[list(HISTORY)]
    except (KeyError, ValueError) as error:  # pandas' own errors of reading are ValueErrors
        raise ValueError(
            f"{folder / 'history.csv'} is damaged; restore it or train that run again."
        ) from error
    return Run(
        folder,
        comparison.read_record(folder / "config.json", *RECORDED),
        history,
        predictions.read_predictions(folder / "predictions.csv"),
        comparison.read_record(folder / "metrics.json"),
    )


def copy_records(folder: Path, target: Path) -> Path:
    """Copy a finished run into the folder `target`, without weights and checkpoints.

    The copy replaces an earlier one once it is whole. What else that holds stays if it is of the
    same predictions.
    """
    copied = target / folder.name
    both = [one / "predictions.csv" for one in (folder, copied)]
    same = all(one.exists() for one in both) and both[0].read_bytes() == both[1].read_bytes()
    kept = [one for one in copied.iterdir() if not (folder / one.name).exists()] if same else []
    with replacing(copied) as temporary:
        ignored = shutil.ignore_patterns("*.h5", "*.npz", LOCK)
        shutil.copytree(folder, temporary, ignore=ignored)
        for file in kept:
            shutil.copy2(file, temporary)
    return copied


def run_name(config: Config, metadata: pd.DataFrame) -> str:
    """Name a run by what it is, with eight digits of its config and the rows of its table.

    Its initial weights and the photographs' files are no part of the name, see `find_run`.
    """
    fields = {**{name: comparison.RETIRED[name] for name in GONE}, **asdict(config)}
    for name in LATER_FIELDS:  # at their defaults, names are as they were before these fields
        if fields[name] == getattr(Config, name):
            del fields[name]
    rows = rows_of(asdict(config), metadata)
    text = json.dumps([fields, data.data_fingerprint(rows)], sort_keys=True)
    parts = [config.architecture, f"{config.image_size}px", f"seed{config.seed}"]
    parts += [] if config.fold is None else [f"fold{config.fold}"]
    parts += ["patient"] * config.patient + [config.tag] * bool(config.tag)
    return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def find_run(config: Config, metadata: pd.DataFrame, folders) -> Path | None:
    """Find a finished run of this config on these rows, or return None.

    A run that was trained here is found again for the very files that it was trained on, and
    only if it started from the weights that the config asks for: one begun from random weights,
    because ImageNet's could not be had, is left aside as soon as they can, and so is what went on
    from it. The runs of this repository stand for the published study, so they are found for
    photographs that look the same at any size, whatever they started from.

    Args:
        config: The config, which must match in every field.
        metadata: Table with a column `split`, which must match in every row, and image_path;
            where the config has `patient`, age, sex and localization must match, too.
        folders: Folders that hold run folders, searched in this order.

    Raises:
        ValueError: If config.json of a run of this name cannot be read.
    """
    name = run_name(config, metadata)
    for folder in map(Path, folders):
        if all((folder / name / file).exists() for file in RUN_FILES):
            fault = _fault(config, metadata, folder, name)
            if not fault:
                return folder / name
            print(f"{folder / name} is not used: {fault}.")
    return None


def find_recipe(config: Config, folder: Path) -> Path | None:
    """Find a run of this config below a folder, whatever its rows and the run it started from.

    Raises:
        ValueError: If config.json of a run there cannot be read.
    """
    for path in sorted(folder.glob("*/config.json")):
        stored = from_record(comparison.read_record(path, "config")["config"])
        if replace(stored, start="") == replace(config, start=""):
            return path.parent
    return None


def _fault(config: Config, metadata: pd.DataFrame, folder: Path, name: str) -> str:
    """Return why a finished run of the right name is not that of a config, or nothing."""
    record = comparison.read_record(folder / name / "config.json", "initial_weights")
    published = folder.resolve() == MODELS
    trained_on = record.get("photographs")
    if trained_on:  # else the run is older than this entry
        here = photographs.describe(metadata, config.patient)
        alike = trained_on["digest"] == here["digest"]
        if not (alike or published and photographs.look_alike(trained_on, here)):
            return "it was trained on other photographs"
        if photographs.other_patients(trained_on, here):
            return "it was given other ages, sexes or sites"
    if not published and earlier.began_from_less(config, record["initial_weights"], folder):
        return "it did not start from the weights that are available now"
    return ""


def open_store(config: Config, metadata: pd.DataFrame, build) -> images.ImageStore:
    """Open the image store that a config trains on."""
    return images.ImageStore(
        metadata,
        config.image_size,
        Path(build) / "stores",
        colour_constancy=config.colour_constancy,
    )


def load_run(folder: Path, metadata: pd.DataFrame, epoch_log: bool = True) -> Run:
    """Read a recorded run of the photographs of a table, and print which, and every epoch."""
    run = read_run(folder)
    trained_on = run.record.get("photographs")
    copies = trained_on and trained_on["digest"] != data.photographs_digest(metadata)
    print(
        f"Loaded the recorded run {folder.name}: {run.record['date']}, "
        f"{run.record['seconds']:.0f} s on {run.record['hardware']}, "
        f"initial weights {run.record['initial_weights']}"
        f"{', trained on other copies of these photographs' if copies else ''}."
    )
    if epoch_log:
        for row in run.history.to_dict("records"):
            print(epoch_line(row, len(run.history)))
    return run


def train(config: Config, metadata, store, runs_folder, retrain: bool = True) -> Path:
    """Train one network and leave a run folder, resuming where a killed training stopped.

    Args:
        config: What to train.
        metadata: Table with a column `split` and, for a fold, `fold`; every split but "train"
            is predicted.
        store: The `images.ImageStore` of the table.
        runs_folder: Where the run folder goes; while it is trained, under the same name with
            `.partial`.
        retrain: Whether a finished run is replaced. If not, one with its weights is returned.

    Returns:
        The run folder: config.json, history.csv, predictions.csv, metrics.json, model.h5.

    Raises:
        ValueError: If lesions leak between splits, a class is absent from a split, what the config
            starts from is not here, a half-done training is of other photographs, the loss is no
            longer a number, or another process trains this run.
        OSError: If the disk is full; names the file.
    """
    final = Path(runs_folder) / run_name(config, metadata)
    rows = rows_of(asdict(config), metadata)
    _check_split(config, rows)
    if config.answers_from:  # before hours of training, not after them
        earlier.check_answering(config, rows, final.parent)
    work = final.with_name(final.name + PARTIAL)
    work.mkdir(parents=True, exist_ok=True)
    with _claim(work / LOCK):
        found = None if retrain else find_run(config, metadata, [final.parent])
        if found and (found / "model.h5").exists():
            (work / LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it holds what an earlier training left
                work.rmdir()
            print(f"Trained already; to train it again, remove {found}.", flush=True)
            return found
        print(f"Training {final.name} on {hardware.describe()}.", flush=True)
        with hardware.distribution(), hardware.precision(config.precision):
            trainer = Trainer(config, rows, store, work)
            print(f"Initial weights: {trainer.model.initial_weights}.", flush=True)
            with torch_layers.native(trainer.model):
                trainer.fit()
        record = _record(config, rows, trainer)
        _write_results(record, config, rows, store, trainer.history, work)
        files.replace_folder(work, final)
    # Only now: a kill before the rename resumes from the finished checkpoint.
    for name in (CHECKPOINT, BEST, LOCK):
        (final / name).unlink(missing_ok=True)
    return final


class Busy(ValueError):
    """Another process is training the same run."""


@contextlib.contextmanager
def _claim(lock: Path):
    """Hold a lock inside a `with` block, so that no two processes write one run, or be `Busy`."""
    if os.name != "posix":  # an open file could not be renamed with its folder
        yield
        return
    name = lock.parent.name.removesuffix(PARTIAL)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(lock, "w"))
            files.lock(file)
            moved = not os.path.samestat(os.fstat(file.fileno()), os.stat(lock))
        except BlockingIOError as error:
            raise Busy(f"Another process trains {name}; wait for it or stop it.") from error
        except FileNotFoundError:  # whoever held the lock has just renamed the folder
            moved = True
        if moved:
            raise Busy(f"Another process has just finished {name}; run the command again.")
        yield


def rows_of(config: Mapping, metadata: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the split that a config, as config.json holds it, is trained by."""
    if config.get("answers_from"):
        return data.without_validation(metadata)
    return data.hold_out(metadata, config.get("fold"))


def _check_split(config: Config, metadata: pd.DataFrame) -> None:
    if not config.answers_from:  # else the run that it names has passed this check
        data.check_classes_present(metadata)
    absent = [code for code in classes.CODES if code not in set(metadata["dx"])]
    if absent:
        raise ValueError(
            f"No photograph shows {', '.join(absent)}, and a network is trained and tested on all "
            "seven classes; add photographs of it."
        )
    if config.protocol == "lesion":
        sides = [metadata[metadata["split"] == split] for split in data.SPLITS]
        for pair in itertools.combinations(sides, 2):
            data.check_no_leak(*pair)


def _record(config: Config, metadata: pd.DataFrame, trainer: Trainer) -> dict:
    return {
        "config": asdict(config),
        "initial_weights": trainer.model.initial_weights,
        **trainer.environment,
        "parameters": trainer.model.count_params(),
        "epochs_trained": len(trainer.history),
        "best_epoch": trainer.best_epoch,
        "seconds": round(trainer.seconds, 1),
        "data_fingerprint": data.data_fingerprint(metadata),
        "photographs": trainer.photographs,
        "images": {split: int(n) for split, n in metadata["split"].value_counts().items()},
        "date": datetime.now(UTC).date().isoformat(),
    }


def model_details(run: str, record: dict, frame: pd.DataFrame, metadata: pd.DataFrame) -> dict:
    """Collect what is stored with the network of a run, see `models.save`.

    All that its answers need is fitted on `frame`, its predictions.csv; `record` is its
    config.json, `metadata` the table that it was trained with.
    """
    config = record["config"]
    details = evaluation.answers_details(frame, metadata)
    if config["patient"]:  # this network is given age, sex and site itself
        details.pop("patient_fusion")
    stored = {"colour_constancy": config["colour_constancy"], "run": run}
    return {**details, "initial_weights": record["initial_weights"], **stored}


def _write_results(record: dict, config, metadata, store, history: list, work: Path) -> None:
    """Predict with a float32 twin, which is what anyone who loads model.h5 has."""
    twin = models.build(
        config.architecture, config.image_size, "random", config.patient, config.dropout
    )
    best, _ = checkpoint.read(work / BEST)
    rounded = {path: models.rounded(value) for path, value in best.items()}
    checkpoint.restore(checkpoint.weights_of(twin), rounded, work / BEST)
    rows = metadata[metadata["split"] != "train"]
    once = rows.drop_duplicates("image_id")  # rows oversampled before the split repeat
    patient = data.patient_features(once) if config.patient else None
    number = views.VIEWS if config.tta else 1
    print(f"Predicting {len(once)} images, {number} views each.", flush=True)
    images = store.images[store.rows(once["image_id"])]
    with torch_layers.native(twin):
        probabilities = views.predict(twin, images, config.tta, patient)
    places = pd.Index(once["image_id"]).get_indexer(rows["image_id"])
    frame = predictions.table(rows, probabilities[places])
    if config.answers_from:
        held_out = earlier.held_out_predictions(config.answers_from, work.parent)
        frame = pd.concat([held_out, frame], ignore_index=True)
    predictions.write_predictions(frame, work / "predictions.csv")
    frame = predictions.read_predictions(work / "predictions.csv")
    metrics = evaluation.evaluate(frame, evaluation.class_frequencies(metadata))
    details = model_details(work.name.removesuffix(PARTIAL), record, frame, metadata)
    models.save(twin, work / "model.h5", details)
    with replacing(work / "history.csv") as temporary:
        pd.DataFrame(history, columns=HISTORY).to_csv(temporary, index=False)
    files.write_json(metrics, work / "metrics.json")
    files.write_json(record, work / "config.json")
