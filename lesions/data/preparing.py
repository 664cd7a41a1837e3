"""Bring photographs and masks to the square that the networks take.

A photograph is uint8, (height, width, 3), RGB 0-255, before and after every step.
"""

import cv2
import numpy as np

from lesions.data.decoding import read_image


def centre_square(image: np.ndarray) -> np.ndarray:
    """Cut the largest centred square out of an image (height, width, ...); returns a view."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a square photograph, by area means where it shrinks, else bicubically."""
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def remove_hair(image: np.ndarray) -> np.ndarray:
    """Remove dark hairs: DullRazor's idea (Lee et al. 1997) by OpenCV.

    A black-hat filter finds thin dark lines, which are painted over from their borders.
    """
    # The filter is as wide as a hair: about 1/25 of the image's side.
    width = max(3, round(image.shape[0] / 25) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (width, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    lines = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    hair = (cv2.GaussianBlur(lines, (3, 3), 0) > 12).astype(np.uint8)
    hair = cv2.dilate(hair, np.ones((3, 3), np.uint8))
    return cv2.inpaint(image, hair, 3, cv2.INPAINT_TELEA)


def shades_of_grey(image: np.ndarray, power: int = 6) -> np.ndarray:
    """Take the colour of the light out, not its brightness (Finlayson and Trezzi 2004).

    `power` is Minkowski's; 1 is grey world.
    """
    light = np.mean(image.astype(np.float32) ** power, axis=(0, 1)) ** (1 / power)
    gain = light.mean() / np.maximum(light, 1e-6)
    return np.clip(image * gain, 0, 255).round().astype(np.uint8)


def grey_world(image: np.ndarray) -> np.ndarray:
    """Scale the channels to the same mean (Buchsbaum 1980); see `shades_of_grey`."""
    return shades_of_grey(image, power=1)


CONSTANCY = {"grey_world": grey_world, "shades_of_grey": shades_of_grey}


def prepare(image, size: int, colour_constancy: str | None = None) -> np.ndarray:
    """Bring one photograph to the form that the networks take.

    Args:
        image: Path of a photograph, or uint8 (height, width, 3) RGB 0-255.
        size: Side of the square in pixels.
        colour_constancy: None, "grey_world" or "shades_of_grey".

    Returns:
        uint8, (size, size, 3), RGB 0-255.

    Raises:
        ValueError: As `read_image`, or for an unknown colour constancy.
    """
    if not isinstance(image, np.ndarray):
        image = read_image(image)
    image = resize(centre_square(image), size)
    if colour_constancy:
        if colour_constancy not in CONSTANCY:
            raise ValueError(
                f"Unknown colour constancy {colour_constancy!r}; use {' or '.join(CONSTANCY)}."
            )
        image = CONSTANCY[colour_constancy](image)
    return image


def read_mask(path, size: int) -> np.ndarray:
    """Read a lesion mask, a `_segmentation.png` file, in the frame of `prepare`.

    Returns:
        bool, (size, size), True on the lesion.
    """
    mask = (centre_square(read_image(path)).max(axis=2) > 0).astype(np.uint8) * 255
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) >= 128
