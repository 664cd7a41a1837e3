"""The benchmark of explanations: every measurement of the maps, gathered in one table."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from lesions import classes, data
from lesions.data import artefacts, images
from lesions.explanation import agreement, controls, faithfulness, sanity
from lesions.explanation.explainer import METHODS, Explainer
from lesions.explanation.measurements import AGAINST_GAUSSIAN, PAIRED, Recorder, sample
from lesions.explanation.subject import BATCH, Batch, Subject
from lesions.inference import Classifier

# Photographs of the test split that each part looks at; None for all of them. The costly parts
# take about as long as the first one.
IMAGES = {
    "agreement": None,
    "faithfulness": 35,
    "lesion": 210,
    "sanity": 35,
    "stability": 35,
    "methods": 21,
    "perturbations": 350,
}
THRESHOLD_IMAGES = 140  # validation photographs that fix the threshold of a map
GAUSSIAN_IMAGES = 1000  # training masks that the centred Gaussian is fitted on
ARTEFACTS = {
    "hairs drawn": artefacts.draw_hairs,
    "ruler": artefacts.draw_ruler,
    "ink": artefacts.draw_ink,
    "colour patch": artefacts.draw_patch,
    "dark corners": artefacts.draw_dark_corners,
    "round frame": artefacts.draw_round_frame,
}

Mapper = Callable[[Batch], np.ndarray]


def measure(
    classifier: Classifier,
    metadata: pd.DataFrame,
    number: int | None = None,
    parts: tuple[str, ...] = tuple(IMAGES),
    progress: bool = False,
) -> pd.DataFrame:
    """Measure the explanations of a network.

    Thresholds are fixed on validation, the centred Gaussian is fitted on training masks, and all
    scores are of test photographs. Maps explain the class that the network names when it sees
    the photograph in one view.

    Args:
        classifier: The network.
        metadata: From `data.read_metadata`, with a column `split`.
        number: At most so many test photographs a part; None for `IMAGES`.
        parts: Which parts of `IMAGES` to measure.
        progress: Whether a bar shows how far each part is.

    Returns:
        A table with the columns `measurements.COLUMNS`: run; part; method (or control, or change
        of the photograph); class ("all", a code, or "not akiec"); group ("all", "right", "wrong"
        answers); metric; step (place on a curve, else NaN); value, low and high (mean and 95%
        interval by bootstrap over lesions); images (how many); seconds_per_image (of the map).

    Raises:
        ValueError: If the data has no lesion masks, a photograph cannot be read, or a part is
            unknown.
    """
    masked = _with_masks(metadata)
    unknown = set(parts) - set(IMAGES)
    if unknown:
        raise ValueError(f"There is no part {sorted(unknown)[0]!r}; use {', '.join(IMAGES)}.")
    subject = Subject(classifier)
    recorder = Recorder(str(classifier.details.get("run", classifier.model.name)))
    test = masked[masked["split"] == "test"]
    for part in parts:
        wanted = IMAGES[part]
        if number is not None:
            wanted = number if wanted is None else min(number, wanted)

        def batches(rows=None, wanted=wanted, part=part):
            rows = sample(test, wanted) if rows is None else rows
            return subject.batches(rows, part, progress)

        PARTS[part](subject, masked, batches, recorder, number)
    return recorder.table()


def _with_masks(metadata: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a lesion mask, some in every split."""
    masked = metadata[metadata["mask_path"].notna()]
    for split in data.SPLITS:
        if not (masked["split"] == split).any():
            raise ValueError(
                f"The {split} split has no lesion masks; put the folder "
                "HAM10000_segmentations_lesion_tschandl (Dataverse) next to the photographs."
            )
    return masked


def _about(batch: Batch) -> pd.DataFrame:
    right = np.array(classes.CODES)[batch.labels] == batch.rows["dx"].to_numpy()
    return batch.rows[["lesion_id", "dx"]].assign(right=right)


def grad_cam_and_controls(subject: Subject, masked: pd.DataFrame) -> dict[str, Mapper]:
    """Make Grad-CAM and the four controls, each a function from a batch to its maps."""
    size = subject.classifier.image_size
    training = sample(masked[masked["split"] == "train"], GAUSSIAN_IMAGES)
    gaussian = controls.centred_gaussian(
        images.read_mask(path, size) for path in training["mask_path"]
    )
    random = Explainer(controls.random_network(subject.classifier.model))
    top = Explainer(controls.randomised_top(subject.classifier.model))

    def same(heat_map):
        return lambda batch: np.broadcast_to(heat_map, batch.images.shape[:3])

    return {
        "grad_cam": subject.maps,
        "centred Gaussian": same(gaussian),
        "uniform": same(np.ones((size, size), np.float32)),
        # An untrained network is asked for whatever class it would name: it knows none.
        "random weights": lambda b: random(b.images, patient=b.patient),
        "randomised top": lambda b: top(b.images, b.labels, patient=b.patient),
    }


