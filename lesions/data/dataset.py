"""Find, read, check and split HAM10000 and its look-alikes."""

from __future__ import annotations

import difflib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from lesions import classes
from lesions.system.files import replacing
from lesions.system.folders import REPOSITORY

KAGGLE_HANDLE = "kmader/skin-cancer-mnist-ham10000"
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
SPLITS = ("train", "validation", "test")
FRACTIONS = {"train": 0.70, "validation": 0.15, "test": 0.15}
FOLDS = 5
SEXES = ("female", "male", "unknown")
SITES = (
    "abdomen acral back chest ear face foot genital hand lower_extremity neck scalp trunk "
    "upper_extremity unknown"
).split()
PATIENT_FEATURES = 2 + len(SEXES) + len(SITES)


@dataclass(frozen=True)
class Dataset:
    """Where one dataset lies.

    Attributes:
        root: The folder that holds everything.
        metadata_file: The metadata or ground-truth table.
        image_folders: Every folder below `root` that holds photographs.
        mask_folder: The folder of lesion masks, or None.
        source: One sentence: which dataset was chosen and why.
        is_demo: True for the synthetic demo set.
    """

    root: Path
    metadata_file: Path
    image_folders: tuple[Path, ...]
    mask_folder: Path | None
    source: str
    is_demo: bool = False


def find_dataset(location=None, download=False, demo_folder=None) -> Dataset:
    """Find HAM10000, or draw the demo set where there is none.

    The order is: `location`, `$HAM10000_DIR`, `data/` in the repository, the Kaggle input
    folders, an earlier kagglehub download, a new one if `download`, the demo set.

    Args:
        location: Folder of a dataset (Kaggle, Dataverse, merged or ISIC 2018 Task 3 layout).
        download: Whether kagglehub may download the public copy (about 5 GB, no login).
        demo_folder: Where the demo set is drawn; default `build/demo` in the repository.

    Returns:
        The first `Dataset` found.

    Raises:
        ValueError: If a folder that was named does not hold a dataset.
    """
    found = _find_real(location, download)
    if found is not None:
        return found
    from lesions.data import demo

    folder = demo.make_demo(Path(demo_folder or REPOSITORY / "build" / "demo"))
    reason = "no HAM10000 was found, so this is the synthetic demo set: no real patient"
    return open_dataset(folder, reason, is_demo=True)


def find_photographs(location=None) -> Dataset:
    """Find HAM10000 for what must not be measured on drawn pictures.

    Args:
        location: See `find_dataset`, whose order is followed, without the demo set.

    Returns:
        The first `Dataset` found.

    Raises:
        ValueError: If there is none.
    """
    found = _find_real(location)
    if found is None:
        raise ValueError(
            "There are no photographs of HAM10000 here, and drawn ones will not do; name their "
            "folder by --data or HAM10000_DIR."
        )
    return found


def _find_real(location, download: bool = False) -> Dataset | None:
    if location is not None:
        return open_dataset(location, "the folder that was asked for")
    if os.environ.get("HAM10000_DIR"):
        return open_dataset(os.environ["HAM10000_DIR"], "named by HAM10000_DIR")
    for folder, reason in _usual_places():
        if _find_table(folder) is not None:
            return open_dataset(folder, reason)
    if download:
        import kagglehub

        return open_dataset(kagglehub.dataset_download(KAGGLE_HANDLE), "downloaded by kagglehub")
    return None


def _usual_places() -> list[tuple[Path, str]]:
    places = [(REPOSITORY / "data", "found in the repository's data folder")]
    kaggle = Path("/kaggle/input")
    if kaggle.is_dir():
        # Newer Kaggle images mount datasets one or two levels further down.
        folders = sorted({table.parent for table in kaggle.rglob("HAM10000_metadata*")})
        places += [(folder, "mounted by Kaggle") for folder in folders]
    cache = Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))
    versions = sorted((cache / "datasets" / KAGGLE_HANDLE / "versions").glob("*"), reverse=True)
    return places + [(folder, "an earlier kagglehub download") for folder in versions]


