"""Photographs from file to array: decoded, prepared as the networks take them, and stored."""

from lesions.data.decoding import (
    MAXIMUM_PIXELS,
    MINIMUM_SIDE,
    PROBLEMS,
    decode_image,
    read_image,
)
from lesions.data.preparing import (
    CONSTANCY,
    centre_square,
    grey_world,
    prepare,
    read_mask,
    remove_hair,
    resize,
    shades_of_grey,
)
from lesions.data.store import CHUNK, ImageStore
