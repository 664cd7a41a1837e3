"""Whether a photograph is like those of the training: its features, its focus, its size.

A network answers anything, a coffee cup too. Features are means of the network's own maps; a
photograph whose nearest training neighbours are far away is unfamiliar (Sun et al. 2022,
out-of-distribution detection with deep nearest neighbours). The maps are those from the middle of
the network (Lee et al. 2018): the last ones tell seven diagnoses apart and little else, and take a
coffee cup for one of them. What is fitted lies in a small file in the model's folder and serves
that model only.
"""

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from lesions import data
from lesions.data import images
from lesions.networks import views
from lesions.system import files

FILE = "familiarity.npz"
NEIGHBOURS = 5
BATCH = 32
# The maps whose side is a quarter, an eighth and a sixteenth of the picture's.
REDUCTIONS = (4, 8, 16)
# Beyond so many standard deviations a channel says no more.
CLIP = 10.0
# Focus is judged at one scale, whatever the camera.
FOCUS_SIDE = 256
# Share of validation photographs that are called unfamiliar, and that are called blurred.
ALLOWED = 0.01
SAMPLE, SEED = 700, 42  # photographs at most that a threshold is set on, and of their choice
PER_CLASS = 150  # training photographs of a class at most, so that moles are not all there is
WARNINGS = {
    "tiny": "This picture is tiny: {side} pixels on its shorter side, and the network reads "
    "{size}.",
    "blurred": "This picture is blurred: softer than 99 of 100 photographs of the "
    "study's own data.",
    "unlike": "This picture is unlike the dermatoscopic photographs of the clinics that the "
    "network was trained on, so do not rely on its answer.",
}


@dataclass(frozen=True)
class Familiarity:
    """What training photographs look like to one network.

    Attributes:
        model: The run of the network this belongs to, and a digest of its last layer.
        centre: float32, (features,), the mean of the training features.
        spread: float32, (features,), their standard deviation.
        known: float32, (n, features), training photographs in standard deviations.
        far: Distance to the neighbours above which a photograph is unfamiliar.
        blurred: Sharpness below which it is blurred.
        measured: How well it works, from `fit`.
    """

    model: str
    centre: np.ndarray
    spread: np.ndarray
    known: np.ndarray
    far: float
    blurred: float
    measured: dict = field(default_factory=dict)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Measure how far `features_of` photographs are from those of the training.

        Returns:
            float, (n,): the mean distance to the five nearest neighbours, in standard deviations
            of a feature.
        """
        finder = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(self.known))).fit(self.known)
        found = finder.kneighbors(_scaled(features, self.centre, self.spread))[0].mean(axis=1)
        return found / np.sqrt(len(self.centre))

    def save(self, path) -> Path:
        """Write the file, one or two megabytes, and return its path."""
        path = Path(path)
        facts = {name: getattr(self, name) for name in ("model", "far", "blurred", "measured")}
        with files.replacing(path) as temporary:
            np.savez_compressed(
                temporary,
                facts=json.dumps(facts),
                centre=self.centre.astype(np.float32),
                spread=self.spread.astype(np.float32),
                known=self.known.astype(np.float16),
            )
        return path


def load(path) -> Familiarity:
    """Read what `Familiarity.save` wrote, with a ValueError where that is missing or damaged."""
    try:
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            arrays = {name: file[name].astype(np.float32) for name in ("centre", "spread", "known")}
        return Familiarity(**facts, **arrays)
    except files.DAMAGED_NPZ as error:
        raise ValueError(
            f"{path} is not a valid familiarity file; remove it, or make it by `python -m lesions "
            "familiarity --model FILE.h5`."
        ) from error


def find_for(classifier) -> tuple[Familiarity | None, str]:
    """Read the file in the folder of an `inference.Classifier`, if it belongs to that network.

    Returns:
        What was fitted and "", or None and a sentence on why photographs cannot be compared with
        those of the training.
    """
    if not classifier.is_keras:
        return None, (
            "Photographs are not compared with those of the training, because "
            f"{classifier.path.name} does not hold the network's layers; use the .h5 file."
        )
    path = classifier.path.with_name(FILE)
    way_out = (
        f"make it by `python -m lesions familiarity --model {classifier.path}`, or photographs are "
        "judged by size only."
    )
    if not path.is_file():
        return None, f"There is no {FILE} in the folder of {classifier.path.name}; {way_out}"
    try:
        found = load(path)
    except ValueError as error:
        return None, str(error)
    if found.model != identity(classifier):
        return None, (
            f"{FILE} was fitted for the network {found.model} and this one is "
            f"{identity(classifier)}; {way_out}"
        )
    return found, ""


def identity(classifier) -> str:
    """Name a trained network: its run and a digest of its last layer's weights."""
    digest = hashlib.sha256()
    for array in classifier.model.get_layer("logits").get_weights():
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return f"{classifier.details.get('run', 'without a name')} {digest.hexdigest()[:12]}"