def open_dataset(folder, reason: str, is_demo: bool = False) -> Dataset:
    """Describe the dataset that lies in one folder.

    Args:
        folder: A folder in any of the public layouts.
        reason: Why this folder was chosen, for the printed sentence.
        is_demo: True for the synthetic demo set.

    Raises:
        ValueError: If the folder, its table or its photographs are missing.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"The data folder {root} does not exist; "
            "point HAM10000_DIR at the folder that holds HAM10000_metadata.csv."
        )
    table = _find_table(root)
    if table is None:
        raise ValueError(
            f"{root} holds neither HAM10000_metadata.csv nor an ISIC 2018 ground truth; "
            "point HAM10000_DIR at the unpacked download."
        )
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir())]
    masks = [path for path in folders if "segmentation" in path.name.lower()]
    photographs = tuple(
        path
        for path in folders
        if not any("segmentation" in part.lower() for part in path.relative_to(root).parts)
        and any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in path.iterdir())
    )
    if not photographs:
        raise ValueError(
            f"{root} holds {table.name} but no .jpg or .png image; "
            "unpack HAM10000_images_part_1 and HAM10000_images_part_2 beside it."
        )
    mask_folder = next((path for path in masks if any(path.glob("*_segmentation.png"))), None)
    return Dataset(root, table, photographs, mask_folder, f"{root} ({reason})", is_demo)


def _find_table(root: Path) -> Path | None:
    if not root.is_dir():
        return None
    names = ("ham10000_metadata.csv", "ham10000_metadata.tab", "ham10000_metadata")
    candidates = [path for path in sorted(root.rglob("*")) if path.is_file()]
    for name in names:
        for path in candidates:
            if path.name.lower() == name:
                return path
    truths = [
        path
        for path in candidates
        if path.suffix in (".csv", ".tab")
        and "task3" in path.name.lower()
        and "groundtruth" in path.name.lower()
    ]
    # Beside the small official test set, the training set is the one that is meant.
    return min(truths, key=lambda path: "training" not in path.name.lower(), default=None)


def read_metadata(dataset: Dataset) -> pd.DataFrame:
    """Read and check the table of a dataset.

    Args:
        dataset: From `find_dataset` or `open_dataset`.

    Returns:
        One row per photograph, sorted by `image_id`, index 0 to n-1, with the columns
        lesion_id, image_id, dx, dx_type, age (float, years, NaN where missing), sex,
        localization, image_path (str), mask_path (str or None) and label (int, 0 to 6,
        the position in `classes.CODES`).

    Raises:
        ValueError: One sentence that names the faulty column, row or image and the mend.
    """
    name = dataset.metadata_file.name
    try:
        # "-sig", because Excel starts its "CSV UTF-8" with a mark.
        table = pd.read_csv(dataset.metadata_file, sep=None, engine="python", encoding="utf-8-sig")
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is empty or not a table ({error}); download it again.") from error
    except Exception as error:  # csv.Error is raised for an empty file by the sniffer
        if type(error).__name__ != "Error":
            raise
        raise ValueError(f"{name} is empty or not a table; download it again.") from error
    if table.empty:
        raise ValueError(f"{name} has no rows; download it again.")
    if "MEL" in table.columns:
        table = _from_one_hot(table, dataset)
    _check_columns(table, name)
    table = table[list(COLUMNS)].copy()
    _check_rows(table, name)
    table["sex"] = table["sex"].fillna("unknown")
    table["localization"] = table["localization"].fillna("unknown")
    table["age"] = pd.to_numeric(table["age"], errors="coerce").astype(float)
    table["label"] = table["dx"].map(classes.CODES.index).astype(int)
    table = table.sort_values("image_id", ignore_index=True)
    table["image_path"] = _image_paths(table["image_id"], dataset)
    table["mask_path"] = _mask_paths(table["image_id"], dataset)
    return table


def _from_one_hot(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Turn the ISIC 2018 Task 3 ground truth into HAM10000's columns."""
    name = dataset.metadata_file.name
    missing = [code.upper() for code in classes.CODES if code.upper() not in table.columns]
    if "image" not in table.columns or missing:
        raise ValueError(
            f"{name} lacks the column {', '.join(missing) or 'image'}; "
            "an ISIC 2018 ground truth has image, MEL, NV, BCC, AKIEC, BKL, DF and VASC."
        )
    one_hot = table[[code.upper() for code in classes.CODES]].to_numpy(dtype=float)
    wrong = np.flatnonzero((one_hot == 1).sum(axis=1) != 1)
    if len(wrong):
        raise ValueError(
            f"{name}, row {wrong[0] + 2} ({table['image'][wrong[0]]}) marks not exactly one "
            "diagnosis with 1; correct that row."
        )
    rows = pd.DataFrame({"image_id": table["image"], "lesion_id": table["image"]})
    rows["dx"] = np.array(classes.CODES)[one_hot.argmax(axis=1)]
    rows[["dx_type", "age", "sex", "localization"]] = ["unknown", np.nan, "unknown", "unknown"]
    groupings = sorted(dataset.root.rglob("*LesionGroupings*.csv"))
    if groupings:
        groups = pd.read_csv(groupings[0]).set_index("image")["lesion_id"]
        rows["lesion_id"] = rows["image_id"].map(groups).fillna(rows["lesion_id"])
    elif "training" in name.lower():
        warnings.warn(
            f"{name} does not say which photographs show one lesion, so each counts as a lesion "
            "and a split leaks; put ISIC2018_Task3_Training_LesionGroupings.csv beside it.",
            stacklevel=2,
        )
    return rows


