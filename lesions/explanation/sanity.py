"""Whether heat maps depend on what the network learned, and how steady they are."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import keras
import numpy as np
from scipy.stats import rankdata

from lesions.explanation import agreement
from lesions.networks import views

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
NOISE = 5.0


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Computes Spearman's correlation of two maps' pixels.

    Returns:
        -1 to 1; NaN where a map is constant, because it has no order.
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def structural_similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Computes the mean structural similarity (Wang et al. 2004) of two maps of range 0-1.

    Args:
        one: float, (height, width), 0-1.
        other: The same shape.

    Returns:
        -1 to 1, 1 for equal maps; Gaussian windows of 1.5 pixels, as in the paper.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)

    def local(pixels):
        return cv2.GaussianBlur(pixels, (11, 11), 1.5)

    mean, other_mean = local(one), local(other)
    variance, other_variance = local(one**2) - mean**2, local(other**2) - other_mean**2
    covariance = local(one * other) - mean * other_mean
    light, contrast = 0.01**2, 0.03**2
    above = (2 * mean * other_mean + light) * (2 * covariance + contrast)
    below = (mean**2 + other_mean**2 + light) * (variance + other_variance + contrast)
    return float((above / below).mean())


def similarity(maps: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """Compares maps one by one.

    Args:
        maps: float, (n, height, width), 0-1.
        others: The same shape.

    Returns:
        `rank_correlation` and `structural_similarity`, float (n,) each.
    """
    pairs = list(zip(maps, others, strict=True))
    return {
        "rank_correlation": np.array([rank_correlation(*pair) for pair in pairs]),
        "structural_similarity": np.array([structural_similarity(*pair) for pair in pairs]),
    }


def cascade(
    model: keras.Model, shares=SHARES, seed: int = 0
) -> Iterator[tuple[float, keras.Model]]:
    """Randomises a network from its last layer to its first (Adebayo et al. 2018).

    Weights are shuffled within their tensor, see `agreement.draw_anew`, so that activations keep
    their scale and only what was learned is lost.

    Args:
        model: From `models.build` or `models.load`; it stays as it is.
        shares: Increasing shares of the layers with weights; 0 is the last layer alone.
        seed: Of the shuffles.

    Yields:
        A share and one and the same copy of the model, further randomised each time.
    """
    twin = agreement.copy(model)
    layers = [layer for layer in reversed(twin.layers) if layer.weights]
    done = 0
    for share in shares:
        goal = max(1, round(share * len(layers)))
        for number in range(done, goal):
            agreement.draw_anew(layers[number], seed + number)
        done = max(done, goal)
        yield share, twin


def changed_views(images: np.ndarray, seed: int = 0) -> Iterator[tuple[str, np.ndarray, int]]:
    """Shows images in ways that should not matter: seven symmetries and slight noise.

    Args:
        images: uint8, (n, size, size, 3).
        seed: Of the noise, whose standard deviation is 5 of 255.

    Yields:
        The name of the change, the changed images, and the number of their view for `turned_back`.
    """
    for number in range(1, views.VIEWS):
        yield "symmetries", views.view(images, number), number
    noise = np.random.default_rng(seed).normal(0, NOISE, images.shape)
    yield "noise", np.clip(np.round(images + noise), 0, 255).astype(np.uint8), 0


def turned_back(maps: np.ndarray, number: int) -> np.ndarray:
    """Undoes `views.view` on maps (n, size, size)."""
    maps = maps[:, :, ::-1] if number >= views.VIEWS // 2 else maps
    return np.rot90(maps, -(number % 4), axes=(1, 2))
