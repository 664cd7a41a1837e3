"""What was tried at prediction, on the same weights, to read other clinics' photographs better.

Everything is measured on ISIC 2017, which thereby is a second validation set, and at home on
validation photographs, on which the network must not have been trained.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesions import evaluation, export
from lesions.data import images
from lesions.evaluation import external
from lesions.evaluation.predictions import CODES
from lesions.networks import views
from lesions.study import tables
from lesions.system.files import replacing

FILE = external.RECORDED / "at_prediction.csv"
HOME = "home"  # the validation photographs of HAM10000
AWAY = "isic2017"
PLAIN = "as it is"
SCALE = 1.25  # between neighbouring scales
SCALES = "mean of the three scales"
METRIC = "melanoma_auc"


def magnified(image: np.ndarray) -> np.ndarray:
    """Cut the middle of a photograph out, so that the lesion appears larger."""
    square = images.centre_square(image)
    side = round(len(square) / SCALE)
    start = (len(square) - side) // 2
    return np.ascontiguousarray(square[start : start + side, start : start + side])


def reduced(image: np.ndarray) -> np.ndarray:
    """Continue a photograph beyond its borders as in a mirror; the lesion appears smaller."""
    square = images.centre_square(image)
    border = round(len(square) * (SCALE - 1) / 2)
    return cv2.copyMakeBorder(square, *[border] * 4, cv2.BORDER_REFLECT_101)


TREATMENTS = {
    PLAIN: lambda image: image,
    f"magnified {SCALE} times": magnified,
    f"reduced {SCALE} times": reduced,
    "shades of grey (colour constancy)": images.shades_of_grey,
}


def measure(classifier, rows: pd.DataFrame) -> pd.DataFrame:
    """Predict photographs under every treatment, one view each.

    Args:
        classifier: From `inference.Classifier`, for images alone. Its network is exported to ONNX
            for this, which predicts twice as fast as Keras on a processor.
        rows: Table with image_id, lesion_id, dx and image_path.

    Returns:
        image_id, lesion_id, dx, and for each treatment the corrected probability of melanoma.
    """
    raw = {name: np.zeros((len(rows), len(CODES))) for name in TREATMENTS}
    with tempfile.TemporaryDirectory() as folder:
        path, _ = export.export(
            classifier.model, classifier.details, "onnx", Path(folder) / "network.onnx"
        )
        network = export.open_model(path)
        for start in range(0, len(rows), images.CHUNK):
            part = slice(start, start + images.CHUNK)
            photographs = [images.read_image(one) for one in rows["image_path"].iloc[part]]
            for name, treatment in TREATMENTS.items():
                prepared = np.stack([classifier.prepare(treatment(one)) for one in photographs])
                raw[name][part] = views.predict(network, prepared, tta=False, batch_size=8)
    raw[SCALES] = np.mean([raw[name] for name in list(TREATMENTS)[:3]], axis=0)
    frame = rows[["image_id", "lesion_id", "dx"]].reset_index(drop=True)
    melanoma = CODES.index("mel")
    for name, probabilities in raw.items():
        frame[name] = classifier.correction.apply(probabilities)[:, melanoma]
    return frame


def publish(classifier, home: pd.DataFrame, away: pd.DataFrame) -> Path:
    """Measure HAM10000's validation rows and ISIC 2017 as `measure`, and return the path written.

    Args:
        classifier: The recorded best model.
        home: Table of HAM10000 with a column `split`.
        away: Table of ISIC 2017.
    """
    validation = home[home["split"] == "validation"]
    frames = {HOME: measure(classifier, validation), AWAY: measure(classifier, away)}
    frame = pd.concat(frames, names=["set"]).reset_index(level="set")
    with replacing(FILE) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.5g", lineterminator="\n")
    return FILE


def read() -> pd.DataFrame:
    """Read what `publish` recorded: set, image_id, lesion_id, dx and a column a treatment."""
    return pd.read_csv(FILE, dtype={"image_id": str, "lesion_id": str})


def compare() -> pd.DataFrame:
    """Compare every treatment with the photograph as it is, from what is recorded.

    Returns:
        Indexed by treatment and set (`AWAY`, `HOME`): auc, of melanoma, and difference, to the
        photograph as it is, paired, each with _low and _high (95%, over lesions).
    """
    recorded = read()
    rows = {}
    for name in recorded.columns.drop(["set", "image_id", "lesion_id", "dx"]):
        for place in (AWAY, HOME):
            part = recorded[recorded["set"] == place]
            found, plain = (as_predictions(part, column) for column in (name, PLAIN))
            auc = evaluation.intervals(found, names=(METRIC,)).loc[METRIC]
            change = evaluation.paired_difference(found, plain, METRIC)
            rows[name, place] = tables.interval_columns("auc", auc)
            rows[name, place] |= tables.interval_columns("difference", change)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["treatment", "set"])


def as_predictions(part: pd.DataFrame, treatment: str) -> pd.DataFrame:
    """Write probabilities of melanoma as predictions; the AUC asks for nothing else."""
    frame = part[["image_id", "lesion_id", "dx"]].copy()
    frame[CODES] = 0.0
    frame["mel"], frame["nv"] = part[treatment], 1 - part[treatment]
    return frame


def block() -> str:
    """Write the table of what was tried as Markdown."""
    rows, table = [], compare()
    for name in table.index.unique("treatment"):
        cells = [name]
        for place in (AWAY, HOME):
            row = table.loc[(name, place)]
            gap = f"{evaluation.Interval.of(row, 'difference'):+.3f}"
            auc = f"{evaluation.Interval.of(row, 'auc'):.3f}"
            cells += [auc, "" if name == PLAIN else gap]
        rows.append(cells)
    return tables.markdown(
        "| tried at prediction, one view | ISIC 2017: melanoma AUC | difference "
        "| home, validation: melanoma AUC | difference |",
        rows,
    )