def _check_columns(table: pd.DataFrame, name: str) -> None:
    for column in COLUMNS:
        if column in table.columns:
            continue
        close = difflib.get_close_matches(column, [str(c) for c in table.columns], n=1)
        hint = f"; rename {close[0]!r} to {column!r}." if close else "; download the table again."
        raise ValueError(f"{name} lacks the column {column!r}{hint}")


def _check_rows(table: pd.DataFrame, name: str) -> None:
    for column in ("lesion_id", "image_id", "dx"):
        empty = np.flatnonzero(table[column].isna())
        if len(empty):
            raise ValueError(f"{name}, row {empty[0] + 2} has no {column}; fill it in.")
    unknown = table[~table["dx"].isin(classes.CODES)]
    if len(unknown):
        row = unknown.iloc[0]
        raise ValueError(
            f"{name}, row {unknown.index[0] + 2} ({row['image_id']}) has the unknown diagnosis "
            f"{row['dx']!r}; it must be one of {', '.join(classes.CODES)}."
        )
    twice = table[table["image_id"].duplicated()]
    if len(twice):
        raise ValueError(
            f"{name}, row {twice.index[0] + 2} repeats the image id {twice.iloc[0]['image_id']}; "
            "remove one of the two rows."
        )
    diagnoses = table.groupby("lesion_id")["dx"].unique()
    torn = diagnoses[diagnoses.map(len) > 1]
    if len(torn):
        raise ValueError(
            f"{name}: lesion {torn.index[0]} has the diagnoses {' and '.join(torn.iloc[0])}; "
            "give all its rows the same dx."
        )


def _image_paths(image_ids: pd.Series, dataset: Dataset) -> list[str]:
    found = {}
    for folder in dataset.image_folders:
        for entry in folder.iterdir():
            if entry.suffix.lower() in IMAGE_SUFFIXES:
                found.setdefault(entry.stem, str(entry))
    missing = [image_id for image_id in image_ids if image_id not in found]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(image_ids)} rows of {dataset.metadata_file.name} have no "
            f"image below {dataset.root}, the first is {missing[0]}; "
            "unpack all image folders or remove those rows."
        )
    return [found[image_id] for image_id in image_ids]


def _mask_paths(image_ids: pd.Series, dataset: Dataset) -> list[str | None]:
    if dataset.mask_folder is None:
        return [None] * len(image_ids)
    suffix = "_segmentation.png"
    present = {path.name for path in dataset.mask_folder.glob(f"*{suffix}")}
    names = [f"{image_id}{suffix}" for image_id in image_ids]
    return [str(dataset.mask_folder / name) if name in present else None for name in names]


