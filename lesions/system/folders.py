"""Where the repository and everything made on this machine lie."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"  # recorded runs, the best model, and what is measured of it
BEST_MODEL = MODELS / "best_model.h5"  # the network that the repository ships
SPLITS_FILE = MODELS / "splits.csv"  # which photographs train, validate and test


def named_by(variable: str) -> str:
    """Return the place that a variable names, "" where it is unset.

    Quotes around it are dropped, because they stay when a line of a settings file is copied.
    """
    return os.path.expanduser(os.environ.get(variable, "").strip().strip("'\""))


def build_folder(default=REPOSITORY / "build") -> Path:
    """Return the folder for everything made here: `$LESIONS_BUILD`, else `default`."""
    return Path(named_by("LESIONS_BUILD") or default)
