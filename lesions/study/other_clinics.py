"""What the best model answers to other clinics' photographs: measured once, then read."""

from pathlib import Path

import numpy as np
import pandas as pd

from lesions import data
from lesions.data import artefacts, images, near_duplicates, skin_tone
from lesions.evaluation import comparison, external
from lesions.evaluation.predictions import CODES, COLUMNS, read_predictions, table
from lesions.inference import familiarity
from lesions.networks import views
from lesions.system.files import write_csv, write_json
from lesions.system.folders import MODELS, named_by

CREDITS = {
    "isic2017": "ISIC archive (CC0), collected for ISIC 2017: Codella et al., arXiv:1710.05006",
    "ph2": "PH2, Hospital Pedro Hispano (free for research and education): "
    "Mendonça et al., EMBC 2013",
}
# What is recorded beside the predictions: distance and sharpness (see `inference.familiarity`),
# typology_angle (degrees), dark_corners (0 to 4) and home_correlation, the highest correlation
# with a photograph of HAM10000 (see `data.near_duplicates`; NaN where none were looked for).
FACTS = ("distance", "sharpness", "typology_angle", "dark_corners", "home_correlation")
CHANGED_SET = "isic2017"
# Photographs of that set on which artefacts are drawn, by diagnosis.
SAMPLE = {"mel": 24, "nv": 24, "bkl": 12}
CHANGES = {
    "ruler": artefacts.draw_ruler,
    "ink": artefacts.draw_ink,
    "coloured patch": artefacts.draw_patch,
    "dark corners": artefacts.draw_dark_corners,
    "black round frame": artefacts.draw_round_frame,
    "shades of grey": lambda image, _: images.shades_of_grey(image),
}
KNOWN_SIDE = 64  # at which copies of HAM10000's photographs are looked for
DARK = 40  # grey value, 0 to 255, below which a corner is the tube of the dermatoscope


def find_set(name: str) -> data.Dataset | None:
    """Find the photographs of a set of `external.SETS` in `$EXTERNAL_DIR`; None where it is unset.

    Raises:
        ValueError: If the set is not in that folder.
    """
    folder = named_by("EXTERNAL_DIR")
    if not folder:
        return None
    place = Path(folder) / name
    if not place.is_dir():
        raise ValueError(
            f"EXTERNAL_DIR names {folder}, which holds no folder {name}; put the photographs and "
            "metadata.csv of that set there."
        )
    return data.open_dataset(place, "named by EXTERNAL_DIR")


def home() -> tuple[pd.DataFrame, dict]:
    """Read predictions.csv (the mean of eight views) and metrics.json of the best model's run.

    Raises:
        ValueError: If another network answered to the external sets.
    """
    runs = pd.read_csv(MODELS / "comparison.csv")
    folder = MODELS / comparison.best_row(runs)["run"]
    asked = external.recorded_run()
    if asked != folder.name:
        raise ValueError(
            f"models/external is of the network {asked}, and the best one is {folder.name}; ask it "
            "by `python -m lesions.study publish external`."
        )
    details = comparison.read_record(folder / "metrics.json")
    return read_predictions(folder / "predictions.csv"), details


def require_set(name: str) -> data.Dataset:
    """Find a set as `find_set`, or raise a ValueError where no folder is named."""
    dataset = find_set(name)
    if dataset is None:
        raise ValueError("The external photographs are missing; set EXTERNAL_DIR to their folder.")
    return dataset


def photographs(name: str, image_ids) -> list[np.ndarray] | None:
    """Read photographs of a set, uint8 (height, width, 3) RGB each; None as `find_set`.

    Raises:
        ValueError: As `find_set`, or if a photograph is missing.
    """
    dataset = find_set(name)
    if dataset is None:
        return None
    paths = {path.stem: path for path in data.list_photographs(dataset.root)}
    missing = [image_id for image_id in image_ids if image_id not in paths]
    if missing:
        raise ValueError(f"{dataset.root} lacks the photograph {missing[0]}; unpack the set again.")
    return [images.read_image(paths[image_id]) for image_id in image_ids]


def dark_corners(image: np.ndarray) -> int:
    """Count the corners of a square photograph that are black: the tube of a dermatoscope."""
    side = len(image) // 20
    ends = slice(0, side), slice(-side, None)
    blocks = [image[rows, columns] for rows in ends for columns in ends]
    return sum(bool(np.median(block) < DARK) for block in blocks)


