"""The seven kinds of lesion of the demo data, each painted as maps of pigment.

A lesion is a stack of maps of what absorbs or scatters light in skin: brown melanin near the
surface, blood, blue-grey melanin deep down, and white (scar, keratin, cysts). `lesions.demo`
photographs the stack. All structure comes from three things: smooth noise, bent honeycombs
(networks, globules, lacunae) and wandering strokes (vessels, cracks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

CANVAS = 320  # Pixels along the maps: room for turning and shifting the camera.
MELANIN = np.float32([0.62, 1.05, 1.45])  # Absorption in red, green and blue per unit of map.


@dataclass
class Lesion:
    """The maps of one lesion, all float32 (CANVAS, CANVAS).

    Attributes:
        depth: Pixels from the border, positive inside.
        melanin: Brown pigment, 0 (none) to about 2 (black).
        blood: Haemoglobin, 0 to about 2.
        blue: Opacity of deep, blue-grey pigment, 0-1.
        white: Opacity of what scatters all light, 0-1.
        white_tint: RGB 0-1 of that scatter.
        blue_tint: RGB 0-1 of the deep pigment.
    """

    depth: np.ndarray
    melanin: np.ndarray
    blood: np.ndarray
    blue: np.ndarray
    white: np.ndarray
    white_tint: tuple = (0.95, 0.87, 0.86)
    blue_tint: tuple = (0.40, 0.43, 0.52)


def noise(rng, grain, octaves=1, side=CANVAS):
    """Draws smooth noise of mean 0 and standard deviation 1, float32, with blobs of `grain` px."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        nodes = int(np.ceil(side * 2**octave / grain)) + 3
        grid = rng.standard_normal((nodes, nodes), dtype=np.float32)
        total += 0.6**octave * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


