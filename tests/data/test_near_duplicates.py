"""Copies are found however they were turned and saved; other photographs are not."""

import cv2
import numpy as np

from lesions.data import near_duplicates


def test_copies_are_found_turned_flipped_and_compressed(demo_store):
    known = np.asarray(demo_store.images[:80])
    fresh = np.asarray(demo_store.images[80:100])
    flipped = np.flip(np.rot90(known[7]), axis=1)
    _, jpeg = cv2.imencode(".jpg", known[33], [cv2.IMWRITE_JPEG_QUALITY, 60])
    smaller = cv2.resize(known[51], (40, 40), interpolation=cv2.INTER_AREA)
    copies = [flipped, cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.resize(smaller, (64, 64))]
    found = near_duplicates.highest_correlations(np.stack([*fresh, *copies]), known)
    assert (found[20:] > near_duplicates.SAME_ABOVE).all()
    for number, original in zip((20, 21, 22), (7, 33, 51), strict=True):
        without = np.delete(known, original, axis=0)
        alone = near_duplicates.highest_correlations(copies[number - 20][None], without)
        assert alone < found[number]


def test_a_uniform_picture_resembles_nothing():
    grey = np.full((1, 32, 32, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8)
    assert near_duplicates.highest_correlations(grey, noise)[0] < 0.5
