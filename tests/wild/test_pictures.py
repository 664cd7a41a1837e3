"""Pictures as they are met in the wild: decoded rightly, or refused in one sentence, in time.

A new kind is one more row: a function that writes a file's content, and what must come of it.
"""

import io
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from lesions import data
from lesions.data import bounded, decoding, images, jpeg
from lesions.system.folders import REPOSITORY

SIDE = 64


def picture(side=SIDE):
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[:side, :side] / side
    red, green, blue = 40 + 180 * x, 60 + 120 * y, 90 + 60 * np.sin(4 * x + 7 * y)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def noise(side=SIDE):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encode(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sharp_jpeg(pixels=None, **options):
    pixels = picture() if pixels is None else pixels
    return encode(pixels, "JPEG", **{"quality": 98, "subsampling": 0, **options})


def deep_and_clear():
    """A fifth opaque in 16 bits, a value that would fit into 14."""
    deep = np.dstack([picture()[..., ::-1].astype(np.uint16) * 257, np.full((SIDE, SIDE), 13107)])
    return cv2.imencode(".png", deep.astype(np.uint16))[1].tobytes()


def deep_png(pixels, bits, channels=3):
    """Values of `bits` bits in 16-bit cells."""
    deep = np.rint(pixels / 255 * (2**bits - 1)).astype(np.uint16)
    deep = cv2.cvtColor(deep, cv2.COLOR_RGB2BGR) if channels == 3 else deep[..., 0]
    return cv2.imencode(".png", deep)[1].tobytes()


def swapped_profile():
    """A profile under which red means blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    number = struct.unpack(">I", profile[128:132])[0]
    table = profile[132 : 132 + 12 * number]
    table = table.replace(b"rXYZ", b"****").replace(b"bXYZ", b"rXYZ").replace(b"****", b"bXYZ")
    return profile[:132] + table + profile[132 + 12 * number :]


def of_another_space(space=b"GRAY"):
    profile = swapped_profile()
    return profile[:16] + space + profile[20:]


def clear(hidden=(0, 0, 0)):
    """A picture of which the left half is transparent, with another colour under it."""
    pixels = np.dstack([picture(), np.full((SIDE, SIDE), 255, np.uint8)])
    pixels[:, : SIDE // 2] = (*hidden, 0)
    return pixels


def on_white():
    pixels = picture()
    pixels[:, : SIDE // 2] = 255
    return pixels


def half_clear():
    return np.dstack([picture(), np.full((SIDE, SIDE), 51, np.uint8)])


def animated(kind, **options):
    frames = [Image.fromarray(p) for p in (picture(), 255 - picture())]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def grey(mode="L"):
    return Image.fromarray(picture()).convert(mode)


def as_rgb(image):
    return np.asarray(image.convert("RGB"))


# Name: (content, expected pixels, largest mean difference)
DECODED = {
    "PNG": (lambda: encode(picture()), picture, 0),
    "smallest": (lambda: encode(picture(16)), lambda: picture(16), 0),
    "grey PNG": (lambda: encode(grey()), lambda: as_rgb(grey()), 0),
    "grey and transparent": (
        lambda: encode(Image.fromarray(clear()).convert("LA")),
        lambda: np.where(on_white() == 255, 255, as_rgb(grey())),
        1,
    ),
    "JPEG": (sharp_jpeg, picture, 1.5),
    "JPEG with fill bytes": (
        lambda: sharp_jpeg()[:2] + b"\xff" + sharp_jpeg()[2:],
        picture,
        1.5,
    ),
    "progressive JPEG": (lambda: sharp_jpeg(progressive=True), picture, 1.5),
    "JPEG with restart markers": (
        lambda: sharp_jpeg(noise(), restart_marker_blocks=3),
        lambda: images.decode_image(sharp_jpeg(noise())),
        0,
    ),
    "grey JPEG": (lambda: sharp_jpeg(grey()), lambda: as_rgb(grey()), 1.5),
    "CMYK JPEG": (
        lambda: encode(grey("CMYK"), "JPEG", quality=98),
        lambda: as_rgb(grey("CMYK")),
        2,
    ),
    "JPEG under a profile": (
        lambda: sharp_jpeg(icc_profile=swapped_profile()),
        lambda: picture()[..., ::-1],
        2.5,
    ),
    "PNG under a profile": (
        lambda: encode(picture(), icc_profile=swapped_profile()),
        lambda: picture()[..., ::-1],
        1,
    ),
    "palette under a profile": (
        lambda: encode(grey("P"), icc_profile=swapped_profile()),
        lambda: as_rgb(grey("P"))[..., ::-1],
        1,
    ),
    "transparent under a profile": (
        lambda: encode(clear(), icc_profile=swapped_profile()),
        lambda: on_white()[..., ::-1],
        1,
    ),
    "16 bits under a profile": (
        lambda: (
            deep_png(picture(), 16)[:33]
            + png_chunk(b"iCCP", b"p\x00\x00" + zlib.compress(swapped_profile()))
            + deep_png(picture(), 16)[33:]
        ),
        lambda: picture()[..., ::-1],
        1,
    ),
    "JPEG under sRGB": (
        lambda: sharp_jpeg(
            icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        ),
        picture,
        2,
    ),
    "hidden black": (lambda: encode(clear()), on_white, 0),
    "hidden green": (lambda: encode(clear((0, 255, 0))), on_white, 0),
    "hidden colours in WebP": (
        lambda: encode(clear((0, 255, 0)), "WEBP", lossless=True, exact=True),
        on_white,
        0,
    ),
    "a fifth opaque": (
        lambda: encode(half_clear()),
        lambda: np.rint(picture() * 0.2 + 255 * 0.8),
        0.6,
    ),
    "a fifth opaque, 16 bits": (
        deep_and_clear,
        lambda: np.rint(picture() * 0.2 + 255 * 0.8),
        1,
    ),
    "one transparent colour": (
        lambda: encode(np.full((SIDE, SIDE, 3), (10, 20, 30), np.uint8), transparency=(10, 20, 30)),
        lambda: np.full((SIDE, SIDE, 3), 255),
        0,
    ),
    "transparent palette": (
        lambda: encode(Image.new("RGB", (SIDE, SIDE), "red").quantize(4), transparency=0),
        lambda: np.full((SIDE, SIDE, 3), 255),
        0,
    ),
    "10 bits in 16": (lambda: deep_png(picture(), 10), picture, 1),
    "12 bits in 16": (lambda: deep_png(picture(), 12), picture, 1),
    "14 bits in 16": (lambda: deep_png(picture(), 14), picture, 1),
    "16 bits": (lambda: deep_png(picture(), 16), picture, 1),
    "12 bits of grey in 16": (
        lambda: deep_png(picture(), 12, channels=1),
        lambda: np.repeat(picture()[..., :1], 3, axis=2),
        1,
    ),
    "16-bit grey TIFF": (
        lambda: encode(Image.fromarray(picture()[..., 0].astype(np.uint16) * 257), "TIFF"),
        lambda: np.repeat(picture()[..., :1], 3, axis=2),
        1,
    ),
    "one bit": (lambda: encode(grey("1")), lambda: as_rgb(grey("1")), 0),
    "palette": (lambda: encode(grey("P")), lambda: as_rgb(grey("P")), 0),
    "BMP": (lambda: encode(picture(), "BMP"), picture, 0),
    "TIFF": (lambda: encode(picture(), "TIFF"), picture, 0),
    "WebP": (lambda: encode(picture(), "WEBP", lossless=True), picture, 0),
    "animated GIF": (lambda: animated("GIF"), picture, 12),
    "animated PNG": (lambda: animated("PNG"), picture, 0),
    "animated WebP": (lambda: animated("WEBP", lossless=True), picture, 0),
    "bytes after the end": (lambda: sharp_jpeg() + os.urandom(5000), picture, 1.5),
    "bytes after the end of a PNG": (lambda: encode(picture()) + bytes(10_000), picture, 0),
    "a scan header of some phones": (lambda: phone_jpeg(sharp_jpeg()), picture, 1.5),
    "that, and cells before the end": (
        lambda: phone_jpeg(sharp_jpeg())[:-2] + bytes(40) + b"\xff\xd9",
        picture,
        1.5,
    ),
    "an unknown revision of JFIF": (lambda: odd_revision(sharp_jpeg()), picture, 1.5),
    "a colour profile's part without a number": (
        lambda: sharp_jpeg(icc_profile=swapped_profile()).replace(b"FILE\x00\x01", b"FILE\x00\x00"),
        lambda: picture()[..., ::-1],
        1.5,
    ),
    "cells before the end that a camera fills": (
        lambda: sharp_jpeg()[:-2] + bytes(40) + b"\xff\xd9",
        picture,
        1.5,
    ),
}


def png_chunk(name, content, error=0):
    checksum = zlib.crc32(name + content) ^ error
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


@pytest.mark.parametrize("kind", DECODED)
def test_decoded(kind):
    content, expected, tolerance = DECODED[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = images.decode_image(content())
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert np.abs(image.astype(float) - expected()).mean() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
    content = encode(picture()[:40], kind, exif=exif, **options.get(kind, {}))
    with Image.open(io.BytesIO(content)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    image = images.decode_image(content)
    assert image.shape == ((40, SIDE, 3) if orientation < 5 else (SIDE, 40, 3))
    assert np.abs(image.astype(int) - expected).max() <= (3 if kind == "JPEG" else 0)


def test_rotation_that_stands_behind_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(picture()[:40])
    content = content[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + content[-12:]
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        expected = np.asarray(ImageOps.exif_transpose(opened))
    image = images.decode_image(content)
    assert image.shape == (SIDE, 40, 3) and np.array_equal(image, expected)


@pytest.mark.parametrize("profile", [b"no profile", of_another_space(), swapped_profile()[:200]])
def test_profile_that_cannot_be_applied_is_said(profile):
    content = encode(picture(), icc_profile=profile)
    with pytest.warns(UserWarning, match="mole.png has a colour profile that cannot be applied"):
        image = images.decode_image(content, "mole.png")
    assert np.array_equal(image, picture())


def test_a_profile_of_which_a_part_is_missing_is_said():
    content = sharp_jpeg(icc_profile=swapped_profile()).replace(
        b"FILE\x00\x01\x01", b"FILE\x00\x01\x02"
    )
    with pytest.warns(UserWarning, match="mole.jpg has a colour profile that cannot be applied"):
        image = images.decode_image(content, "mole.jpg")
    assert np.abs(image.astype(float) - picture()).mean() <= 1.5


def damaged(content, share, number=20):
    """Overwrite some bytes in the picture's data."""
    place = int(len(content) * share)
    return content[:place] + bytes([0x5A] * number) + content[place + number :]


def cut(content, share):
    return content[: int(len(content) * share)]


def without(content, share, number=60):
    place = int(len(content) * share)
    return content[:place] + content[place + number :]


def without_steps():
    """A JPEG whose first quantisation table is zero, which decoders take for grey."""
    whole = sharp_jpeg()
    place = whole.index(b"\xff\xdb") + 5
    return whole[:place] + bytes(64) + whole[place + 64 :]


def repeated_scans(times):
    """A progressive JPEG whose last scan comes again and again."""
    content = encode(np.full((2048, 2048, 3), 90, np.uint8), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * times + content[-2:]


def phone_jpeg(content):
    """A JPEG whose scan header names no range of frequencies, as some phones write it."""
    return content.replace(b"\x00\x3f\x00", bytes(3), 1)


def odd_revision(content):
    return content.replace(b"JFIF\x00\x01", b"JFIF\x00\x03", 1)


# Name: (content, words that the sentence must hold)
REFUSED = {
    "nothing": (lambda: b"", ["0 bytes"]),
    "a page": (lambda: b"<html>Not found</html>", ["not an image"]),
    "zeros": (lambda: bytes(500), ["not an image"]),
    "the start of a JPEG": (lambda: b"\xff\xd8\xff", ["not an image"]),
    "one pixel": (lambda: encode(picture(1)), ["1 x 1 pixels"]),
    "a strip": (lambda: encode(picture(400)[:15]), ["400 x 15 pixels"]),
    **{
        f"{kind} cut at {share:.0%}": (
            lambda kind=kind, share=share: cut(encode(noise(), kind), share),
            ["download it again"],
        )
        for kind in ("JPEG", "PNG")
        for share in (0.3, 0.6, 0.97)
    },
    "hole in a JPEG": (lambda: without(sharp_jpeg(noise()), 0.5), ["damaged"]),
    "hole in a phone's": (lambda: without(phone_jpeg(sharp_jpeg(noise())), 0.5), ["damaged"]),
    "hole behind a revision": (
        lambda: without(odd_revision(sharp_jpeg(noise())), 0.5),
        ["damaged"],
    ),
    "phone's cut short": (lambda: cut(phone_jpeg(sharp_jpeg(noise())), 0.6), ["damaged"]),
    "hole in a progressive JPEG": (
        lambda: without(sharp_jpeg(noise(), progressive=True), 0.5),
        ["damaged"],
    ),
    "hole between restart markers": (
        lambda: without(sharp_jpeg(noise(), restart_marker_blocks=4), 0.5, 900),
        ["damaged"],
    ),
    "zeros in a JPEG": (
        lambda: sharp_jpeg(noise())[:3000] + bytes(1000) + sharp_jpeg(noise())[4000:],
        ["damaged"],
    ),
    "JPEG of zero steps": (without_steps, ["damaged"]),
    "hole in a CMYK JPEG": (
        lambda: without(encode(Image.fromarray(noise()).convert("CMYK"), "JPEG"), 0.5),
        ["damaged"],
    ),
    "hole under a profile": (
        lambda: without(sharp_jpeg(noise(), icc_profile=swapped_profile()), 0.7),
        ["damaged"],
    ),
    "damaged PNG": (lambda: damaged(encode(noise()), 0.5), ["damaged"]),
    "damaged sum": (
        lambda: encode(noise())[:-16] + b"\0\0\0\0" + encode(noise())[-12:],
        ["damaged"],
    ),
    "PNG without an end": (lambda: encode(noise())[:-12], ["damaged"]),
    "damaged palette": (lambda: damaged(encode(grey("P")), 0.05, 3), ["damaged"]),
    "damaged note in a PNG": (
        lambda: encode(picture())[:33] + png_chunk(b"tEXt", b"a\x00b", 1) + encode(picture())[33:],
        ["damaged"],
    ),
    "damaged 16-bit PNG": (lambda: damaged(deep_png(noise(), 16), 0.5), ["damaged"]),
    "BMP cut short": (lambda: encode(noise(), "BMP")[:-300], ["damaged"]),
    "TIFF cut short": (lambda: encode(noise(), "TIFF")[:9000], ["damaged"]),
    "GIF cut short": (lambda: encode(noise(), "GIF")[:1500], ["damaged"]),
    "WebP cut short": (lambda: encode(noise(), "WEBP")[:-300], []),
    "2,000 scans": (lambda: repeated_scans(2000), ["scans"]),
    "floating point": (
        lambda: encode(Image.fromarray(np.ones((SIDE, SIDE), np.float32)), "TIFF"),
        ["8-bit .png"],
    ),
    "32-bit integers": (
        lambda: encode(Image.fromarray(np.ones((SIDE, SIDE), np.int32)), "TIFF"),
        ["8-bit .png"],
    ),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(99), ["not an image"]),
    "thousand million pixels": (
        lambda: (
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
            + png_chunk(b"IDAT", b"")
            + png_chunk(b"IEND", b"")
        ),
        ["40000 x 40000"],
    ),
    "text that fills the memory": (
        lambda: (
            encode(picture())[:33]
            + png_chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(200_000_000)))
            + encode(picture())[33:]
        ),
        ["not an image"],
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, one_sentence):
    content, words = REFUSED[kind]
    content = content()
    started = time.process_time()
    with pytest.raises(ValueError) as error:
        images.decode_image(content, "mole.jpg")
    one_sentence(error, "mole.jpg", *words)
    assert time.process_time() - started < 2


