"""Decode one picture of any common kind into RGB, or say what is wrong with it."""

import io
import os
import stat
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from lesions.data import jpeg

MAXIMUM_PIXELS = 100_000_000
MAXIMUM_BYTES = 500_000_000
MINIMUM_SIDE = 16
# What keeps a picture from being used; the page for the browser says the same.
PROBLEMS = {
    "empty": "{name} is empty (0 bytes); download it again.",
    "no_image": "{name} is not an image or is damaged; use an intact .jpg or .png file.",
    "damaged": "{name} is cut short or damaged; download it again.",
    "too_large": "{name} has {width} x {height} pixels, over the limit of 100 million; reduce it "
    "first.",
    "too_small": f"{{name}} has {{width}} x {{height}} pixels; at least {MINIMUM_SIDE} a side are "
    "needed.",
}

# Opened by their classes: `Image.open` has a limit of its own, which is one for all threads.
_OPENERS = (
    (b"\xff\xd8", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
)
_ORIENTATION = 0x0112  # of EXIF
_BITS_PER_SAMPLE = 258  # of TIFF
_DEPTHS = (8, 10, 12, 14, 16)
_PROFILE_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}


class _Unsupported(Exception):
    """A whole picture of a kind that has no one right form in 8-bit RGB."""


def read_image(path) -> np.ndarray:
    """Decode one photograph of any common kind.

    Greyscale, palette, CMYK and 16-bit pictures are converted, colour profiles to sRGB;
    transparent pictures are laid on white, EXIF rotation is applied. Of an animated picture the
    first frame counts. A 16-bit file whose values need fewer bits is scaled by those.

    Args:
        path: A JPEG or PNG file, or one of another common kind.

    Returns:
        uint8, (height, width, 3), RGB 0-255.

    Raises:
        ValueError: If the file is missing, no regular file, empty, cut short, damaged, not an
            image, below 16 pixels on a side, above 100 million pixels or 500 MB, or would take
            far too long.
    """
    path = Path(path)
    try:
        status = os.stat(path)
        # Asked before it is opened: a named pipe would wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a file; name a .jpg or .png file.")
        if status.st_size > MAXIMUM_BYTES:
            raise ValueError(
                f"{path} has {status.st_size / 1e6:.0f} MB, over the limit of "
                f"{MAXIMUM_BYTES / 1e6:.0f} MB; reduce it first."
            )
        with open(path, "rb") as file:
            if status.st_size and _opener(file.peek(16)) is None:
                raise ValueError(f"{path} is not an image; use a .jpg or .png file.")
            data = file.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check its name.") from error
    except MemoryError as error:
        raise ValueError(f"{path} does not fit into the memory; reduce it first.") from error
    return decode_image(data, path)


def decode_image(data: bytes, name="the image") -> np.ndarray:
    """Decode the bytes of one photograph, which errors call `name`; see `read_image`."""
    if not data:
        raise ValueError(PROBLEMS["empty"].format(name=name))
    try:
        picture = _opener(data)(io.BytesIO(data))
    except Exception as error:  # Pillow raises what it likes
        raise ValueError(PROBLEMS["no_image"].format(name=name)) from error
    with picture:
        _check_size(*picture.size, name)
        try:
            return _decode(picture, data, name)
        except _Unsupported as error:
            raise ValueError(f"{name} {error}; save it as .jpg or 8-bit .png.") from error
        except MemoryError as error:
            raise ValueError(f"{name} does not fit into the memory; reduce it first.") from error
        except Exception as error:  # whatever OpenCV and Pillow raise is about this file
            raise ValueError(PROBLEMS["damaged"].format(name=name)) from error


def _opener(data: bytes):
    return next((opener for start, opener in _OPENERS if data.startswith(start)), None)


def _check_size(width: int, height: int, name) -> None:
    """Check the size before decoding, so that a huge picture never fills the memory."""
    if width * height > MAXIMUM_PIXELS:
        raise ValueError(PROBLEMS["too_large"].format(name=name, width=width, height=height))
    if min(width, height) < MINIMUM_SIDE:
        raise ValueError(PROBLEMS["too_small"].format(name=name, width=width, height=height))


