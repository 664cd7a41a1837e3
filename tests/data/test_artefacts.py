"""What is drawn on photographs: repeatable, visible, elsewhere nothing, and quick."""

import time

import cv2
import numpy as np
import pytest

from lesions.data import artefacts

every_artefact = pytest.mark.parametrize(
    "draw", artefacts.ARTEFACTS.values(), ids=artefacts.ARTEFACTS
)


@pytest.fixture
def skin():
    noise = np.random.default_rng(0).integers(-9, 10, (256, 256, 1))
    return (np.array([190, 140, 120]) + noise).astype(np.uint8)


@every_artefact
def test_a_seed_fixes_what_is_drawn_and_the_photograph_stays(draw, skin):
    before = skin.copy()
    once, again, other = (draw(skin, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(skin, before)
    np.testing.assert_array_equal(once, again)
    assert once.shape == skin.shape and once.dtype == np.uint8
    assert (once != other).any()


@every_artefact
@pytest.mark.parametrize("shape", [(64, 64), (224, 224), (450, 600)])
def test_it_is_seen_at_any_size_and_leaves_most_of_the_middle(draw, shape):
    height, width = shape
    skin = np.full((*shape, 3), (190, 140, 120), np.uint8)
    for seed in range(12):
        changed = (draw(skin, np.random.default_rng(seed)) != skin).any(axis=2)
        assert 0 < changed.mean() < 0.8
        middle = changed[height // 3 : -height // 3, width // 3 : -width // 3]
        assert middle.mean() < (0.6 if draw is artefacts.draw_hairs else 0.02)


def test_corners_darken_and_a_frame_is_black(skin):
    for draw in (artefacts.draw_dark_corners, artefacts.draw_round_frame):
        drawn = draw(skin, np.random.default_rng(0))
        assert drawn[0, 0].max() < 20
        np.testing.assert_array_equal(drawn[128, 128], skin[128, 128])


@every_artefact
def test_it_is_quick_enough_for_training(draw, skin):
    threads, random, seconds = cv2.getNumThreads(), np.random.default_rng(0), []
    cv2.setNumThreads(1)
    try:
        for _ in range(50):
            start = time.process_time()
            draw(skin, random)
            seconds.append(time.process_time() - start)
    finally:
        cv2.setNumThreads(threads)
    # 0.4 to 1.5 ms on a slow core; the bound leaves room for a loaded machine.
    assert np.median(seconds) < 0.005
