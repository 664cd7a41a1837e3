"""What lies on dermatoscopic photographs and says nothing about the lesion: hairs, rulers, ink.

Networks learn such things instead of the lesion where they occur with one class more often than
with another (Rieger et al. 2020, arXiv:1909.13584; Winkler et al. 2019, JAMA Dermatology). The
demo photographs wear them, training may add them at random, and the explanation benchmark draws
them on test photographs to see what changes.

Every function takes a photograph, uint8 (height, width, 3) RGB 0-255, of any size, and a NumPy
Generator, and returns a new array of the same shape and type. The input stays as it is.
"""

import cv2
import numpy as np

FRACTION_BITS = 3  # OpenCV draws at eighths of a pixel, so that thin lines stay smooth.
HAIR_COLOURS = ((35, 25, 20), (60, 40, 28), (110, 80, 60), (150, 125, 100))
INK_COLOURS = ((70, 50, 130), (60, 40, 100), (40, 60, 140), (35, 90, 110))
PATCH_COLOURS = ((40, 90, 190), (230, 200, 40), (60, 150, 70), (225, 120, 30), (200, 60, 60))
BLACK = (8, 6, 6)


def draw_hairs(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw 3 to 24 curved hairs of one colour, most of them in one direction."""
    size = max(image.shape[:2])
    cover = np.zeros(image.shape[:2], np.uint8)
    common, along = random.uniform(0, np.pi), np.linspace(-1, 1, 16)
    for _ in range(random.integers(3, 25)):
        heading = common + random.normal(0, 0.5)
        forward = np.array([np.cos(heading), np.sin(heading)])
        sideways = np.array([-forward[1], forward[0]])
        path = random.uniform(0, size, 2) + np.outer(
            along * random.uniform(0.12, 0.5), forward * size
        )
        path += np.outer(along**2 + 0.4 * along**3, sideways * size * random.normal(0, 0.08))
        width = size / 256 * random.uniform(0.7, 2.3)
        # A hair thinner than a pixel is a fainter line.
        strength = random.uniform(150, 250) * min(1.0, width)
        draw_line(cover, path, round(strength), max(1, round(width)))
    return _covered(image, cover, random.choice(HAIR_COLOURS))


def draw_ruler(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Print a millimetre scale along one of the four sides."""
    sides = random.integers(4)
    turned = np.rot90(image, sides)
    height, size = turned.shape[0], max(image.shape[:2])
    cover = np.zeros(turned.shape[:2], np.uint8)
    margin, pitch = size * random.uniform(0.015, 0.06), size * random.uniform(0.035, 0.06)
    width = max(1, round(size / 170))
    for number, place in enumerate(np.arange(pitch * random.uniform(0, 1), height, pitch)):
        length = size * (0.09 if number % 5 == 0 else 0.05)
        draw_line(cover, np.array([[margin, place], [margin + length, place]]), 220, width)
    return np.ascontiguousarray(np.rot90(_covered(turned, cover, (20, 20, 25)), -sides))


def draw_ink(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Mark the skin with a surgical pen: an arc around the middle, or one to four dots."""
    height, width = image.shape[:2]
    size = min(height, width)
    cover = np.zeros((height, width), np.uint8)
    thick = max(1, round(size * random.uniform(0.012, 0.035)))
    if random.random() < 0.5:
        start, turn = random.uniform(0, 2 * np.pi), random.uniform(0.6, 3.5)
        angles = np.linspace(start, start + turn, 12)
        radius = size * (random.uniform(0.36, 0.48) + 0.008 * random.standard_normal((12, 1)))
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        draw_line(cover, np.array([width, height]) / 2 + radius * circle, 255, thick)
    else:
        for angle in random.uniform(0, 2 * np.pi, random.integers(1, 5)):
            radius = size * random.uniform(0.34, 0.5)
            place = (width / 2 + radius * np.cos(angle), height / 2 + radius * np.sin(angle))
            _disc(cover, place, thick)
    cover = cv2.GaussianBlur(cover, (0, 0), max(0.5, size / 250))
    # Ink is a stain: skin shows through it.
    cover = cv2.convertScaleAbs(cover, alpha=random.uniform(0.5, 0.9))
    return _covered(image, cover, random.choice(INK_COLOURS))


def draw_patch(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Paste a round coloured sticker into a corner, as in photographs of children."""
    height, width = image.shape[:2]
    size = max(height, width)
    corner = random.integers(0, 2, 2) * (width, height)
    place = corner + (1 - 2 * (corner > 0)) * size * random.uniform(0.0, 0.1, 2)
    cover = np.zeros((height, width), np.uint8)
    _disc(cover, place, size * random.uniform(0.11, 0.22))
    return _covered(image, cover, random.choice(PATCH_COLOURS))


def draw_dark_corners(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Darken the corners softly, as the round tube of a dermatoscope does."""
    return _framed(image, random, radius=random.uniform(1.0, 1.2), softness=0.15)


def draw_round_frame(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Show a round picture on black, as some dermatoscopes and older archives do."""
    return _framed(image, random, radius=random.uniform(0.78, 1.0), softness=0.02)


def _framed(image, random, radius: float, softness: float) -> np.ndarray:
    """Blacken what is farther from about the middle than `radius` half sides."""
    height, width = image.shape[:2]
    half = min(height, width) / 2
    centre = np.array([width, height]) / 2 + half * random.normal(0, 0.03, 2)
    across = (np.arange(width, dtype=np.float32) + 0.5 - centre[0]) / half
    down = (np.arange(height, dtype=np.float32) + 0.5 - centre[1]) / half
    distance = np.sqrt(across**2 + down[:, np.newaxis] ** 2)
    cover = np.clip((distance - radius) * (255 / softness), 0, 255)
    return _covered(image, cover.astype(np.uint8), BLACK)


def draw_line(cover: np.ndarray, path: np.ndarray, strength: int, width: int) -> None:
    """Draw a line through points (n, 2), x and y in pixels, onto a cover."""
    points = np.round(path * 2**FRACTION_BITS).astype(np.int32)
    cv2.polylines(cover, [points], False, strength, width, cv2.LINE_AA, FRACTION_BITS)


def _disc(cover: np.ndarray, place, radius: float) -> None:
    """Draw a filled circle around a place, x and y in pixels, onto a cover."""
    x, y, radius = (round(float(value) * 2**FRACTION_BITS) for value in (*place, radius))
    cv2.circle(cover, (x, y), radius, 255, -1, cv2.LINE_AA, FRACTION_BITS)


def _covered(image: np.ndarray, cover: np.ndarray, colour) -> np.ndarray:
    """Mix a colour into a photograph; `cover`, uint8 (height, width), is its share, 255 for all."""
    kept = cv2.multiply(image, cv2.merge([255 - cover] * 3), scale=1 / 255)
    laid = cv2.merge([cv2.convertScaleAbs(cover, alpha=float(part) / 255) for part in colour])
    return cv2.add(kept, laid)


# In this order a training draws them, each with its own chance.
ARTEFACTS = {
    "hairs drawn": draw_hairs,
    "ruler": draw_ruler,
    "ink": draw_ink,
    "colour patch": draw_patch,
    "dark corners": draw_dark_corners,
    "round frame": draw_round_frame,
}