def features_of(classifier, prepared: np.ndarray) -> np.ndarray:
    """Compute the mean of every channel of the maps in the middle of a classifier's network.

    The photographs are prepared, uint8 (n, image_size, image_size, 3), from `Classifier.prepare`.
    Returns float32, (n, features).
    """
    model = classifier.model
    # Kept with the model, because building and tracing it anew costs seconds.
    if not hasattr(model, "features_model"):
        model.features_model = keras.Model(model.inputs, features_layer(model))
        model.features_model.compile()
    parts = []
    for start in range(0, len(prepared), BATCH):
        part = prepared[start : start + BATCH].astype(np.float32)
        inputs = views.inputs(part, classifier.patient_input(len(part)))
        parts.append(np.asarray(model.features_model.predict_on_batch(inputs)))
    return np.concatenate(parts).astype(np.float32)


def features_layer(model: keras.Model):
    """Add the features of `features_of` to a network; returns their tensor, (n, features)."""
    pool = keras.layers.GlobalAveragePooling2D
    pooled = [pool()(layer.output) for layer in _middle_layers(model)]
    return keras.layers.Concatenate(name="features")(pooled)


def _middle_layers(model) -> list:
    """Find the last layer at each of the sides that `REDUCTIONS` name."""
    size = model.inputs[0].shape[1]
    found = {}
    for layer in model.layers:
        shape = getattr(layer.output, "shape", ())
        for reduction in REDUCTIONS:
            if len(shape) == 4 and shape[1] in (size // reduction, -(-size // reduction)):
                found[reduction] = layer
    return list(found.values())


def sharpness(image: np.ndarray) -> float:
    """Measure fine detail: the log of the Laplacian's variance (Pech-Pacheco et al. 2000).

    The image is uint8, (height, width, 3), RGB 0-255, as the camera gave it. The number is the
    higher the sharper; only differences mean something.
    """
    square = images.centre_square(image)
    if len(square) > FOCUS_SIDE:
        square = images.resize(square, FOCUS_SIDE)
    grey = cv2.cvtColor(np.ascontiguousarray(square), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.log(cv2.Laplacian(grey, cv2.CV_32F).var() + 1e-6))


@dataclass(frozen=True)
class Quality:
    """What is judged of a photograph before it is made small: its shorter side, its sharpness."""

    side: int
    sharpness: float


def quality_of(image: np.ndarray) -> Quality:
    """Measure a photograph as the camera gave it, uint8 (height, width, 3), RGB 0-255."""
    return Quality(min(image.shape[:2]), sharpness(image))


def warnings(familiarity: Familiarity | None, classifier, image, prepared) -> list[str]:
    """List what speaks against believing the answer to one photograph, see `batch_warnings`.

    It is passed as it came, uint8 (height, width, 3), and from `Classifier.prepare`.
    """
    return batch_warnings(familiarity, classifier, [quality_of(image)], prepared[np.newaxis])[0]


def batch_warnings(
    familiarity: Familiarity | None, classifier, qualities: Sequence[Quality], prepared: np.ndarray
) -> list[list[str]]:
    """List what speaks against believing the answers to several photographs.

    Args:
        familiarity: From `find_for`; None where only the size can be judged.
        classifier: From `inference.Classifier`.
        qualities: From `quality_of`, one a photograph.
        prepared: uint8, (n, image_size, image_size, 3), from `Classifier.prepare`.

    Returns:
        Sentences for each photograph; none where nothing speaks against it.
    """
    size = classifier.image_size
    found = [
        [WARNINGS["tiny"].format(side=quality.side, size=size)] if quality.side < size else []
        for quality in qualities
    ]
    if familiarity is None:
        return found
    far = familiarity.distances(features_of(classifier, prepared)) > familiarity.far
    for sentences, quality, is_far in zip(found, qualities, far, strict=True):
        if quality.sharpness < familiarity.blurred:
            sentences.append(WARNINGS["blurred"])
        if is_far:
            sentences.append(WARNINGS["unlike"])
    return found


def fit(classifier, metadata: pd.DataFrame) -> Familiarity:
    """Fit on training photographs and set both thresholds on validation photographs.

    Args:
        classifier: From `inference.Classifier`.
        metadata: Rows with image_path, dx and split, from `data.with_split`.

    Returns:
        What was fitted, measured on test photographs.

    Raises:
        ValueError: If a split has no photograph, or one cannot be read.
    """
    for split in data.SPLITS:
        if split not in set(metadata["split"]):
            raise ValueError(
                f"The photographs hold none of the {split} split, and all splits are needed; name "
                "the folder with the whole of HAM10000."
            )
    train = metadata[metadata["split"] == "train"]
    train = train.groupby("dx", group_keys=False).sample(frac=1, random_state=SEED)
    train = train.groupby("dx").head(PER_CLASS)
    features, _ = read(classifier, train["image_path"])
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.maximum(spread, 0.05 * np.median(spread) + 1e-6)  # for channels that are dead
    known = _scaled(features, centre, spread)
    fitted = Familiarity(identity(classifier), centre, spread, known, np.inf, -np.inf)
    validation = _sample(metadata, "validation")
    features, focus = read(classifier, validation["image_path"])
    far = float(np.quantile(fitted.distances(features), 1 - ALLOWED))
    fitted = replace(fitted, far=far, blurred=float(np.quantile(focus, ALLOWED)))
    return replace(fitted, measured=_measure(fitted, classifier, _sample(metadata, "test")))


def _measure(familiarity: Familiarity, classifier, test: pd.DataFrame) -> dict:
    """Measure test photographs against everyday pictures, and against themselves out of focus.

    Returns the areas under the ROC curve, the shares that get a warning, rightly (`_found`) or
    not (`_false`), and the numbers of pictures.
    """
    features, focus = read(classifier, test["image_path"])
    own = familiarity.distances(features)
    others = np.stack([classifier.prepare(image) for image in everyday_pictures().values()])
    foreign = familiarity.distances(features_of(classifier, others))
    photographs = map(images.read_image, test["image_path"])
    soft = np.array(
        [sharpness(cv2.GaussianBlur(p, (0, 0), min(p.shape[:2]) / 40)) for p in photographs]
    )
    return {
        "unlike_auc": _auc(own, foreign),
        "unlike_found": float((foreign > familiarity.far).mean()),
        "unlike_false": float((own > familiarity.far).mean()),
        "blurred_auc": _auc(-focus, -soft),
        "blurred_found": float((soft < familiarity.blurred).mean()),
        "blurred_false": float((focus < familiarity.blurred).mean()),
        "test_images": len(own),
        "other_images": len(foreign),
    }


def everyday_pictures() -> dict[str, np.ndarray]:
    """Collect the pictures that ship with scikit-learn and, where installed, scikit-image.

    Returns:
        Name to uint8, (height, width, 3), RGB: a cat, a cup, coins, a galaxy, a retina, text.
    """
    folders = []
    for package, folder in {"sklearn": "datasets/images", "skimage": "data"}.items():
        found = importlib.util.find_spec(package)
        folders += [Path(found.origin).parent / folder] if found else []
    paths = [p for f in folders for p in sorted(f.glob("*")) if p.suffix in (".jpg", ".png")]
    return {path.stem: images.read_image(path) for path in paths}


def _sample(metadata: pd.DataFrame, split: str) -> pd.DataFrame:
    rows = metadata[metadata["split"] == split]
    return rows.sample(min(SAMPLE, len(rows)), random_state=SEED)


def read(classifier, paths) -> tuple[np.ndarray, np.ndarray]:
    """Read photographs, a few at a time.

    Returns:
        Of `features_of`, float32, (n, features), and of `sharpness`, float, (n,).

    Raises:
        ValueError: What is wrong with the first faulty one.
    """
    features, focus = [], []
    for prepared, qualities in classifier.read_all(paths):
        features.append(features_of(classifier, prepared))
        focus += [quality.sharpness for quality in qualities]
    return np.concatenate(features), np.array(focus)


def _scaled(features: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.clip((features - centre) / spread, -CLIP, CLIP)


def _auc(negative: np.ndarray, positive: np.ndarray) -> float:
    labels = np.repeat([0, 1], [len(negative), len(positive)])
    return float(roc_auc_score(labels, np.concatenate([negative, positive])))
