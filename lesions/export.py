"""Bring a trained network to other programs: TensorFlow Lite, SavedModel, ONNX, Keras."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np

from lesions import classes

FORMATS = ("tflite", "savedmodel", "onnx", "keras")
TOLERANCE = 1e-4
INPUTS = {
    "image": "float32, (n, size, size, 3), RGB 0-255: the centre square of the photograph",
    "patient": "float32, (n, features), from lesions.data.patient_features",
}


def export(model, details: dict, format: str, path) -> tuple[Path, str]:
    """Write a network in another format, and beside it `<name>.json` with what it means.

    The JSON holds the order of the classes, the temperature that calibrates the probabilities
    and the form of the inputs, which no exported file can hold by itself. Everything is written
    beside its place and renamed when whole.

    Args:
        model: From `models.load`.
        details: What is stored with it, from `models.load`.
        format: One of `FORMATS`. "savedmodel" makes a folder.
        path: Where it goes; "keras" wants a name that ends in .keras.

    Returns:
        The path and a sentence on how the exported network was checked.

    Raises:
        ValueError: If the format is unknown, a package is missing, the place is taken by
            something that cannot be replaced, or the exported network answers differently.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"Unknown format {format!r}; use {', '.join(FORMATS)}.")
    if path.is_dir() and not (format == "savedmodel" and (path / "saved_model.pb").exists()):
        raise ValueError(f"{path} is a folder already; name another --output.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            beside = Path(folder) / f"model{'.keras' if format == 'keras' else ''}"
            # The question comes first: Keras exports to ONNX only what was called before.
            inputs, expected = _question(model)
            _WRITERS[format](model, beside)
            checked = _check(beside, format, inputs, expected)
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(beside, path)
            _write_description(model, details, path, Path(folder) / "description")
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


def _write_tflite(model, path: Path) -> None:
    import tensorflow as tf

    folder = path.with_name("saved_model")
    _write_savedmodel(model, folder)
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())


def _write_onnx(model, path: Path) -> None:
    try:
        model.export(path, format="onnx", verbose=False)
    except ImportError as error:
        raise ValueError(
            "Export to ONNX needs two more packages; get them by `pip install onnx tf2onnx`."
        ) from error


_WRITERS = {
    "tflite": _write_tflite,
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
    runner = _interpreter()(model_path=str(path)).get_signature_runner()
    return next(iter(runner(**inputs).values()))


def _interpreter():
    """Find an interpreter: the package that is kept up, else the one inside TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        Interpreter = tf.lite.Interpreter
    return Interpreter


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


def _question(model) -> tuple[dict, np.ndarray]:
    """Give three random images and the network's answer to them."""
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


def _check(path: Path, format: str, inputs: dict, expected: np.ndarray) -> str:
    """Compare the exported network's answer with the expected one."""
    try:
        found = _READERS[format](path, inputs)
    except (ImportError, AttributeError) as error:
        return f"Not checked, because no interpreter is installed ({error})."
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The exported network answers differently by {difference:.2g}, over {TOLERANCE:g}; "
            "nothing was written, so use another --format."
        )
    return f"Checked: the same probabilities on random images to {difference:.1g}."
