"""Preparing photographs, and the store of prepared squares."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesions.data import images


def colourful(height=60, width=80):
    """A smooth picture without any symmetry, so that every turn of it looks different."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / width, 255 * y / height
    blue = 120 + 100 * np.sin((x + 2 * y) / 25)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


# Preparing


def test_prepare_cuts_the_centre_and_takes_area_means():
    image = np.zeros((64, 100, 3), np.uint8)
    image[:, :18] = 255  # all of it left of the centred square
    image[:, 18:50] = (10, 20, 30)
    image[:, 50:82] = (50, 60, 70)
    prepared = images.prepare(image, 16)
    assert np.all(prepared[:, :8] == (10, 20, 30)) and np.all(prepared[:, 8:] == (50, 60, 70))
    blocks = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    means = blocks.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(images.prepare(blocks, 16) - means).max() <= 0.51


def test_hair_removal_takes_hairs_and_leaves_skin():
    skin = np.full((128, 128, 3), (200, 160, 140), np.uint8)
    hairy = skin.copy()
    cv2.line(hairy, (0, 20), (127, 100), (40, 30, 25), 1)
    cleaned = images.remove_hair(hairy)
    assert np.abs(cleaned.astype(int) - skin).max() < 12
    assert np.array_equal(images.remove_hair(skin), skin)


@pytest.mark.parametrize("method", [images.grey_world, images.shades_of_grey])
def test_colour_constancy_takes_the_light_out(method):
    grey = np.random.default_rng(0).integers(60, 160, (32, 32, 1)) * np.ones(3)
    lit = (grey * (1.2, 1.0, 0.8)).astype(np.uint8)
    balanced = method(lit).astype(float).mean(axis=(0, 1))
    assert np.ptp(balanced) < 1.5 < np.ptp(lit.mean(axis=(0, 1)))


def test_unknown_colour_constancy(one_sentence):
    with pytest.raises(ValueError) as error:
        images.prepare(colourful(), 32, colour_constancy="gray_world")
    one_sentence(error, "'gray_world'", "grey_world")


def test_mask_is_in_the_frame_of_the_photograph(tmp_path, one_sentence):
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 10:40] = 255
    cv2.imwrite(str(tmp_path / "m_segmentation.png"), mask)
    found = images.read_mask(tmp_path / "m_segmentation.png", 30)
    expected = np.zeros((30, 30), bool)
    expected[10:20, 0:15] = True
    assert found.dtype == bool and np.array_equal(found, expected)
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(ValueError) as error:
        images.read_mask(tmp_path / "bad.png", 30)
    one_sentence(error, "bad.png")


# The store


@pytest.fixture
def rows(demo_metadata):
    return demo_metadata[:30]


def test_store_holds_the_prepared_images(rows, tmp_path):
    store = images.ImageStore(rows, 48, tmp_path / "new" / "stores")
    assert store.images.shape == (30, 48, 48, 3) and store.images.dtype == np.uint8
    for row, path in enumerate(rows["image_path"]):
        assert np.array_equal(store.images[row], images.prepare(path, 48))
    with pytest.raises(ValueError):
        store.images[0] = 0
    names = sorted(path.suffix for path in store.path.parent.iterdir())
    assert names == [".json", ".npy"]


def test_rows_of_image_ids(rows, tmp_path, one_sentence):
    store = images.ImageStore(rows, 32, tmp_path)
    ids = rows["image_id"].iloc[[7, 0, 29]]
    assert store.rows(ids).tolist() == [7, 0, 29]
    with pytest.raises(ValueError) as error:
        store.rows(["ISIC_404"])
    one_sentence(error, "ISIC_404")


def test_store_is_built_once(rows, tmp_path):
    first = images.ImageStore(rows, 32, tmp_path)
    before = first.path.stat().st_mtime_ns
    again = images.ImageStore(rows, 32, tmp_path)
    assert again.path == first.path and again.path.stat().st_mtime_ns == before


def test_other_images_sizes_and_options_get_another_store(rows, tmp_path):
    def path(table=rows, size=32, **options):
        return images.ImageStore(table, size, tmp_path, **options).path

    others = [
        path(),
        path(rows[:29]),
        path(rows[::-1]),
        path(size=33),
        path(colour_constancy="grey_world"),
    ]
    assert len(set(others)) == len(others)


def test_changed_photograph_is_read_again(rows, tmp_path):
    copies = [shutil.copy(path, tmp_path) for path in rows["image_path"]]
    table = rows.assign(image_path=copies)
    images.ImageStore(table, 32, tmp_path / "stores")
    Image.new("RGB", (64, 64), (1, 2, 3)).save(copies[4])
    store = images.ImageStore(table, 32, tmp_path / "stores")
    assert np.abs(store.images[4].astype(int) - (1, 2, 3)).max() <= 2


def swap_array(store):
    """Put other images of another size in the array's place."""
    np.save(store.path, np.zeros((30, 16, 16, 3), np.uint8))


def swap_manifest(store):
    manifest = json.loads(store.path.with_suffix(".json").read_text())
    manifest["fingerprint"] = "0" * 64
    store.path.with_suffix(".json").write_text(json.dumps(manifest))
    images_file = np.lib.format.open_memmap(store.path, mode="r+")
    images_file[:] = 0


def tear(name, share):
    def torn(store):
        path = store.path.with_suffix(name)
        os.truncate(path, int(path.stat().st_size * share))

    return torn


