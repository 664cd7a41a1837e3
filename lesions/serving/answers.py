"""From an uploaded picture to all that is said about it: what the app and the service share."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from lesions import classes, explanation, inference
from lesions.data import images
from lesions.inference import familiarity
from lesions.serving import track_record

MAXIMUM_BYTES = 20_000_000
# Side of the picture that is shown: enough for a screen, little in memory.
SHOWN_SIDE = 480
MALIGNANT = [classes.CODES.index(code) for code in classes.MALIGNANT]


@dataclass(frozen=True)
class Answer:
    """What the network says to one picture.

    Attributes:
        name: Of the file.
        picture: uint8, (side, side, 3), RGB 0-255, the centre square, at most 480 px.
        prepared: uint8, (image_size, image_size, 3), RGB 0-255, what the network saw.
        probabilities: float, (7,), calibrated, in the order of `classes.CODES`.
        predicted: Code of the class that is named.
        warnings: Sentences on what speaks against believing it.
    """

    name: str
    picture: np.ndarray
    prepared: np.ndarray
    probabilities: np.ndarray
    predicted: str
    warnings: tuple[str, ...]

    @property
    def probability(self) -> float:
        """The probability of the class that is named, 0 to 1."""
        return float(self.probabilities[classes.CODES.index(self.predicted)])

    @property
    def malignant(self) -> float:
        """The summed probability of the malignant classes, 0 to 1."""
        return float(self.probabilities[MALIGNANT].sum())


class AnswerDesk:
    """A network with all that is said around its answers, for several threads at a time.

    Attributes:
        classifier: The network.
        familiarity: What training photographs look like to it; None where that is not known.
        unjudged: Why photographs cannot be compared with them; "" where they can.
        record: What it was right and wrong about in testing; None where that is not at hand.
    """

    def __init__(self, model_path=inference.BEST_MODEL, tta: bool = True):
        """Read the network and what lies beside it.

        Args:
            model_path: As for `inference.Classifier`.
            tta: Whether the mean over eight flips and turns is taken, at eight times the time.

        Raises:
            ValueError: As `inference.Classifier`, for a `.tflite` file, and on another backend
                than TensorFlow.
        """
        explanation.require_tensorflow()
        self.classifier = inference.Classifier(model_path, tta)
        if not isinstance(self.classifier.model, keras.Model):
            raise ValueError(
                f"{model_path} gives neither features nor gradients; name the .h5 it came from."
            )
        self._explainer = explanation.Explainer(self.classifier.model)
        self.familiarity, self.unjudged = familiarity.beside(self.classifier)
        self.record = track_record.read(self.classifier)
        # Keras traces a function at its first call, which two threads must not do at once.
        self._one_at_a_time = threading.Lock()

    def answer(self, content: bytes, name: str = "the picture") -> Answer:
        """Answer one picture, which is held in memory only.

        Args:
            content: Of a .jpg or .png file.
            name: How an error message calls it.

        Returns:
            The answer.

        Raises:
            ValueError: If it is above 20 MB or not a whole picture, in one sentence.
        """
        check_size(len(content), name)
        photograph = images.decode_image(content, name)
        prepared = self.classifier.prepare(photograph)
        with self._one_at_a_time:
            probabilities = self.classifier.probabilities(prepared[np.newaxis])
            found = familiarity.warnings(self.familiarity, self.classifier, photograph, prepared)
        square = images.centre_square(photograph)
        picture = images.resize(square, min(len(square), SHOWN_SIDE))
        predicted = self.classifier.decide(probabilities)[0]
        return Answer(name, picture, prepared, probabilities[0], predicted, tuple(found))

    def heat_map(self, answer: Answer, code: str | None = None) -> np.ndarray:
        """Show where the network sees what speaks for a class, by Grad-CAM.

        Args:
            answer: From `answer`.
            code: The class; None for the one that is named.

        Returns:
            float32, (image_size, image_size), 0 to 1.

        Raises:
            ValueError: If the class is unknown.
        """
        with self._one_at_a_time:
            return self._explainer(
                answer.prepared[np.newaxis],
                code or answer.predicted,
                patient=self.classifier.patient_input(1),
            )[0]


def check_size(size: int, name: str) -> None:
    """Refuse a file that is too large to be held in memory beside others.

    Raises:
        ValueError: If it has more than 20 MB.
    """
    if size > MAXIMUM_BYTES:
        raise ValueError(
            f"{name} has {size / 1e6:.0f} MB, over the limit of {MAXIMUM_BYTES / 1e6:.0f} MB; "
            "reduce it first."
        )


def table(answers: Iterable[Answer]) -> pd.DataFrame:
    """Lay answers below each other.

    Returns:
        One row an answer: image, predicted, name, malignant (0 to 1), a probability for each
        code, and warnings.
    """
    codes = list(classes.CODES)
    columns = ["image", "predicted", "name", "malignant", *codes, "warnings"]
    rows = [
        (
            answer.name,
            answer.predicted,
            classes.NAMES[answer.predicted],
            answer.malignant,
            *answer.probabilities.tolist(),
            " ".join(answer.warnings),
        )
        for answer in answers
    ]
    return pd.DataFrame(rows, columns=columns)
