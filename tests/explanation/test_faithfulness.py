"""ROAD and lesion removal, on a predictor whose answer is known by hand."""

import numpy as np
import pytest
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from lesions.explanation import faithfulness

SIZE = 40
SPOT = np.zeros((SIZE, SIZE), bool)
SPOT[12:24, 14:26] = True
IMAGE = np.where(SPOT[..., np.newaxis], 10, 220).astype(np.uint8).repeat(3, axis=2)


def darkness(images):
    """The share of the spot that is dark: a network that sees nothing but the spot."""
    return (images[:, SPOT].mean(axis=2) < 60).mean(axis=1)


def test_hottest_marks_exactly_the_share_and_breaks_ties_at_random():
    heat = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(faithfulness.hottest(heat, 0.25), heat >= 12)
    flat = faithfulness.hottest(np.ones((9, 9)), 0.5)
    assert flat.sum() == 40 and 10 < flat[:4].sum() < 30  # not the first 40
    np.testing.assert_array_equal(flat, faithfulness.hottest(np.ones((9, 9)), 0.5))


def test_area_by_hand():
    assert faithfulness.area([3] * 9) == pytest.approx(3)
    assert faithfulness.area([1] + [0] * 8) == pytest.approx(0.05 / 0.8)


def test_road_orders_the_same_maps():
    for heat, sign in ((SPOT, 1), (~SPOT, -1)):
        curves = faithfulness.road(darkness, IMAGE, heat.astype(float))
        gap = curves["least_relevant_first"] - curves["most_relevant_first"]
        assert all(sign * gap >= 0) and abs(gap.mean()) > 0.5
    flat = faithfulness.road(darkness, IMAGE, np.ones((SIZE, SIZE)))
    assert abs(np.mean(flat["least_relevant_first"] - flat["most_relevant_first"])) < 0.1


def exactly_imputed(image, removed):
    """Solve the paper's equations by a sparse solver."""
    places = np.argwhere(removed)
    number = {tuple(place): row for row, place in enumerate(places)}
    left, right = lil_matrix((len(places), len(places))), np.zeros((len(places), 3))
    for row, (y, x) in enumerate(places):
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                near = (y + down, x + across)
                if near == (y, x) or not all(0 <= at < SIZE for at in near):
                    continue
                weight = 1 / 6 if not down or not across else 1 / 12
                left[row, row] += weight
                if near in number:
                    left[row, number[near]] -= weight
                else:
                    right[row] += weight * image[near]
    return np.stack([spsolve(left.tocsr(), column) for column in right.T], axis=1)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.9])
def test_imputation_is_what_the_sparse_solver_finds(share, monkeypatch):
    monkeypatch.setattr(faithfulness, "NOISE", 0)
    rng = np.random.default_rng(0)
    across = np.linspace(0, 1, SIZE)
    image = (60 + 120 * across[:, None, None] + 40 * rng.random((SIZE, SIZE, 3))).astype(np.uint8)
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] - 17.0))
    removed = faithfulness.hottest(-distance, share)
    filled = faithfulness.impute(image, removed)
    np.testing.assert_array_equal(filled[~removed], image[~removed])
    wrong = np.abs(filled[removed] - exactly_imputed(image, removed))
    assert wrong.max() < 4 and wrong.mean() < 1.5


def test_imputation_without_anything_known_is_grey_noise():
    filled = faithfulness.impute(IMAGE, np.ones_like(SPOT))
    assert abs(filled.mean() - 127.5) < 1 and 1 < filled.std() < 5
    np.testing.assert_array_equal(faithfulness.impute(IMAGE, np.zeros_like(SPOT)), IMAGE)


def test_the_lesion_can_be_taken_out_or_left_alone():
    for fill in ("inpainted", "skin"):
        assert faithfulness.without_lesion(IMAGE, SPOT, fill).min() >= 218
    image = IMAGE.copy()
    image[:4] = 90  # something dark far from the lesion
    alone = faithfulness.only_lesion(image, SPOT)
    assert (alone[SPOT] == 10).all() and alone[:4].min() == 220
    beside = faithfulness.without_skin(image, SPOT)
    assert (beside[SPOT] == image[SPOT]).all()
    changed = (beside != image).any(axis=2)
    assert changed.any() and changed.sum() <= 2 * SPOT.sum()
    everywhere = np.ones_like(SPOT)
    assert (faithfulness.without_skin(image, everywhere) == image).all()
    assert faithfulness.without_lesion(image, everywhere, "skin").std() == 0
