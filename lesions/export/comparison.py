"""What exported files cost: size, time on one thread, and accuracy beside the original network."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from lesions import classes
from lesions.export import formats
from lesions.networks import views

REPEATS = 20


def latency(path) -> float:
    """Time a `.tflite` or `.onnx` file for one image on one CPU thread.

    Returns the median of `REPEATS`, after two that are not timed, in milliseconds.
    """
    model = formats.open_model(path, threads=1)
    inputs = {one.name: np.ones((1, *one.shape[1:]), np.float32) for one in model.inputs}
    seconds = []
    for _ in range(REPEATS + 2):
        started = time.perf_counter()
        model.predict_on_batch(inputs)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[2:]) * 1000)


def compare(original, files: dict[str, Path], prepared, labels) -> pd.DataFrame:
    """Compare exported files with the network they come from, without test-time augmentation.

    Args:
        original: The `inference.Classifier` of the Keras model.
        files: What a row is called, and its `.tflite` or `.onnx` file.
        prepared: uint8, (n, image_size, image_size, 3), RGB 0-255, from `Classifier.prepare`.
        labels: int, (n,), 0 to 6.

    Returns:
        One row a file below one for the original: megabytes, milliseconds (one image, one CPU
        thread; NaN for the original), balanced_accuracy of the decision rule, and
        largest_difference of a probability and mean_difference to the original, 0 to 1.
    """
    patient = original.patient_input(len(prepared))
    rows, expected = {}, None
    for name, path in {"Keras (.h5)": original.path, **files}.items():
        is_file = expected is not None
        model = formats.open_model(path) if is_file else original.model
        found = original.correction.apply(views.predict(model, prepared, False, patient))
        expected = expected if is_file else found
        named = [classes.CODES.index(code) for code in original.decide(found)]
        rows[name] = {
            "megabytes": Path(path).stat().st_size / 1e6,
            "milliseconds": latency(path) if is_file else np.nan,
            "balanced_accuracy": balanced_accuracy_score(labels, named),
            "largest_difference": np.abs(found - expected).max(),
            "mean_difference": np.abs(found - expected).mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
