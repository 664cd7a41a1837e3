"""Small datasets in HAM10000's layout, made in a few lines."""

import cv2
import numpy as np
import pandas as pd

from lesions import classes
from lesions.evaluation import predictions


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


def drawn_predictions(sharpness, count=140, seed=0):
    """Predictions that lean towards the truth by `sharpness`; half of them are validation."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 7
    logits = random.normal(size=(count, 7)) + sharpness * np.eye(7)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = pd.DataFrame(
        {
            "image_id": [f"ISIC_{number:07d}" for number in range(count)],
            "lesion_id": [f"HAM_{number:07d}" for number in range(count)],
            "split": np.where(np.arange(count) % 2 == (labels % 2), "validation", "test"),
            "dx": np.array(classes.CODES)[labels],
        }
    )
    return predictions.table(rows, probabilities)


def drawn_fusion():
    """What a model file stores on patients: melanoma is old, nevi are young and on the back."""
    nothing, mel, nv = [0.0] * 7, [0.0] * 7, [0.0] * 7
    mel[classes.CODES.index("mel")] = nv[classes.CODES.index("nv")] = 2.0
    ages = {str(age): nv if age < 40 else mel for age in range(0, 90, 10)}
    return {
        "power": 0.9,
        "offset": -0.4,
        "weight": 0.5,
        "class_frequencies": [1 / 7] * 7,
        "intercepts": nothing,
        "tables": {
            "age": {**ages, "unknown": nothing},
            "sex": {"female": nothing, "male": mel, "unknown": nothing},
            "localization": {"back": nv, "unknown": nothing},
        },
    }
