"""Bring a trained network to other programs: TensorFlow Lite, SavedModel, ONNX."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from lesions import classes
from lesions.export import int8, onnx_file
from lesions.inference import lite
from lesions.networks import description
from lesions.system import files

FORMATS = ("tflite", "savedmodel", "onnx")
PRECISIONS = ("float32", "float16", "int8")
# By how much a probability may differ. What int8 costs is to be measured on photographs.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "int8": None}
INPUTS = {
    "image": "float32, (n, size, size, 3), RGB 0-255: the centre square of the photograph",
    "patient": "float32, (n, features), from lesions.data.patient_features",
}
OUTPUTS = {
    "probabilities": "float32, (n, 7), in the order of classes; corrected by "
    "softmax(power * log(p) + offset * log(class_frequencies)); the class named is the largest "
    "of corrected / class_frequencies ** decision_strength",
    "activation_maps": "float32, (n, height, width, 7), what each place adds to the logit of each "
    "class; their positive part is Grad-CAM up to a factor",
}


def export(
    model, details: dict, format: str, path, precision: str = "float32", calibration=None
) -> tuple[Path, str]:
    """Write a network in another format, and beside it `<name>.json` with what it means.

    The JSON holds the order of the classes, the correction of the probabilities
    and the form of inputs and outputs, which no exported file can hold by itself. Both are
    written under temporary names and renamed when whole. An `.onnx` file has class activation
    maps as a second output where the network allows it, see `onnx_file.with_activation_maps`.

    Args:
        model: From `models.load`.
        details: What is stored with it, from `models.load`.
        format: One of `FORMATS`. "savedmodel" makes a folder.
        path: Where it goes.
        precision: One of `PRECISIONS`; all but "float32" are for "tflite" and "onnx". "float16"
            halves the weights. "int8" stores them in a quarter; a `.tflite` file computes in
            whole numbers, too, whose ranges it takes from `calibration`, after `int8.prepare`.
        calibration: uint8, (n, size, size, 3), RGB 0-255, training photographs from
            `Classifier.prepare`, a few hundred; for "int8" in "tflite".

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
        with (
            files.replacing(path) as temporary,
            files.replacing(path.with_name(path.name + ".json")) as described,
        ):
            checked = _write(model, details, format, temporary, described, precision, calibration)
    except OSError as error:
        if error.strerror is None:  # a full disk, whose message is whole already
            raise
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); name another --output."
        ) from error
    return path, checked


def _write(model, details, format, path, described: Path, precision, calibration) -> str:
    """Write a network and its description, and return how it was checked."""
    if format == "onnx":
        model = onnx_file.with_activation_maps(model)
    # The question comes first: Keras exports to ONNX only what was called before.
    inputs, expected = _question(model, calibration)
    if format == "tflite":
        _write_tflite(model, path, precision, calibration)
    elif format == "onnx":
        onnx_file.write(model, path, precision)
    else:
        _write_savedmodel(model, path)
    checked = _check(path, format, inputs, expected, TOLERANCES[precision])
    details = {**details, "precision": precision}
    if path.is_file():
        details["digest"] = description.file_digest(path)
    _write_description(model, details, described)
    return checked


def _write_description(model, details: dict, path: Path) -> None:
    outputs = list(OUTPUTS)[: len(model.outputs)]
    written = {
        **details,
        "inputs": {tensor.name: INPUTS[tensor.name] for tensor in model.inputs},
        "outputs": {name: OUTPUTS[name] for name in outputs},
        "notice": classes.NOTICE,
    }
    path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _write_savedmodel(model, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)


def _check_precision(model, format: str, precision: str, calibration) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}; use {', '.join(PRECISIONS)}.")
    if precision != "float32" and format == "savedmodel":
        raise ValueError(
            f"The precision {precision} is for tflite and onnx; leave it out for savedmodel."
        )
    if precision == "int8" and format == "tflite":
        if calibration is None or not len(calibration):
            raise ValueError("int8 needs training photographs to calibrate on; name some.")
        if len(model.inputs) > 1:
            raise ValueError("int8 is for networks that take images only; use float16.")


def _write_tflite(model, path: Path, precision: str, calibration) -> None:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        source = int8.prepare(model, calibration) if precision == "int8" else model
        _write_savedmodel(source, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            # Input and output stay float32, so that the file is used as the others are.
            converter.representative_dataset = lambda: (
                [image[np.newaxis].astype(np.float32)] for image in calibration
            )
        path.write_bytes(converter.convert())


def open_model(path, threads: int | None = None):
    """Open an exported file as a network that `views.predict` takes.

    Args:
        path: A `.tflite` or `.onnx` file.
        threads: CPU threads; None for all.

    Returns:
        A `lite.LiteModel` or an `onnx_file.OnnxModel`.

    Raises:
        ImportError: If no interpreter is installed.
        ValueError: If the file is damaged.
    """
    if Path(path).suffix == ".onnx":
        return onnx_file.OnnxModel(path, threads)
    return lite.LiteModel(path, threads)


def _answer_savedmodel(path: Path, inputs: dict) -> np.ndarray:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # keeps the variables alive while it serves
    tensors = [tf.constant(value) for value in inputs.values()]
    # A network with two inputs takes them as one list.
    return np.asarray(loaded.serve(*tensors) if len(tensors) == 1 else loaded.serve(tensors))


def _question(model, photographs=None) -> tuple[dict, np.ndarray]:
    """Choose a few photographs, or else three random images, and compute the probabilities."""
    if photographs is not None:
        inputs = {model.inputs[0].name: photographs[:16].astype(np.float32)}
    else:
        random = np.random.default_rng(0)
        inputs = {
            tensor.name: random.uniform(
                0, 255 if tensor.name == "image" else 1, (3, *tensor.shape[1:])
            ).astype(np.float32)
            for tensor in model.inputs
        }
    values = list(inputs.values())
    outputs = model(values if len(values) > 1 else values[0], training=False)
    return inputs, np.asarray(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)


def _check(path: Path, format: str, inputs: dict, expected: np.ndarray, tolerance) -> str:
    """Compare the exported network's answer with the expected one."""
    try:
        if format == "savedmodel":
            found = _answer_savedmodel(path, inputs)
        else:
            opener = onnx_file.OnnxModel if format == "onnx" else lite.LiteModel
            found = opener(path).predict_on_batch(inputs)
    except (ImportError, AttributeError) as error:
        return f"Not checked, because no interpreter is installed ({error})."
    difference = float(np.abs(found - expected).max())
    if tolerance is None:
        return f"Checked: probabilities differ by up to {difference:.2g}."
    if not difference <= tolerance:
        raise ValueError(
            f"The exported network answers differently by {difference:.2g}, over {tolerance:g}; "
            "nothing was written, so use another --format."
        )
    return f"Checked: the same probabilities on random images to {difference:.1g}."
