"""Lesions of the demo data as maps of pigment, and photographs of them.

A lesion is four maps of what absorbs or scatters light in skin: brown melanin near the surface,
blood, blue-grey melanin deep down, and white (scar, keratin, cysts). All structure comes from
smooth noise, bent honeycombs (networks, dots, lacunae) and wandering lines (vessels).
"""

import math

import cv2
import numpy as np

from lesions.data import artefacts

CANVAS = 320  # Pixels along the maps: room for turning and shifting the camera.
SIDE = 256  # Pixels along a photograph.
MELANIN = np.float32([0.62, 1.05, 1.45])  # Absorption in red, green and blue per unit of map.
BLOOD = np.float32([0.22, 1.00, 0.86])
# How often an artefact lies on a photograph.
ARTEFACTS = (
    (artefacts.draw_hairs, 0.4),
    (artefacts.draw_ruler, 0.1),
    (artefacts.draw_ink, 0.05),
    (artefacts.draw_dark_corners, 0.15),
)


def noise(rng, grain, octaves=1):
    """Draw smooth noise of mean 0 and standard deviation 1, float32, with blobs of `grain` px."""
    side = CANVAS // 4 if grain >= 30 else CANVAS  # a quarter is enough for what is coarse
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        nodes = int(np.ceil(CANVAS * 2**octave / grain)) + 3
        grid = rng.standard_normal((nodes, nodes), dtype=np.float32)
        total += 0.6**octave * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    total = cv2.resize(total, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR)
    return (total - total.mean()) / total.std()


def step(values, low, high):
    """Rise smoothly from 0 at `low` to 1 at `high` (the cubic of computer graphics)."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def cells(rng, spacing, jitter):
    """Draw a bent honeycomb, the building block of networks, dots and lacunae.

    Centres are about `spacing` px apart; `jitter`, in spacings, is the deviation of each. Returns
    the distance to the nearest centre in spacings (0 at centres, about 0.55 on walls), and one
    random number in 0-1 for each cell; both float32 (CANVAS, CANVAS).
    """
    count = int(CANVAS / spacing) + 3
    rows, columns = np.mgrid[:count, :count].astype(np.float32)
    points = np.stack([rows * 0.87, columns + 0.5 * (rows % 2)]) - 1
    points = (points + jitter * rng.standard_normal(points.shape)) * spacing
    points = np.clip(points, 0, CANVAS - 1).astype(int).reshape(2, -1)
    centres = np.full((CANVAS, CANVAS), 255, np.uint8)
    centres[points[0], points[1]] = 0
    distance, label = cv2.distanceTransformWithLabels(
        centres, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = rng.random(int(label.max()) + 1, dtype=np.float32)[label]
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    y, x = y + 2.5 * noise(rng, 40), x + 2.5 * noise(rng, 40)
    both = cv2.merge([distance / np.float32(spacing), number])
    return cv2.split(cv2.remap(both, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))


def network(rng, spacing, jitter):
    """Draw a pigment network: about 1 on the lines, 0 in the holes."""
    distance, number = cells(rng, spacing, jitter)
    return step(distance, 0.16, 0.52) * (0.75 + 0.5 * number)


def dots(rng, spacing, keep, size, jitter=0.4):
    """Draw round dots in a share `keep` of a honeycomb's cells: 1 inside, 0 outside."""
    distance, number = cells(rng, spacing, jitter)
    return step(size * (0.6 + 0.8 * (number * 7.3 % 1)) - distance, -0.08, 0.1) * (number < keep)


def vessels(rng, count, spread, length, width):
    """Draw wandering lines that start around the centre; float32 0-1 (CANVAS, CANVAS)."""
    image = np.zeros((CANVAS, CANVAS), np.uint8)
    for _ in range(count):
        turns = rng.uniform(0, 6.3) + np.cumsum(0.3 * rng.standard_normal(18))
        path = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0) * length / 18
        start = CANVAS / 2 + spread * rng.standard_normal(2)
        artefacts.draw_line(image, start + path, 255, width)
    return cv2.GaussianBlur(image, (0, 0), 0.9).astype(np.float32) / 255


