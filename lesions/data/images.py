"""Photographs from file to array: decoded, brought to the networks' square, and stored.

A photograph is uint8, (height, width, 3), RGB 0-255, before and after every step.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from lesions.data.decoding import MAXIMUM_PIXELS, MINIMUM_SIDE, PROBLEMS, decode_image, read_image
from lesions.system import processor
from lesions.system.files import write_json

CHUNK = 64  # photographs that are decoded at a time


def centre_square(image: np.ndarray) -> np.ndarray:
    """Cut the largest centred square out of an image (height, width, ...); returns a view."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a square photograph, by area means where it shrinks, else bicubically."""
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def remove_hair(image: np.ndarray) -> np.ndarray:
    """Remove dark hairs: DullRazor's idea (Lee et al. 1997) by OpenCV.

    A black-hat filter finds thin dark lines, which are painted over from their borders.
    """
    # The filter is as wide as a hair: about 1/25 of the image's side.
    width = max(3, round(image.shape[0] / 25) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (width, width))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    lines = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    hair = (cv2.GaussianBlur(lines, (3, 3), 0) > 12).astype(np.uint8)
    hair = cv2.dilate(hair, np.ones((3, 3), np.uint8))
    return cv2.inpaint(image, hair, 3, cv2.INPAINT_TELEA)


def shades_of_grey(image: np.ndarray, power: int = 6) -> np.ndarray:
    """Take the colour of the light out, not its brightness (Finlayson and Trezzi 2004).

    `power` is Minkowski's; 1 is grey world.
    """
    light = np.mean(image.astype(np.float32) ** power, axis=(0, 1)) ** (1 / power)
    gain = light.mean() / np.maximum(light, 1e-6)
    return np.clip(image * gain, 0, 255).round().astype(np.uint8)


def grey_world(image: np.ndarray) -> np.ndarray:
    """Scale the channels to the same mean (Buchsbaum 1980); see `shades_of_grey`."""
    return shades_of_grey(image, power=1)


CONSTANCY = {"grey_world": grey_world, "shades_of_grey": shades_of_grey}


def prepare(image, size: int, colour_constancy: str | None = None) -> np.ndarray:
    """Bring one photograph to the form that the networks take.

    Args:
        image: Path of a photograph, or uint8 (height, width, 3) RGB 0-255.
        size: Side of the square in pixels.
        colour_constancy: None, "grey_world" or "shades_of_grey".

    Returns:
        uint8, (size, size, 3), RGB 0-255.

    Raises:
        ValueError: As `read_image`, or for an unknown colour constancy.
    """
    if not isinstance(image, np.ndarray):
        image = read_image(image)
    image = resize(centre_square(image), size)
    if colour_constancy:
        if colour_constancy not in CONSTANCY:
            raise ValueError(
                f"Unknown colour constancy {colour_constancy!r}; use {' or '.join(CONSTANCY)}."
            )
        image = CONSTANCY[colour_constancy](image)
    return image


def read_mask(path, size: int) -> np.ndarray:
    """Read a lesion mask, a `_segmentation.png` file, in the frame of `prepare`.

    Returns:
        bool, (size, size), True on the lesion.
    """
    mask = (centre_square(read_image(path)).max(axis=2) > 0).astype(np.uint8) * 255
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) >= 128


class ImageStore:
    """All photographs of a table as one memory-mapped array.

    Built once under a temporary name and renamed when whole; one that is torn is rebuilt, and
    other photographs, another size or other options have a file of their own. Memory stays flat.

    Attributes:
        images: uint8, (n, size, size, 3), RGB 0-255, read-only; row i is row i of the table.
        path: The array's file.
    """

    def __init__(
        self, metadata: pd.DataFrame, size: int, folder, colour_constancy: str | None = None
    ):
        """Open the store in `folder`, building it first where needed.

        Args:
            metadata: Table with image_id and image_path.
            size: Side of the squares in pixels.
            folder: Where stores are kept; several may share it.
            colour_constancy: See `prepare`.

        Raises:
            ValueError: If a photograph is faulty or the disk is full.
        """
        self._row_of = {image_id: row for row, image_id in enumerate(metadata["image_id"])}
        options = {"size": size, "colour_constancy": colour_constancy}
        fingerprint = _fingerprint(metadata, options)
        self.path = Path(folder) / f"images-{size}px-{fingerprint[:12]}.npy"
        facts = {"fingerprint": fingerprint, "shape": (len(metadata), size, size, 3), **options}
        if not _is_current(self.path, facts):
            _build(self.path, facts, metadata["image_path"].tolist(), options)
        self.images = np.load(self.path, mmap_mode="r")

    def rows(self, image_ids) -> np.ndarray:
        """Find the row numbers of image ids; a ValueError where one is not in the store."""
        try:
            return np.array([self._row_of[image_id] for image_id in image_ids], dtype=np.int64)
        except KeyError as error:
            raise ValueError(
                f"The store {self.path.name} has no image {error}; build it from this table."
            ) from error


def _fingerprint(metadata: pd.DataFrame, options: dict) -> str:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for image_id, path in zip(metadata["image_id"], metadata["image_path"], strict=True):
        try:
            status = os.stat(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}); restore it.") from error
        digest.update(f"{image_id} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_current(path: Path, facts: dict) -> bool:
    try:
        recorded = json.loads(path.with_suffix(".json").read_text())["fingerprint"]
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return False
    # A torn file is shorter than its header says, which np.load reports as ValueError.
    return recorded == facts["fingerprint"] and images.shape == facts["shape"]


def _is_running(process: str) -> bool:
    """Return whether a process with this id lives; on Windows its open file cannot be removed."""
    if os.name != "posix" or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # another user's
    return True


def _build(path: Path, facts: dict, image_paths: list[str], options: dict) -> None:
    needed = int(np.prod(facts["shape"])) + 1_000_000
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f"{path.name}.*.partial"):
            # Left over by a build that was killed, unless another process builds it right now.
            if not _is_running(stale.name.split(".")[-2]):
                stale.unlink(missing_ok=True)  # another process may remove it, too
        if shutil.disk_usage(path.parent).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with open(temporary, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": facts["shape"]}
            np.lib.format.write_array_header_1_0(file, header)
            _append_images(file, image_paths, options)
        os.replace(temporary, path)
        write_json(facts, path.with_suffix(".json"))
    except OSError as error:
        reason = error.strerror or "the disk is full"
        raise ValueError(
            f"The image store {path} cannot be written ({reason}); it needs "
            f"{needed / 1e6:.0f} MB, so free space or choose another folder by LESIONS_BUILD."
        ) from error
    finally:
        # The folder may be missing or a file: the error that led here says so better.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _append_images(file, paths: list[str], options: dict) -> None:
    # None: only on a terminal, so that published notebooks hold no trace of the bar. True: there is
    # no stderr at all, which tqdm would ask.
    hidden = None if sys.stderr else True
    bar = tqdm(total=len(paths), desc="Image store", unit="images", disable=hidden)
    with bar, ThreadPoolExecutor(processor.cores()) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            for image in pool.map(lambda path: prepare(path, **options), chunk):
                # Written, not mapped: on a full disk a write raises, a mapped page kills.
                file.write(np.ascontiguousarray(image).data)
            bar.update(len(chunk))