def measure(classifier, rows: pd.DataFrame, known: np.ndarray | None = None) -> pd.DataFrame:
    """Predict photographs, one view each, and measure what else is recorded of them.

    Args:
        classifier: From `inference.Classifier`, read from an `.h5` file.
        rows: Table from `data.read_metadata`.
        known: uint8, (n, size, size, 3), all photographs of HAM10000, to look for copies; None
            to look for none.

    Returns:
        What `external.read_recorded` returns, with the columns `FACTS`. Probabilities are as the
        network predicts, before any correction.
    """
    fitted = _fitted(classifier)
    parts = []
    for some, prepared, qualities, patient in classifier.read_rows(rows):
        answered = views.predict(classifier.model, prepared, False, patient)
        frame = table(some.assign(split="test"), answered)
        # What the warning for unfamiliar and blurred photographs judges.
        frame["distance"] = fitted.distances(familiarity.features_of(classifier, prepared))
        frame["sharpness"] = [one.sharpness for one in qualities]
        frame["typology_angle"] = [skin_tone.typology_angle(one) for one in prepared]
        frame["dark_corners"] = [dark_corners(one) for one in prepared]
        frame["home_correlation"] = np.nan
        if known is not None:
            frame["home_correlation"] = near_duplicates.highest_correlations(prepared, known)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def _fitted(classifier) -> familiarity.Familiarity:
    found, problem = classifier.familiarity
    if found is None:
        raise ValueError(problem)
    return found


def measure_home(classifier, rows: pd.DataFrame) -> pd.DataFrame:
    """Measure image_id, distance and sharpness (of `FACTS`) of photographs of HAM10000."""
    fitted = _fitted(classifier)  # before a minute of reading, not after it
    features, focus = familiarity.read(classifier, rows["image_path"])
    found = {"distance": fitted.distances(features), "sharpness": focus}
    return rows[["image_id"]].reset_index(drop=True).assign(**found)


def sample(rows: pd.DataFrame) -> pd.DataFrame:
    """Choose the photographs on which artefacts are drawn, up to `SAMPLE` of each diagnosis."""
    chosen = []
    for code, number in SAMPLE.items():
        part = rows[rows["dx"] == code].sort_values("image_id")
        chosen.append(part.sample(min(number, len(part)), random_state=0))
    return pd.concat(chosen, ignore_index=True)


def changed(image: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Draw each of `CHANGES`, alone, on a photograph; the number is the seed of the drawing."""
    return {name: change(image, np.random.default_rng(number)) for name, change in CHANGES.items()}


def measure_changes(classifier, rows: pd.DataFrame) -> pd.DataFrame:
    """Predict the photographs of `sample`, one view each, with every artefact drawn on them.

    Returns:
        One row a photograph and change: image_id, dx, change and the seven probabilities, as the
        network predicts.
    """
    parts = []
    for number, row in enumerate(sample(rows).itertuples()):
        versions = changed(images.read_image(row.image_path), number)
        prepared = np.stack([classifier.prepare(one) for one in versions.values()])
        patient = classifier.patient_input(len(prepared))
        frame = pd.DataFrame({"image_id": row.image_id, "dx": row.dx, "change": list(versions)})
        frame[CODES] = views.predict(classifier.model, prepared, False, patient)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def read_changes() -> pd.DataFrame:
    """Read what `measure_changes` found for the recorded best model."""
    frame = pd.read_csv(external.RECORDED / "changes.csv", dtype={"image_id": str})
    frame[CODES] = frame[CODES].div(frame[CODES].sum(axis=1), axis=0)
    return frame


def read_home() -> pd.DataFrame:
    """Read what `measure_home` found of HAM10000's test photographs."""
    return pd.read_csv(external.RECORDED / "home.csv", dtype={"image_id": str})


def publish(classifier, home: pd.DataFrame) -> list[Path]:
    """Measure the external sets, and what they are compared with, and write what is found.

    Copies are looked for among all rows of `home`, HAM10000's table with a column `split`, and the
    warning is measured on its test rows.

    Raises:
        ValueError: If EXTERNAL_DIR names no folder, or a set is not in it.
    """
    rows = {name: data.read_metadata(require_set(name)) for name in external.SETS}
    known = np.stack([images.prepare(path, KNOWN_SIDE) for path in home["image_path"]])
    measured = {
        f"{name}.csv": measure(classifier, one, known)[[*COLUMNS, *FACTS]]
        for name, one in rows.items()
    }
    measured["changes.csv"] = measure_changes(classifier, rows[CHANGED_SET])
    measured["home.csv"] = measure_home(classifier, home[home["split"] == "test"])
    # Only now, together: another network's tables must not stand under this one's name.
    written = [
        write_csv(frame, external.RECORDED / name, digits=5) for name, frame in measured.items()
    ]
    described = {"network": familiarity.identity(classifier)}  # see `external.recorded_network`
    return [*written, write_json(described, external.RECORDED / "network.json")]