def _thresholds(batches, masked, mappers, number) -> dict[str, float]:
    """Fix each map's threshold on validation photographs."""
    rows = sample(masked[masked["split"] == "validation"], number)
    found = {name: [] for name in mappers}
    for batch in batches(rows):
        for name, mapper in mappers.items():
            pairs = zip(mapper(batch), batch.masks, strict=True)
            found[name] += [agreement.overlaps(*pair) for pair in pairs]
    return {name: agreement.best_threshold(overlaps) for name, overlaps in found.items()}


def _scored(batches, mappers, score) -> tuple[dict, pd.DataFrame, dict]:
    """Score maps batch by batch.

    Args:
        batches: Makes the batches.
        mappers: Name to `Mapper`.
        score: From a batch, a name and the maps to a frame, one row an image.

    Returns:
        Name to scores, what the rows are about, and name to seconds an image of the map.
    """
    scores, about = {name: [] for name in mappers}, []
    seconds = {name: [] for name in mappers}
    for batch in batches():
        about.append(_about(batch))
        for name, mapper in mappers.items():
            started = time.perf_counter()
            maps = mapper(batch)
            seconds[name].append((time.perf_counter() - started) / len(maps))
            scores[name].append(score(batch, name, maps))
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in scores.items()}
    # The least of all batches: the first one also compiles.
    return joined, pd.concat(about), {name: min(times) for name, times in seconds.items()}


def _agreement(subject, masked, batches, recorder, number) -> None:
    mappers = grad_cam_and_controls(subject, masked)
    wanted = min(number or THRESHOLD_IMAGES, THRESHOLD_IMAGES)
    thresholds = _thresholds(batches, masked, mappers, wanted)

    def score(batch, name, maps):
        return agreement.table(maps, batch.masks, thresholds[name])

    scores, about, seconds = _scored(batches, mappers, score)
    for name, found in scores.items():
        found = found.drop(columns="outside_over_inside").assign(threshold=thresholds[name])
        options = {"seconds": seconds[name], "by_class": True}
        recorder.add("agreement", name, found, about, agreement.RATIOS, **options)
    paired = ["energy_inside", "pointing_game", "intersection_over_union"]
    gaps = scores["grad_cam"][paired] - scores["centred Gaussian"][paired]
    recorder.add(PAIRED, AGAINST_GAUSSIAN, gaps, about, by_class=True)


def _faithfulness(subject, masked, batches, recorder, number) -> None:
    steps = faithfulness.FRACTIONS
    mappers = grad_cam_and_controls(subject, masked)
    # A uniform map has no order to remove pixels in.
    del mappers["uniform"]
    layer = subject.explainer.model.get_layer(subject.explainer.layers[0])
    noise = controls.smooth_noise(layer.output.shape[1:3])
    mappers["smooth noise"] = lambda batch: noise(batch.images)

    def score(batch, name, maps):
        return pd.DataFrame(_road(subject, batch, maps))

    scores, about, _ = _scored(batches, mappers, score)
    for name, curves in scores.items():
        areas = {}
        for curve in curves:
            heights = np.stack(curves[curve].to_list())
            areas[f"{curve}_area"] = [faithfulness.area(steps, row) for row in heights]
            for place, step in enumerate(steps):
                frame = pd.DataFrame({curve: heights[:, place]})
                recorder.add("faithfulness", name, frame, about, step=step)
        areas = pd.DataFrame(areas)
        gap = areas["least_relevant_first_area"] - areas["most_relevant_first_area"]
        recorder.add("faithfulness", name, areas.assign(road_gap=gap), about)


def _road(subject, batch, maps) -> list[dict[str, np.ndarray]]:
    """Compute the two curves of ROAD for every photograph of a batch."""
    return [
        faithfulness.road(subject.probability_of(batch, place), image, heat_map)
        for place, (image, heat_map) in enumerate(zip(batch.images, maps, strict=True))
    ]


def _lesion(subject, masked, batches, recorder, number) -> None:
    changes = {
        "lesion inpainted": lambda i, m, seed: faithfulness.without_lesion(i, m, "inpainted"),
        "lesion filled with skin": lambda i, m, seed: faithfulness.without_lesion(i, m, "skin"),
        "lesion only": lambda i, m, seed: faithfulness.only_lesion(i, m),
        "as much skin inpainted": lambda i, m, seed: faithfulness.without_skin(i, m),
    }
    _changed(subject, batches, recorder, "lesion", changes, maps_of=0)


