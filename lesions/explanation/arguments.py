"""Checks of what is asked of an explainer, each with a sentence that names what does not fit."""

from __future__ import annotations

import keras
import numpy as np

from lesions.classes import CODES
from lesions.networks import models


def checked_images(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the images as an array after checking shape and value range."""
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


def checked_patient(model: keras.Model, patient, number: int) -> np.ndarray | None:
    """Return the patient features as float32 (number, features), or None without that input."""
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


def labels(target_classes, number: int, classes: int) -> np.ndarray | None:
    """Return one label per image, int (number,), or None for the predicted classes."""
    if target_classes is None:
        return None
    if isinstance(target_classes, str) or np.ndim(target_classes) == 0:
        target_classes = [target_classes] * number
    if len(target_classes) != number:
        raise ValueError(
            f"target_classes has {len(target_classes)} entries for {number} images: "
            "pass one class for all, or one for each image."
        )
    found = []
    for target in target_classes:
        known = target in CODES if isinstance(target, str) else 0 <= int(target) < classes
        if not known:
            raise ValueError(
                f"target_classes holds {target!r}, which is no class: "
                f"use a code of {', '.join(CODES)} or a label from 0 to {classes - 1}."
            )
        found.append(CODES.index(target) if isinstance(target, str) else int(target))
    return np.array(found, dtype=int)


def layer_names(model: keras.Model, layers) -> list[str]:
    """Return the layers to explain, by default the last feature map of each branch."""
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
