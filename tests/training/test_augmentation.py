"""Every augmentation keeps the lesion, changes the picture, and repeats itself."""

import numpy as np
import pytest

from lesions.training import augmentation


@pytest.fixture
def lesion():
    """A dark square in the middle of bright skin."""
    image = np.full((64, 64, 3), 200, np.uint8)
    image[26:38, 26:38] = 40
    return image


@pytest.mark.parametrize("strength", augmentation.STRENGTHS)
def test_views_differ_keep_their_shape_and_repeat_themselves(lesion, strength):
    views, again = (
        [augmentation.augment(lesion, np.random.default_rng(n), strength) for n in range(6)]
        for _ in range(2)
    )
    assert all(view.shape == lesion.shape and view.dtype == np.uint8 for view in views)
    assert len({view.tobytes() for view in views}) == 6
    assert all(np.array_equal(*pair) for pair in zip(views, again, strict=True))


def _dark(image):
    """Places of the lesion in a view, (n, 2) in pixels."""
    grey = image.mean(axis=2)
    return np.argwhere(grey < (grey.max() + grey.min()) / 2)


def test_standard_views_keep_the_lesion_in_the_frame(lesion):
    for number in range(50):
        dark = _dark(augmentation.augment(lesion, np.random.default_rng(number)))
        assert 60 < len(dark) < 320  # 144 pixels, scaled by at most e^0.4 in area
        assert np.abs(dark.mean(axis=0) - 31.5).max() < 0.08 * 64 + 1.5


def test_wide_scale_shows_lesions_at_half_and_at_twice_their_size(lesion):
    views = [augmentation.augment(lesion, np.random.default_rng(n), "scale") for n in range(300)]
    areas = [len(_dark(view)) / 144 for view in views]
    # Mirrored borders add parts of the lesion to the smallest.
    assert min(areas) < 0.6 and max(areas) > 2.8


def test_wide_colour_moves_the_skin_further_than_the_standard(lesion):
    spread = {
        strength: np.std(
            [
                augmentation.augment(lesion, np.random.default_rng(n), strength)[0, 0]
                for n in range(200)
            ],
            axis=0,
        ).mean()
        for strength in ("standard", "colour")
    }
    assert spread["colour"] > 1.3 * spread["standard"]


def test_artefacts_are_drawn_on_about_half_of_the_pictures():
    # On a uniform picture, only artefacts make edges; shading is smooth.
    skin = np.full((96, 96, 3), 190, np.uint8)
    edges = []
    for number in range(200):
        view = augmentation.augment(skin, np.random.default_rng(number), "artefacts")
        edges.append(np.abs(np.diff(view.astype(int), axis=0)).max() > 12)
    assert 0.3 < np.mean(edges) < 0.7
    plain = [augmentation.augment(skin, np.random.default_rng(n), "scale") for n in range(50)]
    assert max(np.abs(np.diff(view.astype(int), axis=0)).max() for view in plain) <= 12
