"""The benchmark of explanations: every measurement of the maps, gathered in one table."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm import tqdm

from lesions import (
    agreement,
    attributions,
    classes,
    data,
    evaluation,
    explain,
    faithfulness,
    images,
    perturbations,
    sanity,
)
from lesions.inference import Classifier

TABLE = data.REPOSITORY / "models" / "explanations.csv"
COLUMNS = "run part method class group metric step value low high images seconds_per_image".split()
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
# Mean Grad-CAM activation outside the lesion over inside (Tschandl et al. 2020, Nature Medicine).
PUBLISHED = {"akiec": 0.48, "not akiec": 0.32}
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


def sample(rows: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """Takes photographs of different lesions, the classes in turn, always the same ones.

    Args:
        rows: Table with image_id, lesion_id and dx.
        number: How many; None for all rows, several photographs of a lesion among them.

    Returns:
        At most `number` rows. A rare class ends before the others.
    """
    if number is None:
        return rows
    firsts = rows.sort_values("image_id").drop_duplicates("lesion_id")
    shuffled = firsts.sample(frac=1, random_state=0)
    turns = shuffled.assign(turn=shuffled.groupby("dx").cumcount()).sort_values(["turn", "dx"])
    return turns.head(number).drop(columns="turn")


class Recorder:
    """Gathers scores of single photographs and turns them into rows of the table."""

    def __init__(self, run: str):
        """Starts an empty table for a run."""
        self.run = run
        self.rows: list[dict] = []

    def add(
        self,
        part: str,
        method: str,
        scores: pd.DataFrame,
        about: pd.DataFrame,
        ratios=None,
        step: float = np.nan,
        seconds: float = np.nan,
        by_class: bool = False,
    ) -> None:
        """Adds means with intervals.

        Args:
            part: Key of `IMAGES`.
            method: What the scores are of.
            scores: One row an image, one column a metric.
            about: lesion_id, dx and right (bool) of the same rows.
            ratios: See `evaluation.mean_intervals`.
            step: Place on a curve, where the scores belong to one.
            seconds: Seconds an image that the map costs.
            by_class: Whether classes, and right and wrong answers, are listed apart.
        """
        dx, right = about["dx"].to_numpy(), about["right"].to_numpy(bool)
        slices = [("all", "all", np.ones(len(about), bool))]
        if by_class:
            slices += [("all", "right", right), ("all", "wrong", ~right)]
            slices += [(code, "all", dx == code) for code in classes.CODES]
            slices += [("not akiec", "all", dx != "akiec")]
        for code, group, chosen in slices:
            if not chosen.any():
                continue
            found = evaluation.mean_intervals(
                scores.reset_index(drop=True)[chosen],
                about["lesion_id"].reset_index(drop=True)[chosen],
                ratios,
            )
            for metric, row in found.iterrows():
                key = (self.run, part, method, code, group, metric, step)
                numbers = (row["value"], row["low"], row["high"], int(row["images"]), seconds)
                self.rows.append(dict(zip(COLUMNS, key + numbers, strict=True)))

    def table(self) -> pd.DataFrame:
        """Gives the table with the columns `COLUMNS`."""
        return pd.DataFrame(self.rows, columns=COLUMNS)


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
        A table with the columns `COLUMNS`: run; part; method (or control, or change of the
        photograph); class ("all", a code, or "not akiec"); group ("all", "right", "wrong"
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


def write_table(table: pd.DataFrame, path) -> Path:
    """Writes the table as CSV, six digits a number, beside its place and renamed when whole.

    Returns:
        The path.

    Raises:
        ValueError: If the file cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table[list(COLUMNS)].to_csv(beside, index=False, float_format="%.6f", lineterminator="\n")
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # its folder may be a file
            beside.unlink()
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); name another --output."
        ) from error
    return path


def recorded(run: str | None, path=TABLE) -> pd.DataFrame | None:
    """Reads the recorded table, where there is one of this run.

    Args:
        run: The run that the model at hand came from, `details["run"]`.
        path: The table.

    Returns:
        The table, or None.
    """
    if not Path(path).is_file():
        return None
    table = pd.read_csv(path)
    return table if set(COLUMNS) <= set(table) and (table["run"] == run).all() else None


def look_up(
    table: pd.DataFrame,
    part: str,
    method: str,
    metric: str,
    code: str = "all",
    group: str = "all",
    step: float | None = None,
) -> pd.Series:
    """Finds one row of the table.

    Args:
        table: From `measure` or `recorded`.
        part: As the column of that name; so are method, metric and group.
        method: See part.
        metric: See part.
        code: The class: "all", a code, or "not akiec".
        group: See part.
        step: The place on a curve, or None for a row that belongs to none.

    Returns:
        The row; its `value`, `low`, `high` and `images` are NaN where there is no such row, for
        example of a class that no photograph shows.
    """
    wanted = {"part": part, "method": method, "class": code, "group": group, "metric": metric}
    rows = table[table["step"].isna() if step is None else table["step"] == step]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows.iloc[0] if len(rows) else pd.Series(dtype=float).reindex(COLUMNS)


def quote(table: pd.DataFrame, part: str, method: str, metric: str, **which) -> str:
    """Writes one number with its interval, "0.48 (0.45 to 0.51)"; arguments as `look_up`."""
    row = look_up(table, part, method, metric, **which)
    if not np.isfinite(row["value"]):
        return "undefined"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def better_classes(table: pd.DataFrame) -> list[str]:
    """Lists the classes in which Grad-CAM overlaps with the lesion clearly more than a Gaussian.

    Args:
        table: From `measure` or `recorded`.

    Returns:
        Codes of classes whose 95% intervals of intersection over union lie apart.
    """
    score = "intersection_over_union"
    return [
        code
        for code in classes.CODES
        if look_up(table, "agreement", "grad_cam", score, code)["low"]
        > look_up(table, "agreement", "centred Gaussian", score, code)["high"]
    ]


def side_by_side(
    classifiers: dict[str, Classifier], rows: pd.DataFrame
) -> tuple[list[np.ndarray], list[str]]:
    """Shows the same lesions to several networks.

    Args:
        classifiers: Name to network; their input sizes may differ.
        rows: Rows of the table, one a lesion.

    Returns:
        Pictures and titles for `figures.photo_grid` with `columns=1 + len(classifiers)`: a line
        a lesion, the photograph first, then each network's overlay for the class that it names.
    """
    pictures, titles = [[] for _ in range(len(rows))], [[] for _ in range(len(rows))]
    for place, (path, code) in enumerate(zip(rows["image_path"], rows["dx"], strict=True)):
        size = max(classifier.image_size for classifier in classifiers.values())
        pictures[place].append(images.prepare(path, size))
        titles[place].append(f"true: {code}")
    for name, classifier in classifiers.items():
        photographs = np.stack([classifier.prepare(path) for path in rows["image_path"]])
        patient = classifier.patient_input(len(rows), data.patient_features(rows))
        probabilities = classifier.probabilities(photographs, patient)
        codes = classifier.decide(probabilities)
        maps = explain.heat_maps(classifier.model, photographs, codes, patient=patient)
        for place, code in enumerate(codes):
            share = probabilities[place, classes.CODES.index(code)]
            heading = name.replace("_", "\n") + "\n" if place == 0 else ""
            pictures[place].append(explain.overlay(photographs[place], maps[place]))
            titles[place].append(f"{heading}{code}, {share:.0%}")
    return sum(pictures, []), sum(titles, [])
