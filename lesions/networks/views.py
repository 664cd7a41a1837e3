"""Predict images, one view each or the mean over their eight flips and quarter turns."""

import keras
import numpy as np

from lesions import classes
from lesions.system import hardware

VIEWS = 8


def view(images: np.ndarray, number: int) -> np.ndarray:
    """Turn square images into one of their eight views: four quarter turns, each mirrored or not.

    Args:
        images: (n, size, size, channels).
        number: 0 to 7; 0 leaves the images as they are.

    Returns:
        The same shape and dtype.
    """
    turned = np.rot90(images, number % 4, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if number >= 4 else turned)


def inputs(images: np.ndarray, patient: np.ndarray | None):
    """Return what a network takes: the images alone, or a dict of them and the patients."""
    return images if patient is None else {"image": images, "patient": patient}


def predict(
    model: keras.Model,
    images: np.ndarray,
    tta: bool = True,
    patient: np.ndarray | None = None,
) -> np.ndarray:
    """Predict class probabilities, averaged over eight views.

    Args:
        model: From `models.build` or `models.load`.
        images: uint8 or float32, (n, size, size, 3), RGB 0-255.
        tta: Whether the mean over the eight views of `view` is taken.
        patient: float32, (n, data.PATIENT_FEATURES), where the model asks for it.

    Returns:
        float32, (n, 7), rows sum to 1, before any correction.

    Raises:
        ValueError: If the size of the images is not the model's.
    """
    size = model.inputs[0].shape[1]
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise ValueError(
            f"The images have the shape {images.shape}, the network takes (n, {size}, {size}, 3); "
            "prepare them by images.prepare."
        )
    if not getattr(model, "compiled", False):
        model.compile(jit_compile=use_jit())
    result = np.zeros((len(images), len(classes.CODES)), dtype=np.float32)
    views = range(VIEWS if tta else 1)
    batch_size = images_a_step()
    # TensorFlow traces a network anew for another number of images, seconds for a deep one, so the
    # last step is as large as the others and begins before they end.
    last = max(0, len(images) - batch_size)
    for start in range(0, len(images), batch_size):
        begin = min(start, last)
        part = slice(begin, begin + batch_size)
        given = None if patient is None else patient[part]
        parts = [
            model.predict_on_batch(inputs(view(images[part], number).astype(np.float32), given))
            for number in views
        ]
        result[part] = np.mean(parts, axis=0)
    return result


def images_a_step() -> int:
    """Return how many images a network predicts at once: a GPU waits for small steps."""
    if keras.backend.backend() == "torch":
        return 16  # Keras keeps every layer's output: 64 of 192 px took 10 GB and twice the time
    return 256 if hardware.gpus() else 64


def use_jit() -> bool:
    """Return whether XLA compiles the steps: on JAX alone."""
    return keras.backend.backend() == "jax"