def _perturbations(subject, masked, batches, recorder, number) -> None:
    changes = {"hairs removed": lambda image, mask, seed: images.remove_hair(image)}
    changes |= {
        name: lambda image, mask, seed, draw=draw: draw(image, np.random.default_rng(seed))
        for name, draw in ARTEFACTS.items()
    }
    _changed(subject, batches, recorder, "perturbations", changes, maps_of=3 * BATCH)


def _changed(subject, batches, recorder, part, changes, maps_of: int) -> None:
    """Ask again after changing the photographs; the first `maps_of` are explained again too."""
    scores, about, seen = {name: [] for name in changes}, [], 0
    for batch in batches():
        about.append(_about(batch))
        maps = None
        if seen < maps_of:
            maps = subject.maps(batch)
        seeds = range(seen, seen + len(batch.rows))  # each photograph gets hairs of its own
        seen += len(batch.rows)
        for name, change in changes.items():
            altered = np.stack(list(map(change, batch.images, batch.masks, seeds)))
            probabilities = subject.classifier.probabilities(altered, batch.patient)
            after = probabilities[np.arange(len(batch.labels)), batch.labels]
            frame = pd.DataFrame(
                {
                    "flipped": (subject.decide(probabilities) != batch.labels).astype(float),
                    "probability_before": batch.shares,
                    "probability_after": after,
                    "rank_correlation": np.nan,
                }
            )
            if maps is not None:
                others = subject.explainer(altered, batch.labels, patient=batch.patient)
                frame["rank_correlation"] = sanity.rank_correlations(maps, others)
            scores[name].append(frame)
    for name, frames in scores.items():
        found = pd.concat(frames).dropna(axis=1, how="all")
        recorder.add(part, name, found, pd.concat(about), by_class=True)


def _sanity(subject, masked, batches, recorder, number) -> None:
    kept = list(batches())
    about = pd.concat([_about(batch) for batch in kept])
    maps = [subject.maps(batch) for batch in kept]
    explainer = None
    for share, model in sanity.cascade(subject.classifier.model):
        explainer = explainer or Explainer(model)  # the cascade goes on in one and the same model
        found = [
            sanity.rank_correlations(before, explainer(b.images, b.labels, patient=b.patient))
            for before, b in zip(maps, kept, strict=True)
        ]
        found = pd.DataFrame({"rank_correlation": np.concatenate(found)})
        recorder.add("sanity", "grad_cam", found, about, step=share)


def _stability(subject, masked, batches, recorder, number) -> None:
    scores, about = {}, []
    for batch in batches():
        about.append(_about(batch))
        maps = subject.maps(batch)
        found = {}
        for name, changed, view in sanity.changed_views(batch.images):
            others = subject.explainer(changed, batch.labels, patient=batch.patient)
            alike = sanity.rank_correlations(maps, sanity.turned_back(others, view))
            found.setdefault(name, []).append(pd.Series(alike))
        for name, columns in found.items():
            # The mean over the symmetries of each photograph, without undefined ones.
            mean = pd.concat(columns, axis=1).mean(axis=1)
            scores.setdefault(name, []).append(mean.to_frame("rank_correlation"))
    for name, frames in scores.items():
        recorder.add("stability", name, pd.concat(frames), pd.concat(about))


def _methods(subject, masked, batches, recorder, number) -> None:
    mappers = {name: lambda batch, name=name: subject.maps(batch, name) for name in METHODS}
    wanted = min(number or THRESHOLD_IMAGES, THRESHOLD_IMAGES)
    thresholds = _thresholds(batches, masked, mappers, wanted)

    def score(batch, name, maps):
        found = agreement.table(maps, batch.masks, thresholds[name])
        gaps = [
            faithfulness.area(
                faithfulness.FRACTIONS,
                curves["least_relevant_first"] - curves["most_relevant_first"],
            )
            for curves in _road(subject, batch, maps)
        ]
        return found.drop(columns="outside_over_inside").assign(road_gap=gaps)

    scores, about, seconds = _scored(batches, mappers, score)
    for name, found in scores.items():
        recorder.add("methods", name, found, about, agreement.RATIOS, seconds=seconds[name])


PARTS = {
    "agreement": _agreement,
    "faithfulness": _faithfulness,
    "lesion": _lesion,
    "sanity": _sanity,
    "stability": _stability,
    "methods": _methods,
    "perturbations": _perturbations,
}
