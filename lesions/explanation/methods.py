"""Grad-CAM and two relatives: from a layer's activations and gradients to a map.

Each takes the activations of the explained layer, float32 (n, h, w, channels), and the gradients
of the class's logit with respect to them, and returns float32 (n, h, w), before what is negative
is cut off.
"""

import numpy as np


def grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each channel by its mean gradient (Selvaraju et al. 2017, equations 1 and 2)."""
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return (weights * activations).sum(axis=-1)


def grad_cam_plus_plus(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each positive gradient by its share (Chattopadhay et al. 2018, equation 19).

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


def hires_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Multiply place by place, without averaging (Draelos and Carin 2020, arXiv:2011.08891)."""
    return (gradients * activations).sum(axis=-1)


METHODS = {
    "grad_cam": grad_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "hires_cam": hires_cam,
}
