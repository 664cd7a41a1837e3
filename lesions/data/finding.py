"""Find HAM10000 and its look-alikes, and say what was chosen and why."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lesions import classes
from lesions.data import cells, tables, walking
from lesions.system.folders import REPOSITORY, build_folder, named_by

KAGGLE_HANDLE = "kmader/skin-cancer-mnist-ham10000"
KAGGLE_INPUT = Path("/kaggle/input")
KAGGLE_DEPTH = 4  # datasets are mounted at <name> or at datasets/<owner>/<name>
TABLE_SUFFIXES = (".csv", ".tab", ".tsv", ".txt")


@dataclass(frozen=True)
class Dataset:
    """Where one dataset lies.

    Attributes:
        root: The folder that holds everything.
        metadata_file: The metadata or ground-truth table.
        source: One sentence: which dataset was chosen and why.
        is_demo: Whether it is the synthetic demo set, however it was found.
    """

    root: Path
    metadata_file: Path
    source: str
    is_demo: bool


def find_dataset(location=None, download=False, demo_folder=None) -> Dataset:
    """Find HAM10000, or draw the demo set where there is none.

    The order is: `location`, `$HAM10000_DIR`, `data/` in the repository, the Kaggle input
    folders, an earlier kagglehub download, a new one if `download`, the demo set.

    Args:
        location: Folder of a dataset, in any layout that `open_dataset` reads.
        download: Whether kagglehub may download the public copy (about 5 GB, no login).
        demo_folder: Where the demo set is drawn; default `demo/` in the build folder.

    Raises:
        ValueError: If a folder that was named does not hold a dataset.
    """
    found = _find_real(location, download)
    if found is not None:
        return found
    from lesions.data import demo

    folder = demo.make_demo(demo_folder or build_folder(REPOSITORY / "build") / "demo")
    reason = "no HAM10000 was found, so this is the synthetic demo set: no real patient"
    return open_dataset(folder, reason)


def find_photographs(location=None) -> Dataset:
    """Find HAM10000 as `find_dataset` does, for what must not be measured on drawn pictures.

    Args:
        location: As there; here alone a demo set may be named.

    Raises:
        ValueError: If there is none, or only a demo set, even one that HAM10000_DIR names.
    """
    found = _find_real(location)
    if found is None or (found.is_demo and location is None):
        raise ValueError(
            "There are no photographs of HAM10000 here, and drawn ones do not serve here; name "
            "their folder by HAM10000_DIR, or by --data where the command has it."
        )
    return found


def _find_real(location, download: bool = False) -> Dataset | None:
    if location is not None:
        return open_dataset(location, "the folder that was asked for")
    named = named_by("HAM10000_DIR")
    if named:
        return open_dataset(named, "named by HAM10000_DIR")
    for folder, reason in _usual_places():
        if folder.is_dir() and _find_table(walking.list_files(folder)) is not None:
            return open_dataset(folder, reason)
    if not download:
        return None
    import kagglehub

    try:
        folder = kagglehub.dataset_download(KAGGLE_HANDLE)
    except Exception as error:  # kagglehub's own errors have no common class
        raise OSError(f"kagglehub: {error}") from error
    return open_dataset(folder, "downloaded by kagglehub")


def _usual_places() -> list[tuple[Path, str]]:
    places = [(REPOSITORY / "data", "found in the repository's data folder")]
    if KAGGLE_INPUT.is_dir():
        inside = walking.list_files(KAGGLE_INPUT, KAGGLE_DEPTH)
        mounted = sorted({p.parent for p in inside if p.name.lower() in tables.HAM_NAMES})
        # Drawn pictures last: the output of an earlier notebook may hold some.
        mounted.sort(key=lambda folder: (_is_drawn(folder), len(folder.parts)))
        places += [(folder, "mounted by Kaggle") for folder in mounted]
    cache = os.environ.get("KAGGLEHUB_CACHE") or os.path.expanduser("~/.cache/kagglehub")
    numbered = Path(cache, "datasets", KAGGLE_HANDLE, "versions").glob("[0-9]*")
    versions = sorted(numbered, key=lambda one: (len(one.name), one.name), reverse=True)
    return places + [(folder, "an earlier kagglehub download") for folder in versions]


def _is_drawn(folder: Path) -> bool:
    return (folder / "demo.json").is_file()


def open_dataset(folder, reason: str) -> Dataset:
    """Describe the dataset that lies in one folder.

    Read are HAM10000 as Kaggle (two parts, either case, or merged) and Dataverse publish it,
    the ground truths of ISIC 2018 Task 3 and ISIC 2019, a `metadata.csv` with HAM10000's columns
    of any clinic, and the ISIC Archive's own table. The table nearest to `folder` counts, one
    with a known name before one that only its columns tell.

    Args:
        folder: A folder in one of these layouts.
        reason: Why this folder was chosen, for the printed sentence.

    Raises:
        ValueError: If the folder, its table or its photographs are missing, or if two tables
            of this folder contradict each other.
    """
    root = Path(os.path.expanduser(folder))
    if root.is_file():
        raise ValueError(
            f"{root} is a file; point HAM10000_DIR or --data at the folder that holds it."
        )
    if not root.is_dir():
        raise ValueError(
            f"The data folder {root} does not exist; point HAM10000_DIR or --data at the folder "
            "that holds HAM10000_metadata.csv."
        )
    files = walking.list_files(root)
    table = _find_table(files)
    if table is None:
        for path in files:
            if path.name.lower() == "metadata.csv":
                tables.read_table(path)  # says which columns it lacks
        raise ValueError(
            f"{root} holds neither HAM10000_metadata.csv nor another table of photographs and "
            "diagnoses (metadata.csv, an ISIC ground truth); point HAM10000_DIR or --data at the "
            "unpacked download."
        )
    if not any(map(walking.is_photograph, files)):
        raise ValueError(
            f"{root} holds {table.name} but no .jpg or .png photograph; "
            "unpack HAM10000_images_part_1 and HAM10000_images_part_2 next to it."
        )
    return Dataset(root, table, f"{root} ({reason})", _is_drawn(table.parent))


def _find_table(files: list[Path]) -> Path | None:
    """Choose the table nearest to the root; of those at one depth, HAM10000's own first."""
    ranked = [(rank, path) for path in files if (rank := _rank(path)) is not None]
    known = [(rank, path) for rank, path in ranked if rank < 4] or ranked
    if not known:
        return None
    order = sorted((len(path.parts), rank, str(path), path) for rank, path in known)
    depth, best, _, chosen = order[0]
    _check_alike([path for *place, _, path in order if place == [depth, best]])
    for _, path in ranked:
        if path != chosen and len(path.parts) <= depth:
            _check_no_contradiction(chosen, path)
    return chosen