def test_very_wide_bitmap_is_read():
    """Wider than OpenCV allows."""
    wide = np.zeros((16, 1_048_640, 3), np.uint8)
    wide[:, wide.shape[1] // 2 - 8 : wide.shape[1] // 2 + 8] = (9, 8, 7)
    prepared = images.prepare(images.decode_image(encode(Image.fromarray(wide), "BMP")), 16)
    assert np.all(prepared == (9, 8, 7))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_whatever_is_raised_is_about_the_file(kind):
    content = bytearray(encode(picture(), kind))
    random = np.random.default_rng(0)
    for _ in range(60):
        spoilt = bytearray(content)
        for place in random.integers(2, len(content), 6):
            spoilt[place] = random.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = images.decode_image(bytes(spoilt), "mole")
            except ValueError as error:
                assert str(error).startswith("mole ")
            else:
                assert image.dtype == np.uint8 and image.shape[2] == 3


# Files


def test_sparse_file_is_refused_by_its_size(tmp_path, one_sentence):
    path = tmp_path / "sparse.jpg"
    path.touch()
    os.truncate(path, 30_000_000_000)
    with pytest.raises(ValueError) as error:
        images.read_image(path)
    one_sentence(error, path, "30000 MB")


def test_file_of_zeros_is_not_read_whole(tmp_path, monkeypatch, one_sentence):
    path = tmp_path / "zeros.jpg"
    path.touch()
    os.truncate(path, 400_000_000)
    monkeypatch.setattr(decoding, "decode_image", pytest.fail)
    with pytest.raises(ValueError) as error:
        images.read_image(path)
    one_sentence(error, path, "not an image")


def test_missing_file(tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        images.read_image(tmp_path / "gone.jpg")
    one_sentence(error, "gone.jpg", "No such file")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_never_opened(tmp_path, make, one_sentence):
    make(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError) as error:
        images.read_image(tmp_path / "pipe.jpg")
    one_sentence(error, "pipe.jpg", "not a file")


def test_pillow_keeps_its_limit():
    before, content = Image.MAX_IMAGE_PIXELS, sharp_jpeg(picture(1500))
    threads = [
        threading.Thread(target=lambda: [images.decode_image(content) for _ in range(10)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Image.MAX_IMAGE_PIXELS == before is not None


def test_scans_are_counted_where_they_are():
    """Neither in a thumbnail nor in the film behind the picture."""
    exif = Image.Exif()
    exif[0x010E] = "thumbnail"
    content = sharp_jpeg(progressive=True, exif=exif.tobytes() + b"\xff\xda" * 400)
    scans, end = jpeg.markers_until_end(content + b"\xff\xda" * 400, 1000)
    assert 2 < scans < 20 and end == len(content) - 2


def test_without_simplejpeg_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.warns(UserWarning, match="simplejpeg is not installed"):
        image = images.decode_image(sharp_jpeg())
    assert np.abs(image.astype(int) - picture()).mean() < 1.5


# The process that can be ended


def test_bounded_decoding_is_the_same():
    content = sharp_jpeg(noise())
    assert np.array_equal(data.decoders().decode(content, 60), images.decode_image(content))
    with pytest.raises(ValueError, match="mole.jpg is cut short or damaged"):
        data.decoders().decode(without(content, 0.5), 60, "mole.jpg")
    with pytest.warns(UserWarning, match="mole.png has a colour profile"):
        data.decoders().decode(encode(picture(), icc_profile=b"none"), 60, "mole.png")


def test_slow_picture_ends_with_its_process(one_sentence):
    decoders = bounded.Decoders(1)
    slow = encode(np.zeros((9000, 9000), np.uint8), compress_level=1)
    try:
        decoders.decode(sharp_jpeg(), 60)
        started = time.monotonic()
        with pytest.raises(ValueError) as error:
            decoders.decode(slow, 0.05, "slow.png")
        one_sentence(error, "slow.png", "longer than 0.05 s")
        assert time.monotonic() - started < 20
        decoders.decode(encode(picture()), 60)
        decoders._idle[0]._process.kill()  # by the system, for want of memory
        decoders._idle[0]._process.wait()
        assert np.array_equal(decoders.decode(encode(picture()), 60), picture())
    finally:
        decoders.close()


def test_decoder_does_not_outlive_the_one_who_asked():
    code = (
        "from lesions.data import bounded, images\n"
        "import sys\n"
        "decoders = bounded.Decoders(1)\n"
        "decoders.decode(sys.stdin.buffer.read(), 60)\n"
        "print(decoders._idle[0]._process.pid, flush=True)\n"
        "import os, signal\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], input=sharp_jpeg(), capture_output=True, cwd=REPOSITORY
    )
    pid = int(ended.stdout)
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}") and b"Z" not in open(f"/proc/{pid}/stat", "rb").read():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_the_system_refuses_is_said_as_one_that_does_not_start(monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(bounded.subprocess, "Popen", refuse)
    with pytest.raises(ChildProcessError, match="does not start"):
        bounded.Decoders(1).decode(b"", 1, "mole.jpg")
