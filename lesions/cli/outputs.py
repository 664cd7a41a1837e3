"""Refuse to write over what a command reads, before it does any work."""

import contextlib
import errno
import os
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from lesions.system import files

HEAT_MAP_ENDING = "_gradcam.jpg"
WAY_OUT = "name another --output"


def without_heat_maps(found: list[str], named: list[str]) -> list[str]:
    """Return what was found but heat maps that nobody named; a ValueError where none is left."""
    kept = [path for path in found if not path.endswith(HEAT_MAP_ENDING) or path in named]
    skipped = len(found) - len(kept)
    if skipped:
        print(
            f"Skipped {skipped} heat map{'s' * (skipped > 1)} that explain wrote "
            f"(…{HEAT_MAP_ENDING}); name one to take it for a photograph."
        )
    if not kept:
        raise ValueError("There are only heat maps that explain wrote; name photographs.")
    return kept


def refuse_overwriting(outputs: Iterable, inputs: Iterable) -> None:
    """Raise ValueError for an output that is an input, a folder that holds one, a device or a pipe.

    Two paths are the same file where they lead to the same place, by links or by names that some
    systems do not tell apart (A.jpg and a.jpg), or where both are hard links to one file.
    """
    outputs = list(outputs)
    for output in outputs:
        files.refuse_special(os.path.expanduser(output))
    places = {_place(output): output for output in outputs}
    numbers = {_number(output): output for output in outputs}
    numbers.pop(None, None)  # of what is not there yet
    names = {os.path.basename(place) for place in places}
    folders = [place + os.sep for place, output in places.items() if os.path.isdir(output)]
    for path in map(os.fspath, inputs):
        if numbers and (number := _number(path)) in numbers:
            _refuse(numbers[number], path)
        # Looking up where a path leads costs more than comparing its last part.
        if folders or os.path.islink(path) or plain(os.path.basename(path)) in names:
            place = _place(path)
            if place in places:
                _refuse(places[place], path)
            for folder in folders:
                if place.startswith(folder):
                    _refuse(places[folder.removesuffix(os.sep)], path)


def refuse_unwritable(output, way_out: str = WAY_OUT) -> None:
    """Raise ValueError, with what to do instead, for a folder and where no file can be put.

    The folders above the output need not be there yet. Of a link, both folders must take a file:
    what it leads to is replaced, and `predict` keeps its rows beside the link until they are whole.
    """
    path = Path(output)
    with named_in_errors(path, way_out):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        for place in {path.absolute(), Path(os.path.realpath(path))}:
            above = next(folder for folder in place.parents if folder.exists())
            tempfile.TemporaryFile(dir=above).close()


def refuse_image_in(output, folders: Iterable) -> None:
    """Raise ValueError for a table that a search of these folders would take for a photograph."""
    from lesions.data import IMAGE_SUFFIXES

    if Path(output).suffix.lower() not in IMAGE_SUFFIXES:
        return
    for folder in folders:
        if os.path.isdir(folder) and _place(output).startswith(_place(folder) + os.sep):
            raise ValueError(
                f"{output} has the suffix of a photograph and lies in {folder}, whose photographs "
                "are read; let --output end in .csv."
            )


def refuse_inside(output, folder, option: str) -> None:
    """Raise ValueError for an output that is, or lies in, a folder that is only read."""
    inside = _place(output) + os.sep
    if inside.startswith(_place(folder) + os.sep):
        raise ValueError(
            f"{output} lies in {folder}, which holds the photographs; name another {option}."
        )


def model_files(model) -> list[Path]:
    """List the files that `inference.Classifier` reads with a network."""
    path = Path(os.path.expanduser(model))
    path = path / "model.h5" if path.is_dir() else path
    return [path, path.with_name(f"{path.name}.json"), path.with_name("familiarity.npz")]


@contextlib.contextmanager
def named_in_errors(output, way_out: str = WAY_OUT):
    """Turn what the system refuses inside a `with` block into a ValueError on the output."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # the disk is full, and the message says so
            raise
        raise ValueError(f"{output} cannot be written ({error.strerror}); {way_out}.") from error


def _refuse(output, path) -> None:
    raise ValueError(f"{output} would replace {path}, which this command reads; {WAY_OUT}.")


def _place(path) -> str:
    return plain(os.path.realpath(os.path.expanduser(path)))


def plain(name: str) -> str:
    """Return what is the same for all names that some systems do not tell apart."""
    return unicodedata.normalize("NFC", name).casefold()


def _number(path) -> tuple[int, int] | None:
    try:
        status = os.stat(os.path.expanduser(path))
    except OSError:
        return None
    return status.st_dev, status.st_ino
