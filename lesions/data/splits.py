"""Split photographs so that nobody's lesion is on two sides."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from lesions.system.files import read_csv, write_csv
from lesions.system.folders import SPLITS_FILE

SPLITS = ("train", "validation", "test")
FRACTIONS = {"train": 0.70, "validation": 0.15, "test": 0.15}
FOLDS = 5


def split_by_lesion(metadata: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Split 70/15/15 so that all photographs of a lesion are on the same side.

    Lesions, not images, are drawn, stratified by diagnosis, by scikit-learn. They are sorted
    by id first, so the split does not depend on the order of the rows or on the machine.

    All but the test rows are also divided into five folds by lesion: a network that is trained
    on four of them has not seen the fifth, so that five such networks predict every row that is
    not in the test split out of fold.

    Args:
        metadata: Table from `read_metadata`.
        seed: Seed of the shuffle.

    Returns:
        A copy with the columns `split` ("train", "validation" or "test") and `fold` (int: 0 to
        4, and -1 in the test split).

    Raises:
        ValueError: If a diagnosis has too few lesions to be on every side.
    """
    return _assign_folds(_assign(metadata, "lesion_id", _lesions(metadata), seed), seed)


def _lesions(metadata: pd.DataFrame) -> pd.DataFrame:
    """Return one row a lesion, whatever the order: in public collections its dx may change."""
    return metadata.sort_values(["lesion_id", "image_id"]).drop_duplicates("lesion_id")


def _assign_folds(metadata: pd.DataFrame, seed: int) -> pd.DataFrame:
    from sklearn.model_selection import StratifiedGroupKFold  # a prediction does without it

    # Sorted, so that the folds do not depend on the order of the rows.
    rows = metadata[metadata["split"] != "test"].sort_values(["lesion_id", "image_id"])
    folds = pd.Series(-1, index=metadata.index)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    parts = splitter.split(rows, rows["dx"], rows["lesion_id"])
    for number, (_, held_out) in enumerate(parts):
        folds[rows.index[held_out]] = number
    return metadata.assign(fold=folds)


def hold_out(metadata: pd.DataFrame, fold: int | None) -> pd.DataFrame:
    """Choose the rows that a network is validated on: the validation split, or one fold.

    Args:
        metadata: Table with the columns `split` and `fold`.
        fold: 0 to 4: this fold becomes the validation split of the copy, and the other four the
            training split; None leaves the split as it is. The test split is the same for all.

    Raises:
        ValueError: If there is no such fold.
    """
    if fold is None:
        return metadata
    if fold not in range(FOLDS):
        raise ValueError(f"fold is {fold}; it must be 0 to {FOLDS - 1}, or none.")
    split = np.where(metadata["fold"] == fold, "validation", "train")
    return metadata.assign(split=np.where(metadata["split"] == "test", "test", split))


def without_validation(metadata: pd.DataFrame) -> pd.DataFrame:
    """Return a copy in which all rows but those of the test split are training rows."""
    return metadata.assign(split=np.where(metadata["split"] == "test", "test", "train"))