def outline(rng, radius, irregular):
    """Draw a lesion's outline as a map of depth in pixels, positive inside.

    `radius` is its mean in pixels; `irregular` is 0 for an ellipse and 1 for a ragged coast.
    """
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32) - CANVAS / 2
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.25 + 0.3 * irregular) ** 0.5
    along = (x * math.cos(turn) + y * math.sin(turn)) / stretch
    across = (y * math.cos(turn) - x * math.sin(turn)) * stretch
    angle, border = np.arctan2(across, along), np.ones_like(x)
    for wave in range(2, 6):
        border += irregular * 0.3 / wave * rng.normal() * np.cos(wave * angle + rng.uniform(0, 6.3))
    depth = radius * np.clip(border, 0.5, 1.4) - np.hypot(along, across)
    return depth + (1 + 7 * irregular) * noise(rng, 42, 3) + 0.8 * noise(rng, 9, 3)


# Each class returns its depth, melanin, blood, blue and white: maps float32 (CANVAS, CANVAS).
# Melanin and blood reach from 0 to about 2, blue and white are opacities, 0-1.


def draw_nv(rng):
    """Draw a naevus: symmetric, brown, with a regular network, globules or neither."""
    depth = outline(rng, rng.uniform(38, 85), rng.uniform(0.05, 0.3))
    body, core = step(depth, -10, 14), step(depth, 0, rng.uniform(35, 70))
    pattern = (
        lambda: network(rng, rng.uniform(8, 12), 0.12),
        lambda: dots(rng, rng.uniform(9, 14), 0.95, 0.3, 0.16),
        lambda: 0.5 + 0.2 * noise(rng, 6, 2),
    )[rng.integers(3)]()
    melanin = body * rng.uniform(0.3, 0.9) * (0.5 + 0.6 * pattern + 0.4 * core)
    return depth, melanin, body * rng.uniform(0, 0.3), 0 * depth, 0 * depth


def draw_mel(rng):
    """Draw a melanoma: asymmetric, several colours, irregular network, veil, scar."""
    wild = rng.uniform(0.3, 1.0)  # Low: a melanoma that passes for a naevus.
    depth = outline(rng, rng.uniform(60, 98), 0.3 + 0.7 * wild)
    body, inner = step(depth, -4, 8), step(depth, 4, 22)
    blotch = step(noise(rng, 60, 3), 0.4, 1.2) * rng.uniform(0.5, 1.2)
    lines = network(rng, rng.uniform(10, 15), 0.32) * step(noise(rng, 60), -0.8, 0.8)
    melanin = body * (rng.uniform(0.5, 0.8) + 0.2 * noise(rng, 75, 3) + 0.4 * lines + blotch)
    veil = inner * step(noise(rng, 70, 4), 0.7 - wild, 2.0 - 0.7 * wild) * rng.uniform(0.5, 0.9)
    scar = 0.5 * inner * step(noise(rng, 55, 4), 0.9, 2.0) * (rng.random() < 0.6)
    blood = body * rng.uniform(0.2, 0.7) * step(noise(rng, 60, 2), -0.5, 1.5)
    return depth, melanin * (1 - scar), blood, veil, scar


def draw_bkl(rng):
    """Draw a seborrhoeic keratosis: sharp border, dull ridges, white cysts, dark openings."""
    depth = outline(rng, rng.uniform(45, 98), rng.uniform(0.3, 0.9))
    body, inside = step(depth, -2.5, 5), step(depth, 3, 10)
    ridges = 1 - np.minimum(np.abs(noise(rng, rng.uniform(11, 18), 2)), 1)
    melanin = body * rng.uniform(0.3, 0.7) * (0.7 + 0.5 * ridges + 0.25 * noise(rng, 50, 5))
    melanin += inside * dots(rng, rng.uniform(20, 30), rng.uniform(0, 0.5), 0.17) * 0.7
    cysts = inside * dots(rng, rng.uniform(18, 28), rng.uniform(0.2, 0.7), 0.14)
    # Keratin dulls the brown: a thin grey-yellow film over all of it.
    return depth, melanin, body * 0.1, body * rng.uniform(0.15, 0.35), 0.8 * cysts


