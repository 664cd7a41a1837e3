"""Grad-CAM (Selvaraju et al. 2017, ICCV, arXiv:1610.02391)."""

import numpy as np


def grad_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each channel by its mean gradient, equations 1 and 2 of the paper.

    Args:
        activations: float32, (n, h, w, channels), of the explained layer.
        gradients: float32, the same shape, of the class's logit with respect to them.

    Returns:
        float32, (n, h, w), before what is negative is cut off.
    """
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return (weights * activations).sum(axis=-1)
