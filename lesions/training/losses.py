"""What a training minimises, and the steps by which it does."""

from __future__ import annotations

import keras
import numpy as np

from lesions import classes


def loss(name: str, labels: np.ndarray, label_smoothing: float = 0.0):
    """Give the loss of a training.

    Args:
        name: "crossentropy", "focal", or "logit_adjusted": cross-entropy after every class's
            logit is raised by the log of its frequency, so that the network need not learn how
            frequent a class is (Menon et al. 2021).
        labels: int, (n,), training labels 0 to 6.
        label_smoothing: 0 to 1.

    Returns:
        What `keras.Model.compile` takes.

    Raises:
        ValueError: If the name is unknown.
    """
    if name == "focal":
        return keras.losses.CategoricalFocalCrossentropy(label_smoothing=label_smoothing)
    if name == "crossentropy":
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    if name != "logit_adjusted":
        raise ValueError(f"Unknown loss {name!r}; use crossentropy, focal or logit_adjusted.")
    frequencies = np.bincount(labels, minlength=len(classes.CODES)) / len(labels)

    def logit_adjusted(y_true, y_pred):
        raised = y_pred * keras.ops.convert_to_tensor(frequencies, dtype=y_pred.dtype)
        raised = raised / keras.ops.sum(raised, axis=-1, keepdims=True)
        return keras.losses.categorical_crossentropy(
            y_true, raised, label_smoothing=label_smoothing
        )

    return logit_adjusted


class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW in which early layers, which know edges and colours already, learn more slowly.

    Attributes:
        shares: float, one a trainable variable, what it takes of the learning rate.
    """

    def __init__(self, learning_rate, shares: list[float], **more):
        """Describe the optimiser.

        Args:
            learning_rate: Rate of the last layer, or a schedule of it.
            shares: See `layer_shares`.
            **more: Passed on to `keras.optimizers.AdamW`.
        """
        super().__init__(learning_rate, **more)
        self.shares = shares

    def update_step(self, gradient, variable, learning_rate):
        """Take AdamW's step of one variable at its own rate."""
        share = self.shares[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * share)


def layer_shares(model: keras.Model, first: float) -> list[float]:
    """Space learning rates geometrically from the first layer to the last.

    Args:
        model: A network.
        first: The first layer's share of the last one's rate, above 0.

    Returns:
        One share, `first` to 1, for each of `model.trainable_variables`.
    """
    exponents = np.linspace(1, 0, len(model.layers))
    shares = {
        variable.path: float(first**exponent)
        for exponent, layer in zip(exponents, model.layers, strict=True)
        for variable in layer.trainable_variables
    }
    return [shares[variable.path] for variable in model.trainable_variables]
