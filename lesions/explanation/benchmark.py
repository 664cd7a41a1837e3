"""The benchmark of explanations: every measurement of the maps, gathered in one table."""

import time

import numpy as np
import pandas as pd

from lesions import classes, data
from lesions.data import images
from lesions.data.artefacts import ARTEFACTS
from lesions.explanation import agreement, controls, faithfulness, sanity
from lesions.explanation.explainer import Explainer
from lesions.explanation.measurements import (
    AGAINST_GAUSSIAN,
    PAIRED,
    PAIRED_ROAD,
    Recorder,
    sample,
)
from lesions.explanation.methods import METHODS
from lesions.explanation.subject import BATCH, Batch, Mapper, Subject
from lesions.inference import Classifier

THRESHOLD_IMAGES = 140  # validation photographs that fix the threshold of a map
GAUSSIAN_IMAGES = 1000  # training masks that the centred Gaussian is fitted on


def measure(
    classifier: Classifier,
    metadata: pd.DataFrame,
    number: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Measure the explanations of a network.

    Thresholds are fixed on validation, the centred Gaussian is fitted on training masks, and all
    scores are of test photographs. Maps explain the class that the network names when it sees
    the photograph in one view.

    Args:
        classifier: The network.
        metadata: From `data.read_metadata`, with a column `split`.
        number: At most so many test photographs a part; None for the numbers of `PARTS`.
        progress: Whether a bar shows how far each part is.

    Returns:
        A table with the columns `measurements.COLUMNS`: run; part; method (or control, or change
        of the photograph); class ("all", a code, or "not akiec"); group ("all", "right", "wrong"
        answers); metric; step (place on a curve, else NaN); value, low and high (mean and 95%
        interval by bootstrap over lesions); images (how many); seconds_per_image (of the map).

    Raises:
        ValueError: If the data has no lesion masks or a photograph cannot be read.
    """
    rows = _with_masks(metadata)
    rows["train"] = sample(rows["train"], GAUSSIAN_IMAGES)
    rows["validation"] = sample(rows["validation"], min(number or np.inf, THRESHOLD_IMAGES))
    subject = Subject(classifier, progress)
    subject.mappers |= _grad_cam_and_controls(subject, rows["train"])
    recorder = Recorder(str(classifier.details.get("run", classifier.model.name)))
    for images_of_part, measure_part in PARTS.values():
        limits = [limit for limit in (images_of_part, number) if limit is not None]
        test = sample(rows["test"], min(limits, default=None))
        measure_part(subject, rows | {"test": test}, recorder)
    return recorder.table()


def _with_masks(metadata: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each split that have a lesion mask."""
    masked = metadata[metadata["mask_path"].notna()]
    rows = {split: masked[masked["split"] == split] for split in data.SPLITS}
    for split, found in rows.items():
        if found.empty:
            raise ValueError(
                f"The {split} split has no lesion masks; put the folder "
                "HAM10000_segmentations_lesion_tschandl (Dataverse) next to the photographs."
            )
    return rows


def _about(batch: Batch) -> pd.DataFrame:
    right = np.array(classes.CODES)[batch.labels] == batch.rows["dx"].to_numpy()
    return batch.rows[["lesion_id", "dx"]].assign(right=right)


def _grad_cam_and_controls(subject: Subject, training: pd.DataFrame) -> dict[str, Mapper]:
    """Make Grad-CAM and the four controls, each a function from a batch to its maps."""
    size = subject.classifier.image_size
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


def _thresholds(subject, validation, mappers) -> dict[str, float]:
    """Fix each map's threshold on validation photographs."""
    found = {name: [] for name in mappers}
    for batch in subject.batches(validation, "thresholds"):
        for name, mapper in mappers.items():
            pairs = zip(mapper(batch), batch.masks, strict=True)
            found[name] += [agreement.overlaps(*pair) for pair in pairs]
    return {name: agreement.best_threshold(overlaps) for name, overlaps in found.items()}


def _score(subject, test, part, mappers, score) -> tuple[dict, pd.DataFrame, dict]:
    """Return name to scores, what the rows are about, and name to seconds an image of the map."""
    scores, about = {name: [] for name in mappers}, []
    seconds = {name: [] for name in mappers}
    for batch in subject.batches(test, part):
        about.append(_about(batch))
        for name, mapper in mappers.items():
            started = time.perf_counter()
            maps = mapper(batch)
            seconds[name].append((time.perf_counter() - started) / len(maps))
            scores[name].append(score(batch, name, maps))
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in scores.items()}
    # The least of all batches: the first one also compiles.
    return joined, pd.concat(about), {name: min(times) for name, times in seconds.items()}


