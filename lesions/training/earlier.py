"""Earlier runs: a network to go on from, or probabilities to learn from."""

from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from lesions import classes, data, evaluation
from lesions.evaluation import comparison, predictions
from lesions.networks import model_file, models
from lesions.networks.initial_weights import PRETRAINED
from lesions.system.folders import BEST_MODEL, MODELS
from lesions.training.config import Config, from_record

SHIPPED = "best_model"  # as `start`: the network that the repository ships
# In these a network of all rows may differ from the run that answers for it.
FREE = ("fold", "answers_from", "keep", "seed", "start", "tag")


class StartMissing(ValueError):
    """The run that a config goes on from, or learns from, is not here."""


def start_from(model: keras.Model, run: str, runs_folder: Path, held_out: pd.Series) -> None:
    """Set the weights of a network to those of an earlier run.

    Args:
        model: A network from `models.build`; its `initial_weights` is set, too.
        run: Name of a run of the same architecture and inputs, or "best_model", of which all
            layers that both share are taken.
        runs_folder: Folder of run folders; `models/best_model.h5` is looked at as well.
        held_out: The image_ids that the training validates and tests on.

    Raises:
        StartMissing: If the weights of the run are not here.
        ValueError: If the run is of another architecture, has other inputs, or was trained on a
            photograph that is held out.
    """
    if run == SHIPPED:
        known = held_out[held_out.isin(data.read_splits().index)]  # of the demo set, none
        _check_unseen(_start_from_best(model), runs_folder, known)
        return
    path = find_weights(run, runs_folder)
    if path is None:
        raise StartMissing(
            f"There are no weights of the run {run!r} in {runs_folder}; train that one here first, "
            "with RETRAIN=1 where it is recorded without them."
        )
    earlier, details = models.load(path)
    _check_unseen(run, runs_folder, held_out)
    if details["architecture"] != model.name:
        raise ValueError(
            f"The run {run!r} is a {details['architecture']}, from which no {model.name} can "
            "start; name a run of the same architecture."
        )
    if len(earlier.inputs) != len(model.inputs):
        kinds = ("without", "with") if len(earlier.inputs) > 1 else ("with", "without")
        raise ValueError(
            f"A network {kinds[0]} age, sex and site cannot start from the run {run!r}, which is "
            f"one {kinds[1]} them; name another run by start or change patient."
        )
    model.set_weights(earlier.get_weights())
    learned = (layer.name for layer in models.learned_layers(model))
    model.pretrained_layers = [name for name in learned if name != "logits"]
    model.initial_weights = f"{details['initial_weights']}, then {run}"


def _check_unseen(run: str, runs_folder: Path, held_out: pd.Series) -> None:
    """Check that a run predicted, and so was not trained on, every photograph of `held_out`."""
    if not len(held_out):
        return
    folder = _recorded(run, runs_folder)
    frame = predictions.read_predictions(folder / "predictions.csv")
    config = comparison.read_record(folder / "config.json", "config")["config"]
    if config.get("answers_from"):  # another network answers for its validation rows
        frame = evaluation.rows_of(frame, "test")
    seen = held_out[~held_out.isin(frame["image_id"])]
    if len(seen):
        raise ValueError(
            f"The run {run} was trained on {len(seen):,} of the {len(held_out):,} photographs that "
            f"this training holds out, such as {seen.iloc[0]}; start from a run of the same split."
        )


def _start_from_best(model: keras.Model) -> str:
    """Set the layers that a network shares with the shipped one, but "logits"; return its run."""
    details, known = model_file.read_checked(BEST_MODEL)
    if "run" not in details:
        raise ValueError(f"{BEST_MODEL} does not say of which run it is; restore that file.")
    del known["logits"]
    taken = []
    for layer in model.layers:
        found = known.get(layer.name)
        if found and [one.shape for one in found] == [tuple(one.shape) for one in layer.weights]:
            layer.set_weights(found)
            taken.append(layer.name)
    if not taken:
        raise ValueError(
            f"{BEST_MODEL.name} is a {details['architecture']} and shares no layer with "
            f"{model.name}; leave start empty."
        )
    model.pretrained_layers = taken
    model.initial_weights = f"{BEST_MODEL.name} ({details['run']})"
    return details["run"]


def began_from_less(config: Config, began: str, runs_folder: Path) -> bool:
    """Check whether a training began from other weights than its config would begin from now.

    "Available" weights may have been random when it began, from `initial_weights` as in `began`.
    Where `runs_folder` holds the run that the config starts from, this must be as it was then.
    """
    before = runs_folder / config.start / "config.json"
    if config.start and before.exists():
        record = comparison.read_record(before, "initial_weights")
        return began != f"{record['initial_weights']}, then {config.start}"
    branches = models.BRANCHES[config.architecture]
    wanted = ["imagenet" if branch in PRETRAINED else "random" for branch in branches]
    recorded = [part.rpartition(": ")[2] for part in began.split(", ")]
    if config.weights != "available" or config.start or recorded == wanted:
        return False
    now = models.build(config.architecture, config.image_size, "available").initial_weights
    gained = set(now.split(", ")) - set(began.split(", "))
    return any(part.endswith("imagenet") for part in gained)


