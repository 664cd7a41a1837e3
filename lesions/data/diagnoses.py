"""What other collections call the seven diagnoses of HAM10000."""

from collections.abc import Iterable

from lesions import classes

# Names of the ISIC Archive, old and hierarchical, in lower case. What is not here has no class:
# such rows are left out and counted, never guessed. Bowen's disease, which is a squamous cell
# carcinoma in situ, belongs to akiec by HAM10000's definition (Tschandl et al. 2018).
NAMES = {
    **{code: code for code in classes.CODES},
    "ak": "akiec",
    "actinic keratosis": "akiec",
    "solar or actinic keratosis": "akiec",
    "bowen's disease": "akiec",
    "bowens disease": "akiec",
    "squamous cell carcinoma in situ": "akiec",
    "squamous cell carcinoma in situ, bowen's disease": "akiec",
    "squamous cell carcinoma in situ, bowens disease": "akiec",
    "basal cell carcinoma": "bcc",
    "seborrheic keratosis": "bkl",
    "pigmented benign keratosis": "bkl",
    "solar lentigo": "bkl",
    "lichenoid keratosis": "bkl",
    "lichen planus like keratosis": "bkl",
    "lichen planus-like keratosis": "bkl",
    "dermatofibroma": "df",
    "melanoma": "mel",
    "melanoma in situ": "mel",
    "melanoma invasive": "mel",
    "melanoma, nos": "mel",
    "nevus": "nv",
    "melanocytic nevus": "nv",
    "vascular lesion": "vasc",
    "benign soft tissue proliferations - vascular": "vasc",
    "angioma": "vasc",
    "hemangioma": "vasc",
    "angiokeratoma": "vasc",
    "pyogenic granuloma": "vasc",
}
# From the finest to the coarsest: the first that names a class counts.
ARCHIVE_COLUMNS = (*(f"diagnosis_{level}" for level in range(5, 0, -1)), "diagnosis", "dx")


def code_of(name: str) -> str | None:
    """Return the class code of a diagnosis, or None where HAM10000 has no such class."""
    return NAMES.get(" ".join(name.lower().split()))


def of_archive(levels: Iterable[str]) -> str:
    """Return the class code of one row of the ISIC Archive, else what it says instead.

    Args:
        levels: Cells of `ARCHIVE_COLUMNS`, from the finest to the coarsest, "" where empty.

    Returns:
        The code; where HAM10000 has no such class the finest name that is filled in.
    """
    filled = [level for level in levels if level]
    codes = filter(None, map(code_of, filled))
    return next(codes, filled[0] if filled else "no diagnosis")
