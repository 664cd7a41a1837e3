"""Where a model looks: Grad-CAM and two relatives, and pictures of them.

Gradients need TensorFlow, which is imported inside the one function that takes them. Everything
else here is NumPy, OpenCV and Matplotlib.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import keras
import numpy as np

from lesions.classes import CODES, CREDIT, NAMES, NOTICE
from lesions.networks import models

CHUNK = 32
COMPILE_ABOVE = 4
# Viridis is perceptual, safe for colour-blind readers, and its green and yellow stand out from
# skin; inferno and turbo have reds and browns that cannot be told from the lesion beneath.
COLOUR_MAP = "viridis"


def _grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weights each channel by its mean gradient (Selvaraju et al., ICCV 2017, equations 1-2)."""
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return (weights * activations).sum(axis=-1)


def _grad_cam_plus_plus(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weights each positive gradient by its share (Chattopadhay et al., WACV 2018, equation 19).

    With the score exp(logit), derivatives of every order are powers of the gradient times
    exp(logit), a factor common to the whole image that the normalisation removes. What is left
    of alpha is g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + sum(A) g) wherever g is not zero.
    """
    positive = np.maximum(gradients, 0.0)
    # The paper assumes activations after a ReLU. A layer without one can sum to a negative
    # number and bring the denominator to zero; the floor keeps it at two or more.
    totals = np.maximum(activations.sum(axis=(1, 2), keepdims=True), 0.0)
    weights = (positive / (2.0 + totals * positive)).sum(axis=(1, 2), keepdims=True)
    return (weights * activations).sum(axis=-1)


def _hires_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Multiplies element by element, unaveraged (Draelos and Carin 2020, arXiv:2011.08891)."""
    return (gradients * activations).sum(axis=-1)


METHODS = {
    "grad_cam": _grad_cam,
    "grad_cam_plus_plus": _grad_cam_plus_plus,
    "hires_cam": _hires_cam,
}


def _checked_images(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns the images as an array after checking shape and value range."""
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    if images.ndim == 3:
        raise ValueError(
            f"images has shape {images.shape}, which is a single image: "
            "add a batch axis with images[np.newaxis]."
        )
    expected = tuple(model.get_layer("image").output.shape[1:])
    fits = images.ndim == 4 and all(
        wanted in (None, found) for wanted, found in zip(expected, images.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"images has shape {images.shape}, but the model reads (n, "
            f"{', '.join(map(str, expected))}): resize the images to that."
        )
    if images.dtype != np.uint8 and images.size:
        low, high = float(np.min(images)), float(np.max(images))
        if not (0.0 <= low and high <= 255.0) or 0.0 < high <= 1.0:
            raise ValueError(
                f"images has values from {low:g} to {high:g}, but the model reads RGB from 0 to "
                "255: undo the scaling, the model does its own."
            )
    return images


def _checked_patient(model: keras.Model, patient, number: int) -> np.ndarray | None:
    """Returns the patient features as float32 (number, features), or None without that input."""
    expected = None
    if "patient" in [tensor.name for tensor in model.inputs]:
        expected = (number, model.get_layer("patient").output.shape[1])
    found = None if patient is None else np.shape(patient)
    if found != expected:
        raise ValueError(
            f"patient has the shape {found} and this model needs {expected} here: pass the rows "
            "of data.patient_features to a model that reads them, and None to any other."
        )
    return None if patient is None else np.asarray(patient, np.float32)


def _labels(target_classes, number: int, classes: int) -> np.ndarray | None:
    """Returns one label per image, int (number,), or None for the predicted classes."""
    if target_classes is None:
        return None
    if isinstance(target_classes, str) or np.ndim(target_classes) == 0:
        target_classes = [target_classes] * number
    if len(target_classes) != number:
        raise ValueError(
            f"target_classes has {len(target_classes)} entries for {number} images: "
            "pass one class for all, or one for each image."
        )
    labels = []
    for target in target_classes:
        known = target in CODES if isinstance(target, str) else 0 <= int(target) < classes
        if not known:
            raise ValueError(
                f"target_classes holds {target!r}, which is no class: "
                f"use a code of {', '.join(CODES)} or a label from 0 to {classes - 1}."
            )
        labels.append(CODES.index(target) if isinstance(target, str) else int(target))
    return np.array(labels, dtype=int)


def _layer_names(model: keras.Model, layers) -> list[str]:
    """Returns the layers to explain, by default the last feature map of each branch."""
    if layers is None:
        return models.last_convolutions(model)
    names = [layers] if isinstance(layers, str) else list(layers)
    maps = [layer.name for layer in model.layers if len(getattr(layer.output, "shape", ())) == 4]
    unknown = [name for name in names if name not in maps]
    if unknown or not names:
        raise ValueError(
            f"layers names {unknown or 'nothing'}: name layers of this model whose output is "
            f"(n, h, w, channels), for example {maps[-1]!r}."
        )
    return names


def _head(model: keras.Model, name: str) -> tuple[list[keras.Layer], list]:
    """Finds the layers from the output of `name` to the logits of a flat model, in order.

    Also returns the tensors that these layers read from elsewhere (a skip, another branch).
    """
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
    """Returns d logit / d target, float32, of each image's class in one chunk.

    `layers` come from `_head`; `values` holds the chunk's tensors by the id of the symbolic one.
    """
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
    """Raises ValueError where Keras runs on a backend that heat maps are not written for."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"Heat maps need the TensorFlow backend and Keras runs on {backend}: "
            "set KERAS_BACKEND=tensorflow before Keras is imported."
        )


