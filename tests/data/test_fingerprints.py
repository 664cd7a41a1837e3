"""The digits that name rows and photographs."""

import shutil

import cv2
import numpy as np
import pytest
from tables import draw_table, write_photographs

from lesions import data
from lesions.data import fingerprints


@pytest.fixture
def photographs(tmp_path):
    table = draw_table(lesions=20)
    write_photographs(tmp_path / "here", table["image_id"])
    return table.assign(image_path=[str(tmp_path / "here" / f"{i}.jpg") for i in table["image_id"]])


def test_copies_elsewhere_are_the_same_photographs(photographs, tmp_path):
    digits = data.photographs_digest(photographs)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    moved = photographs.assign(
        image_path=photographs["image_path"].str.replace("/here/", "/there/")
    )
    assert data.photographs_digest(moved) == digits
    shuffled = photographs.sample(frac=1, random_state=0)
    assert data.photographs_digest(shuffled) == digits
    assert data.photographs_digest(photographs[:-1]) != digits


def test_thumbnails_are_other_photographs(photographs):
    digits = data.photographs_digest(photographs)
    path = photographs["image_path"].iloc[17]
    cv2.imwrite(path, cv2.resize(cv2.imread(path), (16, 16)))
    assert data.photographs_digest(photographs) != digits


def test_other_pictures_of_the_same_size_are_noticed(photographs):
    digits = data.photographs_digest(photographs)
    assert len(photographs) > fingerprints.SAMPLE
    for path in photographs["image_path"]:
        with open(path, "r+b") as file:
            content = bytearray(file.read())
            content[-3] ^= 1
            file.seek(0)
            file.write(content)
    assert data.photographs_digest(photographs) != digits


def test_photograph_that_is_gone(photographs, one_sentence):
    table = photographs.assign(image_path="nowhere.jpg")
    with pytest.raises(ValueError) as error:
        data.photographs_digest(table)
    one_sentence(error, "nowhere.jpg")


def test_rows_are_named_by_what_matters():
    table = draw_table(lesions=30, photographs=2)
    split = data.split_by_lesion(table)
    digits = data.data_fingerprint(split)
    assert data.data_fingerprint(split.sample(frac=1, random_state=0)) == digits
    assert data.data_fingerprint(split.assign(age=np.nan)) == digits
    assert data.data_fingerprint(data.split_by_lesion(table, seed=1)) != digits
