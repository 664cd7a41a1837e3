"""Read the table of a dataset and find the photograph of every row."""

import warnings
from pathlib import Path

import pandas as pd

from lesions import classes
from lesions.data import cells, tables, walking
from lesions.data.finding import Dataset, find_companion


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
        the position in `classes.CODES`).

    Raises:
        ValueError: One sentence that names the faulty file, column, row or image and the way
            out.
    """
    table, notes = tables.read_table(dataset.metadata_file, *_companions(dataset))
    table["label"] = table["dx"].map(classes.CODES.index).astype(int)
    table = table.sort_values("image_id", ignore_index=True)
    files = walking.list_files(dataset.root)
    photographs = filter(walking.is_photograph, files)
    found = walking.index_by_name(photographs, table["image_id"])
    missing = table["image_id"][~table["image_id"].isin(found)]
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(table)} rows of {dataset.metadata_file.name} have no image "
            f"below {dataset.root}, the first is {missing.iloc[0]}; "
            "unpack all image folders or remove those rows."
        )
    masks = filter(walking.is_mask, files)
    mask_of = walking.index_by_name(masks, table["image_id"], walking.MASK_ENDING)
    # As objects, because a path need not be text that Arrow could hold.
    for column, path_of in (("image_path", found), ("mask_path", mask_of)):
        paths = [str(path_of[i]) if i in path_of else None for i in table["image_id"]]
        table[column] = pd.Series(paths, dtype=object)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return table


def files_read(dataset: Dataset) -> list[Path]:
    """List every file that `read_metadata` and whoever uses its rows may read."""
    files = walking.list_files(dataset.root)
    pictures = [path for path in files if walking.is_photograph(path) or walking.is_mask(path)]
    return [dataset.metadata_file, *filter(None, _companions(dataset)), *pictures]


def _companions(dataset: Dataset) -> tuple[Path | None, Path | None]:
    """Find the tables of lesions and of patients that belong to a ground truth of ISIC."""
    name = dataset.metadata_file.name.lower()
    groupings = extra = None
    if tables.kind_of(cells.column_names(dataset.metadata_file)) == "one_hot":
        groupings = find_companion(dataset, "lesiongroupings")
    if "groundtruth" in name:
        extra = find_companion(dataset, name.split("_groundtruth")[0].replace("_", "") + "metadata")
    return groupings, extra
