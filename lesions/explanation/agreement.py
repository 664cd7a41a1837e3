"""How well heat maps agree with the outline of the lesion.

Lesions stand in the middle of the photograph, so any map that is warm in the middle scores well.
A score means something only next to those of `controls`, which know nothing about lesions.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

THRESHOLDS = np.arange(0.05, 1.0, 0.05).round(2)
SCORES = ("energy_inside", "pointing_game", "intersection_over_union", "outside_over_inside")
RATIOS = {"outside_over_inside": ("outside", "inside")}


def _checked(heat_map: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    heat_map, mask = np.asarray(heat_map, np.float64), np.asarray(mask)
    if heat_map.ndim != 2 or heat_map.shape != mask.shape or mask.dtype != bool:
        raise ValueError(
            f"The heat map has shape {heat_map.shape} and the mask is {mask.dtype} of shape "
            f"{mask.shape}: pass a boolean mask of the map's height and width."
        )
    return heat_map, mask


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
        (Wang et al. 2020, Score-CAM); `pointing_game`, 1 if the map's maximum lies on the lesion,
        0 if not, the share of maxima on it where several tie (Zhang et al. 2018);
        `intersection_over_union` of the mask and the hot part of the map; `inside` and
        `outside`, the map's mean on the lesion and off it; `outside_over_inside`, the second
        divided by the first (Tschandl et al. 2020, Nature Medicine 26). NaN where a number is
        undefined (a map of zeros, a mask without an inside or outside), and infinity for the
        last where the map is zero on the lesion and not elsewhere.

    Raises:
        ValueError: If the map and the mask differ in shape, or the mask is not boolean.
    """
    heat_map, mask = _checked(heat_map, mask)
    hot = heat_map >= threshold
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = (np.divide(heat_map[part].sum(), part.sum()) for part in (mask, ~mask))
        scores = {
            "energy_inside": np.divide(heat_map[mask].sum(), heat_map.sum()),
            "pointing_game": mask[heat_map == heat_map.max()].mean(),
            "intersection_over_union": np.divide((hot & mask).sum(), (hot | mask).sum()),
            "inside": inside,
            "outside": outside,
            "outside_over_inside": np.divide(outside, inside),
        }
    if not heat_map.any():
        scores["pointing_game"] = np.nan
    return {name: float(score) for name, score in scores.items()}


def table(
    heat_maps: Iterable[np.ndarray], masks: Iterable[np.ndarray], threshold: float = 0.5
) -> pd.DataFrame:
    """Score many maps.

    Args:
        heat_maps: float, (height, width), 0-1, each.
        masks: bool, (height, width), each.
        threshold: See `mask_agreement`.

    Returns:
        One row a map, with the columns of `mask_agreement` and `empty_map`, 1.0 for a map of
        zeros, which scores 0 in `intersection_over_union` and has no other score.

    Raises:
        ValueError: As `mask_agreement`, or if there are more maps than masks or fewer.
    """
    rows = [
        mask_agreement(heat_map, mask, threshold) | {"empty_map": float(not np.any(heat_map))}
        for heat_map, mask in zip(heat_maps, masks, strict=True)
    ]
    return pd.DataFrame(rows)


def overlaps(
    heat_map: np.ndarray, mask: np.ndarray, thresholds: np.ndarray = THRESHOLDS
) -> np.ndarray:
    """Compute the intersection over union of a mask and a map at many thresholds at once.

    Args:
        heat_map: float, (height, width), 0-1.
        mask: bool, (height, width).
        thresholds: Increasing, from above 0 to 1.

    Returns:
        float64, (thresholds,); 0 where mask and hot part are both empty.

    Raises:
        ValueError: As `mask_agreement`.
    """
    heat_map, mask = _checked(heat_map, mask)

    def hot(pixels):
        return len(pixels) - np.searchsorted(np.sort(pixels), thresholds)

    shared, spilt = hot(heat_map[mask]), hot(heat_map[~mask])
    return shared / np.maximum(mask.sum() + spilt, 1)


def best_threshold(
    overlaps_of_maps: Iterable[np.ndarray], thresholds: np.ndarray = THRESHOLDS
) -> float:
    """Fix the threshold with the highest mean overlap, for use on other images.

    Args:
        overlaps_of_maps: `overlaps` of every validation image.
        thresholds: The thresholds that they were computed at.

    Returns:
        One of the thresholds, the lowest where several tie.

    Raises:
        ValueError: If there is no image.
    """
    found = list(overlaps_of_maps)
    if not found:
        raise ValueError("There is no validation image with a mask to fix the threshold on.")
    return float(thresholds[np.argmax(np.mean(found, axis=0))])