def draw_bcc(rng):
    """Draw a basal cell carcinoma: pink, branching vessels, blue-grey ovoid nests."""
    radius = rng.uniform(40, 88)
    depth = outline(rng, radius, rng.uniform(0.25, 0.7))
    body = step(depth, -9, 12)
    blood = body * rng.uniform(0.15, 0.45) * (1 + 0.3 * noise(rng, 36, 4))
    blood += 1.1 * vessels(rng, 9, 0.5 * radius, 1.2 * radius, 2) * step(depth, -18, 0)
    nests = dots(rng, rng.uniform(24, 36), rng.uniform(0.3, 0.8), 0.34, 0.45)
    nests = cv2.GaussianBlur(nests, (0, 0), 2.5) * step(depth, 0, 14)
    shine = 0.4 * step(noise(rng, 26, 3), 0.6, 1.9) * step(depth, 2, 14)
    return depth, 0.3 * nests, blood, 0.75 * nests, shine * (1 - nests)


def draw_akiec(rng):
    """Draw an actinic keratosis: blurred, red, pale follicles in a mesh, scale on top."""
    depth = outline(rng, rng.uniform(55, 105), rng.uniform(0.4, 0.9))
    body = step(depth + 7 * noise(rng, 18, 3), -22, 24)
    distance, number = cells(rng, rng.uniform(13, 19), 0.32)
    blood = body * rng.uniform(0.4, 0.8) * (0.6 + 0.6 * step(distance, 0.1, 0.6))
    scale = step(noise(rng, 34, 4), rng.uniform(0.3, 1.0), 1.9) * step(depth, 0, 18) * 0.7
    follicles = body * step(0.34 - distance, -0.12, 0.2) * number * 0.5
    melanin = body * rng.uniform(0, 0.2) * (1 + 0.3 * noise(rng, 40, 4))
    return depth, melanin, blood, 0 * depth, np.maximum(scale, follicles)


def draw_df(rng):
    """Draw a dermatofibroma: a white patch in the middle, a delicate network round it."""
    radius = rng.uniform(38, 72)
    depth = outline(rng, radius, rng.uniform(0.05, 0.3))
    body = step(depth, -rng.uniform(10, 24), 18)
    centre = step(depth + 7 * noise(rng, 22, 4), 0.2 * radius, rng.uniform(0.7, 1.0) * radius)
    lines = network(rng, rng.uniform(7, 10), 0.12)
    melanin = body * (1 - centre) * rng.uniform(0.25, 0.5) * (0.6 + 0.6 * lines)
    blood = body * rng.uniform(0.1, 0.35) * (1 + 0.25 * noise(rng, 20, 3))
    return depth, melanin, blood, 0 * depth, centre * rng.uniform(0.5, 0.8)


def draw_vasc(rng):
    """Draw an angioma: red to blue-black lakes of blood between pale walls, no brown."""
    depth = outline(rng, rng.uniform(32, 80), rng.uniform(0.15, 0.6))
    body = step(depth, -5, 9)
    distance, number = cells(rng, rng.uniform(14, 30), 0.3)
    lakes = step(0.66 - distance, 0, 0.3)
    blood = body * np.maximum(lakes, 0.5) * rng.uniform(1.0, 1.9) * (0.7 + 0.5 * number)
    dark = rng.choice([0.1, 0.3, 0.7]) * step(number + 0.25 * noise(rng, 60), 0.3, 0.9)
    return depth, 0.3 * body * dark, blood, body * dark * 0.7, body * (1 - lakes) * 0.25