def _agreement(subject, rows, recorder) -> None:
    thresholds = _thresholds(subject, rows["validation"], subject.mappers)

    def score(batch, name, maps):
        found = agreement.table(maps, batch.masks, thresholds[name])
        return found.assign(threshold=thresholds[name])

    scores, about, seconds = _score(subject, rows["test"], "agreement", subject.mappers, score)
    for name, found in scores.items():
        options = {"seconds": seconds[name], "by_class": True}
        recorder.add("agreement", name, found, about, agreement.RATIOS, **options)
    paired = ["energy_inside", "pointing_game", "intersection_over_union"]
    gaps = scores["grad_cam"][paired] - scores["centred Gaussian"][paired]
    recorder.add(PAIRED, AGAINST_GAUSSIAN, gaps, about, by_class=True)


def _faithfulness(subject, rows, recorder) -> None:
    # A uniform map has no order to remove pixels in.
    mappers = {name: one for name, one in subject.mappers.items() if name != "uniform"}
    layer = subject.explainer.model.get_layer(subject.explainer.layers[0])
    noise = controls.smooth_noise(layer.output.shape[1:3])
    mappers["smooth noise"] = lambda batch: noise(batch.images)

    def score(batch, name, maps):
        return pd.DataFrame(_road(subject, batch, maps))

    scores, about, _ = _score(subject, rows["test"], "faithfulness", mappers, score)
    gaps = {}
    for name, curves in scores.items():
        areas = curves.map(faithfulness.area).add_suffix("_area")
        for curve in curves:
            heights = np.stack(curves[curve].to_list())
            for place, step in enumerate(faithfulness.FRACTIONS):
                frame = pd.DataFrame({curve: heights[:, place]})
                recorder.add("faithfulness", name, frame, about, step=step)
        gaps[name] = areas["least_relevant_first_area"] - areas["most_relevant_first_area"]
        recorder.add("faithfulness", name, areas.assign(road_gap=gaps[name]), about)
    difference = gaps["grad_cam"] - gaps["centred Gaussian"]
    recorder.add(PAIRED_ROAD, AGAINST_GAUSSIAN, difference.to_frame("road_gap"), about)


def _road(subject, batch, maps) -> list[dict[str, np.ndarray]]:
    """Compute the two curves of ROAD for every photograph of a batch."""
    return [
        faithfulness.road(subject.probability_of(batch, place), image, heat_map)
        for place, (image, heat_map) in enumerate(zip(batch.images, maps, strict=True))
    ]


def _lesion(subject, rows, recorder) -> None:
    changes = {
        "lesion inpainted": lambda i, m, seed: faithfulness.without_lesion(i, m, "inpainted"),
        "lesion filled with skin": lambda i, m, seed: faithfulness.without_lesion(i, m, "skin"),
        "lesion only": lambda i, m, seed: faithfulness.only_lesion(i, m),
        "as much skin inpainted": lambda i, m, seed: faithfulness.without_skin(i, m),
    }
    _changed(subject, rows["test"], recorder, "lesion", changes, maps_of=0)


def _perturbations(subject, rows, recorder) -> None:
    changes = {"hairs removed": lambda image, mask, seed: images.remove_hair(image)}
    changes |= {
        name: lambda image, mask, seed, draw=draw: draw(image, np.random.default_rng(seed))
        for name, draw in ARTEFACTS.items()
    }
    _changed(subject, rows["test"], recorder, "perturbations", changes, maps_of=3 * BATCH)