def step(values, low, high):
    """Rises smoothly from 0 at `low` to 1 at `high` (the cubic of computer graphics)."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def bend(image, rng, pixels, grain=40):
    """Displaces an image by smooth noise of `pixels` standard deviation."""
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32)
    x += pixels * noise(rng, grain)
    y += pixels * noise(rng, grain)
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def cells(rng, spacing, jitter=0.2, bending=2.0):
    """Draws a honeycomb of cells, the building block of networks, globules and lacunae.

    Args:
        rng: NumPy Generator.
        spacing: Pixels between neighbouring centres.
        jitter: Standard deviation of a centre's displacement, in spacings.
        bending: Pixels by which the whole honeycomb is bent.

    Returns:
        Distance to the nearest centre in spacings (0 at centres, about 0.55 on walls), and one
        random number in 0-1 for each cell; both float32 (CANVAS, CANVAS).
    """
    count = int(CANVAS / spacing) + 3
    rows, columns = np.mgrid[:count, :count].astype(np.float32)
    points = np.stack([rows * 0.87, columns + 0.5 * (rows % 2)]) - 1
    points = (points + jitter * rng.standard_normal(points.shape)) * spacing
    points = np.clip(points, 0, CANVAS - 1).astype(int).reshape(2, -1)
    seeds = np.full((CANVAS, CANVAS), 255, np.uint8)
    seeds[points[0], points[1]] = 0
    distance, label = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = rng.random(int(label.max()) + 1, dtype=np.float32)[label]
    both = bend(cv2.merge([distance / np.float32(spacing), number]), rng, bending)
    return both[..., 0], both[..., 1]


def outline(rng, radius, irregular, stretch=1.25, fingers=0.0):
    """Draws a lesion's outline as a map of depth in pixels, positive inside.

    Args:
        rng: NumPy Generator.
        radius: Mean radius in pixels.
        irregular: 0 for an ellipse, 1 for a ragged coast.
        stretch: Long over short axis.
        fingers: Length in pixels of streaks that leave the border in one sector.
    """
    y, x = np.mgrid[:CANVAS, :CANVAS].astype(np.float32) - CANVAS / 2
    turn = rng.uniform(0, np.pi)
    along = (x * math.cos(turn) + y * math.sin(turn)) / stretch**0.5
    across = (y * math.cos(turn) - x * math.sin(turn)) * stretch**0.5
    angle, distance = np.arctan2(across, along), np.hypot(along, across)
    border = np.ones_like(angle)
    for wave in range(2, 6):
        size = irregular * 0.32 / wave * rng.normal()
        border += size * np.cos(wave * angle + rng.uniform(0, 6.3))
    depth = radius * np.clip(border, 0.5, 1.4) - distance
    depth += (1 + 7 * irregular) * noise(rng, 42, 3) + rng.uniform(0.4, 1.2) * noise(rng, 9, 3)
    if fingers:
        beat = np.cos(angle * rng.uniform(22, 34) + 1.6 * noise(rng, 30))
        sector = step(np.cos(angle - rng.uniform(0, 6.3)), -0.2, 0.6)
        depth += fingers * step(beat, 0.0, 0.9) * sector * noise(rng, 50).clip(0.2, 1.6)
    return depth


def strokes(rng, starts, headings, length, width, wander=0.25, branches=0):
    """Draws wandering, tapering lines (vessels, cracks) with branches; float32 (CANVAS, CANVAS)."""
    image = np.zeros((CANVAS, CANVAS), np.uint8)
    for start, heading in zip(starts, headings, strict=True):
        turns = heading + np.cumsum(wander * rng.standard_normal(18))
        path = start + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0) * length / 18
        thick = max(1, int(round(width)))
        for first, last, size in ((0, 10, thick), (9, 18, max(1, thick - 1))):
            points = np.round(path[first:last] * 8).astype(np.int32)
            cv2.polylines(image, [points], False, 255 if width > 1 else 150, size, cv2.LINE_AA, 3)
        if branches:
            forks = rng.integers(3, 15, branches)
            sides = turns[forks] + rng.choice([-1, 1], branches) * rng.uniform(0.5, 1.1, branches)
            twigs = strokes(rng, path[forks], sides, length * 0.5, width * 0.6, wander)
            image = np.maximum(image, (255 * twigs).astype(np.uint8))
    return image.astype(np.float32) / 255


def around(rng, count, spread):
    """Draws `count` points around the centre, and a heading in radians for each."""
    return CANVAS / 2 + spread * rng.standard_normal((count, 2)), rng.uniform(0, 6.3, count)


def network(rng, spacing, jitter=0.15, bending=2.0):
    """Draws a pigment network: 1 on the lines, 0 in the holes."""
    distance, number = cells(rng, spacing, jitter, bending)
    return step(distance, 0.16, 0.52) * (0.75 + 0.5 * number)


def globules(rng, spacing, jitter=0.2, keep=1.0, size=0.3):
    """Draws round dots, one in each kept cell of a honeycomb: 1 inside, 0 outside."""
    distance, number = cells(rng, spacing, jitter, 1.5)
    radius = size * (0.6 + 0.8 * (number * 7.3 % 1))
    return step(radius - distance, -0.08, 0.10) * (number < keep)


def draw_nv(rng):
    """Draws a naevus: symmetric, one or two colours, a regular network, globules or neither."""
    atypical = rng.random() < 0.2
    depth = outline(rng, rng.uniform(38, 88), 0.45 if atypical else rng.uniform(0.05, 0.3))
    edge = rng.uniform(5, 16)
    body = step(depth, -edge, edge * 1.3)
    core = step(depth, 0, rng.uniform(35, 70))
    dark, kind = rng.uniform(0.2, 1.0), rng.random()
    if kind < 0.45:
        pattern = network(rng, rng.uniform(8, 12), 0.12) * (1 - 0.5 * core)
    elif kind < 0.7:
        pattern = globules(rng, rng.uniform(9, 14), 0.16, 0.95)
    else:
        pattern = 0.5 + 0.2 * noise(rng, 6, 2)
    melanin = dark * body * (0.5 + 0.6 * pattern + rng.uniform(-0.2, 0.6) * core)
    melanin *= 1 + (0.3 if atypical else 0.12) * noise(rng, 50, 3)
    blood = body * rng.uniform(0.0, 0.45) * (1 + 0.3 * noise(rng, 30, 2))
    blue = body * core * float(rng.choice([0, 0, 0, 0.3])) * step(noise(rng, 40), -0.5, 1)
    return Lesion(depth, melanin, blood, blue, np.zeros_like(depth))


def draw_mel(rng):
    """Draws a melanoma: asymmetric, several colours, irregular network, streaks, veil, scar."""
    wild = rng.uniform(0.1, 1.0)  # Low: a melanoma that passes for a naevus.
    streaks = rng.uniform(6, 14) if rng.random() < 0.5 * wild + 0.1 else 0.0
    depth = outline(rng, rng.uniform(48, 98), 0.3 + 0.7 * wild, rng.uniform(1.1, 1.6), streaks)
    body = step(depth, -4, rng.uniform(4, 12))
    patches = noise(rng, 75, 3)
    pattern = network(rng, rng.uniform(10, 15), 0.32, 5.0) * step(noise(rng, 60), -0.8, 0.8)
    dots = globules(rng, rng.uniform(11, 17), 0.4, 0.55) * step(noise(rng, 55), -0.3, 0.6)
    blotch = step(patches + 0.5 * noise(rng, 30, 2), 0.5, 1.3)
    melanin = body * (rng.uniform(0.35, 0.65) + (0.1 + 0.2 * wild) * patches)
    melanin = melanin.clip(0.22) * body + body * (0.45 * pattern + 0.6 * dots)
    melanin += body * blotch * rng.uniform(0.4, 1.1)
    inner = step(depth, 4, 22)
    veil = inner * step(noise(rng, 70, 4), 0.7 - 0.9 * wild, 2.2 - 0.6 * wild)
    scar = inner * step(noise(rng, 55, 4), 0.9, 2.2) * (rng.random() < 0.6)
    blood = body * rng.uniform(0.1, 0.5) * step(noise(rng, 60, 2), -0.5, 1.5) * 1.5
    melanin *= 1 - 0.6 * scar
    blue = veil * rng.uniform(0.35, 0.85) * (0.85 + 0.15 * noise(rng, 4, 2))
    tint = tuple(rng.uniform([0.34, 0.35, 0.42], [0.50, 0.51, 0.60]))
    return Lesion(depth, melanin, blood, blue.clip(0, 0.9), 0.5 * scar, blue_tint=tint)


def draw_bkl(rng):
    """Draws a seborrhoeic keratosis (cysts, openings, ridges) or a moth-eaten solar lentigo."""
    lentigo = rng.random() < 0.3
    depth = outline(rng, rng.uniform(45, 98), rng.uniform(0.3, 0.9), rng.uniform(1.05, 1.7))
    if lentigo:
        bites = step(noise(rng, 30, 3), 0.5, 1.8) * step(depth, 34, 5)
        depth -= 30 * bites
    body = step(depth, -2.5, rng.uniform(3, 7))
    ridges = 1 - np.minimum(np.abs(noise(rng, rng.uniform(11, 18), 2)), 1)
    level = rng.uniform(0.22, 0.4) if lentigo else rng.uniform(0.3, 0.95)
    melanin = body * level * (0.75 + 0.4 * ridges + 0.28 * noise(rng, 50, 5))
    white = np.zeros_like(depth)
    inside = step(depth, 3, 10)
    if not lentigo:
        milia = globules(rng, rng.uniform(17, 30), 0.35, rng.uniform(0, 0.6), 0.12)
        white = 0.75 * milia * inside
        pores = globules(rng, rng.uniform(20, 32), 0.4, rng.uniform(0, 0.5), 0.17) * inside
        melanin += pores * rng.uniform(0.4, 0.9)
        warts = step(noise(rng, 7, 2), 0.9, 2.2) * inside * rng.uniform(0, 0.35)
        white = np.maximum(cv2.GaussianBlur(white, (0, 0), 1.1), warts)
    # Keratin dulls the brown: a thin grey-yellow film over all of it.
    film = body * rng.uniform(0.05, 0.3)
    tint = tuple(rng.uniform([0.46, 0.42, 0.36], [0.60, 0.54, 0.48]))
    blood = body * (rng.uniform(0.3, 0.6) if rng.random() < 0.15 else rng.uniform(0.0, 0.25))
    return Lesion(depth, melanin, blood, film, white, (0.93, 0.87, 0.74), tint)


def draw_bcc(rng):
    """Draws a basal cell carcinoma: pink, arborising vessels, ovoid nests, an ulcer at times."""
    radius = rng.uniform(38, 88)
    depth = outline(rng, radius, rng.uniform(0.25, 0.7), rng.uniform(1.05, 1.4))
    body = step(depth, -9, 12)
    blood = body * rng.uniform(0.1, 0.42) * (1 + 0.35 * noise(rng, 36, 4))
    count = int(rng.integers(3, 8))
    starts, headings = around(rng, count, radius * 0.75)
    headings = np.arctan2(*(CANVAS / 2 - starts).T[::-1]) + 0.5 * rng.standard_normal(count)
    tree = strokes(rng, starts, headings, radius * 1.1, rng.uniform(1.0, 2.8), 0.3, 3)
    blood += cv2.GaussianBlur(tree, (0, 0), 0.8) * rng.uniform(0.6, 1.2) * step(depth, -18, 0)
    nests = globules(rng, rng.uniform(20, 34), 0.45, rng.uniform(0.1, 0.75), 0.3)
    nests = cv2.GaussianBlur(bend(nests, rng, 3.5, 18), (0, 0), rng.uniform(1.8, 3.5))
    nests *= step(depth + 6 * noise(rng, 20), 0, 14) * (0.75 + 0.25 * noise(rng, 9, 2))
    heavy = rng.random() < 0.3
    blue = (nests * rng.uniform(0.3, 0.75)).clip(0, 0.85)
    melanin = body * rng.uniform(0.0, 0.18) + nests.clip(0) * (0.6 if heavy else 0.2)
    shine = step(noise(rng, 26, 3), 0.6, 1.9) * step(depth, 2, 14) * rng.uniform(0.1, 0.5)
    if rng.random() < 0.45:
        spot = step(noise(rng, 45, 3), 1.2, 1.5) * step(depth, 8, 16)
        blood += spot * rng.uniform(0.5, 1.1)
        melanin += spot * rng.uniform(0.2, 0.7) * (1 + 0.4 * noise(rng, 5, 2))
        shine *= 1 - spot
    tint = tuple(rng.uniform([0.36, 0.34, 0.38], [0.46, 0.44, 0.50]))
    return Lesion(depth, melanin.clip(0), blood, blue, shine, (0.96, 0.86, 0.87), tint)


def draw_akiec(rng):
    """Draws an actinic keratosis: red pseudo-network round pale follicles, scale on top."""
    depth = outline(rng, rng.uniform(50, 105), rng.uniform(0.4, 0.9), rng.uniform(1.05, 1.5))
    body = step(depth + 7 * noise(rng, 18, 3), -22, 24)
    distance, number = cells(rng, rng.uniform(12, 19), 0.32, 3.5)
    follicle = step(0.34 - distance, -0.12, 0.2) * (number < 0.7) * number
    mesh = step(distance + 0.08 * noise(rng, 9), 0.1, 0.6)
    blood = body * rng.uniform(0.22, 0.6) * (0.7 + 0.4 * mesh + 0.3 * noise(rng, 30, 4))
    fine = strokes(rng, *around(rng, 22, 48), 34, 1, 0.6)
    blood += cv2.GaussianBlur(fine, (0, 0), 0.8) * 0.5 * body
    melanin = body * rng.uniform(0.0, 0.15)
    if rng.random() < 0.45:  # The pigmented kind: brown dust between the follicles.
        dust = step(noise(rng, 40, 4) + 0.3 * noise(rng, 4, 2), 0.0, 1.6)
        melanin += body * dust * rng.uniform(0.3, 0.7) * (0.6 + 0.4 * mesh)
    flakes = noise(rng, 34, 4) + 0.35 * noise(rng, 6, 2)
    amount = rng.uniform(0.5, 1.6)
    scale = step(flakes, amount, amount + 0.9) * step(depth, 0, 18) * rng.uniform(0.3, 0.75)
    white = np.maximum(scale * (0.85 + 0.2 * noise(rng, 4, 2)), body * follicle * 0.45).clip(0, 1)
    return Lesion(depth, melanin, blood, 0 * depth, white, (0.92, 0.83, 0.74))


def draw_df(rng):
    """Draws a dermatofibroma: a white patch in the middle, a delicate network round it."""
    radius = rng.uniform(36, 72)
    depth = outline(rng, radius, rng.uniform(0.05, 0.3), rng.uniform(1.0, 1.25))
    body = step(depth, -rng.uniform(10, 24), 18)
    centre = step(depth + 7 * noise(rng, 22, 4), radius * 0.2, radius * rng.uniform(0.7, 1.0))
    lines = network(rng, rng.uniform(7, 10), 0.12)
    ring = body * (1 - centre)
    melanin = ring * rng.uniform(0.16, 0.48) * (0.6 + 0.6 * lines)
    melanin *= 1 + 0.25 * noise(rng, 40, 3)
    blood = body * rng.uniform(0.1, 0.4) * (1 + 0.25 * noise(rng, 20, 3))
    starts, headings = around(rng, 7, radius * 0.25)
    cracks = cv2.GaussianBlur(strokes(rng, starts, headings, radius * 0.8, 2, 0.4), (0, 0), 1.2)
    white = centre * rng.uniform(0.3, 0.65) * (0.8 + 0.2 * noise(rng, 8, 2)) + 0.3 * centre * cracks
    blue = ring * float(rng.choice([0.0, 0.1, 0.22]))
    return Lesion(depth, melanin, blood, blue, white.clip(0, 0.9), (0.95, 0.86, 0.83))


def draw_vasc(rng):
    """Draws an angioma: red to blue-black lakes of blood between pale walls, no brown."""
    depth = outline(rng, rng.uniform(28, 80), rng.uniform(0.15, 0.6), rng.uniform(1.0, 1.35))
    body = step(depth, -5, rng.uniform(5, 12))
    distance, number = cells(rng, rng.uniform(12, 30), 0.3, 4.5)
    lakes = step(0.66 - distance, 0.0, 0.3)
    loose = step(depth + 16 * (number - 0.5), -3, 5)
    fill = np.maximum(lakes * loose, rng.uniform(0.35, 0.75) * body)
    blood = fill * rng.uniform(0.8, 1.9) * (0.7 + 0.5 * number) * (1 + 0.2 * noise(rng, 12, 3))
    dark = float(rng.choice([0.0, 0.3, 0.9])) * step(number + 0.25 * noise(rng, 60), 0.3, 0.9)
    melanin = 0.45 * fill * dark
    blue = fill * (0.15 + dark).clip(0, 0.8) * rng.uniform(0.3, 0.8)
    veil = body * step(noise(rng, 40, 3), 0.3, 1.8) * rng.uniform(0, 0.4)
    walls = body * (1 - lakes) * rng.uniform(0.05, 0.35)
    tint = tuple(rng.uniform([0.26, 0.14, 0.30], [0.36, 0.26, 0.44]))
    return Lesion(depth, melanin, blood, blue, np.maximum(walls, veil), (0.88, 0.78, 0.84), tint)


DRAW = dict(
    akiec=draw_akiec,
    bcc=draw_bcc,
    bkl=draw_bkl,
    df=draw_df,
    mel=draw_mel,
    nv=draw_nv,
    vasc=draw_vasc,
)


def draw_lesion(code, rng):
    """Draws a lesion of one class in its skin.

    Returns:
        maps: Melanin, blood, blue, white; float32 (CANVAS, CANVAS, 4).
        depth: Pixels from the border, positive inside; float32 (CANVAS, CANVAS).
        tints: RGB 0-1 of the skin, of the deep pigment and of the white; float32 (3, 3).
    """
    lesion = DRAW[code](rng)
    tone = 1.1 * rng.beta(1.0, 3.2)
    distance, _ = cells(rng, rng.uniform(9, 16), 0.35, 4.0)
    furrows = step(distance, 0.42, 0.62) * rng.uniform(0.02, 0.09)
    mottle = 0.03 * noise(rng, 60, 5) + rng.uniform(0.01, 0.035) * noise(rng, 3.5, 2)
    freckles = rng.uniform(0, 0.25) * step(noise(rng, 14, 2), 2.0, 3.2)
    starts, headings = around(rng, int(rng.integers(0, 14)), 110)
    capillaries = cv2.GaussianBlur(strokes(rng, starts, headings, 60, 1, 0.35), (0, 0), 1.3)
    melanin = lesion.melanin.clip(0, 2.4) * (1 + 0.10 * noise(rng, 4, 2))
    melanin += tone + (1 + tone) * (mottle + freckles - 0.5 * furrows).clip(-0.1, 1)
    blood = lesion.blood + 0.03 * noise(rng, 45, 5) + 0.2 * capillaries + rng.uniform(-0.02, 0.16)
    maps = cv2.merge([melanin, blood, lesion.blue, lesion.white])
    skin = rng.uniform([0.90, 0.74, 0.68], [0.96, 0.82, 0.80])
    # Dark skin also darkens what scatters: white patches there are tan rather than chalk.
    white = np.asarray(lesion.white_tint) * np.exp(-0.45 * tone * MELANIN)
    return maps, lesion.depth, np.stack([skin, lesion.blue_tint, white]).astype(np.float32)
