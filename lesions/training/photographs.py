"""Compare photographs: whether two folders under the same table hold the same photographs."""

import hashlib

import numpy as np
import pandas as pd

from lesions import data
from lesions.data import images

SAMPLE = 16
SIDE = 4
# Brightness levels by which copies at other sizes differ on average; other pictures differ by
# far more.
TOLERANCE = 6.0


def describe(metadata: pd.DataFrame, patient: bool = False) -> dict:
    """Describe the photographs of a table, with image_id and image_path, in a few hundred bytes.

    Returns:
        `digest`, the same for the same files alone, see `data.photographs_digest`; `sample`,
        hex digits of a fixed few of them as squares of 4 pixels, which are nearly the same for
        copies of other sizes, see `look_alike`; and, with `patient`, `patients`, 16 hex digits of
        `data.patient_features`.
    """
    rows = metadata.drop_duplicates("image_id").sort_values("image_id")
    paths = rows["image_path"].tolist()
    chosen = np.linspace(0, len(paths) - 1, SAMPLE).astype(int)
    squares = np.stack([images.prepare(paths[number], SIDE) for number in chosen])
    found = {"digest": data.photographs_digest(metadata), "sample": squares.tobytes().hex()}
    if patient:
        features = data.patient_features(rows).tobytes()
        found["patients"] = hashlib.sha256(features).hexdigest()[:16]
    return found


def other_patients(recorded: dict, here: dict) -> bool:
    """Check whether descriptions differ in `patients`; what is not recorded does not differ."""
    known = "patients" in recorded and "patients" in here
    return known and recorded["patients"] != here["patients"]


def look_alike(one: dict, other: dict) -> bool:
    """Check whether two descriptions are of the same pictures, be it at other sizes."""
    first, second = (
        np.frombuffer(bytes.fromhex(description["sample"]), np.uint8).astype(float)
        for description in (one, other)
    )
    return first.size == second.size and np.abs(first - second).mean() < TOLERANCE
