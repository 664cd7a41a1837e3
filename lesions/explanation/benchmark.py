"""The benchmark of explanations: every measurement of the maps, gathered in one table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm import tqdm

from lesions import classes, data
from lesions.data import images
from lesions.explanation import (
    agreement,
    attributions,
    explain,
    faithfulness,
    perturbations,
    sanity,
)
from lesions.explanation.measurements import Recorder, sample
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
COSTLY_THRESHOLD_IMAGES = 7
GAUSSIAN_IMAGES = 1000  # training masks that the centred Gaussian is fitted on
BATCH = 32


@dataclass
class Batch:
    """Some photographs with all that belongs to them.

    Attributes:
        rows: Their rows of the table.
        images: uint8, (n, size, size, 3).
        masks: bool, (n, size, size).
        patient: float32, (n, features), or None.
        labels: int, (n,), the predicted classes, which the maps explain.
        shares: float, (n,), their calibrated probabilities.
    """

    rows: pd.DataFrame
    images: np.ndarray
    masks: np.ndarray
    patient: np.ndarray | None
    labels: np.ndarray
    shares: np.ndarray


class Subject:
    """The network that is measured, compiled once for all parts."""

    def __init__(self, classifier: Classifier):
        """Prepares a classifier's network; each photograph is seen in one view only."""
        self.classifier = classifier
        self.explainer = explain.Explainer(classifier.model)
        self.tools = attributions.prepare(classifier.model)

    def probabilities(self, photographs: np.ndarray, patient=None) -> np.ndarray:
        """Predicts calibrated probabilities, float (n, 7), of one view, in chunks."""
        logits = [
            self.tools["logits"](
                photographs[start : start + BATCH],
                patient if patient is None or len(patient) == 1 else patient[start : start + BATCH],
            )
            for start in range(0, len(photographs), BATCH)
        ]
        return softmax(np.concatenate(logits) / self.classifier.details["temperature"], axis=1)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Chooses a class for each row as `Classifier.decide` does; int (n,)."""
        return np.array([classes.CODES.index(c) for c in self.classifier.decide(probabilities)])

    def asker(self, batch: Batch, number: int) -> faithfulness.Predict:
        """Makes the function that `faithfulness` asks: the probability of the explained class."""
        patient = None if batch.patient is None else batch.patient[[number]]
        label = batch.labels[number]
        return lambda photographs: self.probabilities(photographs, patient)[:, label]

    def batches(self, rows: pd.DataFrame, part: str, progress: bool) -> Iterator[Batch]:
        """Reads, predicts and yields photographs, in flat memory."""
        size = self.classifier.image_size
        with tqdm(total=len(rows), desc=part, unit="images", disable=not progress) as bar:
            start = 0
            for read in self.classifier.read(rows["image_path"], BATCH):
                some = rows.iloc[start : start + len(read)]
                start += len(read)
                for _, _, error in read:
                    if error:
                        raise ValueError(error)
                photographs = np.stack([image for _, image, _ in read])
                masks = np.stack([images.read_mask(path, size) for path in some["mask_path"]])
                patient = self.classifier.patient_input(len(some), data.patient_features(some))
                probabilities = self.probabilities(photographs, patient)
                labels = self.decide(probabilities)
                shares = probabilities[np.arange(len(labels)), labels]
                yield Batch(some, photographs, masks, patient, labels, shares)
                bar.update(len(read))


Mapper = Callable[[Batch], np.ndarray]


def measure(
    classifier: Classifier,
    metadata: pd.DataFrame,
    number: int | None = None,
    parts: tuple[str, ...] = tuple(IMAGES),
    progress: bool = False,
) -> pd.DataFrame:
    """Measures the explanations of a network.

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
        A table with the columns `explanations.COLUMNS`: run; part; method (or control, or change
        of the photograph); class ("all", a code, or "not akiec"); group ("all", "right", "wrong"
        answers); metric; step (place on a curve, else NaN); value, low and high (mean and 95%
        interval by bootstrap over lesions); images (how many); seconds_per_image (of the map).

    Raises:
        ValueError: If the data has no lesion masks, a photograph cannot be read, or a part is
            unknown.
    """
    masked = metadata[metadata["mask_path"].notna()]
    for split in data.SPLITS:
        if not (masked["split"] == split).any():
            raise ValueError(
                f"The {split} split has no lesion masks; put the folder "
                "HAM10000_segmentations_lesion_tschandl (Dataverse) beside the photographs."
            )
    unknown = set(parts) - set(IMAGES)
    if unknown:
        raise ValueError(f"There is no part {sorted(unknown)[0]!r}; use {', '.join(IMAGES)}.")
    subject = Subject(classifier)
    recorder = Recorder(str(classifier.details.get("run", classifier.model.name)))
    steps = {
        "agreement": _agreement,
        "faithfulness": _faithfulness,
        "lesion": _lesion,
        "sanity": _sanity,
        "stability": _stability,
        "methods": _methods,
        "perturbations": _perturbations,
    }
    test = masked[masked["split"] == "test"]
    for part in parts:
        wanted = IMAGES[part]
        if number is not None:
            wanted = number if wanted is None else min(number, wanted)

        def batches(rows=None, wanted=wanted, part=part):
            rows = sample(test, wanted) if rows is None else rows
            return subject.batches(rows, part, progress)

        steps[part](subject, masked, batches, recorder, number)
    return recorder.table()


def _about(batch: Batch) -> pd.DataFrame:
    right = np.array(classes.CODES)[batch.labels] == batch.rows["dx"].to_numpy()
    return batch.rows[["lesion_id", "dx"]].assign(right=right)


def controls(subject: Subject, masked: pd.DataFrame) -> dict[str, Mapper]:
    """Makes Grad-CAM and the four controls, each a function from a batch to its maps."""
    size = subject.classifier.image_size
    training = sample(masked[masked["split"] == "train"], GAUSSIAN_IMAGES)
    gaussian = agreement.centred_gaussian(
        images.read_mask(path, size) for path in training["mask_path"]
    )
    random = explain.Explainer(agreement.random_network(subject.classifier.model))
    top = explain.Explainer(agreement.randomised_top(subject.classifier.model))

    def same(heat_map):
        return lambda batch: np.broadcast_to(heat_map, batch.images.shape[:3])

    return {
        "grad_cam": lambda b: subject.explainer(b.images, b.labels, patient=b.patient),
        "centred Gaussian": same(gaussian),
        "uniform": same(np.ones((size, size), np.float32)),
        # An untrained network is asked for whatever class it would name: it knows none.
        "random weights": lambda b: random(b.images, patient=b.patient),
        "randomised top": lambda b: top(b.images, b.labels, patient=b.patient),
    }


def _method(subject: Subject, name: str) -> Mapper:
    return lambda batch: attributions.heat_maps(
        subject.explainer, batch.images, batch.labels, name, batch.patient, subject.tools
    )


def _thresholds(batches, masked, mappers, number) -> dict[str, float]:
    """Fixes each map's threshold on validation photographs."""
    rows = sample(masked[masked["split"] == "validation"], number)
    found = {name: [] for name in mappers}
    for batch in batches(rows):
        for name, mapper in mappers.items():
            pairs = zip(mapper(batch), batch.masks, strict=True)
            found[name] += [agreement.overlaps(*pair) for pair in pairs]
    return {name: agreement.best_threshold(overlaps) for name, overlaps in found.items()}


