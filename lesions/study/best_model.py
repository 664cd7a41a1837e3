"""Write `models/best_model.h5`, the network that the repository ships."""

import json
from pathlib import Path

import h5py

from lesions import data, evaluation, training
from lesions.networks import architectures, model_file
from lesions.system.folders import BEST_MODEL, MODELS

PATH = BEST_MODEL
LIMIT = 60_000_000


def publish_model(weights: Path = PATH, folder: Path | None = None) -> Path:
    """Write the shipped network, with all that its answers need fitted anew.

    All but the weights follows from config.json and predictions.csv of its run, so the file may
    come from an earlier version of this project. The weights are rounded to 16 bits, but for the
    last layer, by whose digest familiarity.npz knows its network.

    Args:
        weights: The `.h5` file with the weights; by default the shipped one is written anew.
        folder: The run folder; None for the one in `models/` that the file names.

    Raises:
        ValueError: If a file is missing or damaged, or is above 60 MB.
    """
    metadata = data.with_split(data.read_metadata(data.find_photographs()))
    try:
        with h5py.File(weights, "r") as file:
            run = json.loads(file.attrs[model_file.DETAILS])["run"]
        folder = folder or MODELS / run
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = record["config"]
        frame = evaluation.read_predictions(folder / "predictions.csv")
        rows = training.rows_of(config, metadata)
        details = training.model_details(run, record, frame, rows)
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
