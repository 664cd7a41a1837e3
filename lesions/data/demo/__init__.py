"""The embedded default data: HAM10000-shaped dermatoscopy, drawn by code, of nobody's skin.

Lets every notebook run without a download. `lesions.demo_lesions` paints each lesion once, as maps
of pigment. A photograph warps the maps, dims a skin colour by them after Beer and Lambert, and adds
what lies on top: light, hairs, gel, a ruler, noise. Two photographs of one lesion therefore share
the lesion and not a pixel. Results on these images say nothing about patients.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesions.classes import CODES
from lesions.data.demo.drawing import CANVAS, MELANIN, draw_lesion, noise, step

VERSION = 1  # Raise it whenever the drawing changes, so that old folders are drawn anew.
SIDE = 256  # Pixels along a photograph.
BLOOD = np.float32([0.22, 1.00, 0.86])
METADATA = "HAM10000_metadata.csv"
PARTS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASKS = "HAM10000_segmentations_lesion_tschandl"

# HAM10000's order of frequency, softened so that rare classes survive a 70/15/15 split.
SHARES = dict(nv=0.38, mel=0.14, bkl=0.14, bcc=0.11, akiec=0.09, vasc=0.07, df=0.07)
AGES = dict(nv=46, mel=61, bkl=64, bcc=67, akiec=67, vasc=51, df=53)  # Means in years.
SITES = dict(
    nv="back trunk abdomen chest lower_extremity upper_extremity foot",
    mel="back back lower_extremity upper_extremity trunk face chest neck",
    bkl="face back trunk abdomen lower_extremity neck scalp",
    bcc="face back upper_extremity chest neck lower_extremity ear",
    akiec="face face upper_extremity lower_extremity scalp hand neck",
    vasc="trunk abdomen back lower_extremity upper_extremity chest",
    df="lower_extremity lower_extremity upper_extremity trunk back",
)
CONFIRMED = dict(
    nv="follow_up follow_up follow_up histo histo consensus",
    mel="histo",
    bkl="histo histo histo consensus confocal",
    bcc="histo",
    akiec="histo",
    vasc="histo consensus",
    df="histo consensus",
)


def hairs(image, rng):
    """Lays curved hairs over a photograph, float32 RGB 0-1: none, a few or a thicket."""
    count = int(rng.choice([0, 3, 8, 22], p=[0.5, 0.27, 0.17, 0.06]))
    if not count:
        return image
    layer = np.zeros((SIDE, SIDE), np.uint8)
    way, along = rng.uniform(0, 6.3), np.linspace(-1, 1, 24)
    for _ in range(count):
        heading = way + 0.35 * rng.standard_normal()
        length, sag = rng.uniform(30, 150), rng.normal(0, 18)
        forward = np.array([np.cos(heading), np.sin(heading)])
        sideways = np.array([-forward[1], forward[0]])
        path = rng.uniform(0, SIDE, 2) + np.outer(along * length, forward)
        path += np.outer(sag * (along**2 + 0.4 * along**3), sideways)
        points, strength = np.round(path * 8).astype(np.int32), int(rng.integers(130, 250))
        cv2.polylines(layer, [points], False, strength, int(rng.integers(1, 3)), cv2.LINE_AA, 3)
    cover = cv2.GaussianBlur(layer, (0, 0), 0.55).astype(np.float32)[..., None] / 255
    colour = rng.choice([[0.12, 0.08, 0.07], [0.25, 0.15, 0.10], [0.62, 0.50, 0.40]])
    return image * (1 - cover) + cover * colour.astype(np.float32)


def gel(image, rng):
    """Adds what the contact fluid does: bubbles with a bright rim now and then, shiny specks."""
    if rng.random() < 0.15:
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        for _ in range(int(rng.integers(1, 7))):
            across, down, radius = *rng.uniform(0, SIDE, 2), rng.uniform(3, 16)
            distance = np.hypot(x - across, y - down)
            lit = 0.5 + 0.5 * np.cos(np.arctan2(y - down, x - across) + 2.2)
            rim = np.exp(-(((distance - radius) / 1.3) ** 2)) * (0.35 * lit - 0.13)
            image = image * (1 + rim + 0.04 * (distance < radius))[..., None]
    if rng.random() < 0.25:
        specks = step(noise(rng, 3, 1, SIDE), 2.6, 3.6) * step(noise(rng, 50, 1, SIDE), 0, 1.5)
        image = image + 0.45 * specks[..., None]
    return image


def ruler(image, rng):
    """Prints a millimetre scale along the left or lower edge, now and then."""
    if rng.random() > 0.12:
        return image
    layer, at, pitch = np.zeros((SIDE, SIDE), np.uint8), rng.uniform(4, 14), rng.uniform(9, 15)
    for number, place in enumerate(np.arange(rng.uniform(0, pitch), SIDE, pitch)):
        length = 15 if number % 5 == 0 else 8
        ends = (np.array([[at, place], [at + length, place]]) * 8).astype(np.int32)
        cv2.polylines(layer, [ends], False, 190, 1, cv2.LINE_AA, 3)
    layer = layer if rng.random() < 0.6 else cv2.rotate(layer, cv2.ROTATE_90_COUNTERCLOCKWISE)
    cover = cv2.GaussianBlur(layer, (0, 0), 0.7).astype(np.float32)[..., None] / 255
    return image * (1 - 0.7 * cover)


def light(image, rng):
    """Lights a photograph: white balance, a slope, fall-off, at times the black tube's edge."""
    y, x = (np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2) / (SIDE / 2)
    turn, slope = rng.uniform(0, 6.3), rng.uniform(0, 0.09)
    distance = np.hypot(x, y)
    gain = (
        1 + slope * (x * math.cos(turn) + y * math.sin(turn)) - rng.uniform(0, 0.13) * distance**2
    )
    if rng.random() < 0.16:
        distance = np.hypot(x + rng.normal(0, 0.05), y + rng.normal(0, 0.05))
        edge = rng.uniform(1.06, 1.28)
        gain *= 1 - 0.93 * step(distance, edge - 0.05, edge + 0.07)
    balance = rng.uniform(0.88, 1.05) * rng.normal(1, [0.03, 0.03, 0.06])
    return image * gain[..., None] * balance.astype(np.float32)