def _changed(subject, test, recorder, part, changes, maps_of: int) -> None:
    """Ask again after changing the photographs; the first `maps_of` are explained again too."""
    scores, about, seen = {name: [] for name in changes}, [], 0
    for batch in subject.batches(test, part):
        about.append(_about(batch))
        maps = subject.maps(batch) if seen < maps_of else None
        room = [part == "lesion" and faithfulness.has_room(mask) for mask in batch.masks]
        seeds = range(seen, seen + len(batch.rows))  # each photograph gets hairs of its own
        seen += len(batch.rows)
        for name, change in changes.items():
            altered = np.stack(list(map(change, batch.images, batch.masks, seeds)))
            probabilities = subject.classifier.probabilities(altered, batch.patient)
            flipped = (subject.decide(probabilities) != batch.labels).astype(float)
            frame = pd.DataFrame(
                {
                    "flipped": flipped,
                    # Of the others, `without_skin` paints over less than the lesion's area.
                    "flipped_equal_area": np.where(room, flipped, np.nan),
                    "probability_before": batch.shares,
                    "probability_after": probabilities[np.arange(len(altered)), batch.labels],
                    "lesion_changed": _lesion_changed(batch, altered),
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


def _lesion_changed(batch: Batch, altered: np.ndarray) -> list[float]:
    """Compute the share of each lesion's pixels that a change of the photograph touches."""
    touched = (batch.images != altered).any(axis=-1)
    pairs = zip(touched, batch.masks, strict=True)
    return [found[mask].mean() if mask.any() else np.nan for found, mask in pairs]


def _sanity(subject, rows, recorder) -> None:
    kept = list(subject.batches(rows["test"], "sanity"))
    about = pd.concat([_about(batch) for batch in kept])
    maps = [subject.maps(batch) for batch in kept]
    explainer = None
    for share, model in sanity.cascade(subject.classifier.model):
        explainer = explainer or Explainer(model)  # the cascade goes on in one and the same model
        frames = []
        for before, b in zip(maps, kept, strict=True):
            after = explainer(b.images, b.labels, patient=b.patient)
            scores = {"rank_correlation": sanity.rank_correlations(before, after)}
            scores["empty_map"] = (~after.any(axis=(1, 2))).astype(float)
            frames.append(pd.DataFrame(scores))
        recorder.add("sanity", "grad_cam", pd.concat(frames), about, step=share)


def _stability(subject, rows, recorder) -> None:
    scores, about = {"symmetries": [], "noise": []}, []
    for batch in subject.batches(rows["test"], "stability"):
        about.append(_about(batch))
        maps = subject.maps(batch)
        found = {name: [] for name in scores}
        for name, changed, view in sanity.changed_views(batch.images):
            others = subject.explainer(changed, batch.labels, patient=batch.patient)
            alike = sanity.rank_correlations(maps, sanity.turned_back(others, view))
            found[name].append(pd.Series(alike))
        for name, columns in found.items():
            # The mean over the symmetries of each photograph, without undefined ones.
            mean = pd.concat(columns, axis=1).mean(axis=1)
            scores[name].append(mean.to_frame("rank_correlation"))
    for name, frames in scores.items():
        recorder.add("stability", name, pd.concat(frames), pd.concat(about))


def _methods(subject, rows, recorder) -> None:
    mappers = {name: lambda batch, name=name: subject.maps(batch, name) for name in METHODS}
    thresholds = _thresholds(subject, rows["validation"], mappers)

    def score(batch, name, maps):
        curves = pd.DataFrame(_road(subject, batch, maps))
        gaps = curves["least_relevant_first"] - curves["most_relevant_first"]
        found = agreement.table(maps, batch.masks, thresholds[name])
        return found.assign(road_gap=gaps.map(faithfulness.area))

    scores, about, seconds = _score(subject, rows["test"], "methods", mappers, score)
    for name, found in scores.items():
        recorder.add("methods", name, found, about, agreement.RATIOS, seconds=seconds[name])


# The test photographs that each part looks at, None for all of them, and how it measures. The
# costly parts take about as long as the first one.
PARTS = {
    "agreement": (None, _agreement),
    "faithfulness": (70, _faithfulness),
    "lesion": (210, _lesion),
    "sanity": (35, _sanity),
    "stability": (35, _stability),
    "methods": (21, _methods),
    "perturbations": (350, _perturbations),
}
