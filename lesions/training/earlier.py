"""Networks of earlier runs: to go on from, or to learn from."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import images
from lesions.networks import models, views


class StartMissing(ValueError):
    """The run whose network a config goes on from, or learns from, has no weights here."""


def start_from(model: keras.Model, start: str, runs_folder: Path) -> None:
    """Give a network the weights of an earlier run, or the mean of several runs' weights.

    A mean of networks that began alike and were then trained on different batches lies where
    each is good, and generalises better than they do (stochastic weight averaging, Izmailov et
    al. 2018; model soups, Wortsman et al. 2022).

    Args:
        model: A network from `models.build`; its `initial_weights` is set, too.
        start: Name of a run of the same architecture, or several joined by "+".
        runs_folder: Folder of run folders; `models/best_model.h5` is looked at as well.

    Raises:
        StartMissing: If the weights of a run are not here.
        ValueError: If a run is of another architecture.
    """
    runs = start.split("+")
    for number, run in enumerate(runs, 1):
        earlier, details = load_run(run, runs_folder)
        if details["architecture"] != model.name:
            raise ValueError(
                f"The run {run!r} is a {details['architecture']}, from which no {model.name} can "
                "start; name a run of the same architecture."
            )
        pairs = zip(model.get_weights(), earlier.get_weights(), strict=True)
        model.set_weights([mean + (one - mean) / number for mean, one in pairs])
        initial = f"{details['initial_weights']}, then {run}"
    model.initial_weights = initial if len(runs) == 1 else f"mean of {' and '.join(runs)}"


def load_run(run: str, runs_folder: Path) -> tuple[keras.Model, dict]:
    """Load the network of a run, see `models.load`.

    Raises:
        StartMissing: If its weights are not here.
    """
    for path in (runs_folder / run / "model.h5", data.REPOSITORY / "models" / "best_model.h5"):
        if path.exists():
            earlier, details = models.load(path)
            if details.get("run") == run:
                return earlier, details
    raise StartMissing(
        f"There are no weights of the run {run!r} in {runs_folder}; train that one here first, "
        "with RETRAIN=1 where it is recorded without them."
    )


def soft_labels(teacher: str, metadata: pd.DataFrame, store, runs_folder: Path) -> np.ndarray:
    """Ask earlier networks for the training labels of another (distillation, Hinton et al. 2015).

    Half of each label is the diagnosis, the other half the mean of the teachers' calibrated
    probabilities, each at its own image size.

    Args:
        teacher: Name of a run, or several joined by "+".
        metadata: Table with a column `split`; stores are made for all of it, as elsewhere.
        store: The student's `images.ImageStore`; those of the teachers lie beside it.
        runs_folder: As in `start_from`.

    Returns:
        float32, (n, 7), for the training rows in their order; each sums to 1.

    Raises:
        StartMissing: If the weights of a teacher are not here.
    """
    rows = metadata[metadata["split"] == "train"]
    answers = np.zeros((len(rows), len(classes.CODES)))
    runs = teacher.split("+")
    for run in runs:
        model, details = load_run(run, runs_folder)
        options = {name: details[name] for name in ("hair_removal", "colour_constancy")}
        own = images.ImageStore(metadata, details["image_size"], store.path.parent, **options)
        patient = data.patient_features(rows) if len(model.inputs) > 1 else None
        shown = own.images[own.rows(rows["image_id"])]
        found = views.predict(model, shown, tta=False, patient=patient)
        correction = evaluation.Correction.from_details(details.get("correction"))
        answers += correction.apply(found) / len(runs)
    one_hot = np.eye(len(classes.CODES))[rows["label"]]
    return ((one_hot + answers) / 2).astype(np.float32)