def split_by_lesion(metadata: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Split 70/15/15 so that all photographs of a lesion are on the same side.

    Lesions, not images, are drawn, stratified by diagnosis, by scikit-learn. They are sorted
    by id first, so the split does not depend on the order of the rows or on the machine.

    Args:
        metadata: Table from `read_metadata`.
        seed: Seed of the shuffle.

    Returns:
        A copy with a column `split`: "train", "validation" or "test", and a column `fold`, see
        `assign_folds`.

    Raises:
        ValueError: If a diagnosis has too few lesions to be on every side.
    """
    lesions = metadata.drop_duplicates("lesion_id").sort_values("lesion_id")
    return assign_folds(_assign(metadata, "lesion_id", lesions, seed), seed)


def assign_folds(metadata: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Divide the training and validation rows into five folds by lesion, by scikit-learn.

    A network that is trained on four folds has not seen the fifth, so that five such networks
    predict every row that is not in the test split out of fold.

    Args:
        metadata: Table with a column `split`.
        seed: Seed of the shuffle.

    Returns:
        A copy with a column `fold`, int: 0 to 4, and -1 in the test split.
    """
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
        fold: 0 to 4: this fold becomes the validation split and the other four the training
            split; None leaves the split as it is. The test split is the same for all.

    Returns:
        A copy with another column `split`.

    Raises:
        ValueError: If there is no such fold.
    """
    if fold is None:
        return metadata
    if fold not in range(FOLDS):
        raise ValueError(f"fold is {fold}; it must be 0 to {FOLDS - 1}, or none.")
    split = np.where(metadata["fold"] == fold, "validation", "train")
    return metadata.assign(split=np.where(metadata["split"] == "test", "test", split))


def split_by_image(metadata: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Split 70/15/15 by image: the leaky protocol, to measure what it is worth.

    Args:
        metadata: Table from `read_metadata`.
        seed: Seed of the shuffle.

    Returns:
        A copy with a column `split`; photographs of one lesion land on both sides.
    """
    return _assign(metadata, "image_id", metadata.sort_values("image_id"), seed)


def _assign(metadata, key, units, seed) -> pd.DataFrame:
    counts = units["dx"].value_counts()
    if counts.min() < 7:
        raise ValueError(
            f"The class {counts.idxmin()!r} has only {counts.min()} lesions, too few to be in "
            "the training, validation and test split; add data or leave the class out."
        )
    train, rest = train_test_split(
        units, train_size=FRACTIONS["train"], stratify=units["dx"], random_state=seed
    )
    validation, test = train_test_split(rest, test_size=0.5, stratify=rest["dx"], random_state=seed)
    side = {}
    for name, rows in zip(SPLITS, (train, validation, test), strict=True):
        side.update(dict.fromkeys(rows[key], name))
    result = metadata.assign(split=metadata[key].map(side))
    check_classes_present(result)
    return result


def check_classes_present(metadata: pd.DataFrame) -> None:
    """Check that every class is in every split.

    Raises:
        ValueError: If a class that the table holds is absent from a split.
    """
    counts = metadata.groupby(["dx", "split"]).size().unstack(fill_value=0)
    for code in counts.index:
        for split in SPLITS:
            if counts.get(split, pd.Series(dtype=int)).get(code, 0) == 0:
                raise ValueError(
                    f"The class {code!r} is absent from the {split} split; "
                    "use more images or another seed."
                )


def write_splits(metadata: pd.DataFrame, path) -> Path:
    """Write image ids, their split and their fold, sorted by id, as CSV.

    Args:
        metadata: Table with the columns image_id, split and fold.
        path: Where the file goes; the fold of test rows is left empty there.

    Returns:
        The path.
    """
    table = metadata.sort_values("image_id")[["image_id", "split", "fold"]]
    table["fold"] = table["fold"].astype("Int64").mask(table["fold"] < 0)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)


def read_splits(path, metadata: pd.DataFrame) -> pd.DataFrame:
    """Add the recorded split and folds to a table.

    Args:
        path: CSV with the columns image_id, split and fold, from `write_splits`.
        metadata: Table from `read_metadata`; may hold fewer images than the file.

    Returns:
        A copy of `metadata` with the columns `split` and `fold` (int, -1 in the test split).

    Raises:
        ValueError: If an image has no recorded split.
    """
    recorded = pd.read_csv(path).set_index("image_id")
    split = metadata["image_id"].map(recorded["split"])
    if split.isna().any():
        raise ValueError(
            f"{path} has no split for {metadata['image_id'][split.isna()].iloc[0]}; "
            "make a new split of this dataset by data.split_by_lesion."
        )
    fold = metadata["image_id"].map(recorded["fold"]).fillna(-1).astype(int)
    return metadata.assign(split=split, fold=fold)


