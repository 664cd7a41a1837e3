"""Decode every photograph once into a memory-mapped store of small squares."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from lesions.data.preparing import prepare
from lesions.system import processor
from lesions.system.files import replacing

CHUNK = 64


class ImageStore:
    """All photographs of a table as one memory-mapped array.

    Built once under a temporary name and renamed when whole; one that is torn is rebuilt, and
    other photographs, another size or other options have a file of their own. Memory stays flat,
    because images are decoded in small chunks and appended to the file.

    Attributes:
        images: uint8, (n, size, size, 3), RGB 0-255, read-only; row i is row i of the table.
        path: The array's file.
    """

    def __init__(
        self,
        metadata: pd.DataFrame,
        size: int,
        folder,
        colour_constancy: str | None = None,
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
        with replacing(path.with_suffix(".json")) as manifest:
            manifest.write_text(json.dumps(facts, indent=1))
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
