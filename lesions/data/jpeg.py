"""Decode JPEG files strictly: what is damaged is an error, never a grey or shifted area."""

import re
import warnings
from collections.abc import Iterator

import numpy as np

# Decoding the most hostile files then takes about a second: an empty scan still visits every
# block of the picture. Cameras write one scan, progressive files about ten.
MAXIMUM_SCANNED_PIXELS = 2_000_000_000

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_PROFILE = b"ICC_PROFILE\x00"
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


def decode(data: bytes, colours: str = "RGB") -> np.ndarray:
    """Decode a JPEG.

    Args:
        data: The file's content.
        colours: "RGB", or "CMYK" for files in that space.

    Returns:
        uint8, (height, width, channels), 0-255, as stored: not rotated, profile not applied.

    Raises:
        ValueError: If any of the picture's data are damaged or missing.
    """
    try:
        import simplejpeg
    except ImportError:  # where nothing can be installed
        return _decode_leniently(data)
    try:
        return simplejpeg.decode_jpeg(data, colours)
    except ValueError:
        data = _with_right_headers(data)
    try:
        return simplejpeg.decode_jpeg(data, colours)
    except ValueError as error:
        if not _is_filled_up(str(error), data):
            raise
        return simplejpeg.decode_jpeg(data, colours, strict=False)


def _with_right_headers(data: bytes) -> bytes:
    """Correct fields that no pixel depends on, which some phones and programs write wrongly.

    Of what is wrong, libjpeg names the first thing alone: real damage could hide behind these.
    """
    corrected, sequential = bytearray(data), False
    for code, start, end in _segments(data):
        if end > len(data):
            break
        if code in (0xC0, 0xC1):
            sequential = True
        elif code == 0xDA and sequential:  # the range of frequencies, which is always whole
            corrected[end - 3 : end] = b"\x00\x3f\x00"
        elif code == 0xE0 and data.startswith(b"JFIF\x00", start + 2):  # its revision
            corrected[start + 7] = 1
        elif code == 0xE2 and data.startswith(_PROFILE, start + 2):  # Pillow reads the profile
            corrected[start + 2] = 0
    return bytes(corrected)


def _is_filled_up(message: str, data: bytes) -> bool:
    """Return whether a decoder complains about one byte, repeated, before the end.

    Some cameras fill up the end of the picture's data; real data there are a shift.
    """
    extraneous = _EXTRANEOUS.search(message)
    if not extraneous:
        return False
    end = markers_until_end(data, limit=10_000)[1]
    return len(set(data[max(0, end - int(extraneous[1])) : end])) == 1


def _decode_leniently(data: bytes) -> np.ndarray:
    import cv2

    warnings.warn(
        "The package simplejpeg is not installed, so damage inside a JPEG file goes unnoticed; "
        "install it by pip.",
        stacklevel=2,
    )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or markers_until_end(data, limit=10_000)[1] < 0:
        raise ValueError("no picture, or no end of it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def markers_until_end(data: bytes, limit: int) -> tuple[int, int]:
    """Count a JPEG's scans, up to a limit, without decoding it.

    Returns:
        The number of scans, and the position of the end marker, -1 where none was reached.
    """
    scans = 0
    for code, start, _ in _segments(data):
        if code == 0xD9:
            return scans, start - 2
        scans += code == 0xDA
        if scans > limit:
            break
    return scans, -1


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each marker's code, where its content starts, and where that ends, to the end marker.

    In a scan's data 0xff is followed by 0 or a restart marker.
    """
    code, end = 0, 2
    while code != 0xD9 and (marker := _MARKER.search(data, end)):
        code, start = data[marker.start() + 1], marker.end()
        has_content = code not in (0x01, 0xD8, 0xD9)
        end = start + (int.from_bytes(data[start : start + 2], "big") if has_content else 0)
        yield code, start, end


def has_too_many_scans(data: bytes, pixels: int) -> bool:
    """Return whether a JPEG of so many pixels has more scans than decode in about a second."""
    limit = max(1, MAXIMUM_SCANNED_PIXELS // max(1, pixels))
    # Counting bytes is quicker and never counts too few.
    return data.count(b"\xff\xda") > limit and markers_until_end(data, limit)[0] > limit