def with_split(metadata: pd.DataFrame, path=REPOSITORY / "models" / "splits.csv") -> pd.DataFrame:
    """Add the recorded split where it covers these images, else make one by lesion.

    Args:
        metadata: Table from `read_metadata`.
        path: The recorded split.

    Returns:
        A copy of `metadata` with a column `split`.
    """
    path = Path(path)
    if path.exists() and metadata["image_id"].isin(pd.read_csv(path)["image_id"]).all():
        return read_splits(path, metadata)
    return split_by_lesion(metadata)


def count_shared_lesions(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> dict[str, float]:
    """Count how much of `rows_b` shows lesions or images that `rows_a` shows too.

    Args:
        rows_a: Rows with lesion_id and image_id, for example the training rows.
        rows_b: The other rows, for example the test rows.

    Returns:
        `lesions`: lesions on both sides; `images`: rows of `rows_b` whose lesion is in
        `rows_a`; `share`: those as a share of `rows_b`, 0 to 1; `same_images`: image ids on
        both sides.
    """
    seen = rows_b["lesion_id"].isin(rows_a["lesion_id"])
    return {
        "lesions": int(rows_b["lesion_id"][seen].nunique()),
        "images": int(seen.sum()),
        "share": float(seen.mean()) if len(rows_b) else 0.0,
        "same_images": int(rows_b["image_id"].isin(rows_a["image_id"]).sum()),
    }


def check_no_leak(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> None:
    """Check that two sets of rows share neither a lesion nor an image.

    Raises:
        ValueError: If they do; names the first lesion.
    """
    shared = count_shared_lesions(rows_a, rows_b)
    if shared["images"] or shared["same_images"]:
        seen = rows_b["lesion_id"].isin(rows_a["lesion_id"])
        seen |= rows_b["image_id"].isin(rows_a["image_id"])
        raise ValueError(
            f"{int(seen.sum())} of {len(rows_b)} images show a lesion that is on the other side "
            f"too, the first is lesion {rows_b['lesion_id'][seen].iloc[0]}; "
            "split with data.split_by_lesion and resample only afterwards."
        )


def sample_lesions(metadata: pd.DataFrame, images: int = 1500, seed: int = 42) -> pd.DataFrame:
    """Draw a stratified sample of whole lesions, for a quick run.

    Args:
        metadata: Table with a column `split`.
        images: About how many images to keep.
        seed: Seed of the draw.

    Returns:
        The rows of the drawn lesions, index 0 to n-1. At least five lesions of every class
        stay in every split where there are as many.
    """
    if images >= len(metadata):
        return metadata
    fraction = images / len(metadata)
    lesions = metadata.drop_duplicates("lesion_id").sort_values("lesion_id")
    drawn = []
    for _, group in lesions.groupby(["split", "dx"]):
        number = min(len(group), max(5, round(len(group) * fraction)))
        drawn.append(group.sample(number, random_state=seed)["lesion_id"])
    return metadata[metadata["lesion_id"].isin(pd.concat(drawn))].reset_index(drop=True)


def patient_features(metadata: pd.DataFrame) -> np.ndarray:
    """Encode age, sex and body site; never `dx_type`, which gives the diagnosis away.

    Args:
        metadata: Table with age (years), sex and localization.

    Returns:
        float32, (n, PATIENT_FEATURES): age / 100 (0 where missing), 1 where age is missing,
        sex one-hot over `SEXES`, site one-hot over `SITES`. Values 0 to 1.
    """
    age = metadata["age"].to_numpy(dtype=np.float32)
    site = metadata["localization"].str.replace(" ", "_")
    columns = [np.nan_to_num(age) / 100, np.isnan(age)]
    sex = metadata["sex"].where(metadata["sex"].isin(SEXES), "unknown")
    site = site.where(site.isin(SITES), "unknown")
    columns += [sex == value for value in SEXES] + [site == value for value in SITES]
    return np.stack([np.asarray(column, dtype=np.float32) for column in columns], axis=1)