def split_by_image(metadata: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Split 70/15/15 by image, which leaks: photographs of one lesion land on both sides.

    Returns:
        A copy with a column `split`.
    """
    return _assign(metadata, "image_id", metadata.sort_values("image_id"), seed)


def _assign(metadata, key, units, seed) -> pd.DataFrame:
    from sklearn.model_selection import train_test_split  # a prediction does without it

    counts = units["dx"].value_counts()
    if counts.min() < 7:
        noun = "lesions" if key == "lesion_id" else "photographs"
        raise ValueError(
            f"The class {counts.idxmin()!r} has only {counts.min()} {noun}, too few to be in "
            "the training, validation and test split; add data or leave the class out."
        )
    train, rest = train_test_split(
        units, train_size=FRACTIONS["train"], stratify=units["dx"], random_state=seed
    )
    validation, test = train_test_split(rest, test_size=0.5, stratify=rest["dx"], random_state=seed)
    sides = zip(SPLITS, (train, validation, test), strict=True)
    side = {unit: name for name, rows in sides for unit in rows[key]}
    result = metadata.assign(split=metadata[key].map(side))
    check_classes_present(result)
    return result


def check_classes_present(metadata: pd.DataFrame) -> None:
    """Raise ValueError if a class that the table holds is absent from a split."""
    counts = pd.crosstab(metadata["dx"], metadata["split"]).reindex(columns=SPLITS, fill_value=0)
    absent = np.argwhere(counts.to_numpy() == 0)
    if len(absent):
        code, split = counts.index[absent[0][0]], SPLITS[absent[0][1]]
        raise ValueError(
            f"The class {code!r} is absent from the {split} split; use more images or another seed."
        )


def write_splits(metadata: pd.DataFrame, path) -> Path:
    """Write image_id, split and fold (empty for test rows), sorted by id, as CSV."""
    table = metadata.sort_values("image_id")[["image_id", "split", "fold"]]
    table["fold"] = table["fold"].astype("Int64").mask(table["fold"] < 0)
    return write_csv(table, path)


def with_split(metadata: pd.DataFrame, path=SPLITS_FILE) -> pd.DataFrame:
    """Add the recorded split where it covers these images, else make one by lesion.

    Where it covers some of them only, a warning reports that all are split again.

    Args:
        metadata: Table from `read_metadata`.
        path: The recorded split, from `write_splits`.

    Returns:
        A copy of `metadata` with the columns `split` and `fold`, see `split_by_lesion`.

    Raises:
        ValueError: If the file is not a table of splits; names the row.
    """
    if Path(path).exists():
        recorded = read_splits(path)
        ids = metadata["image_id"]
        known = ids.isin(recorded.index)
        if known.all():
            fold = ids.map(recorded["fold"])
            return metadata.assign(split=ids.map(recorded["split"]), fold=fold)
        if known.any():
            warnings.warn(
                f"{path} has a split for {int(known.sum())} of {len(metadata)} photographs only, "
                "so all are split again, and networks that came with the repository may have been "
                "trained on photographs that are now in the test split.",
                stacklevel=2,
            )
    return split_by_lesion(metadata)


def read_splits(path=SPLITS_FILE) -> pd.DataFrame:
    """Read what `write_splits` wrote, indexed by image_id: split, and fold (-1 for test rows).

    Raises:
        ValueError: If the file is not a table of splits; names the row.
    """
    try:
        # As text: ids may be numbers with zeros in front, or look like a missing value.
        recorded = read_csv(path, dtype=str, keep_default_na=False).fillna("")
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a table of splits; restore it.") from error
    for column in ("image_id", "split", "fold"):
        if column not in recorded.columns:
            raise ValueError(f"{path} lacks the column {column!r}; restore it.")
    folds = [str(number) for number in range(FOLDS)]
    right = recorded["fold"].isin(folds).where(recorded["split"] != "test", recorded["fold"] == "")
    wrong = ~recorded["split"].isin(SPLITS) | recorded["image_id"].duplicated() | ~right
    if wrong.any():
        row = recorded[wrong].iloc[0]
        raise ValueError(
            f"{path}, row {row.name + 2} ({row['image_id']}) repeats an image or has the unknown "
            f"split {row['split']!r} or fold {row['fold']!r} (0 to {FOLDS - 1}, none for test "
            "rows); restore it."
        )
    recorded["fold"] = recorded["fold"].replace("", "-1").astype(int)
    return recorded.set_index("image_id")


def count_shared_lesions(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> dict[str, float]:
    """Count how much of `rows_b`, the test rows, shows what `rows_a`, the training rows, show too.

    Returns:
        `share`: rows of `rows_b` whose lesion is in `rows_a`, as a share of `rows_b`, 0 to 1;
        `same_images`: rows of `rows_b` whose image is in `rows_a`.
    """
    seen = rows_b["lesion_id"].isin(rows_a["lesion_id"])
    return {
        "share": float(seen.mean()) if len(rows_b) else 0.0,
        "same_images": int(rows_b["image_id"].isin(rows_a["image_id"]).sum()),
    }


def check_no_leak(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> None:
    """Raise ValueError if two sets of rows share a lesion or an image; names the first lesion."""
    seen = rows_b["lesion_id"].isin(rows_a["lesion_id"])
    seen |= rows_b["image_id"].isin(rows_a["image_id"])
    if seen.any():
        raise ValueError(
            f"{int(seen.sum())} of {len(rows_b)} images show a lesion that is on the other side "
            f"too, the first is lesion {rows_b['lesion_id'][seen].iloc[0]}; "
            "split with data.split_by_lesion and resample only afterwards."
        )


def sample_lesions(metadata: pd.DataFrame, images: int = 1500) -> pd.DataFrame:
    """Draw a stratified sample of whole lesions, about so many images, for a quick run.

    At least five lesions of every class stay in every split where there are as many.
    """
    if images >= len(metadata):
        return metadata
    fraction = images / len(metadata)
    drawn = []
    for _, group in _lesions(metadata).groupby(["split", "dx"]):
        number = min(len(group), max(5, round(len(group) * fraction)))
        drawn.append(group.sample(number, random_state=42)["lesion_id"])
    return metadata[metadata["lesion_id"].isin(pd.concat(drawn))].reset_index(drop=True)
