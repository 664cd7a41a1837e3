"""What a model file says about itself: one checked reader for `.h5`, `.tflite` and `.onnx`."""

import hashlib
import json
import math
from pathlib import Path

from lesions import classes
from lesions.data import images
from lesions.evaluation.patient_data import Fusion

MINIMUM_SIZE = 32
MAXIMUM_SIZE = 4096
# Far above what is fitted; exponents beyond overflow.
MAXIMUM_EXPONENT = 100


def _is_number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_share(value) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_text(value) -> bool:
    return isinstance(value, str) and value != ""


def _is_flag(value) -> bool:
    return isinstance(value, bool)


def _is_size(value) -> bool:
    return type(value) is int and MINIMUM_SIZE <= value <= MAXIMUM_SIZE


def _is_correction(value) -> bool:
    if not isinstance(value, dict) or set(value) != {"power", "offset", "class_frequencies"}:
        return False
    frequencies = value["class_frequencies"]
    return (
        all(_is_number(value[name]) for name in ("power", "offset"))
        and 0 < value["power"] <= MAXIMUM_EXPONENT
        and abs(value["offset"]) <= MAXIMUM_EXPONENT
        and isinstance(frequencies, list)
        and len(frequencies) == len(classes.CODES)
        and all(_is_number(one) and one > 0 for one in frequencies)
        and abs(sum(frequencies) - 1) < 1e-3
    )


def _is_fusion(value) -> bool:
    try:
        fusion = Fusion.from_details(value)
    except ValueError:
        return False
    exponents = fusion.power, fusion.offset, fusion.weight
    return max(map(abs, exponents)) <= MAXIMUM_EXPONENT


# What must be there, and what it must be.
_REQUIRED = {
    "architecture": (_is_text, "a name"),
    "image_size": (_is_size, f"a whole number from {MINIMUM_SIZE} to {MAXIMUM_SIZE}"),
    "patient": (_is_flag, "true or false"),
    "dropout": (_is_share, "a number from 0 to 1"),
    "correction": (_is_correction, "a power, an offset and seven class frequencies of sum 1"),
    "decision_strength": (_is_share, "a number from 0 to 1"),
    "digest": (lambda value: _is_text(value) and len(value) == 64, "64 hexadecimal digits"),
}
# What may be there.
_OPTIONAL = {
    "hair_removal": (_is_flag, "true or false"),
    "colour_constancy": (
        lambda value: value is None or value in tuple(images.CONSTANCY),
        f"null or one of {', '.join(images.CONSTANCY)}",
    ),
    "patient_fusion": (
        _is_fusion,
        "three exponents, seven class frequencies and intercepts, and tables of seven numbers for "
        "age, sex and localization",
    ),
    "run": (_is_text, "a name"),
    "initial_weights": (_is_text, "a text"),
}


def parse(text: str, path) -> dict:
    """Read and check the description inside a model file or beside one.

    Args:
        text: JSON.
        path: The file it was found in, for messages.

    Returns:
        The details: architecture, classes (list of codes), image_size (pixels), patient, dropout,
        correction and decision_strength (see `evaluation.Correction` and `evaluation.decide`),
        digest and whatever else was stored.

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
    for name, (is_right, words) in (_REQUIRED | _OPTIONAL).items():
        if name not in details and name in _OPTIONAL:
            continue
        if name not in details:
            raise ValueError(
                f"The description of the network in {path} has no {name}; train or export the "
                "network again."
            )
        if not is_right(details[name]):
            raise ValueError(
                f"The description of the network in {path} has the {name} "
                f"{str(details[name])[:80]!r}, which must be {words}; train or export the network "
                "again."
            )
    return details


def read_beside(path) -> dict:
    """Read `<path>.json`, which describes an exported file, and check the file with it.

    Returns:
        The details, see `parse`.

    Raises:
        ValueError: If a file is missing or damaged, or they do not belong together.
    """
    path = Path(path)
    described = path.with_name(path.name + ".json")
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


def no_correction() -> dict:
    """Return the details of a network whose probabilities are taken as they are."""
    count = len(classes.CODES)
    correction = {"power": 1.0, "offset": 0.0, "class_frequencies": [1 / count] * count}
    return {"correction": correction, "decision_strength": 0.0}
