"""What else a network may look at: hairs, rulers, colour patches and dark corners.

Each function takes and gives uint8 (size, size, 3) RGB; what is drawn depends on the seed alone.
"""

from __future__ import annotations

import cv2
import numpy as np

from lesions.data import images


def hairs_drawn(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draws a dozen dark curved hairs across the picture."""
    rng, size = np.random.default_rng(seed), image.shape[0]
    cover = np.zeros((size, size), np.uint8)
    along = np.linspace(-1, 1, 24)
    for _ in range(12):
        turn, middle = rng.uniform(0, np.pi), rng.uniform(0, size, 2)
        forward = np.array([np.cos(turn), np.sin(turn)])
        sideways = np.array([-forward[1], forward[0]])
        path = middle + np.outer(along * rng.uniform(0.2, 0.5) * size, forward)
        path += np.outer(along**2 * rng.normal(0, 0.08) * size, sideways)
        points = np.round(path * 8).astype(np.int32)
        width = max(1, round(size / 128))
        cv2.polylines(cover, [points], False, 230, width, cv2.LINE_AA, 3)
    return _covered(image, cover, (35, 25, 20))


def ruler(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Prints a millimetre scale along one of the four sides."""
    rng, size = np.random.default_rng(seed), image.shape[0]
    cover = np.zeros((size, size), np.uint8)
    for number, place in enumerate(np.arange(rng.uniform(0, 1), 24) * size / 24):
        length = size * (0.09 if number % 5 == 0 else 0.05)
        ends = np.array([[size * 0.02, place], [size * 0.02 + length, place]])
        points = np.round(ends * 8).astype(np.int32)
        width = max(1, round(size / 160))
        cv2.polylines(cover, [points], False, 220, width, cv2.LINE_AA, 3)
    return _covered(image, np.rot90(cover, rng.integers(4)), (20, 20, 25))


def colour_patch(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Pastes a round coloured sticker into one of the four corners, as in photographs of children.

    Such stickers are known to mislead networks (Rieger et al. 2020, arXiv:1909.13584).
    """
    rng, size = np.random.default_rng(seed), image.shape[0]
    cover = np.zeros((size, size), np.uint8)
    corner = np.array([[0.06, 0.06], [0.94, 0.06], [0.06, 0.94], [0.94, 0.94]])[rng.integers(4)]
    centre = tuple(int(place) for place in np.round(corner * size * 8))
    cv2.circle(cover, centre, round(size * 0.16 * 8), 255, -1, cv2.LINE_AA, 3)
    colour = ((40, 90, 190), (230, 200, 40), (60, 150, 70), (225, 120, 30))[rng.integers(4)]
    return _covered(image, cover, colour)


def dark_corners(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Darkens the corners, as the round tube of a dermatoscope does; the seed changes nothing."""
    size = image.shape[0]
    places = (np.arange(size) - (size - 1) / 2) / (size / 2)
    distance = np.hypot(places[:, np.newaxis], places)
    cover = np.clip((distance - 1.0) / 0.1, 0, 1) * 255
    return _covered(image, cover.astype(np.uint8), (8, 6, 6))


def hairs_removed(image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Removes hairs by `images.remove_hair`; the seed changes nothing."""
    return images.remove_hair(image)


def _covered(image: np.ndarray, cover: np.ndarray, colour) -> np.ndarray:
    share = cover[..., np.newaxis].astype(np.float32) / 255
    mixed = image * (1 - share) + share * np.float32(colour)
    return np.round(mixed).astype(np.uint8)


CHANGES = {
    "hairs removed": hairs_removed,
    "hairs drawn": hairs_drawn,
    "ruler": ruler,
    "colour patch": colour_patch,
    "dark corners": dark_corners,
}
