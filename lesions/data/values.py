"""Cells of a table as people write them, brought to one form or refused."""

import re
import unicodedata

import numpy as np

SEXES = ("female", "male", "unknown")
SITES = (
    "abdomen acral back chest ear face foot genital hand lower_extremity neck scalp trunk "
    "upper_extremity unknown"
).split()
MISSING = ("", "-", "?", "na", "n/a", "nan", "none", "null", "unknown", "not available")
OLDEST = 120  # years

_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\x00"
_AGE = re.compile(r"(\d{1,3}(?:[.,]\d+)?)\s*(?:years?|yrs?|yo|y)?(?: old)?\.?")
_SEXES = {"f": "female", "woman": "female", "m": "male", "man": "male", "other": "unknown"}
# The ISIC Archive's sites that lie inside one of HAM10000's; "head/neck" is several of them.
_SITES = {
    "posterior torso": "back",
    "anterior torso": "trunk",
    "lateral torso": "trunk",
    "torso": "trunk",
    "palms/soles": "acral",
}


def text(cell) -> str:
    """Return a cell without spaces and invisible marks around it, in composed Unicode."""
    return unicodedata.normalize("NFC", str(cell)).strip().strip(_INVISIBLE).strip()


def image_id(cell) -> str:
    """Return the id in a cell that may also name the folder and the suffix of the file."""
    name = re.split(r"[/\\]", text(cell))[-1]
    return re.sub(r"\.(jpe?g|png)$", "", name, flags=re.IGNORECASE).strip()


def lesion_id(cell) -> str:
    """Return a lesion's id; numbers that a program wrote as 12.0 are 12."""
    return re.sub(r"^(\d+)\.0$", r"\1", text(cell))


def age(cell) -> float:
    """Return an age in years, NaN where it is missing; a ValueError where it is not 0 to 120."""
    cell = text(cell).lower()
    if cell in MISSING:
        return np.nan
    found = _AGE.fullmatch(cell)
    years = float(found[1].replace(",", ".")) if found else -1.0
    if not 0 <= years <= OLDEST:
        raise ValueError(f"write a number of years from 0 to {OLDEST}, or nothing")
    return years


def sex(cell) -> str:
    """Return one of `SEXES`; a ValueError where the cell names none of them."""
    cell = text(cell).lower()
    if cell in MISSING:
        return "unknown"
    cell = _SEXES.get(cell, cell)
    if cell not in SEXES:
        raise ValueError("write female, male or unknown")
    return cell


def site(cell) -> str:
    """Return a body site in HAM10000's words where it has one, else in lower case as it is."""
    cell = " ".join(text(cell).lower().replace("_", " ").split())
    return "unknown" if cell in MISSING else _SITES.get(cell, cell)


def known_site(cell) -> str:
    """Return a body site in HAM10000's words; a ValueError where the cell names none of `SITES`."""
    found = site(cell)
    if not is_known_site(found):
        raise ValueError(f"write one of {', '.join(SITES).replace('_', ' ')}")
    return found


def is_known_site(name: str) -> bool:
    """Return whether a site is one that networks with patient data were trained on."""
    return name.replace(" ", "_") in SITES
