"""Look through folders for files, without falling into what is none of the user's doing."""

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_ENDING = "_segmentation"
# Made by operating systems, network drives and notebooks; names that start with a dot are, too.
FOREIGN = (
    "@eadir __macosx #recycle @recycle $recycle.bin lost+found #snapshot ~snapshot "
    "@recently-snapshot"
).split() + ["system volume information"]
WHOLE = 65_536  # bytes up to which two pictures are compared whole
BLOCK = 4_096


def list_files(folder, depth: int | None = None) -> list[Path]:
    """List the regular files of a folder, then those of the folders in it, in a fixed order.

    Hidden files and folders are left out, and so are named pipes, sockets and devices. Links
    are followed; a folder that two ways lead to is listed once, so that loops end. A photograph's
    link that leads nowhere is listed, so that whoever reads it says so.

    Args:
        folder: Where to start.
        depth: How many levels of folders below it are looked into; None for all.

    Raises:
        ValueError: If a folder cannot be read.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(Path(folder), 0)]
    while waiting:
        here, level = waiting.pop(0)
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise ValueError(
                f"The folder {here} cannot be read ({error.strerror}); allow it or move it away."
            ) from error
        folders = []
        for entry in inside:
            if entry.name.startswith(".") or entry.name.lower() in FOREIGN:
                continue
            with contextlib.suppress(OSError):  # a link to itself
                path = here / entry.name
                leads_nowhere = entry.is_symlink() and not path.exists()
                if entry.is_file() or (leads_nowhere and is_photograph(path)):
                    found.append(path)
                elif (depth is None or level < depth) and entry.is_dir():
                    folders.append(entry)
        # What really lies here comes before what a link shows.
        folders.sort(key=lambda entry: entry.is_symlink())
        waiting += [(here / entry.name, level + 1) for entry in folders]
    return found


def list_photographs(folder) -> list[Path]:
    """List the .jpg, .jpeg and .png files that `list_files` finds, without lesion masks."""
    return [path for path in list_files(folder) if is_photograph(path)]


def is_photograph(path: Path) -> bool:
    """Return whether a file's name is a photograph's, not a mask's."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith(MASK_ENDING)


def is_mask(path: Path) -> bool:
    """Return whether a file's name is a lesion mask's."""
    return path.suffix.lower() == ".png" and path.stem.endswith(MASK_ENDING)


def index_by_name(paths: Iterable[Path], wanted: Iterable[str], ending: str = "") -> dict:
    """Find the one file of every wanted name that is there.

    Args:
        paths: Files to choose from.
        wanted: Names without suffix, in composed Unicode; some disks decompose umlauts.
        ending: What follows the name before the suffix.

    Returns:
        Path by name.

    Raises:
        ValueError: If two files of one name hold different things; names both.
    """
    wanted, found = set(wanted), {}
    for path in paths:
        name = unicodedata.normalize("NFC", path.stem)[: -len(ending) or None]
        if name not in wanted:
            continue
        first = found.setdefault(name, path)
        if first is not path and not same_content(first, path):
            raise ValueError(
                f"{first} and {path} have one name and hold different things; move the one that "
                "is not meant to another place."
            )
    return found


def same_content(first: Path, second: Path) -> bool:
    """Return whether two files hold the same, by their size and by what is in them.

    Large pictures are compared at their start, middle and end: compressed ones that differ
    anywhere differ behind that place, too.

    Raises:
        ValueError: If one cannot be read.
    """
    try:
        status, other = os.stat(first), os.stat(second)
        if stat.S_ISREG(status.st_mode) and os.path.samestat(status, other):
            return True
        size = status.st_size
        return size == other.st_size and _blocks(first, size) == _blocks(second, size)
    except OSError as error:
        raise ValueError(
            f"{error.filename} cannot be read ({error.strerror}); restore it."
        ) from error


def _blocks(path: Path, size: int) -> bytes:
    with open(path, "rb") as file:
        if size <= WHOLE or path.suffix.lower() not in IMAGE_SUFFIXES:
            return file.read()
        content = b""
        for place in (0, size // 2, size - BLOCK):
            file.seek(place)
            content += file.read(BLOCK)
    return content
