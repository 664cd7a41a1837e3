"""What a training minimises."""

from __future__ import annotations

import keras

LOSSES = ("crossentropy", "focal")


def loss(name: str, label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Return the loss of a training.

    Args:
        name: "crossentropy", or "focal" (Lin et al. 2017).
        label_smoothing: 0 to 1.

    Raises:
        ValueError: If the name is unknown.
    """
    if name == "focal":
        return keras.losses.CategoricalFocalCrossentropy(label_smoothing=label_smoothing)
    if name == "crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    raise ValueError(f"Unknown loss {name!r}; use {' or '.join(LOSSES)}.")