def _scored(batches, mappers, score) -> tuple[dict, pd.DataFrame, dict]:
    """Scores maps batch by batch.

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
    mappers = controls(subject, masked)
    wanted = min(number or THRESHOLD_IMAGES, THRESHOLD_IMAGES)
    thresholds = _thresholds(batches, masked, mappers, wanted)

    def score(batch, name, maps):
        return agreement.table(maps, batch.masks, thresholds[name])

    scores, about, seconds = _scored(batches, mappers, score)
    for name, found in scores.items():
        found = found.drop(columns="outside_over_inside").assign(threshold=thresholds[name])
        options = {"seconds": seconds[name], "by_class": True}
        recorder.add("agreement", name, found, about, agreement.RATIOS, **options)


def _faithfulness(subject, masked, batches, recorder, number) -> None:
    fractions, road_fractions = faithfulness.FRACTIONS, faithfulness.ROAD_FRACTIONS

    def score(batch, name, maps):
        rows = []
        for place, (image, heat_map) in enumerate(zip(batch.images, maps, strict=True)):
            ask = subject.asker(batch, place)
            curves = {
                "deletion": faithfulness.deletion(ask, image, heat_map),
                "insertion": faithfulness.insertion(ask, image, heat_map),
            }
            curves |= faithfulness.road(ask, image, heat_map)
            rows.append(curves)
        return pd.DataFrame(rows)

    mappers = controls(subject, masked)
    mappers["uniform"] = _smooth_noise(subject)
    mappers["smooth noise"] = mappers.pop("uniform")
    scores, about, _ = _scored(batches, mappers, score)
    for name, curves in scores.items():
        areas = {}
        for curve in curves:
            steps = fractions if curve in ("deletion", "insertion") else road_fractions
            heights = np.stack(curves[curve].to_list())
            areas[f"{curve}_area"] = [faithfulness.area(steps, row) for row in heights]
            for place, step in enumerate(steps):
                frame = pd.DataFrame({curve: heights[:, place]})
                recorder.add("faithfulness", name, frame, about, step=step)
        areas = pd.DataFrame(areas)
        gap = areas["least_relevant_first_area"] - areas["most_relevant_first_area"]
        recorder.add("faithfulness", name, areas.assign(road_gap=gap), about)


def _smooth_noise(subject: Subject) -> Mapper:
    """A random map as smooth as Grad-CAM's: a uniform map has no order to remove pixels in."""
    import cv2

    model = subject.classifier.model
    cells = model.get_layer(subject.explainer.layers[0]).output.shape[1:3]
    rng = np.random.default_rng(0)

    def mapper(batch):
        size = batch.images.shape[2:0:-1]
        drawn = rng.random((len(batch.images), *cells), dtype=np.float32)
        return explain.normalised(np.stack([cv2.resize(small, size) for small in drawn]))

    return mapper


