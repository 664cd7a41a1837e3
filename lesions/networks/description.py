"""What a model file says about itself: one checked reader for `.h5`, `.tflite` and `.onnx`."""

import hashlib
import json
from pathlib import Path

from lesions import classes
from lesions.data import images
from lesions.evaluation import Correction, Fusion
from lesions.networks.names import BRANCHES

MINIMUM_SIZE, MAXIMUM_SIZE = 32, 4096
_OPTIONAL = ("hair_removal", "colour_constancy", "patient_fusion", "run", "initial_weights")


def _is_share(value) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _is_text(value) -> bool:
    return isinstance(value, str) and value != ""


def _is_flag(value) -> bool:
    return isinstance(value, bool)


def _is_read_by(reader):
    def check(value) -> bool:
        try:
            return value is not None and reader(value) is not None
        except ValueError:
            return False

    return check


# What the facts must be that are there; those of `_OPTIONAL` need not.
_CHECKS = {
    "architecture": lambda value: value in list(BRANCHES),
    "image_size": lambda value: type(value) is int and MINIMUM_SIZE <= value <= MAXIMUM_SIZE,
    "patient": _is_flag,
    "dropout": _is_share,
    "correction": _is_read_by(Correction.from_details),
    "decision_strength": _is_share,
    "digest": lambda value: _is_text(value) and len(value) == 64,
    "hair_removal": lambda value: value is False,  # of earlier versions; none does it now
    "colour_constancy": lambda value: value in (None, *images.CONSTANCY),
    "patient_fusion": _is_read_by(Fusion.from_details),
    "run": _is_text,
    "initial_weights": _is_text,
}


def parse(text: str, path) -> dict:
    """Read and check the description inside a model file or beside one.

    Args:
        text: JSON.
        path: The file it was found in, for messages.

    Returns:
        The details: architecture, classes (list of codes), image_size (pixels), patient, dropout,
        correction and decision_strength (see `evaluation.answer`), digest and what else is stored.

    Raises:
        ValueError: If a field is missing or is not what it must be, or the classes are others.
    """
    try:
        details = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"The description of the network in {path} is damaged; get the file again."
        ) from error
    if not isinstance(details, dict) or "classes" not in details:
        raise ValueError(
            f"{path} does not name its classes, so it is not a network of this project; choose a "
            "file that this project's training or export wrote."
        )
    if details["classes"] != list(classes.CODES):
        raise ValueError(
            f"{path} has the classes {details['classes']}, this project {list(classes.CODES)}; "
            "train the network again."
        )
    for name, is_right in _CHECKS.items():
        if name not in details and name in _OPTIONAL:
            continue
        if name not in details or not is_right(details[name]):
            raise ValueError(
                f"The description of the network in {path} has no {name} or a wrong one, "
                f"{str(details.get(name))[:80]!r}; train or export the network again."
            )
    return details


def beside(path) -> Path:
    """Name the file that describes an exported file."""
    return Path(f"{path}.json")


def read_beside(path) -> dict:
    """Read `<path>.json`, see `parse`, which describes an exported file, and check the file.

    Raises:
        ValueError: If a file is missing or damaged, or they do not belong together.
    """
    path = Path(path)
    described = beside(path)
    try:
        details = parse(described.read_text(encoding="utf-8"), described)
        found = file_digest(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{described} or {path.name} cannot be read; both are written by "
            "`python -m lesions export`."
        ) from error
    if found != details["digest"]:
        raise ValueError(
            f"{path} is not the file that {described.name} describes, or it is damaged; export "
            "the network again."
        )
    return details


def file_digest(path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