BLUE, WHITE = (0.40, 0.43, 0.52), (0.95, 0.87, 0.86)  # RGB 0-1
DRAW = {
    "akiec": (draw_akiec, BLUE, (0.92, 0.84, 0.72)),
    "bcc": (draw_bcc, (0.38, 0.37, 0.45), WHITE),
    "bkl": (draw_bkl, (0.55, 0.48, 0.40), (0.93, 0.87, 0.74)),
    "df": (draw_df, BLUE, WHITE),
    "mel": (draw_mel, BLUE, WHITE),
    "nv": (draw_nv, BLUE, WHITE),
    "vasc": (draw_vasc, (0.30, 0.20, 0.37), (0.88, 0.78, 0.84)),
}


def draw_lesion(code, rng):
    """Draw a lesion of one class in its skin.

    Returns:
        Melanin, blood, blue and white, float32 (CANVAS, CANVAS, 4); pixels from the border,
        positive inside, float32 (CANVAS, CANVAS); RGB 0-1 of skin, blue and white, float32 (3, 3).
    """
    draw, blue_tint, white_tint = DRAW[code]
    depth, melanin, blood, blue, white = draw(rng)
    tone = rng.beta(1.0, 3.2)
    mottle = 0.03 * noise(rng, 60, 5) + 0.02 * noise(rng, 3.5, 2)
    capillaries = vessels(rng, int(rng.integers(0, 14)), 110, 60, 1)
    melanin = melanin.clip(0, 2.4) + tone + (1 + tone) * mottle
    blood = blood + 0.03 * noise(rng, 45, 5) + 0.2 * capillaries + rng.uniform(-0.02, 0.16)
    maps = np.stack([melanin, blood.clip(0), blue.clip(0, 0.9), white.clip(0, 0.9)], axis=2)
    # Dark skin also darkens what scatters: white patches there are tan rather than chalk.
    white_tint = np.asarray(white_tint) * np.exp(-0.45 * tone * MELANIN)
    skin = rng.uniform([0.90, 0.74, 0.68], [0.96, 0.82, 0.80])
    tints = np.float32([skin, blue_tint, white_tint])
    return maps.astype(np.float32), depth.astype(np.float32), tints


def photograph(maps, depth, tints, rng, reach=1.0):
    """Take one photograph of a lesion; another Generator takes another one of the same lesion.

    Args:
        maps, depth, tints: From `draw_lesion`.
        rng: NumPy Generator.
        reach: How freely the camera moves, from 0 up.

    Returns:
        uint8 (SIDE, SIDE, 3) RGB 0-255, and its mask, uint8 (SIDE, SIDE), 0 or 255.
    """
    zoom = math.exp(rng.uniform(-0.1, 0.1) * reach)
    turn = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), rng.uniform(0, 360), zoom)
    turn[:, 2] += (SIDE - CANVAS) / 2 + rng.uniform(-13, 13, 2) * reach
    seen, depth = (
        cv2.warpAffine(plane, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)
        for plane in (maps, depth)
    )
    melanin, blood, blue, white = (seen[..., number, None] for number in range(4))
    skin, deep, pale = tints
    # Beer and Lambert: light dims exponentially with the amount of pigment on its way.
    image = skin * np.exp(-(melanin * MELANIN + blood * BLOOD))
    image += blue * (deep * (0.6 + 0.4 * np.exp(-melanin)) - image)
    image += white * (pale - image)
    balance = rng.uniform(0.88, 1.05) * rng.normal(1, [0.03, 0.03, 0.06])
    image = (255 * image * balance).clip(0, 255).astype(np.uint8)
    for draw, share in ARTEFACTS:
        if rng.random() < share:
            image = draw(image, rng)
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.45, 0.85))
    image += 3 * rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
    mask = (depth > 0).astype(np.uint8) * 255
    return (image + 0.5).clip(0, 255).astype(np.uint8), mask
