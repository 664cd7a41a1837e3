"""Look for photographs of one set that stand in another, turned, flipped or saved anew."""

import cv2
import numpy as np
import pandas as pd

SIDE = 16
# Copies that were turned, resized and compressed anew correlate by more than this; different
# photographs of one lesion by less.
SAME_ABOVE = 0.99
CHUNK = 500


def find_near_duplicates(
    images: np.ndarray, others: np.ndarray, above: float = SAME_ABOVE
) -> pd.DataFrame:
    """Find the photographs that resemble one of another set, in any of eight orientations.

    Pictures are compared by the correlation of their grey values at 16 x 16 pixels.

    Args:
        images: uint8, (n, size, size, 3), RGB 0-255, at least one.
        others: uint8, (m, size, size, 3), for example the training photographs, at least one.
        above: Smallest correlation that is reported, -1 to 1.

    Returns:
        One row a photograph of `images` whose nearest of `others` correlates by more than
        `above`: `row` and `other_row` (int) and `correlation`, the highest first.
    """
    known = _standardised(others)
    rows = []
    for start in range(0, len(images), CHUNK):
        part = _thumbnails(images[start : start + CHUNK])
        turned = [np.rot90(part, turns, axes=(1, 2)) for turns in range(4)]
        turned += [np.flip(one, axis=2) for one in turned]
        best = np.stack([_rows(one) @ known.T for one in turned]).max(axis=0)
        nearest = best.argmax(axis=1)
        rows += zip(range(start, start + len(part)), nearest, best.max(axis=1), strict=True)
    table = pd.DataFrame(rows, columns=["row", "other_row", "correlation"])
    table = table[table["correlation"] > above]
    return table.sort_values("correlation", ascending=False, ignore_index=True)


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Shrink pictures to grey ones, float32 (n, SIDE, SIDE)."""
    shrunk = [
        cv2.resize(
            cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA
        )
        for one in images
    ]
    return np.stack(shrunk).astype(np.float32)


def _rows(thumbnails: np.ndarray) -> np.ndarray:
    """Flatten thumbnails to rows whose products are correlations."""
    rows = thumbnails.reshape(len(thumbnails), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _standardised(images: np.ndarray) -> np.ndarray:
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    return np.concatenate([_rows(_thumbnails(part)) for part in parts])
