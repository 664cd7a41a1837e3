"""Whether a heat map names the pixels that the answer rests on: take them away and ask again.

The network is given as a function `predict`, so that any may stand behind it: from uint8 images
(n, size, size, 3) to float (n,), the probability of the class that is explained.
"""

from collections.abc import Callable

import cv2
import numpy as np

FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Rong et al. weigh a neighbour beside a pixel by 1/6 and one at its corner by 1/12.
NEIGHBOURS = np.float32([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
NOISE = 0.01 * 255
SWEEPS = 24
RADIUS = 0.98  # spectral radius of what is left to relax after the coarser solution
RING = 0.06

Predict = Callable[[np.ndarray], np.ndarray]


def hottest(heat_map: np.ndarray, fraction: float) -> np.ndarray:
    """Mark round(fraction * pixels) hottest ones of a map (height, width), at random among ties."""
    ties = np.random.default_rng(0).random(heat_map.size)
    order = np.lexsort((ties, -heat_map.ravel()))
    chosen = np.zeros(heat_map.size, bool)
    chosen[order[: round(fraction * heat_map.size)]] = True
    return chosen.reshape(heat_map.shape)


def area(curve: np.ndarray) -> float:
    """Compute the mean height of a curve over `FRACTIONS`, by the trapezoid rule."""
    return float(np.trapezoid(curve, FRACTIONS) / (FRACTIONS[-1] - FRACTIONS[0]))


def impute(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Fill removed pixels from their neighbours (Rong et al. 2022, ROAD, arXiv:2202.00449).

    Each becomes the weighted mean of its eight neighbours, with noise of 1% of the range, so that
    the fill gives away neither shape nor content of what was there. The equations are solved
    coarse to fine by relaxation, to a few grey levels what a sparse solver finds in a hundred
    times the time.

    Args:
        image: uint8, (height, width, 3), RGB.
        removed: bool, (height, width).

    Returns:
        uint8, (height, width, 3). Where everything is removed, noise around mean grey.
    """
    if not removed.any():
        return image.copy()
    known = (~removed).astype(np.float32)
    filled = _relaxed(image.astype(np.float32) * known[..., np.newaxis], known)
    noise = np.random.default_rng(0).normal(0, NOISE, image.shape)
    filled = np.where(removed[..., np.newaxis], filled + noise, image)
    return np.clip(np.round(filled), 0, 255).astype(np.uint8)


def _relaxed(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Solve for the unknown pixels, 0 in `values`, at half the size, then relax at this one."""
    height, width = known.shape
    if min(height, width) <= 4 or not known.any():
        total = known.sum()
        mean = values.sum(axis=(0, 1)) / total if total else np.float32(127.5)
        start = np.broadcast_to(mean, values.shape)
    else:
        size = (-(-width // 2), -(-height // 2))
        share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        smaller = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        smaller = smaller / np.maximum(share, 1e-6)[..., np.newaxis]
        half = (share > 0).astype(np.float32)
        coarse = _relaxed(smaller * half[..., np.newaxis], half)
        start = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    start = np.where(known[..., np.newaxis] > 0, values, start).astype(np.float32)
    free = np.repeat(1 - known[..., np.newaxis], 3, axis=2)
    # A pixel at the border has fewer neighbours, whose weights then add up to one.
    weights = cv2.filter2D(np.ones_like(known), -1, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    free /= weights[..., np.newaxis]
    before, result, relaxation = start, _sweep(start, values, free), 1.0
    for number in range(SWEEPS):
        # Chebyshev's acceleration of Jacobi's method (Golub and Varga 1961).
        relaxation = 1 / (1 - RADIUS**2 * (relaxation if number else 2) / 4)
        swept = _sweep(result, values, free)
        before, result = result, cv2.addWeighted(swept, relaxation, before, 1 - relaxation, 0)
    return result


def _sweep(pixels: np.ndarray, values: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Replace each unknown pixel by the weighted mean of its neighbours."""
    means = cv2.filter2D(pixels, -1, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    return cv2.add(cv2.multiply(means, free), values)


def road(predict: Predict, image: np.ndarray, heat_map: np.ndarray) -> dict[str, np.ndarray]:
    """Remove and impute the hottest pixels first, and the coldest first.

    Args:
        predict: See the module.
        image: uint8, (height, width, 3), RGB.
        heat_map: float, (height, width).

    Returns:
        `most_relevant_first` and `least_relevant_first`, float (fractions,), the probability left
        at each of `FRACTIONS` (Rong et al. report accuracy, which needs more images). In a
        faithful map the second is above the first.
    """
    orders = {"most_relevant_first": heat_map, "least_relevant_first": -heat_map}
    changed = [
        impute(image, hottest(order, fraction))
        for order in orders.values()
        for fraction in FRACTIONS
    ]
    found = predict(np.stack(changed)).reshape(len(orders), -1)
    return dict(zip(orders, found, strict=True))


def without_lesion(image: np.ndarray, mask: np.ndarray, fill: str = "inpainted") -> np.ndarray:
    """Take the lesion out of a photograph.

    Args:
        image: uint8, (height, width, 3), RGB.
        mask: bool, (height, width), True on the lesion; widened a little, because outlines are
            drawn tight.
        fill: "inpainted" (Telea 2004, by OpenCV), or "skin", the mean colour of a ring around
            the lesion, which leaves a flat patch.
    """
    wide = _widened(mask, RING / 2)
    if fill == "inpainted" and not wide.all():  # nothing can be painted in without a border
        return _inpainted(image, wide)
    return np.where(wide[..., np.newaxis], _skin_colour(image, mask), image)


def only_lesion(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Show the lesion on a plain ground of the colour of its skin; see `without_lesion`."""
    return np.where(_widened(mask, RING / 2)[..., np.newaxis], image, _skin_colour(image, mask))


def without_skin(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Inpaint as many pixels as the lesion has, as far from it as can be; see `without_lesion`.

    It is the control: what changes an answer here, too, is the paint. Beside a lesion of more
    than half of the photograph, fewer pixels are left to paint over; see `has_room`.
    """
    wide = _widened(mask, RING / 2)
    number = min(np.count_nonzero(wide), np.count_nonzero(~wide))
    distance = cv2.distanceTransform((~wide).astype(np.uint8), cv2.DIST_L2, 5)
    patch = np.zeros(mask.size, bool)
    patch[np.argsort(-distance, axis=None, kind="stable")[:number]] = True
    return _inpainted(image, patch.reshape(mask.shape))


def has_room(mask: np.ndarray) -> bool:
    """Check whether there is as much skin as lesion, widened as `without_lesion` does."""
    return bool(_widened(mask, RING / 2).mean() <= 0.5)


def _inpainted(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    return cv2.inpaint(image, removed.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def _widened(mask: np.ndarray, share: float) -> np.ndarray:
    reach = 2 * max(1, round(share * mask.shape[0])) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _skin_colour(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mean colour of a ring around the lesion, uint8 (3,)."""
    ring = _widened(mask, 1.5 * RING) & ~_widened(mask, RING / 2)
    if not ring.any():  # the lesion fills the picture: its border is the nearest to skin
        ring = np.ones_like(mask)
        ring[2:-2, 2:-2] = False
    return image[ring].mean(axis=0).round().astype(np.uint8)
