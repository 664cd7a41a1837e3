"""How well heat maps agree with the outline of the lesion, and the controls that know nothing.

Lesions stand in the middle of the photograph, so any map that is warm in the middle scores well.
A score means something only beside those of maps that have learned nothing about lesions.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import pandas as pd

from lesions.networks import models

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
    """Measures how well a heat map agrees with a lesion's mask.

    Args:
        heat_map: float, (height, width), 0-1.
        mask: bool, (height, width), True on the lesion.
        threshold: From where on the map counts as hot, 0-1; see `best_threshold`.

    Returns:
        A dict of floats: `energy_inside`, the share of the map's sum that lies on the lesion
        (Wang et al. 2020, Score-CAM); `pointing_game`, 1 if the map's maximum lies on the lesion,
        0 if not, the share of maxima on it where several tie (Zhang et al. 2018);
        `intersection_over_union` of the mask and the hot part of the map; `inside` and
        `outside`, the map's mean on the lesion and beside it; `outside_over_inside`, the second
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
    """Scores many maps.

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
    """Computes the intersection over union of a mask and a map at many thresholds at once.

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
    """Fixes the threshold with the highest mean overlap, for use on other images.

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


def centred_gaussian(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Fits a Gaussian in the middle of the picture to masks.

    Its width and height are the root mean square distances of lesion pixels from the middle.

    Args:
        masks: bool, (height, width) each, all of one shape; of training images.

    Returns:
        float32, (height, width), the maximum is 1.

    Raises:
        ValueError: If no mask holds a pixel of lesion.
    """
    total = np.float64(0)
    for mask in masks:
        total = total + mask
    if not np.any(total):
        raise ValueError("There is no training mask with a lesion to fit the Gaussian to.")
    result = np.float64(1)
    for axis, side in enumerate(total.shape):
        places = np.arange(side) - (side - 1) / 2
        weights = total.sum(axis=1 - axis)
        variance = max((weights * places**2).sum() / weights.sum(), 0.25)
        curve = np.exp(-(places**2) / (2 * variance))
        result = result * (curve[:, np.newaxis] if axis == 0 else curve)
    return (result / result.max()).astype(np.float32)


def random_network(model: keras.Model, seed: int = 0) -> keras.Model:
    """Builds the same architecture with random weights.

    Args:
        model: From `models.build` or `models.load`.
        seed: Of the weights; sets Keras' global seed.

    Returns:
        An untrained model with the same inputs.
    """
    return models.build(
        model.name, model.inputs[0].shape[1], "random", len(model.inputs) > 1, seed=seed
    )


def copy(model: keras.Model) -> keras.Model:
    """Copies a model with its weights."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with a copy of its weights
    return twin


def draw_anew(layer: keras.Layer, seed: int = 0) -> None:
    """Replaces a layer's trained weights by a shuffle of themselves, in place.

    Values keep their distribution and lose their order (Adebayo et al. 2018 draw new ones; a
    shuffle keeps the scale that a trained network expects of its layers). Statistics that
    normalise the input stay.
    """
    if isinstance(layer, keras.layers.Normalization):
        return
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()])


def randomised_top(model: keras.Model, seed: int = 0) -> keras.Model:
    """Copies a model and shuffles the weights of its last layer, "logits".

    Args:
        model: From `models.build` or `models.load`.
        seed: Of the shuffle.

    Returns:
        The copy.
    """
    twin = copy(model)
    draw_anew(twin.get_layer("logits"), seed)
    return twin
