"""From an uploaded picture to its assessment: what the app and the service share."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesions import classes, data, explanation, inference
from lesions.data import UNKNOWN_PATIENT, Patient, images
from lesions.evaluation import weighted
from lesions.inference import familiarity
from lesions.serving import track_record

MAXIMUM_BYTES = 20_000_000
# For decoding alone; photographs take a tenth of a second, a file made to be slow minutes.
DECODING_SECONDS = 10
# Side of the picture that is shown: enough for a screen, little in memory.
SHOWN_SIDE = 480


@dataclass(frozen=True)
class Picture:
    """A picture once it is decoded and made small.

    Attributes:
        name: Of the file.
        shown: uint8, (side, side, 3), RGB 0-255, the centre square, at most 480 px.
        prepared: uint8, (image_size, image_size, 3), RGB 0-255, the input of the network.
        quality: What was judged of it at full size.
        patient: What is known of the person in it.
    """

    name: str
    shown: np.ndarray
    prepared: np.ndarray
    quality: familiarity.Quality
    patient: Patient = UNKNOWN_PATIENT


@dataclass(frozen=True)
class Assessment:
    """What the network predicts for one picture.

    Attributes:
        picture: What was assessed.
        probabilities: float, (7,), in the order of `classes.CODES`, sum 1.
        predicted: Code of the class by the decision rule.
        warnings: Sentences on what speaks against believing it.
    """

    picture: Picture
    probabilities: np.ndarray
    predicted: str
    warnings: tuple[str, ...]

    @property
    def probability(self) -> float:
        """The probability of the predicted class, 0 to 1."""
        return float(self.probabilities[classes.CODES.index(self.predicted)])

    @property
    def malignant(self) -> float:
        """The summed probability of the malignant classes, 0 to 1."""
        return float(self.probabilities[weighted.MALIGNANT].sum())


class Assessor:
    """A network with all that goes with its answers, for several threads at a time.

    Attributes:
        classifier: The network.
        familiarity_problem: Why photographs cannot be compared with those of the training; ""
            where they can.
        record: What it was right and wrong about in testing; None where that is not at hand.
    """

    def __init__(self, model_path=inference.BEST_MODEL, tta: bool = True):
        """Read the network and what lies in its folder.

        Arguments are those of `inference.Classifier`.

        Raises:
            ValueError: As there, for a `.tflite` file, and on another backend than TensorFlow.
        """
        explanation.require_tensorflow()
        self.classifier = inference.Classifier(model_path, tta)
        self.classifier.require_keras("Heat maps")
        self.familiarity_problem = self.classifier.familiarity[1]
        self.record = track_record.read(self.classifier)
        self._explainer = explanation.Explainer(self.classifier.model)
        # Keras traces a function at its first call, which two threads must not do at once.
        self._one_at_a_time = threading.Lock()

    def warm_up(self) -> None:
        """Start the processes that decode and compile the network, which takes seconds."""
        data.decoders().start()
        side = self.classifier.image_size
        blank = np.full((side, side, 3), 255, np.uint8)
        self.predict(Picture("", blank, blank, familiarity.quality_of(blank)))

    def assess(
        self, content: bytes, name: str = "the picture", patient: Patient = UNKNOWN_PATIENT
    ) -> Assessment:
        """Assess one picture, which stays in memory; see `read` and `predict`."""
        return self.predict(self.read(content, name, patient))

    def read(
        self, content: bytes, name: str = "the picture", patient: Patient = UNKNOWN_PATIENT
    ) -> Picture:
        """Decode the content of a .jpg or .png file, which errors call `name`, and make it small.

        Several threads may do this at a time.

        Raises:
            ValueError: If it is above 20 MB, not a whole picture or too slow to decode, or the
                network does not take what is known of the patient; in one sentence.
        """
        if patient.is_known:
            self.classifier.require_patients()
        if len(content) > MAXIMUM_BYTES:
            raise ValueError(
                f"{name} has {len(content) / 1e6:.0f} MB, over the limit of "
                f"{MAXIMUM_BYTES / 1e6:.0f} MB; reduce it first."
            )
        photograph = data.decoders().decode(content, DECODING_SECONDS, name)
        square = images.centre_square(photograph)
        return Picture(
            name,
            images.resize(square, min(len(square), SHOWN_SIDE)),
            self.classifier.prepare(photograph),
            familiarity.quality_of(photograph),
            patient,
        )

    def predict(self, picture: Picture) -> Assessment:
        """Assess a picture from `read`."""
        prepared = picture.prepared[np.newaxis]
        with self._one_at_a_time:
            probabilities = self.classifier.answer(prepared, [picture.patient])
            warned = familiarity.batch_warnings(
                self.classifier.familiarity[0], self.classifier, [picture.quality], prepared
            )
        predicted = self.classifier.decide(probabilities)[0]
        return Assessment(picture, probabilities[0], predicted, tuple(warned[0]))

    def testing(self, assessment: Assessment) -> tuple[list[str], list[str]]:
        """Return sentences of the record, if there is one, at home and in other clinics."""
        if self.record is None:
            return [], []
        answer = assessment.predicted, assessment.probability, assessment.picture.patient.is_known
        return self.record.sentences(*answer), self.record.elsewhere(assessment.predicted)

    def heat_map(self, assessment: Assessment, code: str | None = None) -> np.ndarray:
        """Compute where the network sees what speaks for a class, by Grad-CAM.

        Without a `code`, for the predicted class. Returns float32, (image_size, image_size), 0 to
        1.
        """
        prepared = assessment.picture.prepared[np.newaxis]
        with self._one_at_a_time:
            known = data.patients.as_table([assessment.picture.patient])
            patient = self.classifier.patient_input(1, data.patient_features(known))
            return self._explainer(prepared, code or assessment.predicted, patient=patient)[0]


def table(assessments: Iterable[Assessment]) -> pd.DataFrame:
    """Lay assessments out as a table, one row each; patient and warnings are in words."""
    return pd.DataFrame(
        {
            "image": one.picture.name,
            "predicted": one.predicted,
            "name": classes.NAMES[one.predicted],
            "malignant": one.malignant,
            **dict(zip(classes.CODES, one.probabilities.tolist(), strict=True)),
            "patient": one.picture.patient.describe(),
            "warnings": " ".join(one.warnings),
        }
        for one in assessments
    )
