"""HiResCAM (Draelos and Carin 2020, arXiv:2011.08891)."""

import numpy as np


def hires_cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Multiply activations and gradients place by place, without averaging.

    Args:
        activations: float32, (n, h, w, channels), of the explained layer.
        gradients: float32, the same shape, of the class's logit with respect to them.

    Returns:
        float32, (n, h, w), before what is negative is cut off.
    """
    return (gradients * activations).sum(axis=-1)
