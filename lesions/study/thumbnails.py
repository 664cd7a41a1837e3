"""A small picture of every notebook, for the README."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from lesions.system.files import replacing
from lesions.system.folders import REPOSITORY

FOLDER = REPOSITORY / "docs" / "thumbnails"
SIZE = (300, 190)
TAG = "thumbnail"


def write(notebook, name: str, folder: Path = FOLDER) -> Path:
    """Write the thumbnail of an executed notebook: the tagged picture, or else the first.

    Raises:
        ValueError: If the notebook holds no picture.
    """
    cells = sorted(notebook.cells, key=lambda cell: TAG not in cell.metadata.get("tags", []))
    pictures = [picture for cell in cells for picture in _pictures(cell)]
    if not pictures:
        raise ValueError(f"{name} shows no picture; tag a cell with one by {TAG!r}.")
    with Image.open(io.BytesIO(pictures[0])) as picture:
        small = picture.convert("RGB")
        small.thumbnail(SIZE, Image.Resampling.LANCZOS)
    path = folder / f"{name[:2]}.jpg"
    with replacing(path) as temporary:
        small.save(temporary, "JPEG", quality=80, optimize=True)
    return path


def _pictures(cell) -> list[bytes]:
    kinds = ("image/png", "image/jpeg")
    outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [base64.b64decode(found[kind]) for found in outputs for kind in kinds if kind in found]
