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
from lesions.evaluation import decisions
from lesions.inference import lite
from lesions.networks import models, views

BEST_MODEL = data.REPOSITORY / "models" / "best_model.h5"
COLUMNS = ("image", "predicted", *classes.CODES, "error")


class Classifier:
    """A trained network with everything that belongs around it.

    Attributes:
        path: The file it was read from.
        model: The Keras model.
        details: What is stored with it, see `models.load`.
        image_size: Side of its input in pixels.
        tta: Whether answers are averaged over eight views.
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
        self.path = Path(model_path).expanduser()
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
        """Give the second input of the network: `patient`, or "unknown" where it is None.

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
        """Predict calibrated probabilities.

        Args:
            images: uint8, (n, image_size, image_size, 3), RGB 0-255, from `prepare`.
            patient: float32, (n, data.PATIENT_FEATURES); None where nothing is known.

        Returns:
            float64, (n, 7), in the order of `classes.CODES`, rows sum to 1.
        """
        patient = self.patient_input(len(images), patient)
        raw = views.predict(self.model, images, self.tta, patient)
        return evaluation.apply_temperature(raw, self.details["temperature"])

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Choose a class for each row of probabilities.

        It is the most probable class; for a model stored with `log_prior`, the class whose
        probability most exceeds that prior (Menon et al. 2021, logit adjustment after training).

        Args:
            probabilities: float, (n, 7), from `probabilities`.

        Returns:
            n codes.
        """
        labels = decisions.decide(probabilities, self.details.get("log_prior"))
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
        paths = iter(paths)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ahead: list = []
            while True:
                started = [pool.submit(self._read_one, one) for one in islice(paths, batch_size)]
                if ahead:
                    yield [future.result() for future in ahead]
                if not started:
                    return
                ahead = started

    def _read_one(self, path) -> tuple[str, np.ndarray | None, str]:
        try:
            return str(path), self.prepare(path), ""
        except ValueError as error:
            return str(path), None, str(error)

    def classify(
        self, paths: Iterable, batch_size: int = 32, patient: np.ndarray | None = None
    ) -> Iterator[dict]:
        """Answer for any number of photographs, in flat memory; a faulty one stops nothing.

        Args:
            paths: Files.
            batch_size: Files a step.
            patient: float32, (n, data.PATIENT_FEATURES), a row a path; None where nothing is
                known.

        Yields:
            One dict a path, in their order, with the keys `COLUMNS`: image (the path), predicted
            (a code), a calibrated probability (0 to 1) for each code, and error (""). Where the
            file is not a readable image, error says why and the others are "".
        """
        done = 0
        for batch in self.read(paths, batch_size):
            readable = [image for _, image, error in batch if not error]
            known = [place for place, one in enumerate(batch, done) if not one[2]]
            done += len(batch)
            answers = iter(())
            if readable:
                told = None if patient is None else patient[known]
                probabilities = self.probabilities(np.stack(readable), told)
                answers = zip(self.decide(probabilities), probabilities.tolist(), strict=True)
            for path, _, error in batch:
                predicted, row = ("", [""] * len(classes.CODES)) if error else next(answers)
                yield dict(zip(COLUMNS, (path, predicted, *row, error), strict=True))


def find_images(paths: Iterable) -> list[str]:
    """List photographs, looking through folders and what is below them.

    Args:
        paths: Files and folders. A file that is named is listed whatever it is called; of a
            folder the .jpg, .jpeg and .png files are listed, sorted, without hidden files and
            HAM10000's lesion masks.

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
        # Strings, not Path objects: of 100,000 files these take 200 MB.
        inside = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
            if os.path.splitext(name)[1].lower() in data.IMAGE_SUFFIXES
            and not name.startswith(".")
            and not name.endswith("_segmentation.png")
        ]
        if not inside:
            raise ValueError(f"The folder {path} holds no .jpg, .jpeg or .png image; name another.")
        found += sorted(inside, key=lambda one: one.split(os.sep))
    return found
