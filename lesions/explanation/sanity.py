"""Whether heat maps depend on what the network learned, and how steady they are."""

from collections.abc import Iterator

import keras
import numpy as np
from scipy.stats import spearmanr

from lesions.explanation import controls
from lesions.networks import views

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
NOISE = 5.0


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute Spearman's correlation of the pixels of maps (n, height, width), pair by pair.

    It is NaN where a map is constant, because that has no order.
    """
    return np.array(
        [
            spearmanr(*pair, axis=None).statistic if all(map(np.ptp, pair)) else np.nan
            for pair in zip(maps, others, strict=True)
        ]
    )


def cascade(model: keras.Model) -> Iterator[tuple[float, keras.Model]]:
    """Randomise a copy of a network from its last layer to its first (Adebayo et al. 2018).

    Yields:
        One of `SHARES` of the layers with weights, where 0 is the last layer alone, and one and
        the same copy of the model, further randomised each time.
    """
    twin = controls.copy(model)
    layers = [layer for layer in reversed(twin.layers) if layer.weights]
    done = 0
    for share in SHARES:
        goal = max(1, round(share * len(layers)))
        for number in range(done, goal):
            controls.shuffle_weights(layers[number], seed=number)
        done = goal
        yield share, twin


def changed_views(images: np.ndarray) -> Iterator[tuple[str, np.ndarray, int]]:
    """Show images in ways that should not matter: seven symmetries and slight noise.

    Args:
        images: uint8, (n, size, size, 3).

    Yields:
        The name of the change, the changed images, and the number of their view for `turned_back`.
    """
    for number in range(1, views.VIEWS):
        yield "symmetries", views.view(images, number), number
    noise = np.random.default_rng(0).normal(0, NOISE, images.shape)
    yield "noise", np.clip(np.round(images + noise), 0, 255).astype(np.uint8), 0


def turned_back(maps: np.ndarray, number: int) -> np.ndarray:
    """Undo `views.view` on maps (n, size, size)."""
    maps = maps[:, :, ::-1] if number >= views.VIEWS // 2 else maps
    return np.rot90(maps, -(number % 4), axes=(1, 2))