def _lesion(subject, masked, batches, recorder, number) -> None:
    changes = {
        "lesion inpainted": lambda i, m, seed: faithfulness.without_lesion(i, m, "inpainted"),
        "lesion filled with skin": lambda i, m, seed: faithfulness.without_lesion(i, m, "skin"),
        "lesion only": lambda i, m, seed: faithfulness.only_lesion(i, m),
    }
    _changed(subject, batches, recorder, "lesion", changes, maps_of=0)


def _perturbations(subject, masked, batches, recorder, number) -> None:
    changes = {
        name: lambda image, mask, seed, change=change: change(image, seed)
        for name, change in perturbations.CHANGES.items()
    }
    _changed(subject, batches, recorder, "perturbations", changes, maps_of=3 * BATCH)


def _changed(subject, batches, recorder, part, changes, maps_of: int) -> None:
    """Asks again after changing the photographs; the first `maps_of` are explained again too."""
    scores, about, seen = {name: [] for name in changes}, [], 0
    for batch in batches():
        about.append(_about(batch))
        maps = None
        if seen < maps_of:
            maps = subject.explainer(batch.images, batch.labels, patient=batch.patient)
        seeds = range(seen, seen + len(batch.rows))  # each photograph gets hairs of its own
        seen += len(batch.rows)
        for name, change in changes.items():
            altered = np.stack(list(map(change, batch.images, batch.masks, seeds)))
            probabilities = subject.probabilities(altered, batch.patient)
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
                frame["rank_correlation"] = sanity.similarity(maps, others)["rank_correlation"]
            scores[name].append(frame)
    for name, frames in scores.items():
        found = pd.concat(frames).dropna(axis=1, how="all")
        recorder.add(part, name, found, pd.concat(about), by_class=True)


def _sanity(subject, masked, batches, recorder, number) -> None:
    kept = list(batches())
    about = pd.concat([_about(batch) for batch in kept])
    maps = [subject.explainer(b.images, b.labels, patient=b.patient) for b in kept]
    for share, model in sanity.cascade(subject.classifier.model):
        if share == sanity.SHARES[0]:
            explainer = explain.Explainer(model)
        found = [
            pd.DataFrame(
                sanity.similarity(before, explainer(b.images, b.labels, patient=b.patient))
            )
            for before, b in zip(maps, kept, strict=True)
        ]
        recorder.add("sanity", "grad_cam", pd.concat(found), about, step=share)


def _stability(subject, masked, batches, recorder, number) -> None:
    scores, about = {}, []
    for batch in batches():
        about.append(_about(batch))
        maps = subject.explainer(batch.images, batch.labels, patient=batch.patient)
        found = {}
        for name, changed, view in sanity.changed_views(batch.images):
            others = subject.explainer(changed, batch.labels, patient=batch.patient)
            compared = pd.DataFrame(sanity.similarity(maps, sanity.turned_back(others, view)))
            found.setdefault(name, []).append(compared)
        for name, frames in found.items():
            # The mean over the symmetries of each photograph, without undefined ones.
            scores.setdefault(name, []).append(pd.concat(frames).groupby(level=0).mean())
    for name, frames in scores.items():
        recorder.add("stability", name, pd.concat(frames), pd.concat(about))


def _methods(subject, masked, batches, recorder, number) -> None:
    mappers = {name: _method(subject, name) for name in attributions.METHODS}
    wanted = min(number or COSTLY_THRESHOLD_IMAGES, COSTLY_THRESHOLD_IMAGES)
    thresholds = _thresholds(batches, masked, mappers, wanted)

    def score(batch, name, maps):
        found = agreement.table(maps, batch.masks, thresholds[name])
        gaps = []
        for place, (image, heat_map) in enumerate(zip(batch.images, maps, strict=True)):
            curves = faithfulness.road(subject.asker(batch, place), image, heat_map)
            gap = curves["least_relevant_first"] - curves["most_relevant_first"]
            gaps.append(faithfulness.area(faithfulness.ROAD_FRACTIONS, gap))
        return found.drop(columns="outside_over_inside").assign(road_gap=gaps)

    scores, about, seconds = _scored(batches, mappers, score)
    for name, found in scores.items():
        recorder.add("methods", name, found, about, agreement.RATIOS, seconds=seconds[name])