def photograph(maps, depth, tints, rng, first=True):
    """Takes one photograph of a lesion.

    Args:
        maps, depth, tints: What `draw_lesion` returned.
        rng: NumPy Generator; another one gives another photograph of the same lesion.
        first: False turns and moves the camera more freely.

    Returns:
        uint8 (SIDE, SIDE, 3) RGB 0-255, and its mask, uint8 (SIDE, SIDE), 0 or 255.
    """
    reach = 1.0 if first else 1.8
    zoom = float(np.exp(rng.uniform(-0.10, 0.10) * reach))
    turn = cv2.getRotationMatrix2D((CANVAS / 2, CANVAS / 2), rng.uniform(0, 360), zoom)
    turn[:, 2] += (SIDE - CANVAS) / 2 + rng.uniform(-13, 13, 2) * reach
    options = dict(flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    seen = cv2.warpAffine(maps, turn, (SIDE, SIDE), **options)
    mask = cv2.warpAffine(depth, turn, (SIDE, SIDE), **options) > 0
    melanin, blood, blue, white = (seen[..., i, None] for i in range(4))
    skin, deep, pale = tints
    # Beer and Lambert: light dims exponentially with the amount of pigment on its way.
    image = skin * np.exp(-(melanin * MELANIN + blood.clip(0) * BLOOD))
    image += blue * (deep * (0.6 + 0.4 * np.exp(-melanin)) - image)
    image += white * (pale - image)
    image = gel(ruler(hairs(image, rng), rng), rng)
    image = cv2.GaussianBlur(light(image, rng), (0, 0), rng.uniform(0.45, 0.85))
    image += 0.012 * rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
    image = (255 * image + 0.5).clip(0, 255).astype(np.uint8)
    return image, mask.astype(np.uint8) * 255


def draw_metadata(seed, images):
    """Draws the metadata table: classes, patients, photographs, and what is missing.

    Returns:
        DataFrame with HAM10000's seven columns, sorted by image_id, and `lesion` and `photo`,
        the numbers that seed the drawing.
    """
    rng = np.random.default_rng([seed, 1])
    lesions = max(len(CODES), round(images / 1.35))
    extra = images - lesions
    thrice = round(0.3 * extra)
    photos = np.ones(lesions, int)
    photos[rng.permutation(lesions)[: extra - thrice]] += np.repeat(
        [2, 1], [thrice, extra - 2 * thrice]
    )
    # One lesion of every class first, then the class that lags furthest behind its share.
    shares, counts = np.array([SHARES[code] for code in CODES]), np.ones(len(CODES))
    while counts.sum() < lesions:
        counts[np.argmax(shares * (counts.sum() + 1) - counts)] += 1
    codes = rng.permutation(np.repeat(CODES, counts.astype(int)))
    years = [AGES[code] for code in codes] + 15 * rng.standard_normal(lesions)
    table = pd.DataFrame(
        {
            "lesion_id": [f"DEMO_{number:07d}" for number in range(lesions)],
            "dx": codes,
            "dx_type": [rng.choice(CONFIRMED[code].split()) for code in codes],
            "age": (5 * np.round(years / 5)).clip(5, 85),
            "sex": rng.choice(["male", "female"], lesions, p=[0.54, 0.46]),
            "localization": [rng.choice(SITES[code].split()) for code in codes],
            "lesion": np.arange(lesions),
        }
    )
    table["localization"] = table["localization"].str.replace("_", " ")
    for column, unknown, share in (
        ("age", np.nan, 0.02),
        ("sex", "unknown", 0.02),
        ("localization", "unknown", 0.03),
    ):
        rows = rng.choice(lesions, max(1, round(share * lesions)), replace=False)
        table.loc[rows, column] = unknown
    table = table.loc[np.repeat(table.index, photos)].reset_index(drop=True)
    table["photo"] = table.groupby("lesion").cumcount()
    table["image_id"] = [f"DEMO_{24306 + number:07d}" for number in rng.permutation(images)]
    return table.sort_values("image_id", ignore_index=True)


def write_images(table, folder, seed):
    """Draws and writes every photograph and mask of the table; each lesion is drawn once."""
    for part in (*PARTS, MASKS):
        (folder / part).mkdir()
    half = table["image_id"].iloc[(len(table) - 1) // 2]
    for (number, code), rows in table.groupby(["lesion", "dx"]):
        drawn = draw_lesion(code, np.random.default_rng([seed, 2, number]))
        for row in rows.itertuples():
            rng = np.random.default_rng([seed, 3, number, row.photo])
            image, mask = photograph(*drawn, rng, first=row.photo == 0)
            part = folder / PARTS[int(row.image_id > half)]
            written = cv2.imwrite(
                str(part / f"{row.image_id}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92]
            )
            written &= cv2.imwrite(str(folder / MASKS / f"{row.image_id}_segmentation.png"), mask)
            if not written:
                raise OSError(f"{part / row.image_id}.jpg cannot be written; is the disk full?")


def is_whole(folder, recipe):
    """Tells whether a folder holds the demo of this recipe, with no photograph missing."""
    try:
        if json.loads((folder / "demo.json").read_text()) != recipe:
            return False
    except (OSError, ValueError):
        return False
    found = sum(len(list((folder / part).glob("DEMO_*.jpg"))) for part in PARTS)
    return found == recipe["images"] and (folder / METADATA).is_file()


def write_and_rename(recipe, part, folder):
    """Writes the whole dataset below `part`, then puts it in the place of `folder`."""
    whole = part / "new"
    whole.mkdir()
    table = draw_metadata(recipe["seed"], recipe["images"])
    write_images(table, whole, recipe["seed"])
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    table[columns].to_csv(whole / METADATA, index=False, lineterminator="\n")
    (whole / "demo.json").write_text(json.dumps(recipe, indent=2) + "\n")
    if folder.exists():
        os.replace(folder, part / "old")
    try:
        os.replace(whole, folder)
    except OSError:  # Another process drew the same demo and was first.
        if not is_whole(folder, recipe):
            raise


def make_demo(folder, seed=42, images=420) -> Path:
    """Draws a synthetic dataset in HAM10000's Kaggle layout and writes it to a folder.

    The same seed and number give the same bytes, whatever the number of threads. Everything is
    written to a sibling folder first and renamed when whole, so a killed run leaves no folder
    that could pass for a dataset.

    Args:
        folder: Where the dataset goes: absent, empty, or an earlier demo (which is replaced
            unless it is this very one; then nothing is drawn).
        seed: Whole number, 0 or more.
        images: Number of photographs, 7 or more; 420 give every class at least 20 lesions.

    Returns:
        The folder, with `HAM10000_metadata.csv`, two image folders of 256 x 256 px JPEG files,
        and a folder of masks.

    Raises:
        ValueError: If there are too few images, or the folder holds something else.
    """
    folder, seed, images = Path(folder), int(seed), int(images)
    if images < len(CODES) or seed < 0:
        raise ValueError(
            f"images={images}, seed={seed} cannot be drawn; ask for {len(CODES)} images or more "
            "and a seed of 0 or more."
        )
    recipe = dict(made_by="lesions.demo", version=VERSION, seed=seed, images=images)
    if is_whole(folder, recipe):
        return folder
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied and not (folder / "demo.json").is_file():
        raise ValueError(f"{folder} holds other files; name an empty or new folder for the demo.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.part-*"):
        if time.time() - left.stat().st_mtime > 3600:  # Left by a killed run, not by a busy one.
            shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    try:
        write_and_rename(recipe, part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
