"""Try crops of larger pictures: one training beside the same one on whole pictures alone.

The network of `recipes.students` that is trained on four folds and judged on the fifth goes on
from the same weights, for as many epochs, with every second picture a random part of the
photograph at 256 px. It answers from nine parts and the whole view together.

    python -m lesions.study.crops densenet169 build/
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from lesions import evaluation, inference, training
from lesions.data.store import ImageStore
from lesions.evaluation import answering
from lesions.evaluation.predictions import CODES, table, write_predictions
from lesions.networks import views
from lesions.study import pilot, recipes
from lesions.training import torch_layers

LARGER = 256
PLACES = 3  # along each side


def cropped(config: training.Config) -> training.Config:
    """Return the recipe with crops of a recipe on whole pictures."""
    return replace(config, crops=True, tag="crops")


def parts(model, larger: np.ndarray) -> np.ndarray:
    """Predict (n, 7) as the mean over nine parts of pictures (n, 256, 256, 3), each turned."""
    side = model.inputs[0].shape[1]
    places = np.linspace(0, LARGER - side, PLACES).round().astype(int)
    corners = [(top, left) for top in places for left in places]
    found = [
        views.predict(model, views.view(larger[:, top : top + side, left : left + side], n), False)
        for n, (top, left) in enumerate(corners)
    ]
    return np.mean(found, axis=0)


def main(architecture: str, build: str) -> None:
    """Train with crops where no run is there, and print what both networks answer on the fold."""
    _, profile, metadata = recipes.open_data("cpu", build=build)
    _, plain, _ = recipes.students(metadata, pilot.chosen(), architecture)
    runs = Path(build) / "runs" / profile
    store = training.open_store(plain, metadata, build)
    training.train(cropped(plain), metadata, store, runs, retrain=False)
    larger = ImageStore(metadata, LARGER, Path(build) / "stores")
    frequencies = evaluation.class_frequencies(metadata)
    found = {}
    for name, config in (("crops", cropped(plain)), ("plain", plain)):
        run = training.read_run(runs / training.run_name(config, metadata))
        whole = evaluation.rows_of(run.predictions, "validation").reset_index(drop=True)
        network = inference.Classifier(run.folder / "model.h5").model
        torch_layers.use_native(network)
        pictures = larger.images[larger.rows(whole["image_id"])]
        cut = table(whole, parts(network, pictures))
        both = table(whole, (whole[CODES].to_numpy() + cut[CODES].to_numpy()) / 2)
        for kind, raw in {"whole": whole, "parts": cut, "both": both}.items():
            write_predictions(raw, run.folder / f"{kind}.csv")
            details = answering.fit(raw, frequencies)
            found[f"{name}, {kind}"] = evaluation.answer(raw, details)
            scores = evaluation.metrics(*evaluation.arrays(found[f"{name}, {kind}"]))
            print(name, kind, scores, flush=True)
    first = found.pop("plain, whole")
    for name, other in found.items():
        for metric in ("log_loss", "macro_auc", "balanced_accuracy"):
            gap = evaluation.paired_difference(other, first, metric)
            print(name, metric, dict(gap), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
