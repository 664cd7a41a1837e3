"""Read the table of a dataset and find the photograph of every row."""

import warnings
from pathlib import Path

import pandas as pd

from lesions import classes
from lesions.data import tables, walking
from lesions.data.finding import Dataset, find_companion, kind_of_file


def read_metadata(dataset: Dataset) -> pd.DataFrame:
    """Read and check the table of a dataset.

    Rows whose diagnosis has no class in HAM10000 are left out, as a warning says, and
    photographs whose lesion is not known count as a lesion each.

    Args:
        dataset: From `find_dataset` or `open_dataset`.

    Returns:
        One row per photograph, sorted by `image_id`, index 0 to n-1, with the columns
        lesion_id, image_id, dx, dx_type, age (float, years, NaN where missing), sex,
        localization, image_path (str), mask_path (str or None) and label (int, 0 to 6,
        the position in `classes.CODES`). `attrs["notes"]` lists the warnings.

    Raises:
        ValueError: One sentence that names the faulty file, column, row or image and the way
            out.
    """
    table, notes = tables.read_table(dataset.metadata_file, *_companions(dataset))
    table["label"] = table["dx"].map(classes.CODES.index).astype(int)
    table = table.sort_values("image_id", ignore_index=True)
    files = walking.list_files(dataset.root)
    # As objects, because a path need not be text that Arrow could hold.
    table["image_path"] = pd.Series(_image_paths(table["image_id"], files, dataset), dtype=object)
    table["mask_path"] = _mask_paths(table["image_id"], files)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    table.attrs["notes"] = notes
    return table


def files_read(dataset: Dataset) -> list[Path]:
    """List every file that `read_metadata` and whoever uses its rows may read."""
    tables_read = [dataset.metadata_file, *filter(None, _companions(dataset))]
    inside = walking.list_files(dataset.root)
    pictures = [one for one in inside if walking.is_photograph(one) or walking.is_mask(one)]
    return [*tables_read, *pictures]


def _companions(dataset: Dataset) -> tuple[Path | None, Path | None]:
    """Find the tables of lesions and of patients that belong to a ground truth of ISIC."""
    name = dataset.metadata_file.name.lower()
    groupings = extra = None
    if kind_of_file(dataset.metadata_file) == "one_hot":
        groupings = find_companion(dataset, "lesiongroupings")
    if "groundtruth" in name:
        extra = find_companion(dataset, name.split("_groundtruth")[0].replace("_", "") + "metadata")
    return groupings, extra


def _image_paths(image_ids: pd.Series, files, dataset: Dataset) -> list[str]:
    photographs = [path for path in files if walking.is_photograph(path)]
    found = walking.index_by_name(photographs, image_ids)
    missing = [image_id for image_id in image_ids if image_id not in found]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(image_ids)} rows of {dataset.metadata_file.name} have no "
            f"image below {dataset.root}, the first is {missing[0]}; "
            "unpack all image folders or remove those rows."
        )
    return [str(found[image_id]) for image_id in image_ids]


def _mask_paths(image_ids: pd.Series, files) -> list[str | None]:
    masks = [path for path in files if walking.is_mask(path)]
    found = walking.index_by_name(masks, image_ids, walking.MASK_ENDING)
    return [str(found[i]) if i in found else None for i in image_ids]