def find_weights(run: str, runs_folder: Path) -> Path | None:
    """Find the network of a run: its own model.h5, or `models/best_model.h5`; None without."""
    for path in (runs_folder / run / "model.h5", BEST_MODEL):
        if path.exists() and model_file.read_details(path).get("run") == run:
            return path
    return None


def soft_labels(teacher: str, rows: pd.DataFrame, runs_folder: Path) -> np.ndarray:
    """Read training labels from the predictions of earlier runs (distillation, Hinton et al. 2015).

    Half of each label is the diagnosis, the other half the mean of the teachers' probabilities at
    the class frequencies, each on its validation rows alone: on others it repeats the diagnosis.

    Args:
        teacher: Name of a run, or several joined by "+", which together cover all rows.
        rows: The training rows, n of them, with image_id and label.
        runs_folder: Folder of run folders; `models/` is looked at as well.

    Returns:
        float32, (n, 7), rows sum to 1.

    Raises:
        StartMissing: If a teacher has no predictions here.
        ValueError: If a row is not among the out-of-fold rows of any teacher.
    """
    frames = [_out_of_fold(run, runs_folder) for run in teacher.split("+")]
    means = pd.concat(frames).groupby(level=0).mean()
    missing = rows.loc[~rows["image_id"].isin(means.index), "image_id"]
    if len(missing):
        raise ValueError(
            f"The teacher {teacher} has no out-of-fold prediction for {len(missing)} of "
            f"{len(rows)} training photographs, such as {missing.iloc[0]}; name the runs of all "
            "folds that they are in."
        )
    one_hot = np.eye(len(classes.CODES))[rows["label"]]
    return ((one_hot + means.loc[rows["image_id"]].to_numpy()) / 2).astype(np.float32)


def _out_of_fold(run: str, runs_folder: Path) -> pd.DataFrame:
    """Read a run's probabilities of its validation rows, at the frequencies, by image_id."""
    rows = held_out_predictions(run, runs_folder)
    _, probabilities = evaluation.labels_and_probabilities(rows)
    metrics = comparison.read_record(_recorded(run, runs_folder) / "metrics.json")
    try:
        correction = evaluation.Correction.from_details(metrics.get("correction", {}))
    except ValueError as error:
        raise ValueError(
            f"metrics.json of the run {run} holds no correction that can be used; train it again."
        ) from error
    found = correction.apply(probabilities)
    return pd.DataFrame(found, rows["image_id"].to_numpy(), list(classes.CODES))


def check_answering(config: Config, rows: pd.DataFrame, runs_folder: Path) -> None:
    """Check that the run that `answers_from` names can answer for a network of all these rows.

    Raises:
        StartMissing: If the run has no predictions here.
        ValueError: If it is of another recipe, or held out a photograph that is no training row.
    """
    run = config.answers_from
    held_out = held_out_predictions(run, runs_folder)["image_id"]
    record = comparison.read_record(_recorded(run, runs_folder) / "config.json")
    own, others = asdict(config), asdict(from_record(record["config"]))
    differing = [name for name in own if name not in FREE and own[name] != others[name]]
    if differing:
        name = differing[0]
        raise ValueError(
            f"The run {run} has {name} {others[name]!r}, and the network that it is to answer for "
            f"{own[name]!r}; name a run of the same recipe by answers_from."
        )
    strange = held_out[~held_out.isin(rows.loc[rows["split"] == "train", "image_id"])]
    if len(strange):
        raise ValueError(
            f"The run {run} held out {len(strange):,} photographs, such as {strange.iloc[0]}, that "
            "this network is not trained on; name a run of the same photographs by answers_from."
        )


def held_out_predictions(run: str, runs_folder: Path) -> pd.DataFrame:
    """Read the validation rows of a run's predictions.csv, or raise `StartMissing`."""
    frame = predictions.read_predictions(_recorded(run, runs_folder) / "predictions.csv")
    return evaluation.rows_of(frame, "validation")


def _recorded(run: str, runs_folder: Path) -> Path:
    for folder in (runs_folder / run, MODELS / run):
        if (folder / "predictions.csv").exists():
            return folder
    raise StartMissing(
        f"There are no predictions of the run {run!r} in {runs_folder} or models/; train that one "
        "here first."
    )
