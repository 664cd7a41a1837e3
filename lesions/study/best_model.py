"""Write `models/best_model.h5`, the network that the repository ships."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pandas as pd

from lesions import data, evaluation
from lesions.networks import architectures, model_file
from lesions.system.folders import REPOSITORY

PATH = REPOSITORY / "models" / "best_model.h5"
LIMIT = 60_000_000


def publish_model(weights=PATH, folder=None, metadata: pd.DataFrame | None = None) -> Path:
    """Write the shipped network, with all that its answers need fitted anew.

    Nothing but the weights is taken from the file that was trained, so it may come from an earlier
    version of this project: the rest follows from config.json and predictions.csv of its run. The
    weights are rounded to 16 bits; the last layer is kept as it is, because familiarity.npz knows
    its network by a digest of that layer.

    Args:
        weights: The `.h5` file with the weights; by default the shipped one is written anew.
        folder: The run folder; None for the one in `models/` that the file names.
        metadata: The table that the run was trained with, split; None to find HAM10000.

    Returns:
        The path.

    Raises:
        ValueError: If a file is missing or damaged, or is above 60 MB.
    """
    weights = Path(weights)
    if metadata is None:
        metadata = data.with_split(data.read_metadata(data.find_photographs()))
    try:
        with h5py.File(weights, "r") as file:
            run = json.loads(file.attrs[model_file.DETAILS])["run"]
        folder = Path(folder or REPOSITORY / "models" / run)
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = record["config"]
        details = details_of(run, record, folder, metadata)
        shape = [config[name] for name in ("architecture", "image_size", "patient", "dropout")]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"The network in {weights} cannot be published, because it or the config.json of its "
            f"run is missing or damaged ({error})."
        ) from error
    if weights.stat().st_size > LIMIT:
        raise ValueError(f"{weights} is above {LIMIT // 1_000_000} MB; train a smaller network.")
    model = architectures.assemble(*shape)
    model_file.assign(model, model_file.read_weights(weights), weights)
    for layer in model.layers:
        if layer.weights and layer.name != "logits":
            layer.set_weights([model_file.rounded(values) for values in layer.get_weights()])
    return model_file.save(model, PATH, details)


def details_of(run: str, record: dict, folder: Path, metadata: pd.DataFrame) -> dict:
    """Fit what is stored with the shipped network on the predictions of its run."""
    config = record["config"]
    frame = evaluation.read_predictions(folder / "predictions.csv")
    details = {
        **evaluation.answers_details(frame, metadata),
        "initial_weights": record["initial_weights"],
        "colour_constancy": config["colour_constancy"],
        "hair_removal": config["hair_removal"],
        "run": run,
    }
    if config["patient"]:  # this network is given age, sex and site itself
        details.pop("patient_fusion")
    return details
