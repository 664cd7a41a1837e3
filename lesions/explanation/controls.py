"""Maps that know nothing about lesions, and networks that have lost what they learned.

A heat map's score means something only next to theirs.
"""

from collections.abc import Callable, Iterable

import cv2
import keras
import numpy as np

from lesions.explanation.explainer import normalised
from lesions.networks import models


def centred_gaussian(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Fit a Gaussian in the middle of the picture to masks, by the mean squared distance from it.

    Masks are bool, (height, width), all of one shape; so is the map, float32, with a maximum of 1.

    Raises:
        ValueError: If no mask holds a pixel of lesion.
    """
    total = sum(mask.astype(np.float64) for mask in masks)
    if not np.any(total):
        raise ValueError("There is no training mask with a lesion to fit the Gaussian to.")
    curves = []
    for axis, side in enumerate(total.shape):
        places = np.arange(side) - (side - 1) / 2
        weights = total.sum(axis=1 - axis)
        variance = max((weights * places**2).sum() / weights.sum(), 0.25)
        curves.append(np.exp(-(places**2) / (2 * variance)))
    result = np.outer(*curves)
    return (result / result.max()).astype(np.float32)


def random_network(model: keras.Model) -> keras.Model:
    """Build the same architecture with random weights; sets Keras' global seed to 0."""
    size, patient = model.inputs[0].shape[1], len(model.inputs) > 1
    return models.build(model.name, size, "random", patient, seed=0)


def copy(model: keras.Model) -> keras.Model:
    """Copy a model with its weights."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with a copy of its weights
    return twin


def shuffle_weights(layer: keras.Layer, seed: int) -> None:
    """Shuffle a layer's trained weights, in place; statistics that normalise the input stay.

    Adebayo et al. (2018) draw new values; a shuffle keeps the scale that a trained network
    expects of its layers, so that only what was learned is lost.
    """
    if isinstance(layer, keras.layers.Normalization):
        return
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()])


def randomised_top(model: keras.Model) -> keras.Model:
    """Copy a model and shuffle the weights of its last layer, "logits"."""
    twin = copy(model)
    shuffle_weights(twin.get_layer("logits"), seed=0)
    return twin


def smooth_noise(cells: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Make random maps as smooth as those of a layer, another one for every image.

    Args:
        cells: Height and width of the layer's output.

    Returns:
        A function from images (n, height, width, 3) to maps, float32 (n, height, width), 0-1.
    """
    random = np.random.default_rng(0)

    def maps(images: np.ndarray) -> np.ndarray:
        size = images.shape[2:0:-1]
        drawn = random.random((len(images), *cells), dtype=np.float32)
        return normalised(np.stack([cv2.resize(small, size) for small in drawn]))

    return maps