class Explainer:
    """Makes heat maps of one model; compiled once, it is fast from the second call on.

    Attributes:
        model: The Keras model.
        layers: Names of the layers that are explained.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str] | str | None = None):
        """Prepares the model; arguments and errors as those of `heat_maps`."""
        require_tensorflow()
        self.model = model
        self.layers = _layer_names(model, layers)
        self._heads = {name: _head(model, name) for name in self.layers}
        side_inputs = [tensor for _, tensors in self._heads.values() for tensor in tensors]
        targets = [model.get_layer(name).output for name in self.layers]
        wanted = [model.get_layer("logits").output, *targets, *side_inputs]
        self._wanted = list({id(tensor): tensor for tensor in wanted}.values())
        self._features = keras.Model(model.inputs, self._wanted)
        self._compiled = None

    def __call__(
        self,
        images: np.ndarray,
        target_classes: int | str | Sequence[int | str] | None = None,
        method: str = "grad_cam",
        patient: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explains images; arguments, result and errors are those of `heat_maps`."""
        if method not in METHODS:
            raise ValueError(f"method is {method!r}: use one of {', '.join(METHODS)}.")
        images = _checked_images(self.model, images)
        patient = _checked_patient(self.model, patient, len(images))
        classes = self.model.get_layer("logits").output.shape[-1]
        labels = _labels(target_classes, len(images), classes)
        maps = np.zeros(images.shape[:3], np.float32)
        size = maps.shape[:0:-1]
        for start, activations, gradients in self._differentiate(images, patient, labels):
            small_maps = np.maximum(METHODS[method](activations, gradients), 0.0)
            resized = np.stack([cv2.resize(small, size) for small in small_maps])
            # Averaging over layers needs no division: the last line normalises anyway.
            maps[start : start + len(resized)] += normalised(resized)
        return normalised(maps)

    def _run(self, inputs: list, images: int) -> list:
        """Returns the values of the wanted tensors for one chunk of a call with `images` images."""
        # Uncompiled, Keras keeps every layer's output until the end of a call. DenseNet121, 32
        # images of 224 px on two cores: 6.6 GB, and 20 s for the first call; compiled 0.5 GB and
        # 3 s, of which 2 s are tracing. A few images are sooner done without: 0.4 s for one.
        if self._compiled is None and images <= COMPILE_ABOVE:
            return self._features(inputs, training=False)
        if self._compiled is None:
            self._compiled = compiled(self._features)
        return self._compiled(inputs)

    def _differentiate(self, images, patient, labels):
        """Yields, for each chunk of images and each layer, what the methods need.

        That is the row of the chunk's first image, the layer's activations and the gradients of
        the class logits with respect to them, both float32 (chunk, h, w, channels).
        """
        logits = self.model.get_layer("logits").output
        for start in range(0, len(images), CHUNK):
            chunk = slice(start, start + CHUNK)
            arrays = {"image": images[chunk].astype(np.float32)}
            if patient is not None:
                arrays["patient"] = patient[chunk]
            inputs = [keras.ops.convert_to_tensor(arrays[t.name]) for t in self.model.inputs]
            outputs = self._run(inputs, len(images))
            values = {id(tensor): out for tensor, out in zip(self._wanted, outputs, strict=True)}
            predicted = np.argmax(values[id(logits)], axis=-1)
            chunk_labels = predicted if labels is None else labels[chunk]
            for name in self.layers:
                target = self.model.get_layer(name).output
                gradients = _gradients(target, self._heads[name][0], values, chunk_labels)
                yield start, np.asarray(values[id(target)], np.float32), gradients


