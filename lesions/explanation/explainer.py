"""The explainer: which parts of each image speak for a class.

Gradients need TensorFlow, which is imported inside the functions that need it.
"""

from collections.abc import Sequence

import cv2
import keras
import numpy as np

from lesions.classes import CODES
from lesions.explanation.methods import METHODS
from lesions.networks import models
from lesions.system import hardware

CHUNK = 32
COMPILE_ABOVE = 4


class Explainer:
    """Make heat maps of one model. Keep it: it is fast once it has seen a few images.

    The gradient is that of the logit, before the softmax: a class is explained by what speaks for
    it, not by what speaks against the others. Only the layers after the explained one run on the
    gradient tape (on a DenseNet121 three times as fast as taping the whole network). Maps of
    several layers, as of two branches, are resized to the input, normalised and averaged.

    Attributes:
        model: The Keras model.
        layers: Names of the layers that are explained.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str] | None = None):
        """Prepare a model.

        Args:
            model: A flat functional model with an input "image", optionally an input "patient",
                and a layer "logits", as `models.build` and `models.load` return.
            layers: Names of the layers to explain; None for the last feature map of each branch.

        Raises:
            ValueError: If Keras does not run on TensorFlow, or a layer does not lead to the logits.
        """
        require_tensorflow()
        self.model = model
        self.layers = list(layers or models.last_convolutions(model))
        self._heads = {name: _head(model, name) for name in self.layers}
        side_inputs = [tensor for _, tensors in self._heads.values() for tensor in tensors]
        targets = [model.get_layer(name).output for name in self.layers]
        wanted = [model.get_layer("logits").output, *targets, *side_inputs]
        self._wanted = list({id(tensor): tensor for tensor in wanted}.values())
        self._features = keras.Model(model.inputs, self._wanted)
        self._compiled = None
        self._seen = 0

    def __call__(
        self,
        images: np.ndarray,
        target_classes: int | str | Sequence[int | str] | None = None,
        method: str = "grad_cam",
        patient: np.ndarray | None = None,
    ) -> np.ndarray:
        """Show which parts of each image speak for a class.

        Args:
            images: uint8 or float, (n, height, width, 3), RGB 0-255, of the model's input size.
            target_classes: The class to explain: None for each image's predicted class, one label
                or code for all images, or a sequence of n labels or codes.
            method: One of `METHODS`.
            patient: float, (n, features), from `data.patient_features`, for a model that reads it.

        Returns:
            float32, (n, height, width), each map from 0 to exactly 1, or zero where the weighted
            sum of the last feature maps is nowhere positive.

        Raises:
            ValueError: If the method is unknown or an argument does not fit the model.
        """
        if method not in METHODS:
            raise ValueError(f"method is {method!r}: use one of {', '.join(METHODS)}.")
        self._check(images, patient)
        labels = _labels(target_classes, len(images))
        maps = np.zeros(images.shape[:3], np.float32)
        size = maps.shape[:0:-1]
        self._seen += len(images)
        for start, activations, gradients in self._differentiate(images, patient, labels):
            small_maps = np.maximum(METHODS[method](activations, gradients), 0.0)
            resized = np.stack([cv2.resize(small, size) for small in small_maps])
            # Averaging over layers needs no division: the last line normalises anyway.
            maps[start : start + len(resized)] += normalised(resized)
        return normalised(maps)

    def _check(self, images: np.ndarray, patient: np.ndarray | None) -> None:
        expected = self.model.get_layer("image").output.shape[1:]
        if images.shape[1:] != expected:
            raise ValueError(
                f"images has shape {images.shape}, but the model reads (n, "
                f"{', '.join(map(str, expected))}): resize the images to that, and add a batch "
                "axis to a single one."
            )
        if images.dtype != np.uint8 and images.size:
            low, high = float(images.min()), float(images.max())
            if not (0.0 <= low and high <= 255.0) or 0.0 < high <= 1.0:
                raise ValueError(
                    f"images has values from {low:g} to {high:g}, but the model reads RGB from 0 "
                    "to 255: undo the scaling, the model does its own."
                )
        if (patient is not None) != (len(self.model.inputs) > 1):
            raise ValueError(
                "Pass the rows of data.patient_features as patient to a model that reads them, "
                "and None to any other."
            )

    def _run(self, inputs: list) -> list:
        """Return the values of the wanted tensors for one chunk."""
        # Uncompiled, Keras keeps every layer's output until the end of a call. DenseNet121, 32
        # images of 224 px on two cores: 6.6 GB, and 20 s for the first call; compiled 0.5 GB and
        # 3 s, of which 2 s are tracing. A few images are sooner done without: 0.4 s for one.
        if self._compiled is None and self._seen <= COMPILE_ABOVE:
            return self._features(inputs, training=False)
        if self._compiled is None:
            self._compiled = compiled(self._features)
        return self._compiled(inputs)

    def _differentiate(self, images, patient, labels):
        """Yield the row of a chunk's first image, and a layer's activations and gradients.

        Both are float32, (chunk, h, w, channels).
        """
        logits = self.model.get_layer("logits").output
        for start in range(0, len(images), CHUNK):
            chunk = slice(start, start + CHUNK)
            arrays = {"image": images[chunk].astype(np.float32)}
            if patient is not None:
                arrays["patient"] = np.asarray(patient[chunk], np.float32)
            inputs = [keras.ops.convert_to_tensor(arrays[t.name]) for t in self.model.inputs]
            outputs = self._run(inputs)
            values = {id(tensor): out for tensor, out in zip(self._wanted, outputs, strict=True)}
            predicted = np.argmax(values[id(logits)], axis=-1)
            chunk_labels = predicted if labels is None else labels[chunk]
            for name in self.layers:
                target = self.model.get_layer(name).output
                gradients = _gradients(target, self._heads[name][0], values, chunk_labels)
                yield start, np.asarray(values[id(target)], np.float32), gradients


def _labels(target_classes, number: int) -> np.ndarray | None:
    """Return one label per image, int (number,), or None for the predicted classes."""
    if target_classes is None:
        return None
    if isinstance(target_classes, str) or np.ndim(target_classes) == 0:
        target_classes = [target_classes] * number
    labels = [CODES.index(one) if one in CODES else one for one in target_classes]
    if len(labels) != number or not set(labels) <= set(range(len(CODES))):
        raise ValueError(
            f"target_classes is {list(target_classes)}: pass one class for all images, or one for "
            f"each of the {number}, as a code of {', '.join(CODES)} or its label from 0."
        )
    return np.array(labels, dtype=int)


def _head(model: keras.Model, name: str) -> tuple[list[keras.Layer], list]:
    """Return the layers from `name` to the logits, and tensors that these read from elsewhere."""
    reached = {id(model.get_layer(name).output)}
    layers, side_inputs = [], []
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = keras.tree.flatten(layer.input)
        if any(id(tensor) in reached for tensor in inputs):
            layers.append(layer)
            side_inputs += [tensor for tensor in inputs if id(tensor) not in reached]
            reached.add(id(layer.output))
        if layer.name == "logits":
            break
    if not layers or layers[-1].name != "logits":
        raise ValueError(f"layers names {name!r}, which does not lead to 'logits': name another.")
    return layers, side_inputs


def _gradients(target, layers: list[keras.Layer], values: dict, labels: np.ndarray) -> np.ndarray:
    """Return d logit / d target of each image's class; `values` are a chunk's, by id of tensor."""
    import tensorflow as tf

    values = dict(values)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values[id(target)])
        for layer in layers:
            inputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], layer.input)
            values[id(layer.output)] = layer(inputs, training=False)
        logits = values[id(layers[-1].output)]
        score = tf.reduce_sum(logits * tf.one_hot(labels, logits.shape[-1], dtype=logits.dtype))
    return tf.cast(tape.gradient(score, values[id(target)]), tf.float32).numpy()


def require_tensorflow() -> None:
    """Raise ValueError where Keras runs on a backend that heat maps are not written for."""
    hardware.require_tensorflow("Heat maps need")


def compiled(model: keras.Model):
    """Compile a model's forward pass: a TensorFlow function from its inputs to its outputs."""
    import tensorflow as tf

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    run = tf.function(lambda inputs: model(inputs, training=False), input_signature=[signature])
    # The concrete function: TensorFlow warns where one tf.function is made after another.
    return run.get_concrete_function()


def normalised(maps: np.ndarray) -> np.ndarray:
    """Divide each of the maps (n, h, w) by its maximum; a map of zeros stays."""
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
