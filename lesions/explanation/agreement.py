"""How well heat maps agree with the outline of the lesion.

Lesions stand in the middle of the photograph, so any map that is warm in the middle scores well.
A score means something only next to those of `controls`, which know nothing about lesions.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

THRESHOLDS = np.arange(0.05, 1.0, 0.05).round(2)
SCORES = ("pointing_game", "energy_inside", "intersection_over_union", "outside_over_inside")
# Of means, as a single map may be zero on the lesion (Tschandl et al. 2020, Nature Medicine 26).
RATIOS = {"outside_over_inside": ("outside", "inside")}


def mask_agreement(
    heat_map: np.ndarray, mask: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Measure how well a heat map agrees with a lesion's mask.

    Args:
        heat_map: float, (height, width), 0-1.
        mask: bool, (height, width), True on the lesion.
        threshold: From where on the map counts as hot, 0-1; see `best_threshold`.

    Returns:
        A dict of floats: `energy_inside`, the share of the map's sum that lies on the lesion
        (Wang et al. 2020, Score-CAM); `pointing_game`, the share of the map's maxima, mostly one,
        that lie on the lesion (Zhang et al. 2018); `intersection_over_union` of the mask and the
        hot part of the map; `inside` and `outside`, the map's mean on the lesion and off it;
        `empty_map`, 1 for a map of zeros. NaN where a number is undefined (a map of zeros, a mask
        without an inside or outside).
    """
    heat_map = heat_map.astype(np.float64)
    hot, empty = heat_map >= threshold, not heat_map.any()
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = (np.divide(heat_map[part].sum(), part.sum()) for part in (mask, ~mask))
        scores = {
            "energy_inside": np.divide(heat_map[mask].sum(), heat_map.sum()),
            "pointing_game": np.nan if empty else mask[heat_map == heat_map.max()].mean(),
            "intersection_over_union": np.divide((hot & mask).sum(), (hot | mask).sum()),
            "inside": inside,
            "outside": outside,
            "empty_map": empty,
        }
    return {name: float(score) for name, score in scores.items()}


def table(
    heat_maps: Iterable[np.ndarray], masks: Iterable[np.ndarray], threshold: float
) -> pd.DataFrame:
    """Score many maps: one row of `mask_agreement` each."""
    pairs = zip(heat_maps, masks, strict=True)
    return pd.DataFrame([mask_agreement(*pair, threshold) for pair in pairs])


def overlaps(heat_map: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Compute a map's intersection over union with a mask at all `THRESHOLDS`, float (n,)."""

    def hot(pixels):
        return len(pixels) - np.searchsorted(np.sort(pixels), THRESHOLDS)

    heat_map = heat_map.astype(np.float64)
    shared, spilt = hot(heat_map[mask]), hot(heat_map[~mask])
    return shared / np.maximum(mask.sum() + spilt, 1)


def best_threshold(overlaps_of_maps: list[np.ndarray]) -> float:
    """Return the threshold of the highest mean of `overlaps`, the lowest where several tie."""
    return float(THRESHOLDS[np.argmax(np.mean(overlaps_of_maps, axis=0))])