def _rank(path: Path) -> int | None:
    name = path.name.lower()
    if name in tables.HAM_NAMES:
        return 0
    columns = cells.column_names(path) if path.suffix.lower() in TABLE_SUFFIXES else []
    if tables.kind_of(columns) is None:
        return None
    if name == "metadata.csv":
        return 1
    if "groundtruth" in name:
        # The small official test set may lie at the side of the training set, which is meant.
        return 2 if "training" in name else 3
    # What this project writes has diagnoses, too.
    own_columns = ({"dx", "split", *classes.CODES}, {"predicted", *classes.CODES})
    return None if any(names <= set(columns) for names in own_columns) else 4


def _check_alike(paths: list[Path]) -> None:
    """Check that tables which could be meant just as well hold the same rows."""
    chosen, *others = paths
    for other in others:
        if not _same_rows(chosen, other):
            raise ValueError(
                f"{chosen} and {other} could both be meant and differ; move one of them to "
                "another place."
            )


def _check_no_contradiction(chosen: Path, other: Path) -> None:
    """Check that a table of lower rank, but as near, does not tell other things of a photograph."""
    try:
        first, second = (tables.read_table(path)[0] for path in (chosen, other))
    except ValueError:  # what is wrong with the chosen one is said when it is read
        return
    both = first.merge(second, on="image_id")
    # A photograph without a lesion of its own has its own id there.
    grouped = both[["lesion_id_x", "lesion_id_y"]].ne(both["image_id"], axis=0).all(axis=1)
    differ = grouped & (both["lesion_id_x"] != both["lesion_id_y"])
    differ |= both["dx_x"] != both["dx_y"]
    if differ.any():
        raise ValueError(
            f"{chosen} and {other} contradict each other on {both['image_id'][differ].iloc[0]}; "
            "move the one that is not meant to another place."
        )


def _same_rows(first: Path, second: Path) -> bool:
    if walking.same_content(first, second):
        return True
    rows = [cells.read_cells(path) for path in (first, second)]
    shared = [column for column in rows[0].columns if column in rows[1].columns]
    lists = [sorted(table[shared].itertuples(index=False, name=None)) for table in rows]
    return bool(shared) and lists[0] == lists[1]


def find_companion(dataset: Dataset, words: str) -> Path | None:
    """Find the table nearest to the root that belongs to a ground truth, or None.

    Args:
        dataset: From `open_dataset`.
        words: What its name contains, in lower case and without underscores.

    Raises:
        ValueError: If two at one depth differ.
    """
    found = [
        path
        for path in walking.list_files(dataset.root)
        if path.suffix.lower() in TABLE_SUFFIXES
        and words in re.sub(r"[\W_]", "", path.stem.lower())
    ]
    if not found:
        return None
    found.sort(key=lambda path: (len(path.parts), str(path)))
    _check_alike([path for path in found if len(path.parts) == len(found[0].parts)])
    return found[0]
