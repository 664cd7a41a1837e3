"""The network whose explanations are measured, and its photographs in batches."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from lesions import classes
from lesions.data import images
from lesions.explanation.explainer import Explainer
from lesions.explanation.faithfulness import Predict
from lesions.inference import Classifier

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


Mapper = Callable[[Batch], np.ndarray]


class Subject:
    """The network that is measured, one view a photograph, with one explainer for all parts.

    Attributes:
        mappers: Name to Grad-CAM and its controls, which several parts measure: each is a function
            from a batch to its maps, float32 (n, size, size), and is traced once.
    """

    def __init__(self, classifier: Classifier, progress: bool):
        """Prepare a classifier's network."""
        self.classifier = copy.copy(classifier)
        self.classifier.tta = False
        self.explainer = Explainer(classifier.model)
        self.mappers: dict[str, Mapper] = {}
        self.progress = progress

    def maps(self, batch: Batch, method: str = "grad_cam") -> np.ndarray:
        """Explain the predicted classes of a batch; float32 (n, size, size), 0-1."""
        return self.explainer(batch.images, batch.labels, method, batch.patient)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Choose a class for each row as `Classifier.decide` does; int (n,)."""
        return np.array([classes.CODES.index(c) for c in self.classifier.decide(probabilities)])

    def probability_of(self, batch: Batch, number: int) -> Predict:
        """Make the function that `faithfulness` asks: the probability of the explained class."""

        def predict(photographs: np.ndarray) -> np.ndarray:
            patient = batch.patient
            if patient is not None:
                patient = np.repeat(patient[[number]], len(photographs), axis=0)
            return self.classifier.probabilities(photographs, patient)[:, batch.labels[number]]

        return predict

    def batches(self, rows: pd.DataFrame, description: str) -> Iterator[Batch]:
        """Read, predict and yield photographs, in flat memory, behind a described progress bar."""
        size = self.classifier.image_size
        read = self.classifier.read_rows(rows, BATCH)
        number = -(-len(rows) // BATCH)
        bar = tqdm(read, description, number, unit="batch", disable=not self.progress)
        for some, photographs, _, patient in bar:
            masks = np.stack([images.read_mask(path, size) for path in some["mask_path"]])
            probabilities = self.classifier.probabilities(photographs, patient)
            labels = self.decide(probabilities)
            shares = probabilities[np.arange(len(labels)), labels]
            yield Batch(some, photographs, masks, patient, labels, shares)
