"""Look for photographs of one set that stand in another, turned, flipped or saved anew."""

import cv2
import numpy as np

SIDE = 16
# Copies that were turned, resized and compressed anew correlate by more than this; different
# photographs of one lesion by less.
SAME_ABOVE = 0.99


def highest_correlations(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find how much each photograph resembles one of another set, in any of eight orientations.

    Pictures are compared by the correlation of their grey values at 16 x 16 pixels.

    Args:
        images: uint8, (n, size, size, 3), RGB 0-255, at least one.
        others: uint8, (m, size, size, 3), for example the training photographs, at least one.

    Returns:
        float32, (n,), the highest correlation of each of `images` with any of `others`, -1 to 1;
        above `SAME_ABOVE` it is a copy.
    """
    known, part = _rows(_thumbnails(others)), _thumbnails(images)
    turned = [np.rot90(part, turns, axes=(1, 2)) for turns in range(4)]
    turned += [np.flip(one, axis=2) for one in turned]
    return np.max([(_rows(one) @ known.T).max(axis=1) for one in turned], axis=0)


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Shrink pictures to grey ones, float32 (n, SIDE, SIDE)."""
    grey = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in images)
    shrunk = [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in grey]
    return np.stack(shrunk).astype(np.float32)


def _rows(thumbnails: np.ndarray) -> np.ndarray:
    """Flatten thumbnails to rows whose products are correlations."""
    rows = thumbnails.reshape(len(thumbnails), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
