"""The synthetic default dataset: repeatable, shaped like HAM10000, and never half there."""

import hashlib
import time

import cv2
import numpy as np
import pandas as pd
import pytest

from lesions.classes import CODES
from lesions.data import demo

IMAGES = 60


def digests(folder):
    """Map each file's path inside the folder to a digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    start = time.process_time()
    folder = demo.make_demo(tmp_path_factory.mktemp("demo") / "set", images=IMAGES)
    return folder, time.process_time() - start


@pytest.fixture(scope="module")
def metadata(drawn):
    return pd.read_csv(drawn[0] / "HAM10000_metadata.csv")


def image_path(folder, image_id):
    (path,) = folder.glob(f"HAM10000_images_part_*/{image_id}.jpg")
    return str(path)


def test_layout_and_columns_are_those_of_ham10000(drawn, metadata):
    folder, _ = drawn
    assert list(metadata.columns) == ("lesion_id image_id dx dx_type age sex localization".split())
    assert len(metadata) == IMAGES and metadata["image_id"].is_unique
    assert metadata["image_id"].str.fullmatch(r"DEMO_\d{7}").all()
    assert metadata["lesion_id"].str.fullmatch(r"DEMO_\d{7}").all()
    parts = [sorted(path.stem for path in (folder / part).iterdir()) for part in demo.PARTS]
    assert min(map(len, parts)) == IMAGES // 2
    assert sorted(parts[0] + parts[1]) == sorted(metadata["image_id"])
    masks = sorted(path.name for path in (folder / demo.MASKS).iterdir())
    assert masks == sorted(metadata["image_id"] + "_segmentation.png")


def test_metadata_values_are_plausible(metadata):
    assert set(metadata["dx"]) == set(CODES)
    assert set(metadata["dx_type"]) <= {"histo", "follow_up", "consensus", "confocal"}
    assert set(metadata.loc[metadata["dx_type"] == "follow_up", "dx"]) == {"nv"}
    assert metadata["age"].dropna().between(0, 85).all()
    missing = metadata["age"].isna().mean()
    assert 0 < missing < 0.2
    assert {"male", "female", "unknown"} == set(metadata["sex"])
    assert "unknown" in set(metadata["localization"])


def test_some_lesions_have_several_photographs(metadata):
    photographs = metadata.groupby("lesion_id")["image_id"].count()
    assert 0.15 < (photographs > 1).mean() < 0.35
    assert photographs.max() <= 3
    described = metadata.groupby("lesion_id")[["dx", "dx_type", "sex", "localization"]].nunique()
    assert (described == 1).all().all()


def test_photographs_of_one_lesion_differ(drawn, metadata):
    folder, _ = drawn
    for _, rows in metadata[metadata.duplicated("lesion_id", keep=False)].groupby("lesion_id"):
        first, second = (cv2.imread(image_path(folder, name)) for name in rows["image_id"][:2])
        assert np.abs(first.astype(int) - second).mean() > 3


def test_full_size_gives_every_class_enough_lesions():
    table = demo.draw_metadata(images=600)
    lesions = table.groupby("dx")["lesion_id"].nunique()
    assert len(table) == 600
    assert lesions.min() >= 10
    assert lesions.idxmax() == "nv"
    assert set(lesions.nsmallest(2).index) == {"df", "vasc"}


def test_masks_match_the_lesions(drawn, metadata):
    folder, _ = drawn
    contrasts = []
    for image_id in metadata["image_id"]:
        image = cv2.imread(image_path(folder, image_id)).astype(np.float32)
        mask = cv2.imread(
            str(folder / demo.MASKS / f"{image_id}_segmentation.png"), cv2.IMREAD_UNCHANGED
        )
        assert image.shape == (256, 256, 3) and mask.shape == (256, 256)
        assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
        assert 0.02 < (mask > 0).mean() < 0.75
        inside = cv2.erode(mask, np.ones((5, 5))) > 0
        # A ring of skin just outside: it leaves dark corners and lighting out of the comparison.
        near = cv2.dilate(mask, np.ones((51, 51))) > 0
        skin = near & (cv2.dilate(mask, np.ones((21, 21))) == 0)
        difference = np.abs(image - np.median(image[skin], axis=0)).sum(axis=2)
        contrasts.append(np.median(difference[inside]) / np.median(difference[skin]))
    assert np.median(contrasts) > 3
    assert np.mean(np.array(contrasts) > 1) > 0.9


def test_same_bytes_whatever_the_threads(drawn, tmp_path):
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        again = demo.make_demo(tmp_path / "again", images=IMAGES)
    finally:
        cv2.setNumThreads(threads)
    assert digests(again) == digests(drawn[0])


def test_a_whole_folder_is_returned_at_once(drawn, monkeypatch):
    folder, _ = drawn
    before = (folder / demo.METADATA).stat().st_mtime_ns
    monkeypatch.setattr(demo, "write_images", lambda *_: pytest.fail("drawn again"))
    assert demo.make_demo(folder, images=IMAGES) == folder
    assert (folder / demo.METADATA).stat().st_mtime_ns == before


def test_a_torn_or_different_demo_is_drawn_anew(tmp_path):
    folder = demo.make_demo(tmp_path / "set", images=7)
    whole = digests(folder)
    next(folder.glob("*_part_1/*.jpg")).unlink()
    assert digests(demo.make_demo(folder, images=7)) == whole
    assert len(pd.read_csv(demo.make_demo(folder, images=8) / demo.METADATA)) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_killed_half_way_leaves_nothing_taken_for_whole(tmp_path, killed_when):
    folder = tmp_path / "set"
    killed_when(
        lambda: len(list(tmp_path.rglob("*.jpg"))) > 4,
        "import sys; from lesions.data import demo; demo.make_demo(sys.argv[1], images=60)",
        folder,
    )
    assert not folder.exists() and not list(tmp_path.rglob("demo.json"))
    demo.make_demo(folder, images=8)
    assert len(list(folder.glob("*/*.jpg"))) == 8


def test_what_another_process_drew_first_is_not_replaced(tmp_path, monkeypatch):
    folder, write, first = tmp_path / "set", demo.write_images, []

    def overtaken(table, temporary):
        monkeypatch.setattr(demo, "write_images", write)
        first.append(demo.make_demo(folder, images=8).stat().st_ino)
        write(table, temporary)

    monkeypatch.setattr(demo, "write_images", overtaken)
    assert demo.make_demo(folder, images=8) == folder
    assert first == [folder.stat().st_ino] and list(tmp_path.iterdir()) == [folder]


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="holds other files"):
        demo.make_demo(tmp_path, images=7)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_speed(drawn):
    # Processor time, about 30 ms a photograph on a slow core.
    assert drawn[1] / IMAGES < 0.12
