"""Decode every photograph once into a memory-mapped store of small squares."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

MAXIMUM_PIXELS = 100_000_000
MINIMUM_SIDE = 16
CHUNK = 64


def read_image(path) -> np.ndarray:
    """Decode one photograph of any common kind.

    Greyscale, RGBA, CMYK and 16-bit pictures are converted; EXIF rotation is applied.

    Args:
        path: A .jpg or .png file.

    Returns:
        uint8, (height, width, 3), RGB 0-255.

    Raises:
        ValueError: If the file is missing, empty, cut short, not an image, below
            16 pixels on a side or above 100 million pixels.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check its name.") from error
    return decode_image(data, path)


def decode_image(data: bytes, name="the image") -> np.ndarray:
    """Decode the bytes of one photograph; see `read_image`.

    Args:
        data: Contents of a .jpg or .png file.
        name: How an error message calls it.

    Returns:
        uint8, (height, width, 3), RGB 0-255.

    Raises:
        ValueError: As `read_image`.
    """
    if not data:
        raise ValueError(f"{name} is empty (0 bytes); download it again.")
    _check_header(data, name)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None or not _is_whole(data):
        raise ValueError(f"{name} is cut short or damaged; download it again.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_header(data: bytes, name) -> None:
    """Read the size before decoding, so that a huge picture never fills the memory."""
    import io

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(data)) as header:
            width, height = header.size
    except Exception as error:
        raise ValueError(f"{name} is not an image; give a .jpg or .png file.") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if width * height > MAXIMUM_PIXELS:
        raise ValueError(
            f"{name} has {width} x {height} pixels, over the limit of 100 million; reduce it first."
        )
    if min(width, height) < MINIMUM_SIDE:
        raise ValueError(
            f"{name} has {width} x {height} pixels; at least {MINIMUM_SIDE} a side are needed."
        )


def _is_whole(data: bytes) -> bool:
    """Look for the end marker: OpenCV fills a truncated JPEG with grey and says nothing."""
    if data[:2] == b"\xff\xd8":
        # Behind the header, whose thumbnail has an end of its own; telephones append films.
        place = 2
        while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] != b"\xda":
            filled = data[place + 1 : place + 2] == b"\xff"
            place += 1 if filled else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        return b"\xff\xd9" in data[place:]
    if data[:4] == b"\x89PNG":
        return b"IEND\xaeB`\x82" in data
    return True


