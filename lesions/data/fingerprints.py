"""Name a set of rows, and the photographs behind it, by a few hex digits."""

import hashlib
import os

import pandas as pd

SAMPLE = 64


def data_fingerprint(metadata: pd.DataFrame) -> str:
    """Name a set of rows by 16 hex digits of image id, lesion, diagnosis and split.

    The same rows give the same digits on every machine and at every resolution.
    """
    columns = ["image_id", "lesion_id", "dx", "split"]
    # By all columns, because the leakage experiment repeats image ids.
    text = metadata[columns].sort_values(columns).to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def photographs_digest(metadata: pd.DataFrame) -> str:
    """Name the photographs of a table by 16 hex digits of what their files hold.

    Every file's size counts, and the content of a fixed sample; thumbnails or other pictures of
    the same names get other digits, copies elsewhere the same.

    Raises:
        ValueError: If a photograph cannot be read; names the file.
    """
    paths = dict(zip(metadata["image_id"].astype(str), metadata["image_path"], strict=True))
    # By the digest of the id, so that the sample is spread over the table and always the same.
    chosen = sorted(paths, key=lambda image_id: hashlib.sha256(image_id.encode()).digest())
    digest = hashlib.sha256()
    try:
        for image_id in sorted(paths):
            digest.update(f"{image_id} {os.stat(paths[image_id]).st_size}\n".encode())
        for image_id in chosen[:SAMPLE]:
            with open(paths[image_id], "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise ValueError(
            f"{error.filename} cannot be read ({error.strerror}); restore it."
        ) from error
    return digest.hexdigest()[:16]
