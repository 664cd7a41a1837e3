"""Where the repository and everything made on this machine lie."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def build_folder(default=REPOSITORY / "build") -> Path:
    """Return the folder for everything made here: `$LESIONS_BUILD`, else `default`."""
    return Path(os.path.expanduser(os.environ.get("LESIONS_BUILD") or default))
