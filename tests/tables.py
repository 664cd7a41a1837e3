"""Small datasets in HAM10000's layout, made in a few lines."""

import cv2
import numpy as np
import pandas as pd

from lesions import classes


def draw_table(lesions=8, photographs=1):
    """HAM10000's seven columns for `lesions` lesions of every class, `photographs` of each."""
    rows = [
        (f"HAM_{code}_{lesion:02d}", code, "histo", 50.0, "female", "back")
        for code in classes.CODES
        for lesion in range(lesions)
        for _ in range(photographs)
    ]
    table = pd.DataFrame(rows, columns=["lesion_id", "dx", "dx_type", "age", "sex", "localization"])
    table.insert(1, "image_id", [f"ISIC_{number:07d}" for number in range(len(table))])
    return table


def write_photographs(folder, image_ids, suffix=".jpg", side=32):
    """Write one-coloured photographs; each id has its own colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image_id in enumerate(image_ids):
        colour = np.random.default_rng(number).integers(40, 200, 3)
        picture = np.full((side, side, 3), colour, dtype=np.uint8)
        assert cv2.imwrite(str(folder / f"{image_id}{suffix}"), picture)
