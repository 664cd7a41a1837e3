"""Grad-CAM++ (Chattopadhay et al. 2018, WACV, arXiv:1710.11063)."""

import numpy as np


def grad_cam_plus_plus(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each positive gradient by its share, equation 19 of the paper.

    With the score exp(logit), derivatives of every order are powers of the gradient times
    exp(logit), a factor common to the whole image that the normalisation removes. What is left
    of alpha is g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + sum(A) g) wherever g is not zero.

    Args:
        activations: float32, (n, h, w, channels), of the explained layer.
        gradients: float32, the same shape, of the class's logit with respect to them.

    Returns:
        float32, (n, h, w), before what is negative is cut off.
    """
    positive = np.maximum(gradients, 0.0)
    # The paper assumes activations after a ReLU. A layer without one can sum to a negative
    # number and bring the denominator to zero; the floor keeps it at two or more.
    totals = np.maximum(activations.sum(axis=(1, 2), keepdims=True), 0.0)
    weights = (positive / (2.0 + totals * positive)).sum(axis=(1, 2), keepdims=True)
    return (weights * activations).sum(axis=-1)