def _decode(picture: Image.Image, data: bytes, name) -> np.ndarray:
    if picture.format == "JPEG":
        orientation = _orientation(picture)
        if jpeg.has_too_many_scans(data, picture.width * picture.height):
            raise _Unsupported("has more scans than any camera writes")
        if any(0 in table for table in picture.quantization.values()):
            raise ValueError("steps of 0, which make everything grey")
        pixels = jpeg.decode(data, "CMYK" if picture.mode == "CMYK" else "RGB")
        profile = picture.info.get("icc_profile", b"")
        if profile is None:
            _warn_of_profile(name, "its parts are not all there")
        if picture.mode == "CMYK" or profile:
            if picture.mode == "RGB":
                picture = Image.fromarray(pixels)
            pixels = _to_srgb(picture, profile, name)
    else:
        if picture.format == "PNG":
            # Checks the sums of its parts, which decoders do not all do; it can be used once.
            PngImagePlugin.PngImageFile(io.BytesIO(data)).verify()
        deep = _is_deep(picture, data)
        pixels = _decode_deep(picture, data, name) if deep else _flatten(picture, name)
        orientation = _orientation(picture)  # which may stand behind the picture's data
    return _turn(pixels, orientation)


def _orientation(picture: Image.Image) -> int:
    """Return EXIF's orientation, 1 (upright) where there is none that can be read."""
    # A TIFF is turned while it is decoded.
    if picture.format == "TIFF":
        return 1
    try:
        return picture.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (2, 7):
        pixels = pixels[:, ::-1]
    if orientation in (4, 5):
        pixels = pixels[::-1]
    turns = {3: 2, 5: 3, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns) if turns else pixels)


def _is_deep(picture: Image.Image, data: bytes) -> bool:
    if picture.format == "PNG":
        return data[24] == 16
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(_BITS_PER_SAMPLE, (1,))) > 8
    return False


def _decode_deep(picture: Image.Image, data: bytes, name) -> np.ndarray:
    """Decode 16 bits a channel, which Pillow cuts to the upper 8 whatever lies in them."""
    picture.load()  # notices damage that OpenCV does not
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16:
        raise _Unsupported("has values that are neither of 8 nor of 16 bits")
    deep = deep.reshape(*deep.shape[:2], -1)
    alpha = deep[..., 3:] if deep.shape[2] == 4 else None
    colours = deep[..., 2::-1] if deep.shape[2] > 2 else deep[..., :1]
    # 12-bit cameras leave the upper 4 bits empty; opacity always fills all 16.
    pixels = _to_eight_bits(colours, next(one for one in _DEPTHS if colours.max() < 2**one))
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    profile = picture.info.get("icc_profile")
    if profile:
        pixels = _to_srgb(Image.fromarray(pixels), profile, name)
    return pixels if alpha is None else _on_white(pixels, _to_eight_bits(alpha, 16))


def _to_eight_bits(deep: np.ndarray, bits: int) -> np.ndarray:
    """Scale 16-bit values of so many bits to 0-255."""
    table = np.rint(np.arange(2**bits) * (255 / (2**bits - 1))).astype(np.uint8)
    return table[deep]


def _flatten(picture: Image.Image, name) -> np.ndarray:
    """Bring a picture of 8 bits a channel to RGB on white."""
    picture.load()
    profile = picture.info.get("icc_profile")
    if picture.mode in ("I", "F", "I;16", "LAB", "HSV"):
        raise _Unsupported(f"has the colour mode {picture.mode}")
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        alpha = np.asarray(clear.getchannel("A"))[..., np.newaxis]
        if alpha.min() < 255:
            return _on_white(_to_srgb(clear.convert("RGB"), profile, name), alpha)
        picture = clear.convert("RGB")
    if picture.mode not in _PROFILE_SPACES:
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return _to_srgb(picture, profile, name)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    # In integers, which take half the memory of floats.
    mixed = pixels.astype(np.uint16) * alpha + np.uint16(255) * (255 - alpha)
    return ((mixed + np.uint16(127)) // np.uint16(255)).astype(np.uint8)


def _to_srgb(picture: Image.Image, profile: bytes | None, name) -> np.ndarray:
    """Convert the colours of an RGB, greyscale or CMYK picture to sRGB."""
    if profile:
        try:
            space = profile[16:20].decode("latin-1").strip()
            if space != _PROFILE_SPACES[picture.mode]:
                raise ValueError(f"it is for {space} pictures")
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            picture = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
        except Exception as error:
            _warn_of_profile(name, error)
    return np.asarray(picture.convert("RGB"))


def _warn_of_profile(name, reason) -> None:
    warnings.warn(
        f"{name} has a colour profile that cannot be applied ({reason}), so its colours are "
        "taken as sRGB.",
        stacklevel=3,
    )
