"""Every method of explanation under one roof: the three of `explain`, and two that cost more."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import keras
import numpy as np

from lesions.explanation import explain, faithfulness

METHODS = (*explain.METHODS, "occlusion", "integrated_gradients")
GRID = 7
STEPS = 16
NOISE = 0.05 * 255


def heat_maps(
    explainer: explain.Explainer,
    images: np.ndarray,
    labels: np.ndarray,
    method: str,
    patient: np.ndarray | None = None,
    tools: dict[str, Callable] | None = None,
) -> np.ndarray:
    """Explains images by any method.

    Args:
        explainer: Of the model.
        images: uint8, (n, height, width, 3), RGB 0-255.
        labels: int, (n,), the classes to explain.
        method: One of `METHODS`.
        patient: float32, (n, features), for a model that reads them.
        tools: From `prepare`; None prepares for this call alone.

    Returns:
        float32, (n, height, width), each map from 0 to 1, or zero everywhere.

    Raises:
        ValueError: If the method is unknown or an argument does not fit the model.
    """
    if method in explain.METHODS:
        return explainer(images, labels, method, patient)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: use one of {', '.join(METHODS)}.")
    tools = tools or prepare(explainer.model)
    one_map = {"occlusion": _occlusion, "integrated_gradients": _integrated_gradients}[method]
    maps = [
        one_map(tools, image, label, None if patient is None else patient[[row]])
        for row, (image, label) in enumerate(zip(images, np.asarray(labels), strict=True))
    ]
    if not maps:
        return np.zeros(images.shape[:3], np.float32)
    return explain.normalised(np.stack(maps).astype(np.float32))


def prepare(model: keras.Model) -> dict[str, Callable]:
    """Compiles what occlusion and integrated gradients ask of a model, once for many calls.

    Returns:
        `logits`, from a list of inputs to float (n, 7); `gradients`, from inputs and int labels
        (n,) to d logit / d image, float32 (n, height, width, 3).
    """
    import tensorflow as tf

    head = keras.Model(model.inputs, model.get_layer("logits").output)
    place = [tensor.name for tensor in model.inputs].index("image")
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]

    def gradients(inputs, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs[place])
            score = tf.gather(head(inputs, training=False), labels, axis=1, batch_dims=1)
        return tape.gradient(score, inputs[place])

    labels = tf.TensorSpec([None], tf.int64)
    taped = tf.function(gradients, input_signature=[signature, labels])
    names = [tensor.name for tensor in model.inputs]
    logits = explain.compiled(head)
    return {
        "logits": lambda images, patient: np.asarray(logits(_inputs(names, images, patient))),
        "gradients": lambda images, label, patient: taped(
            _inputs(names, images, patient), tf.fill([len(images)], tf.cast(label, tf.int64))
        ).numpy(),
    }


def _inputs(names: list[str], images: np.ndarray, patient: np.ndarray | None) -> list:
    arrays = {"image": np.asarray(images, np.float32)}
    if patient is not None:
        shape = (len(images), patient.shape[1])  # one row serves all views of one image
        arrays["patient"] = np.broadcast_to(patient, shape).astype(np.float32)
    return [keras.ops.convert_to_tensor(arrays[name]) for name in names]


def _occlusion(tools, image, label, patient) -> np.ndarray:
    """Hides one square after another (Zeiler and Fergus 2014): where does the logit fall?

    Squares of two cells slide over a grid of seven by seven cells; a hidden square is filled
    from the blurred image, so that it adds no edge of its own colour.
    """
    size, other = image.shape[0], faithfulness.blurred(image)
    edges = np.linspace(0, size, GRID + 2).round().astype(int)
    hidden = np.repeat(image[np.newaxis], GRID**2 + 1, axis=0)
    squares = [
        (slice(edges[down], edges[down + 2]), slice(edges[across], edges[across + 2]))
        for down in range(GRID)
        for across in range(GRID)
    ]
    for shown, square in zip(hidden, squares, strict=False):
        shown[square] = other[square]
    logits = tools["logits"](hidden, patient)[:, label]
    total, times = np.zeros((size, size)), np.zeros((size, size))
    for square, logit in zip(squares, logits, strict=False):
        total[square] += logits[-1] - logit
        times[square] += 1
    return np.maximum(total / times, 0)


def _integrated_gradients(tools, image, label, patient) -> np.ndarray:
    """Integrates gradients on noisy ways from a blurred image to the image.

    Integrated gradients (Sundararajan et al. 2017) with the noise of SmoothGrad (Smilkov et al.
    2017): every step of the path has a noise of its own. Pixels are summed over the colours,
    smoothed by a hundredth of the side, and what speaks against the class is cut off.
    """
    summed = signed_integrated_gradients(tools, image, label, patient).sum(axis=-1)
    return np.maximum(cv2.GaussianBlur(summed, (0, 0), max(1, image.shape[0] / 100)), 0)


def signed_integrated_gradients(
    tools, image: np.ndarray, label: int, patient=None, steps: int = STEPS, noise: float = NOISE
) -> np.ndarray:
    """Computes integrated gradients of one image.

    Args:
        tools: From `prepare`.
        image: uint8, (height, width, 3).
        label: The class.
        patient: float32, (1, features), or None.
        steps: Gradients taken.
        noise: Standard deviation of SmoothGrad's noise, of 255.

    Returns:
        float32, (height, width, 3). Without noise and with many steps its sum is the logit of
        the image less that of the blurred image.
    """
    start = faithfulness.blurred(image).astype(np.float32)
    way = image.astype(np.float32) - start
    places = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    rng = np.random.default_rng(0)
    points = start + places[:, np.newaxis, np.newaxis, np.newaxis] * way
    points = points + rng.normal(0, noise, points.shape).astype(np.float32)
    total = np.zeros_like(way)
    for chunk in range(0, steps, 8):
        total += tools["gradients"](points[chunk : chunk + 8], label, patient).sum(axis=0)
    return way * total / steps
