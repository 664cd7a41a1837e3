"""TensorFlow Lite files as networks, the form for phones, used as a Keras model is used."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from lesions.networks import description
from lesions.system import processor


class LiteModel:
    """A `.tflite` file that `views.predict` takes for a Keras model, `compiled` and all.

    Attributes:
        inputs: What it takes, each with `name` and `shape`, as of a Keras model.
        classes: How many probabilities it gives.
    """

    compiled = True

    def __init__(self, path, threads: int | None = None):
        """Read a file of `export.export` for so many CPU threads, by default all.

        Raises:
            ValueError: If the file is not a TensorFlow Lite network of this project.
        """
        threads = threads or processor.cores()
        try:
            # As bytes, because the package takes paths of UTF-8 only.
            content = Path(path).read_bytes()
            self._interpreter = _interpreter()(model_content=content, num_threads=threads)
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
        (answers,) = self._runner.get_output_details().values()
        self.classes = int(answers["shape"][-1])

    def predict_on_batch(self, inputs) -> np.ndarray:
        """Predict a batch, float32 (n, size, size, 3), or a dict of it and "patient"; (n, 7)."""
        if not isinstance(inputs, dict):
            inputs = {self.inputs[0].name: inputs}
        return next(iter(self._runner(**inputs).values()))


def load(path) -> tuple[LiteModel, dict]:
    """Read a `.tflite` file and the description beside it, as `models.load` reads an `.h5` file."""
    details = description.read_beside(path)
    model = LiteModel(path)
    found = (model.inputs[0].shape[1], len(model.inputs) > 1, model.classes)
    if found != (details["image_size"], details["patient"], len(details["classes"])):
        raise ValueError(
            f"The inputs and outputs of {path} are not those that {Path(path).name}.json records; "
            "export the network again."
        )
    return model, details


def _interpreter():
    """Find an interpreter: the package that is kept up, else the one inside TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated")
        try:
            Interpreter = tf.lite.Interpreter
        except AttributeError as error:
            raise ImportError("no TensorFlow Lite; pip install ai-edge-litert") from error
    return Interpreter