DAMAGES = {
    "array of another size": swap_array,
    "manifest of other images": swap_manifest,
    "torn array": tear(".npy", 0.9),
    "torn header": tear(".npy", 0.0005),
    "empty array": tear(".npy", 0),
    "torn manifest": tear(".json", 0.5),
    "empty manifest": tear(".json", 0),
    "no manifest": lambda store: store.path.with_suffix(".json").unlink(),
    "manifest without content": lambda store: store.path.with_suffix(".json").write_text("null"),
    "no array": lambda store: store.path.unlink(),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_store_is_rebuilt(rows, tmp_path, kind):
    store = images.ImageStore(rows, 32, tmp_path)
    expected = np.array(store.images)
    del store.images
    DAMAGES[kind](store)
    again = images.ImageStore(rows, 32, tmp_path)
    assert np.array_equal(again.images, expected)


def test_faulty_photograph_leaves_no_store(rows, tmp_path, one_sentence):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    table = rows.reset_index(drop=True)
    table.loc[20, "image_path"] = str(tmp_path / "bad.jpg")
    with pytest.raises(ValueError) as error:
        images.ImageStore(table, 32, tmp_path / "stores")
    one_sentence(error, "bad.jpg", "not an image")
    assert list((tmp_path / "stores").iterdir()) == []


def test_photograph_that_is_gone(rows, tmp_path, one_sentence):
    table = rows.assign(image_path=str(tmp_path / "gone.jpg"))
    with pytest.raises(ValueError) as error:
        images.ImageStore(table, 32, tmp_path / "stores")
    one_sentence(error, "gone.jpg")


def test_folder_that_is_a_file(rows, tmp_path, one_sentence):
    (tmp_path / "stores").write_text("")
    with pytest.raises(ValueError) as error:
        images.ImageStore(rows, 32, tmp_path / "stores")
    one_sentence(error, tmp_path / "stores", "LESIONS_BUILD")


BUILD = """
import sys
import pandas as pd
from lesions.data import images
table = pd.read_csv(sys.argv[1])
"""


@pytest.mark.parametrize("limit", [100_000, 1_000])
def test_full_disk_while_building(rows, tmp_path, python, one_sentence, limit):
    """The kernel refuses to let any file grow beyond the limit, as a full disk does."""
    rows.to_csv(tmp_path / "table.csv", index=False)
    folder = tmp_path / "stores"
    folder.mkdir()
    printed = python(
        BUILD + "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))\n"
        "try:\n"
        "    images.ImageStore(table, 64, sys.argv[2])\n"
        "except ValueError as error:\n"
        "    print(error)",
        tmp_path / "table.csv",
        folder,
        limit,
    )
    one_sentence(printed, folder, "cannot be written", "free space", "LESIONS_BUILD")
    assert list(folder.iterdir()) == []


def test_a_store_of_another_process_stays_where_the_disk_is_full(rows, tmp_path, monkeypatch):
    """Two processes build one store; the second has no room left when the first is done."""
    store = images.ImageStore(rows, 64, tmp_path)
    (manifest,) = tmp_path.glob("*.json")
    manifest.unlink()  # as while the first is about to write it
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(ValueError, match="No space left.*it needs 1 MB, so free space"):
        images.ImageStore(rows, 64, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]
    assert len(store.images) == len(rows)


def test_killed_build_is_begun_again(rows, tmp_path, killed_when):
    table = pd.concat([rows] * 25, ignore_index=True)
    table["image_id"] = [f"copy_{number}" for number in range(len(table))]
    table.to_csv(tmp_path / "table.csv", index=False)
    folder = tmp_path / "stores"

    def half_done():
        return any(path.stat().st_size > 500_000 for path in folder.glob("*.partial"))

    code = BUILD + "images.ImageStore(table, 64, sys.argv[2])"
    killed_when(half_done, code, tmp_path / "table.csv", folder)
    left = list(folder.iterdir())
    assert [path.suffix for path in left] == [".partial"]
    store = images.ImageStore(table, 64, folder)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npy"]
    expected = [images.prepare(path, 64) for path in rows["image_path"]]
    for start in range(0, len(table), 30):
        assert np.array_equal(store.images[start : start + 30], expected)


def test_build_of_a_living_process_is_left_alone(rows, tmp_path):
    store = images.ImageStore(rows, 32, tmp_path)
    store.path.unlink()
    living = Path(f"{store.path}.{os.getppid()}.partial")
    living.write_bytes(b"half an array")
    images.ImageStore(rows, 32, tmp_path)
    assert living.read_bytes() == b"half an array"


def test_two_processes_clear_up_after_a_killed_build(rows, tmp_path, monkeypatch):
    """The other one removes what is left over just before this one does."""
    store = images.ImageStore(rows, 32, tmp_path)
    store.path.unlink()
    left = Path(f"{store.path}.999999999.partial")
    left.write_bytes(b"half an array")

    def ask(process, signal):
        left.unlink()
        raise ProcessLookupError

    monkeypatch.setattr("os.kill", ask)
    store = images.ImageStore(rows, 32, tmp_path)
    assert len(store.images) == len(rows) and not left.exists()


def test_memory_is_flat(tmp_path, python):
    """As many photographs as HAM10000 has."""
    small = tmp_path / "small.jpg"
    Image.fromarray(colourful(48, 48)).save(small)
    table = pd.DataFrame({"image_id": [f"copy_{number}" for number in range(10_015)]})
    table.assign(image_path=str(small)).to_csv(tmp_path / "table.csv", index=False)
    printed = python(
        BUILD + "import resource\n"
        "usage = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "images.ImageStore(table[:100], 128, sys.argv[2])\n"
        "before = usage()\n"
        "images.ImageStore(table, 128, sys.argv[2])\n"
        "print(usage() - before)",
        tmp_path / "table.csv",
        tmp_path / "stores",
    )
    assert int(printed) < 15_000  # kilobytes, of an array of 492,000
    large = (tmp_path / "stores").glob("*.npy")
    assert max(path.stat().st_size for path in large) > 492_000_000