def compiled(model: keras.Model):
    """Compiles the forward pass of a model for any number of images.

    Returns:
        A TensorFlow function from the list of the model's inputs to its outputs.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    run = tf.function(lambda inputs: model(inputs, training=False), input_signature=[signature])
    # The concrete function: TensorFlow takes one tf.function after another for a mistake and warns.
    return run.get_concrete_function()


def normalised(maps: np.ndarray) -> np.ndarray:
    """Divides each of the maps (n, h, w) by its maximum; a map of zeros stays."""
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)


def heat_maps(
    model: keras.Model,
    images: np.ndarray,
    target_classes: int | str | Sequence[int | str] | None = None,
    method: str = "grad_cam",
    layers: Sequence[str] | str | None = None,
    patient: np.ndarray | None = None,
) -> np.ndarray:
    """Shows which parts of each image speak for a class.

    The gradient is that of the logit, before the softmax: a class is explained by what speaks for
    it, not by what speaks against the others. Only the layers after the explained one run on the
    gradient tape (on a DenseNet121 three times as fast as taping the whole network). With several
    layers, as in a model of two branches, each map is resized to the input, normalised and
    averaged with the others. Each call prepares the model anew; where many calls explain the same
    model, keep an `Explainer`.

    Args:
        model: A flat functional model with an input "image", optionally an input "patient", and
            a layer "logits", as `models.build` and `models.load` return.
        images: uint8 or float, (n, height, width, 3), RGB 0-255, of the model's input size.
        target_classes: The class to explain: None for each image's predicted class, one label or
            code for all images, or a sequence of n labels or codes.
        method: "grad_cam" (Selvaraju et al. 2017, arXiv:1610.02391), "grad_cam_plus_plus"
            (Chattopadhay et al. 2018, arXiv:1710.11063) or "hires_cam" (Draelos and Carin 2020,
            arXiv:2011.08891).
        layers: Names of the layers to explain; None for `models.last_convolutions`, the last
            feature map of each branch.
        patient: float, (n, features), from `data.patient_features`, for a model that reads it.

    Returns:
        float32, (n, height, width), each map from 0 to exactly 1, or zero everywhere where
        nothing in the image speaks for the class.

    Raises:
        ValueError: If Keras does not run on TensorFlow, or an argument does not fit the model.
    """
    return Explainer(model, layers)(images, target_classes, method, patient)


def _fitted(heat_map: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Returns the heat map, clipped to 0-1, at the image's size, after checking both."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image is {image.dtype} of shape {image.shape}: pass uint8 (height, width, 3) RGB."
        )
    if heat_map.ndim != 2 or not np.isfinite(heat_map).all():
        raise ValueError(f"heat_map has shape {heat_map.shape}: pass one finite map (h, w).")
    heat_map = np.clip(heat_map, 0.0, 1.0).astype(np.float32)
    return cv2.resize(heat_map, image.shape[1::-1])


def overlay(image: np.ndarray, heat_map: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """Lays a heat map over its image, so that only what is hot is tinted.

    Args:
        image: uint8, (height, width, 3), RGB.
        heat_map: float, (h, w), 0-1; resized to the image where the sizes differ.
        opacity: Share of colour, 0-1, where the map is 0.5 or more; it fades to 0 below that.

    Returns:
        uint8, (height, width, 3), RGB.

    Raises:
        ValueError: If the image is not uint8 RGB, the map not two-dimensional and finite, or the
            opacity outside 0-1.
    """
    heat_map = _fitted(heat_map, image)
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"opacity is {opacity}: pass a share from 0 to 1.")
    levels = np.round(heat_map * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{COLOUR_MAP.upper()}"))
    colours = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    share = opacity * np.minimum(heat_map / 0.5, 1.0)[..., np.newaxis]
    return np.round(image * (1.0 - share) + colours * share).astype(np.uint8)


def _class_name(code: str) -> str:
    """Returns a class as running text, for example "melanoma (mel)"."""
    if code not in NAMES:
        raise ValueError(f"The class code is {code!r}: use one of {', '.join(CODES)}.")
    return f"{NAMES[code][0].lower()}{NAMES[code][1:]} ({code})"


def _draw(axes, image, heat_map, true_code, predicted_code, probability, explained) -> str:
    """Draws the three panels and returns the sentence that belongs above them."""
    if len(axes) != 3:
        raise ValueError(f"axes has {len(axes)} entries: pass three, one for each panel.")
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability is {probability}: pass a share from 0 to 1.")
    heat_map = _fitted(heat_map, image)
    axes[0].imshow(image)
    colours = axes[1].imshow(heat_map, cmap=COLOUR_MAP, vmin=0, vmax=1)
    axes[2].imshow(overlay(image, heat_map))
    for axis, label in zip(axes, ("Image", "Heat map", "Overlay"), strict=True):
        axis.set(xticks=[], yticks=[])
        axis.set_xlabel(label)
        axis.grid(False)
    # An inset beside the panel keeps all three panels the same size.
    bar = axes[1].figure.colorbar(colours, cax=axes[1].inset_axes([1.03, 0, 0.05, 1]))
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    bar.outline.set_visible(False)
    truth = "" if true_code is None else f"True: {_class_name(true_code)} · "
    title = f"{truth}Predicted: {_class_name(predicted_code)}, {probability:.0%}"
    if explained in (None, predicted_code):
        return title
    return f"{title} · Heat map for: {explained}"


def three_panels(
    image: np.ndarray,
    heat_map: np.ndarray,
    true_code: str | None,
    predicted_code: str,
    probability: float,
    axes=None,
    credit: str = CREDIT,
    explained_code: str | None = None,
):
    """Shows an image, its heat map and the overlay side by side.

    Args:
        image: uint8, (height, width, 3), RGB.
        heat_map: float, (h, w), 0-1.
        true_code: The diagnosis, for example "mel"; None where nobody knows it.
        predicted_code: The model's answer.
        probability: The probability of that answer, 0-1.
        axes: Three Matplotlib axes to draw into, for one row of a larger figure; then the title
            stands over the middle one and the credit is the caller's to give. None makes a figure.
        credit: Where the image is from; "Synthetic demo image" for the demo set.
        explained_code: The class that the heat map explains; None for the model's answer.

    Returns:
        The Matplotlib figure, not shown.

    Raises:
        ValueError: If a code is unknown, a value out of range or an array of the wrong shape.
    """
    if axes is not None:
        title = _draw(axes, image, heat_map, true_code, predicted_code, probability, explained_code)
        axes[1].set_title(title, fontsize=11)
        return axes[1].figure
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), dpi=100, layout="constrained")
    title = _draw(axes, image, heat_map, true_code, predicted_code, probability, explained_code)
    figure.get_layout_engine().set(w_pad=0.1)
    figure.suptitle(title, fontsize=11)
    # As the figure's x label the footer has its own room in the layout and cannot be overlapped.
    figure.supxlabel(f"{credit}. {NOTICE}", fontsize=8, color="dimgrey")
    return figure


def save_example(
    path: str | Path,
    image: np.ndarray,
    heat_map: np.ndarray,
    true_code: str | None,
    predicted_code: str,
    probability: float,
    credit: str = CREDIT,
    explained_code: str | None = None,
) -> Path:
    """Writes the three panels as a JPEG of 1000 x 390 pixels.

    The file is written beside its place and renamed when whole. Arguments other than `path`
    (which ends in .jpg) are those of `three_panels`.

    Returns:
        The path written.

    Raises:
        ValueError: As `three_panels`, and if the name does not end in .jpg.
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        raise ValueError(f"The example's file name is {path.name!r}: let it end in .jpg.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    figure = three_panels(
        image, heat_map, true_code, predicted_code, probability, None, credit, explained_code
    )
    try:
        figure.savefig(partial, format="jpeg", dpi=100, pil_kwargs={"quality": 90})
        os.replace(partial, path)
    finally:
        plt.close(figure)
        partial.unlink(missing_ok=True)
    return path
