"""Bring a trained network to other programs: TensorFlow Lite, SavedModel, ONNX, Keras."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from lesions import classes
from lesions.export import int8
from lesions.inference import lite

FORMATS = ("tflite", "savedmodel", "onnx", "keras")
PRECISIONS = ("float32", "float16", "int8")
# By how much a probability may differ. What int8 costs is to be measured on photographs.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "int8": None}
INPUTS = {
    "image": "float32, (n, size, size, 3), RGB 0-255: the centre square of the photograph",
    "patient": "float32, (n, features), from lesions.data.patient_features",
}


def export(
    model, details: dict, format: str, path, precision: str = "float32", calibration=None
) -> tuple[Path, str]:
    """Write a network in another format, and beside it `<name>.json` with what it means.

    The JSON holds the order of the classes, the temperature that calibrates the probabilities
    and the form of the inputs, which no exported file can hold by itself. Everything is written
    beside its place and renamed when whole.

    Args:
        model: From `models.load`.
        details: What is stored with it, from `models.load`.
        format: One of `FORMATS`. "savedmodel" makes a folder.
        path: Where it goes; "keras" wants a name that ends in .keras.
        precision: One of `PRECISIONS`; all but "float32" are for "tflite". "float16" halves the
            weights; "int8" computes in whole numbers, whose ranges it takes from `calibration`,
            after `int8.prepare`.
        calibration: uint8, (n, size, size, 3), RGB 0-255, training photographs from
            `Classifier.prepare`, a few hundred; for "int8".

    Returns:
        The path and a sentence on how the exported network was checked.

    Raises:
        ValueError: If the format is unknown, a package is missing, the place is taken by
            something that cannot be replaced, or the exported network answers differently.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"Unknown format {format!r}; use {', '.join(FORMATS)}.")
    _check_precision(model, format, precision, calibration)
    if path.is_dir() and not (format == "savedmodel" and (path / "saved_model.pb").exists()):
        raise ValueError(f"{path} is a folder already; name another --output.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            beside = Path(folder) / f"model{'.keras' if format == 'keras' else ''}"
            # The question comes first: Keras exports to ONNX only what was called before.
            inputs, expected = _question(model, calibration if precision == "int8" else None)
            if format == "tflite":
                _write_tflite(model, beside, precision, calibration)
            else:
                _WRITERS[format](model, beside)
            checked = _check(beside, format, inputs, expected, TOLERANCES[precision])
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(beside, path)
            described = {**details, "precision": precision}
            _write_description(model, described, path, Path(folder) / "description")
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); name another --output."
        ) from error
    return path, checked


def _write_description(model, details: dict, path: Path, beside: Path) -> None:
    names = [tensor.name for tensor in model.inputs]
    description = {
        **details,
        "inputs": {name: INPUTS[name] for name in names},
        "output": "float32, (n, 7), probabilities in the order of classes; calibrated by "
        "softmax(log(p) / temperature)",
        "notice": classes.NOTICE,
    }
    beside.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path.with_name(path.name + ".json"))


def _write_keras(model, path: Path) -> None:
    model.save(path)


def _write_savedmodel(model, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)


def _check_precision(model, format: str, precision: str, calibration) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}; use {', '.join(PRECISIONS)}.")
    if precision != "float32" and format != "tflite":
        raise ValueError(f"The precision {precision} is for tflite; leave it out for {format}.")
    if precision == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("int8 needs training photographs to calibrate on; give some.")
    if precision == "int8" and len(model.inputs) > 1:
        raise ValueError("int8 is for networks that take images only; use float16.")


def _write_tflite(model, path: Path, precision: str, calibration) -> None:
    import tensorflow as tf

    folder = path.with_name("saved_model")
    _write_savedmodel(int8.prepare(model, calibration) if precision == "int8" else model, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        # Input and output stay float32, so that the file is asked as the others are.
        converter.representative_dataset = lambda: (
            [image[np.newaxis].astype(np.float32)] for image in calibration
        )
    path.write_bytes(converter.convert())


def _write_onnx(model, path: Path) -> None:
    try:
        model.export(path, format="onnx", verbose=False)
    except ImportError as error:
        raise ValueError(
            "Export to ONNX needs two more packages; get them by `pip install onnx tf2onnx`."
        ) from error


_WRITERS = {
    "savedmodel": _write_savedmodel,
    "onnx": _write_onnx,
    "keras": _write_keras,
}


def _answer_keras(path: Path, inputs: dict) -> np.ndarray:
    import keras

    model = keras.models.load_model(path, compile=False)
    return np.asarray(model.predict_on_batch(_positional(inputs)))


def _answer_savedmodel(path: Path, inputs: dict) -> np.ndarray:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # keeps the variables alive while it serves
    tensors = [tf.constant(value) for value in inputs.values()]
    # A network with two inputs takes them as one list.
    return np.asarray(loaded.serve(*tensors) if len(tensors) == 1 else loaded.serve(tensors))


def _answer_tflite(path: Path, inputs: dict) -> np.ndarray:
    return lite.LiteModel(path).predict_on_batch(inputs)


def _answer_onnx(path: Path, inputs: dict) -> np.ndarray:
    import onnxruntime

    runtime = onnxruntime.InferenceSession(path)
    names = [given.name for given in runtime.get_inputs()]
    return runtime.run(None, dict(zip(names, inputs.values(), strict=True)))[0]


_READERS = {
    "tflite": _answer_tflite,
    "savedmodel": _answer_savedmodel,
    "onnx": _answer_onnx,
    "keras": _answer_keras,
}


def _question(model, photographs=None) -> tuple[dict, np.ndarray]:
    """Give a few photographs, or three random images, and the network's answer to them."""
    if photographs is not None:
        inputs = {model.inputs[0].name: photographs[:16].astype(np.float32)}
        return inputs, np.asarray(model(_positional(inputs), training=False))
    random = np.random.default_rng(0)
    inputs = {
        tensor.name: random.uniform(0, 255 if tensor.name == "image" else 1, (3, *tensor.shape[1:]))
        for tensor in model.inputs
    }
    inputs = {name: value.astype(np.float32) for name, value in inputs.items()}
    return inputs, np.asarray(model(_positional(inputs), training=False))


def _positional(inputs: dict):
    """Give inputs as Keras takes them by place: one array, or a list of several."""
    values = list(inputs.values())
    return values if len(values) > 1 else values[0]


def _check(path: Path, format: str, inputs: dict, expected: np.ndarray, tolerance) -> str:
    """Compare the exported network's answer with the expected one."""
    try:
        found = _READERS[format](path, inputs)
    except (ImportError, AttributeError) as error:
        return f"Not checked, because no interpreter is installed ({error})."
    difference = float(np.abs(found - expected).max())
    if tolerance is None:
        return f"Checked: probabilities of training photographs differ by up to {difference:.2g}."
    if not difference <= tolerance:
        raise ValueError(
            f"The exported network answers differently by {difference:.2g}, over {tolerance:g}; "
            "nothing was written, so use another --format."
        )
    return f"Checked: the same probabilities on random images to {difference:.1g}."
