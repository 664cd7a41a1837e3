"""Bring a trained network to other programs: TensorFlow Lite, SavedModel, ONNX."""

import json
import tempfile
from pathlib import Path

import numpy as np

from lesions import classes
from lesions.export import onnx_file
from lesions.inference import lite
from lesions.networks import description
from lesions.system import files, hardware

FORMATS = ("tflite", "savedmodel", "onnx")
PRECISIONS = ("float32", "float16", "int8")
# By how much a probability may differ. What int8 costs is to be measured on photographs.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "int8": np.inf}
INPUTS = {
    "image": "float32, (n, size, size, 3), RGB 0-255: the centre square of the photograph",
    "patient": "float32, (n, features), from lesions.data.patient_features",
}
OUTPUTS = {
    "probabilities": "float32, (n, 7), in the order of classes; corrected by "
    "softmax(power * log(p) + offset * log(class_frequencies)); the class named is the largest "
    "of corrected / class_frequencies ** decision_strength",
    "activation_maps": "float32, (n, height, width, 7), whose mean over the places, plus a bias of "
    "the class, is its logit; their positive part is Grad-CAM up to a factor",
}


def export(model, details: dict, format: str, path, precision: str = "float32") -> tuple[Path, str]:
    """Write a network in another format, and beside it `<name>.json` with what it means.

    The JSON holds the order of the classes, the correction of the probabilities and the form of
    inputs and outputs, which no exported file can hold by itself. An `.onnx` file has class
    activation maps as a second output where the network allows it.

    Args:
        model: From `models.load`.
        details: What is stored with it, from `models.load`.
        format: One of `FORMATS`. "savedmodel" makes a folder.
        path: Where it goes.
        precision: One of `PRECISIONS`; all but "float32" are for "tflite" and "onnx". "float16"
            halves the weights (in ONNX as 16-bit integers), "int8" stores those of large kernels
            in a quarter, both with a scale for each output channel where they are integers.

    Returns:
        The path and a sentence on how the exported network was checked.

    Raises:
        ValueError: If the format is unknown, a package is missing, the place is taken by
            something that cannot be replaced, or the exported network answers differently.
    """
    path = Path(path)
    check_request(format, path, precision)
    if format == "onnx":
        model = onnx_file.with_activation_maps(model)
    replacing_description = files.replacing(description.beside(path))
    with files.replacing(path) as temporary, replacing_description as temporary_description:
        checked = _write(model, format, temporary, precision)
        details = {**details, "precision": precision}
        if temporary.is_file():
            details["digest"] = description.file_digest(temporary)
        _write_description(model, details, temporary_description)
    return path, checked


def check_request(format: str, path, precision: str) -> None:
    """Raise the ValueError of `export` that needs no network: of its format, precision and path."""
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"Unknown format {format!r}; use {', '.join(FORMATS)}.")
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}; use {', '.join(PRECISIONS)}.")
    if precision != "float32" and format == "savedmodel":
        raise ValueError(
            f"The precision {precision} is for tflite and onnx; leave it out for savedmodel."
        )
    hardware.require_tensorflow(f"Export to {format} needs")
    _check_place(format, path)


def _check_place(format: str, path: Path) -> None:
    """Refuse what cannot be replaced, before one of the network and its description is."""
    is_earlier = path.name not in ("", "..") and (path / "saved_model.pb").exists()
    if path.is_dir() and not (format == "savedmodel" and is_earlier):
        raise ValueError(f"{path} is a folder already; name another --output.")
    if path.is_file() and format == "savedmodel":
        raise ValueError(f"{path} is a file, and a savedmodel is a folder; name another --output.")
    if description.beside(path).is_dir():
        raise ValueError(f"{description.beside(path)} is a folder already; name another --output.")


def _write(model, format: str, path: Path, precision: str) -> str:
    """Write a network and return how it was checked."""
    # The question comes first: Keras exports to ONNX only what was called before.
    inputs, expected = _question(model)
    if format == "onnx":
        onnx_file.write(model, path, precision)
    elif format == "tflite":
        _write_tflite(model, path, precision)
    else:
        model.export(path, format="tf_saved_model", verbose=False)
    return _check(path, format, inputs, expected, TOLERANCES[precision])


def _write_description(model, details: dict, path: Path) -> None:
    outputs = list(OUTPUTS)[: len(model.outputs)]
    written = {
        **details,
        "inputs": {tensor.name: INPUTS[tensor.name] for tensor in model.inputs},
        "outputs": {name: OUTPUTS[name] for name in outputs},
        "notice": classes.NOTICE,
    }
    path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _write_tflite(model, path: Path, precision: str) -> None:
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    inputs = [tf.TensorSpec(one.shape, one.dtype, one.name) for one in model.inputs]
    called = tf.function(lambda *given: model(given[0] if len(given) == 1 else given))
    with tempfile.TemporaryDirectory() as folder:
        # With its weights as constants, since hundreds of variables take most of the time.
        frozen = convert_to_constants.convert_variables_to_constants_v2(
            called.get_concrete_function(*inputs)
        )
        tf.saved_model.save(tf.Module(), folder, signatures=frozen)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            # By itself this stores the weights in 8 bits and computes with them as it pays.
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())


def open_model(path, threads: int | None = None):
    """Open a `.tflite` or `.onnx` file, by its suffix, for `views.predict` on so many CPU threads.

    Raises:
        ImportError: If no interpreter is installed.
        ValueError: If the file is damaged.
    """
    opener = onnx_file.OnnxModel if Path(path).suffix == ".onnx" else lite.LiteModel
    return opener(path, threads)


def _answer_savedmodel(path: Path, inputs: dict) -> np.ndarray:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # keeps the variables alive while it serves
    tensors = [tf.constant(value) for value in inputs.values()]
    # A network with two inputs takes them as one list.
    return np.asarray(loaded.serve(*tensors) if len(tensors) == 1 else loaded.serve(tensors))


def _question(model) -> tuple[dict, np.ndarray]:
    """Draw three random images and compute their probabilities."""
    random = np.random.default_rng(0)
    highest = {"image": 255, "patient": 1}
    inputs = {
        tensor.name: random.uniform(0, highest[tensor.name], (3, *tensor.shape[1:])).astype("f4")
        for tensor in model.inputs
    }
    values = list(inputs.values())
    outputs = model(values if len(values) > 1 else values[0], training=False)
    return inputs, np.asarray(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)


def _check(path: Path, format: str, inputs: dict, expected: np.ndarray, tolerance: float) -> str:
    """Compare the exported network's answer with the expected one."""
    try:
        if format == "savedmodel":
            found = _answer_savedmodel(path, inputs)
        else:
            opener = onnx_file.OnnxModel if format == "onnx" else lite.LiteModel
            found = opener(path).predict_on_batch(inputs)
    except ImportError as error:
        return f"Not checked, because no interpreter is installed ({error})."
    difference = float(np.abs(found - expected).max())
    if not difference <= tolerance:
        raise ValueError(
            f"The exported network answers differently by {difference:.2g}, over {tolerance:g}; "
            "nothing was written, so use another --format."
        )
    return f"Checked: the same probabilities on random images to {difference:.1g}."
