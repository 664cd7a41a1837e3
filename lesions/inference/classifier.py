"""From photographs to answers: what the command line, the app and the notebooks share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import images
from lesions.inference import familiarity, lite
from lesions.networks import models, views

BEST_MODEL = data.REPOSITORY / "models" / "best_model.h5"
COLUMNS = ("image", "predicted", *classes.CODES, "warning", "error")


class Classifier:
    """A trained network with everything that belongs around it.

    Attributes:
        path: The file it was read from.
        model: The Keras model.
        details: What is stored with it, see `models.load`.
        image_size: Side of its input in pixels.
        tta: Whether answers are averaged over eight views.
        correction: What brings the network's probabilities to the class frequencies.
    """

    def __init__(self, model_path=BEST_MODEL, tta: bool = True):
        """Read the network.

        Args:
            model_path: An `.h5` file from `models.save`, a run folder that holds model.h5, or a
                `.tflite` file from `export.export`.
            tta: Whether the mean over eight flips and turns is taken, at eight times the time.

        Raises:
            ValueError: If the file is missing or is not a model of this project.
        """
        self.path = Path(os.path.expanduser(model_path))  # which needs no home folder
        if self.path.is_dir():
            self.path = self.path / "model.h5"
        if not self.path.is_file():
            raise ValueError(
                f"There is no model {self.path}; train one by `python -m lesions train cnn`, "
                "which prints where it lies, and name it by --model."
            )
        load = lite.load if self.path.suffix == ".tflite" else models.load
        self.model, self.details = load(self.path)
        self.image_size = self.details["image_size"]
        self.tta = tta
        self.correction = evaluation.Correction.from_details(self.details.get("correction"))
        self._familiarity: familiarity.Familiarity | None = None
        self._familiarity_problem: str | None = None

    @property
    def is_keras(self) -> bool:
        """Whether layers and gradients can be had, which a TensorFlow Lite file does not give."""
        return self.path.suffix != ".tflite"

    def require_keras(self, purpose: str) -> None:
        """Refuse a TensorFlow Lite file for a purpose, such as "Heat maps", by a ValueError."""
        if not self.is_keras:
            raise ValueError(
                f"{purpose} need the layers of the network, which {self.path} does not hold; "
                "name the .h5 file that it was exported from."
            )

    def familiarity(self) -> tuple[familiarity.Familiarity | None, str]:
        """Return what training photographs look like to this network, read at the first call.

        Returns:
            The fitted familiarity and "", or None and a sentence on why photographs cannot be
            compared with those of the training.
        """
        if self._familiarity_problem is None:
            self._familiarity, self._familiarity_problem = familiarity.find_for(self)
        return self._familiarity, self._familiarity_problem

    def prepare(self, image) -> np.ndarray:
        """Bring a photograph to the form that this network was trained on.

        Args:
            image: Path of a photograph, or uint8 (height, width, 3) RGB 0-255.

        Returns:
            uint8, (image_size, image_size, 3), RGB 0-255.

        Raises:
            ValueError: As `images.read_image`.
        """
        hair_removal = self.details.get("hair_removal", False)
        constancy = self.details.get("colour_constancy")
        return images.prepare(image, self.image_size, hair_removal, constancy)

    def patient_input(self, number: int, patient: np.ndarray | None = None) -> np.ndarray | None:
        """Return the second input of the network: `patient`, or "unknown" where it is None.

        Returns:
            float32, (number, data.PATIENT_FEATURES); None if the network takes images only.
        """
        if len(self.model.inputs) == 1:
            return None
        if patient is not None:
            return patient
        unknown = {"age": np.nan, "sex": "unknown", "localization": "unknown"}
        return data.patient_features(pd.DataFrame(unknown, index=range(number)))

    def probabilities(self, images: np.ndarray, patient: np.ndarray | None = None) -> np.ndarray:
        """Predict probabilities at the class frequencies of HAM10000.

        Args:
            images: uint8, (n, image_size, image_size, 3), RGB 0-255, from `prepare`.
            patient: float32, (n, data.PATIENT_FEATURES); None where nothing is known.

        Returns:
            float64, (n, 7), in the order of `classes.CODES`, rows sum to 1.
        """
        patient = self.patient_input(len(images), patient)
        return self.correction.apply(views.predict(self.model, images, self.tta, patient))

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Choose a class for each row of probabilities.

        The decision rule divides each probability by the class's frequency to the stored power
        and takes the largest; without a stored power it takes the most probable class.

        Args:
            probabilities: float, (n, 7), from `probabilities`.

        Returns:
            n codes.
        """
        strength = self.details.get("decision_strength", 0.0)
        labels = evaluation.decide(probabilities, self.correction.class_frequencies, strength)
        return [classes.CODES[label] for label in labels]

    def read(
        self, paths: Iterable, batch_size: int = 32
    ) -> Iterator[list[tuple[str, np.ndarray | None, str]]]:
        """Decode photographs on all cores, one batch ahead of whoever takes them.

        Args:
            paths: Files, any number.
            batch_size: Files a batch; at most two batches are in memory.

        Yields:
            Batches of (path, image as from `prepare`, ""), or (path, None, what is wrong with it).
        """
        for batch in _ahead(self._read_one, paths, batch_size):
            yield [(path, image, error) for path, image, error, _ in batch]

    def _read_one(self, path) -> tuple[str, np.ndarray | None, str, familiarity.Quality | None]:
        try:
            photograph = images.read_image(path)
            quality = familiarity.quality_of(photograph)
            return str(path), self.prepare(photograph), "", quality
        except ValueError as error:
            return str(path), None, str(error), None

    def classify(self, paths: Iterable, batch_size: int = 32) -> Iterator[dict]:
        """Answer for any number of photographs, in flat memory; a faulty one stops nothing.

        Args:
            paths: Files.
            batch_size: Files a step.

        Yields:
            One dict a path, in their order, with the keys `COLUMNS`: image (the path), predicted
            (a code), a calibrated probability (0 to 1) for each code, warning (what speaks
            against believing it; "" where nothing does) and error (""). Where the file is not a
            readable image, error says why and the others are "".
        """
        nothing = [""] * (len(COLUMNS) - 2)
        for batch in _ahead(self._read_one, paths, batch_size):
            readable = [(image, quality) for _, image, error, quality in batch if not error]
            answers = self._answers(*zip(*readable, strict=True)) if readable else None
            for path, _, error, _ in batch:
                answer = nothing if error else next(answers)
                yield dict(zip(COLUMNS, (path, *answer, error), strict=True))

    def _answers(self, prepared: tuple, qualities: tuple) -> Iterator[tuple]:
        """Yield the code, the seven probabilities and the warning of each photograph."""
        prepared = np.stack(prepared)
        probabilities = self.probabilities(prepared)
        fitted = self.familiarity()[0]
        warned = familiarity.batch_warnings(fitted, self, qualities, prepared)
        codes = self.decide(probabilities)
        for code, row, warnings in zip(codes, probabilities.tolist(), warned, strict=True):
            yield code, *row, " ".join(warnings)


def _ahead(function, items: Iterable, batch_size: int) -> Iterator[list]:
    """Apply a function to items on all cores, one batch ahead of whoever takes the results."""
    items = iter(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ahead: list = []
        while True:
            started = [pool.submit(function, one) for one in islice(items, batch_size)]
            if ahead:
                yield [future.result() for future in ahead]
            if not started:
                return
            ahead = started


def find_images(paths: Iterable) -> list[str]:
    """List photographs, looking through folders and what is below them.

    Args:
        paths: Files and folders. A file that is named is listed whatever it is called; of a
            folder the .jpg, .jpeg and .png files are listed, sorted, without hidden files and
            folders, what other systems leave there (@eaDir, __MACOSX) and HAM10000's lesion
            masks. Links are followed, each folder once.

    Returns:
        Paths: a file's as given, a folder's images with the folder as given in front.

    Raises:
        ValueError: If a folder holds no image.
    """
    found = []
    for path in map(str, paths):
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = [os.fspath(one) for one in data.list_photographs(path)]
        if not inside:
            raise ValueError(f"The folder {path} holds no .jpg, .jpeg or .png image; name another.")
        found += sorted(inside, key=lambda one: one.split(os.sep))
    return found
