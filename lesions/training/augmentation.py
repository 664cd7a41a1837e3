"""New views of a photograph, drawn at random in training."""

from dataclasses import dataclass

import cv2
import numpy as np

from lesions.data.artefacts import ARTEFACTS

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Strength:
    """How far an augmentation goes.

    Attributes:
        scale: Largest change of scale, as a natural logarithm: 0.2 is 0.82 to 1.22 times.
        shift: Largest shift, as a share of the side.
        tone: Largest relative change of brightness, contrast and saturation.
        light: Largest relative change of each of red, green and blue.
        gamma: Largest exponent of tone, as a natural logarithm.
        shading: Largest relative difference in brightness from the middle to a border.
        cutout: Share of pictures in which a square is blanked (DeVries and Taylor 2017).
        artefacts: Chance of each kind of artefact, see `data.artefacts`.
    """

    scale: float
    shift: float
    tone: float
    light: float
    gamma: float = 0.0
    shading: float = 0.0
    cutout: float = 0.0
    artefacts: float = 0.0


# A lesion has no up: all of them turn and flip without limit.
WIDE_COLOUR = {"tone": 0.35, "light": 0.2, "gamma": 0.4, "shading": 0.25}
# Another camera shows the same lesion at half or at twice the size.
WIDE_SCALE = {"scale": float(np.log(2)), "shift": 0.2}
# "colour" has the colours and the illumination of other cameras, "scale" their distances too, and
# "artefacts" also drawn hairs, rulers, ink, stickers and frames.
STRENGTHS = {
    "standard": Strength(scale=0.2, shift=0.08, tone=0.2, light=0.08),
    "strong": Strength(scale=0.3, shift=0.12, tone=0.3, light=0.12, cutout=0.5),
    "colour": Strength(scale=0.2, shift=0.08, **WIDE_COLOUR),
    "scale": Strength(**WIDE_SCALE, **WIDE_COLOUR),
    "artefacts": Strength(**WIDE_SCALE, **WIDE_COLOUR, artefacts=0.12),
}
AUGMENTATIONS = ("none", *STRENGTHS)


def augment(
    image: np.ndarray, random: np.random.Generator, strength: str = "standard"
) -> np.ndarray:
    """Draw one new view of a lesion: one affine warp and one change of colours.

    Flip, full rotation, scale and shift are a single interpolation with mirrored borders;
    brightness, contrast, saturation and the colour of the light are one matrix.

    Args:
        image: uint8, (size, size, 3), RGB 0-255.
        random: Source of all draws.
        strength: A name of `STRENGTHS`.

    Returns:
        uint8, the same shape.
    """
    reach = STRENGTHS[strength]
    size = image.shape[0]
    # OpenCV warps four channels a third faster than three, to the same values.
    warped = cv2.warpAffine(
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA),
        _draw_warp(random, size, reach),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    view = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
    for draw in ARTEFACTS.values() if reach.artefacts else ():
        if random.random() < reach.artefacts:
            view = draw(view, random)
    view = cv2.transform(view, _draw_colours(random, reach))
    if reach.gamma or reach.shading:
        view = _shade(view, random, reach)
    if reach.cutout and random.random() < reach.cutout:
        side = int(size * random.uniform(0.1, 0.3))
        top, left = random.integers(0, size - side, 2)
        view[top : top + side, left : left + side] = view.mean(axis=(0, 1))
    return view


def _draw_warp(random: np.random.Generator, size: int, reach: Strength) -> np.ndarray:
    angle = random.uniform(0, 2 * np.pi)
    scale = np.exp(random.uniform(-1, 1) * reach.scale)
    flip = 1 if random.random() < 0.5 else -1
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cosine * flip, -sine], [sine * flip, cosine]])
    centre = np.full(2, (size - 1) / 2)
    shift = random.uniform(-1, 1, 2) * reach.shift * size
    return np.column_stack([turn, centre - turn @ centre + shift])


def _draw_colours(random: np.random.Generator, reach: Strength) -> np.ndarray:
    brightness, contrast, saturation = 1 + random.uniform(-1, 1, 3) * reach.tone
    light = 1 + random.uniform(-1, 1, 3) * reach.light
    matrix = saturation * np.eye(3) + (1 - saturation) * LUMA
    matrix = light[:, None] * matrix * contrast * brightness
    offset = np.full(3, 128 * (1 - contrast) * brightness)
    return np.column_stack([matrix, offset]).astype(np.float32)


def _shade(image: np.ndarray, random: np.random.Generator, reach: Strength) -> np.ndarray:
    """Bend the tones by a power, and let the light fall off towards one side."""
    exponent = np.exp(random.uniform(-1, 1) * reach.gamma)
    tones = (255 * (np.arange(256) / 255) ** exponent).round().astype(np.uint8)
    direction = random.uniform(0, 2 * np.pi)
    along = np.linspace(-1, 1, image.shape[0], dtype=np.float32)
    slope = along * np.cos(direction) + along[:, None] * np.sin(direction)
    gain = 1 + np.float32(random.uniform(0, 1) * reach.shading) * slope
    return cv2.multiply(cv2.LUT(image, tones), cv2.merge([gain] * 3), dtype=cv2.CV_8U)
