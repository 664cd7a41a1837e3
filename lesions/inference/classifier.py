"""From photographs to answers: what the command line, the app and the notebooks share."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import UNKNOWN_PATIENT, Patient, images
from lesions.inference import familiarity, lite
from lesions.networks import models, views
from lesions.system import processor
from lesions.system.folders import BEST_MODEL

COLUMNS = ("image", "predicted", *classes.CODES, "warning", "error")
COLUMNS_WITH_PATIENT = ("image", "predicted", *classes.CODES, "patient", "warning", "error")


class Classifier:
    """A trained network with everything that belongs around it.

    Attributes:
        path: The file it was read from.
        model: The Keras model, or a `lite.LiteModel`.
        details: What is stored with it, see `models.load`.
        image_size: Side of its input in pixels.
        tta: Whether answers are averaged over eight views.
        correction: What brings the network's probabilities to the class frequencies.
        fusion: What multiplies these with those of age, sex and site; None for a network that
            takes them as its second input, and where the file holds no numbers for them.
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
                "which prints its path, and pass that as --model."
            )
        load = models.load if self.is_keras else lite.load
        self.model, self.details = load(self.path)
        self.image_size = self.details["image_size"]
        self.tta = tta
        self.correction = evaluation.Correction.from_details(self.details["correction"])
        self._reads_patients = len(self.model.inputs) > 1
        fusion = None if self._reads_patients else self.details.get("patient_fusion")
        self.fusion = evaluation.Fusion.from_details(fusion) if fusion else None

    @property
    def is_keras(self) -> bool:
        """Whether it has layers and gradients, which a TensorFlow Lite file has not."""
        return self.path.suffix.lower() != ".tflite"

    def require_keras(self, purpose: str) -> None:
        """Refuse a TensorFlow Lite file for a purpose, such as "Heat maps", by a ValueError."""
        if not self.is_keras:
            raise ValueError(
                f"{purpose} need the layers of the network, which {self.path} does not hold; "
                "name the .h5 file that it was exported from."
            )

    @property
    def takes_patients(self) -> bool:
        """Whether age, sex and site change the answer."""
        return self._reads_patients or self.fusion is not None

    def require_patients(self) -> None:
        """Refuse age, sex and site where they would change nothing, by a ValueError."""
        if not self.takes_patients:
            raise ValueError(
                f"The network {self.path.name} was not fitted to age, sex and site; leave them "
                "out or name another model."
            )

    @functools.cached_property
    def familiarity(self) -> tuple[familiarity.Familiarity | None, str]:
        """What `familiarity.find_for` returns, read when it is first asked for."""
        return familiarity.find_for(self)

    def prepare(self, image) -> np.ndarray:
        """Bring a photograph to the form that this network was trained on.

        Args:
            image: Path of a photograph, or uint8 (height, width, 3) RGB 0-255.

        Returns:
            uint8, (image_size, image_size, 3), RGB 0-255.
        """
        return images.prepare(image, self.image_size, self.details.get("colour_constancy"))

    def patient_input(self, number: int, patient: np.ndarray | None = None) -> np.ndarray | None:
        """Return the second input of the network: `patient`, or "unknown" where it is None.

        Returns:
            float32, (number, data.PATIENT_FEATURES); None if the network takes images only.
        """
        if not self._reads_patients:
            return None
        if patient is not None:
            return patient
        return data.patient_features(data.patients.as_table([UNKNOWN_PATIENT] * number))

    def probabilities(self, images: np.ndarray, patient: np.ndarray | None = None) -> np.ndarray:
        """Predict what the network alone says, at the class frequencies of HAM10000.

        Args:
            images: uint8, (n, image_size, image_size, 3), RGB 0-255, from `prepare`.
            patient: As of `patient_input`.

        Returns:
            float64, (n, 7), in the order of `classes.CODES`, rows sum to 1.
        """
        patient = self.patient_input(len(images), patient)
        return self.correction.apply(views.predict(self.model, images, self.tta, patient))

    def answer(self, images: np.ndarray, given: Sequence[Patient]) -> np.ndarray:
        """Predict probabilities from photographs and what is known of the patients.

        Age, sex and site go into a network that takes them as its second input; the answer of
        any other is multiplied with theirs by `fusion`. Where nothing is known of a patient, or
        the network was not fitted to it, the photograph alone counts.

        Args:
            images: As for `probabilities`.
            given: The patient of every photograph.

        Returns:
            As `probabilities`.
        """
        known = data.patients.as_table(given)
        if self._reads_patients:
            return self.probabilities(images, data.patient_features(known))
        found = self.probabilities(images)
        if self.fusion is not None:
            found = self.fusion.apply(found, known["age"], known["sex"], known["localization"])
        return found

    def features(self, images: np.ndarray, patient: np.ndarray | None = None) -> np.ndarray:
        """Compute what the network's last layer reads, from one view of each photograph.

        Arguments are those of `probabilities`; returns float32, (n, features).
        """
        self.require_keras("Features")
        reads = keras.Model(self.model.inputs, self.model.get_layer("logits").input)
        inputs = views.inputs(images, self.patient_input(len(images), patient))
        return np.asarray(reads.predict(inputs, batch_size=32, verbose=0), np.float32)

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Name a class for each row of `probabilities`, n codes, by `evaluation.decide`."""
        strength = self.details["decision_strength"]
        labels = evaluation.decide(probabilities, self.correction.class_frequencies, strength)
        return [classes.CODES[label] for label in labels]

    def read(
        self, paths: Iterable, batch_size: int = 32
    ) -> Iterator[list[tuple[str, np.ndarray | None, str]]]:
        """Decode photographs on all cores, one batch ahead, so that two are in memory at most.

        Yields:
            Batches of (path, image as from `prepare`, ""), or (path, None, what is wrong with it).
        """
        for batch in _ahead(self._read_one, paths, batch_size):
            yield [(path, image, error) for path, image, error, _ in batch]

    def read_all(
        self, paths: Iterable, batch_size: int = 32
    ) -> Iterator[tuple[np.ndarray, tuple[familiarity.Quality, ...]]]:
        """Decode photographs as `read` does, of which none may be faulty.

        Yields:
            Batches: uint8, (n, image_size, image_size, 3), as from `prepare`, and the quality of
            each photograph before it.

        Raises:
            ValueError: What is wrong with the first faulty one.
        """
        for batch in _ahead(self._read_one, paths, batch_size):
            for _, _, error, _ in batch:
                if error:
                    raise ValueError(error)
            _, prepared, _, qualities = zip(*batch, strict=True)
            yield np.stack(prepared), qualities

    def read_rows(
        self, rows: pd.DataFrame, batch_size: int = 32
    ) -> Iterator[tuple[pd.DataFrame, np.ndarray, tuple, np.ndarray | None]]:
        """Decode the photographs of a table from `data.read_metadata` as `read_all` does.

        Yields:
            Batches: the rows, what `read_all` yields of them, and their `patient_input`.

        Raises:
            ValueError: What is wrong with the first faulty one.
        """
        start = 0
        for prepared, qualities in self.read_all(rows["image_path"], batch_size):
            some = rows.iloc[start : start + len(prepared)]
            start += len(some)
            patient = self.patient_input(len(some), data.patient_features(some))
            yield some, prepared, qualities, patient

    def _read_one(self, path) -> tuple[str, np.ndarray | None, str, familiarity.Quality | None]:
        try:
            photograph = images.read_image(path)
            quality = familiarity.quality_of(photograph)
            return str(path), self.prepare(photograph), "", quality
        except ValueError as error:
            return str(path), None, str(error), None

    def classify(
        self,
        paths: Iterable,
        batch_size: int = 32,
        patients: Mapping[str, Patient] | None = None,
    ) -> Iterator[dict]:
        """Answer for any number of photographs, in flat memory; a faulty one stops nothing.

        Args:
            paths: Files.
            batch_size: Files a step.
            patients: Path, as text, to what is known of the patient; paths may be absent.

        Yields:
            One dict a path, in their order, with the keys `COLUMNS`: image (the path), predicted
            (a code), a calibrated probability (0 to 1) for each code, warning (what speaks
            against believing it; "" where nothing does) and error ("", or why the file is not a
            readable image, and all others are ""). With `patients` the keys are
            `COLUMNS_WITH_PATIENT`: patient is what was used beside the photograph, in words.
        """
        columns = COLUMNS if patients is None else COLUMNS_WITH_PATIENT
        for batch in _ahead(self._read_one, paths, batch_size):
            answers = self._answers([one for one in batch if not one[2]], patients or {})
            for path, _, error, _ in batch:
                row = {"image": path, "error": error} if error else next(answers)
                yield {column: row.get(column, "") for column in columns}

    def _answers(self, read: list[tuple], patients: Mapping[str, Patient]) -> Iterator[dict]:
        """Answer for photographs from `_read_one`, one row each."""
        if not read:
            return
        paths, images, _, qualities = zip(*read, strict=True)
        given = [patients.get(path, UNKNOWN_PATIENT) for path in paths]
        prepared = np.stack(images)
        probabilities = self.answer(prepared, given)
        warned = familiarity.batch_warnings(self.familiarity[0], self, qualities, prepared)
        for number, predicted in enumerate(self.decide(probabilities)):
            yield {
                "image": paths[number],
                "predicted": predicted,
                **dict(zip(classes.CODES, probabilities[number].tolist(), strict=True)),
                "patient": given[number].describe(),
                "warning": " ".join(warned[number]),
            }


def _ahead(function, items: Iterable, batch_size: int) -> Iterator[list]:
    """Apply a function to items on all cores, one batch ahead of whoever takes the results."""
    items = iter(items)
    with ThreadPoolExecutor(processor.cores()) as pool:
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
