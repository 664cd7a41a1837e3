"""The embedded default data: HAM10000-shaped dermatoscopy, drawn by code, of nobody's skin.

Lets every notebook run without a download. `drawing` paints each lesion once, as maps of pigment.
A photograph turns and lights the maps and adds what lies on top, so that two photographs of one
lesion share the lesion and not a pixel. Results on these images say nothing about patients.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lesions.classes import CODES
from lesions.data.demo.drawing import draw_lesion, photograph
from lesions.data.tables import COLUMNS
from lesions.system.files import replacing

SEED = 42
VERSION = 3  # Raise it whenever the drawing changes, so that old folders are replaced.
METADATA = "HAM10000_metadata.csv"
PARTS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASKS = "HAM10000_segmentations_lesion_tschandl"

# HAM10000's frequencies, the rarest raised so that they survive a 70/15/15 split: without such an
# imbalance, its treatments and oversampling before the split show no effect.
SHARES = dict(nv=0.58, mel=0.11, bkl=0.11, bcc=0.06, akiec=0.05, vasc=0.045, df=0.045)
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


def draw_metadata(images):
    """Draw the metadata table: classes, patients, photographs, and what is missing.

    Returns:
        DataFrame with HAM10000's seven columns, sorted by image_id, and `lesion` and `photo`,
        the numbers that seed the drawing.
    """
    rng = np.random.default_rng([SEED, 1])
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


def write_images(table, folder):
    """Draw and write every photograph and mask of the table; each lesion is drawn once."""
    for part in (*PARTS, MASKS):
        (folder / part).mkdir(parents=True)
    half = table["image_id"].iloc[(len(table) - 1) // 2]
    for (number, code), rows in table.groupby(["lesion", "dx"]):
        lesion = draw_lesion(code, np.random.default_rng([SEED, 2, number]))
        for row in rows.itertuples():
            rng = np.random.default_rng([SEED, 3, number, row.photo])
            image, mask = photograph(*lesion, rng, reach=1.0 if row.photo == 0 else 1.8)
            part = folder / PARTS[int(row.image_id > half)]
            quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
            content = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
            (part / f"{row.image_id}.jpg").write_bytes(content.tobytes())
            content = cv2.imencode(".png", mask)[1]
            (folder / MASKS / f"{row.image_id}_segmentation.png").write_bytes(content.tobytes())


def is_whole(folder, recipe):
    """Check whether a folder holds the demo of this recipe, with no photograph missing."""
    try:
        if json.loads((folder / "demo.json").read_text()) != recipe:
            return False
    except (OSError, ValueError):
        return False
    found = sum(len(list((folder / part).glob("DEMO_*.jpg"))) for part in PARTS)
    return found == recipe["images"] and (folder / METADATA).is_file()


def make_demo(folder, images: int = 600) -> Path:
    """Draw a synthetic dataset in HAM10000's Kaggle layout and write it to a folder.

    The same number gives the same bytes, whatever the number of threads. A killed run leaves no
    folder that could pass for a dataset.

    Args:
        folder: Where the dataset goes: absent, empty, or an earlier demo, which is replaced
            unless it is this very one.
        images: Number of photographs, 7 or more; 600 give every class at least 20 lesions.

    Returns:
        The folder: `HAM10000_metadata.csv`, two folders of 256 x 256 px JPEG files, and one of
        masks.

    Raises:
        ValueError: If the folder holds something else.
    """
    folder = Path(folder)
    recipe = dict(made_by="lesions.data.demo", version=VERSION, seed=SEED, images=images)
    if is_whole(folder, recipe):
        return folder
    occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if occupied and not (folder / "demo.json").is_file():
        raise ValueError(f"{folder} holds other files; name an empty or new folder for the demo.")
    table = draw_metadata(images)
    try:
        with replacing(folder) as temporary:
            write_images(table, temporary)
            table[list(COLUMNS)].to_csv(temporary / METADATA, index=False, lineterminator="\n")
            (temporary / "demo.json").write_text(json.dumps(recipe, indent=2) + "\n")
            if is_whole(folder, recipe):  # another process was first, and may be reading it
                raise FileExistsError(folder)
    except OSError:
        if not is_whole(folder, recipe):
            raise
    return folder
