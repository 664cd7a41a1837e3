"""TensorFlow Lite files as networks: the form for phones, asked as the Keras model is asked."""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from lesions import classes
from lesions.networks import views


class LiteModel:
    """A `.tflite` file that `views.predict` takes for a Keras model.

    Attributes:
        inputs: What it takes, each with `name` and `shape`, as of a Keras model.
        compiled: True; there is nothing to compile.
    """

    compiled = True

    def __init__(self, path, threads: int | None = None):
        """Read the file.

        Args:
            path: From `export.export`.
            threads: CPU threads; None for all.

        Raises:
            ValueError: If the file is not a TensorFlow Lite network of this project.
        """
        threads = threads or os.cpu_count()
        try:
            self._interpreter = interpreter()(model_path=str(path), num_threads=threads)
            signature = self._interpreter.get_signature_list()["serving_default"]
        except (ValueError, KeyError, RuntimeError) as error:
            raise ValueError(
                f"{path} is not a TensorFlow Lite network of this project; make one by "
                "`python -m lesions export --format tflite`."
            ) from error
        self._runner = self._interpreter.get_signature_runner("serving_default")
        details = self._runner.get_input_details()
        self.inputs = [
            SimpleNamespace(name=name, shape=(None, *details[name]["shape"][1:].tolist()))
            for name in signature["inputs"]
        ]

    def predict_on_batch(self, inputs) -> np.ndarray:
        """Answer a batch.

        Args:
            inputs: float32, (n, size, size, 3), RGB 0-255, or a dict of it as "image" and the
                features as "patient".

        Returns:
            float32, (n, 7), rows sum to 1.
        """
        if not isinstance(inputs, dict):
            inputs = {self.inputs[0].name: inputs}
        return next(iter(self._runner(**inputs).values()))


def load(path, threads: int | None = None) -> tuple[LiteModel, dict]:
    """Read a network that `export.export` wrote, and what it wrote beside it.

    Args:
        path: The `.tflite` file; `<path>.json` lies beside it.
        threads: CPU threads; None for all.

    Returns:
        The network and its details, as `models.load` gives them.

    Raises:
        ValueError: If one of the files is missing or is no such file.
    """
    path = Path(path)
    beside = path.with_name(path.name + ".json")
    try:
        details = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{beside} cannot be read; it is written by `python -m lesions export` with the file."
        ) from error
    if tuple(details.get("classes", ())) != classes.CODES:
        raise ValueError(f"{beside} does not name this project's classes; export the file again.")
    return LiteModel(path, threads), details


def interpreter():
    """Find an interpreter: the package that is kept up, else the one inside TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        Interpreter = tf.lite.Interpreter
    return Interpreter


def latency(path, repeats: int = 20) -> float:
    """Time one picture on one CPU thread.

    Args:
        path: The `.tflite` file.
        repeats: Pictures timed, behind two that are not.

    Returns:
        The median, in milliseconds.
    """
    model = LiteModel(path, threads=1)
    random = np.random.default_rng(0)
    inputs = {
        given.name: random.uniform(0, 255, (1, *given.shape[1:])).astype(np.float32)
        for given in model.inputs
    }
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        model.predict_on_batch(inputs)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[2:]) * 1000)


def compare(original, files: dict[str, Path], prepared, labels, repeats: int = 20) -> pd.DataFrame:
    """Hold exported files against the network they come from, by one look at each picture.

    Args:
        original: The `classifier.Classifier` of the Keras model.
        files: What a row is called, and its `.tflite` file.
        prepared: uint8, (n, image_size, image_size, 3), RGB 0-255, from `Classifier.prepare`.
        labels: int, (n,), 0 to 6.
        repeats: See `latency`.

    Returns:
        One row a file below one for the original: megabytes, milliseconds (one picture, one CPU
        thread; NaN for the original), balanced_accuracy of the classes that are named, and
        largest_difference of a probability and mean_difference to the original, 0 to 1.
    """
    # Imported here, because inference itself reads such files by `load`.
    from lesions.inference import classifier

    rows, expected = {}, None
    for name, path in {"Keras, float32": original.path, **files}.items():
        one = original if expected is None else classifier.Classifier(path)
        raw = views.predict(one.model, prepared, False, one.patient_input(len(prepared)))
        found = one.correction.apply(raw)
        expected = found if expected is None else expected
        named = [classes.CODES.index(code) for code in one.decide(found)]
        rows[name] = {
            "megabytes": Path(path).stat().st_size / 1e6,
            "milliseconds": np.nan if one is original else latency(path, repeats),
            "balanced_accuracy": balanced_accuracy_score(labels, named),
            "largest_difference": np.abs(found - expected).max(),
            "mean_difference": np.abs(found - expected).mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