def centre_square(image: np.ndarray) -> np.ndarray:
    """Cut the largest centred square out of an image.

    Args:
        image: (height, width) or (height, width, channels).

    Returns:
        A view, (side, side) or (side, side, channels).
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a square image, by area means where it shrinks and bicubically where it grows.

    Args:
        image: uint8, (side, side, 3), RGB 0-255.
        size: New side in pixels.

    Returns:
        uint8, (size, size, 3), RGB 0-255.
    """
    if image.shape[0] == size:
        return np.ascontiguousarray(image)
    method = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def remove_hair(image: np.ndarray) -> np.ndarray:
    """Remove dark hairs: DullRazor's idea (Lee et al. 1997) by OpenCV.

    A black-hat filter finds thin dark lines, which are painted over from their borders.

    Args:
        image: uint8, (height, width, 3), RGB 0-255.

    Returns:
        uint8, the same shape.
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
    """Take the colour of the light out (Finlayson and Trezzi 2004).

    Args:
        image: uint8, (height, width, 3), RGB 0-255.
        power: Minkowski power; 1 is grey world.

    Returns:
        uint8, the same shape, with the mean brightness kept.
    """
    light = np.mean(image.astype(np.float32) ** power, axis=(0, 1)) ** (1 / power)
    gain = light.mean() / np.maximum(light, 1e-6)
    return np.clip(image * gain, 0, 255).round().astype(np.uint8)


def grey_world(image: np.ndarray) -> np.ndarray:
    """Scale the channels to the same mean (Buchsbaum 1980); see `shades_of_grey`."""
    return shades_of_grey(image, power=1)


CONSTANCY = {"grey_world": grey_world, "shades_of_grey": shades_of_grey}


def prepare(image, size: int, hair_removal: bool = False, colour_constancy: str | None = None):
    """Bring one photograph to the form that the networks take.

    Args:
        image: Path of a photograph, or uint8 (height, width, 3) RGB 0-255.
        size: Side of the square in pixels.
        hair_removal: Whether `remove_hair` is applied after resizing.
        colour_constancy: None, "grey_world" or "shades_of_grey".

    Returns:
        uint8, (size, size, 3), RGB 0-255.

    Raises:
        ValueError: As `read_image`, or for an unknown colour constancy.
    """
    if not isinstance(image, np.ndarray):
        image = read_image(image)
    image = resize(centre_square(image), size)
    if hair_removal:
        image = remove_hair(image)
    if colour_constancy:
        if colour_constancy not in CONSTANCY:
            raise ValueError(
                f"Unknown colour constancy {colour_constancy!r}; use {' or '.join(CONSTANCY)}."
            )
        image = CONSTANCY[colour_constancy](image)
    return image


def read_mask(path, size: int) -> np.ndarray:
    """Read a lesion mask in the frame of `prepare`.

    Args:
        path: A `_segmentation.png` file.
        size: Side of the square in pixels.

    Returns:
        bool, (size, size), True on the lesion.

    Raises:
        ValueError: If the file cannot be decoded.
    """
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f"{path} is not a mask image; download the masks again.")
    mask = (centre_square(mask) > 0).astype(np.uint8) * 255
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) >= 128


class ImageStore:
    """All photographs of a table as one memory-mapped array.

    Built once under a temporary name and renamed when whole; a store that is torn or belongs
    to other images, another size or other options is rebuilt. Memory stays flat, because
    images are decoded in small chunks and appended to the file.

    Attributes:
        images: uint8, (n, size, size, 3), RGB 0-255, read-only; row i is row i of the table.
        image_ids: list of n image ids.
        size: Side of the squares in pixels.
        path: The array's file.
    """

    def __init__(
        self,
        metadata: pd.DataFrame,
        size: int,
        folder,
        hair_removal: bool = False,
        colour_constancy: str | None = None,
        progress: bool = True,
    ):
        """Open the store in `folder`, building it first where needed.

        Args:
            metadata: Table with image_id and image_path.
            size: Side of the squares in pixels.
            folder: Where stores are kept; several may share it.
            hair_removal: See `prepare`.
            colour_constancy: See `prepare`.
            progress: Whether a terminal shows a progress bar while building.

        Raises:
            ValueError: If a photograph is faulty or the disk is full.
        """
        self.size = size
        self.image_ids = metadata["image_id"].tolist()
        self._row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        options = {"size": size, "hair_removal": hair_removal, "colour_constancy": colour_constancy}
        fingerprint = _fingerprint(metadata, options)
        self.path = Path(folder) / f"images-{size}px-{fingerprint[:12]}.npy"
        shape = (len(metadata), size, size, 3)
        if not _is_current(self.path, fingerprint, shape):
            _build(
                metadata["image_path"].tolist(), self.path, shape, fingerprint, options, progress
            )
        self.images = np.load(self.path, mmap_mode="r")

    def rows(self, image_ids) -> np.ndarray:
        """Find the row numbers of image ids.

        Raises:
            ValueError: If an image is not in the store.
        """
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


def _is_current(path: Path, fingerprint: str, shape) -> bool:
    manifest = path.with_suffix(".json")
    try:
        recorded = json.loads(manifest.read_text())["fingerprint"]
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return False
    # A torn file is shorter than its header says, which np.load reports as ValueError.
    return recorded == fingerprint and images.shape == tuple(shape)


def _write_manifest(path: Path, manifest: dict) -> None:
    beside = path.with_suffix(".json.partial")
    try:
        beside.write_text(json.dumps(manifest, indent=1))
        os.replace(beside, path.with_suffix(".json"))
    except OSError:
        _remove(beside)
        raise


def _is_running(process: str) -> bool:
    """Say whether a process with this id lives; on Windows its open file cannot be removed."""
    if os.name != "posix" or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _build(
    paths: list[str], path: Path, shape, fingerprint: str, options: dict, progress: bool
) -> None:
    needed = int(np.prod(shape)) + 1_000_000
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f"{path.name}.*.partial"):
            # Left over by a build that was killed, unless another process builds it right now.
            if not _is_running(stale.name.split(".")[-2]):
                stale.unlink()
        if shutil.disk_usage(path.parent).free < needed:
            raise OSError(28, "No space left on device")
        with open(beside, "wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            _append_images(file, paths, options, progress)
        os.replace(beside, path)
        _write_manifest(path, {"fingerprint": fingerprint, "shape": shape, **options})
    except OSError as error:
        _remove(beside)
        _remove(path)  # without its manifest it would be space that nobody uses
        raise ValueError(
            f"The image store {path} cannot be written ({error.strerror}); it needs "
            f"{needed / 1e6:.0f} MB, so free space or choose another folder by LESIONS_BUILD."
        ) from error
    except BaseException:
        _remove(beside)
        raise


def _remove(path: Path) -> None:
    # The folder may be missing or a file: the error that led here says so better.
    with contextlib.suppress(OSError):
        path.unlink()


def _append_images(file, paths: list[str], options: dict, progress: bool) -> None:
    # None: only on a terminal, so that published notebooks hold no trace of the bar.
    bar = tqdm(
        total=len(paths), desc="Image store", unit="images", disable=None if progress else True
    )
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            for image in pool.map(lambda path: prepare(path, **options), chunk):
                # Written, not mapped: on a full disk a write raises, a mapped page kills.
                file.write(np.ascontiguousarray(image).data)
            bar.update(len(chunk))
