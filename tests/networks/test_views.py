"""Views of a photograph, and predictions averaged over them."""

import numpy as np
import pytest

from lesions import data
from lesions.networks import models, views


@pytest.fixture(scope="module")
def model():
    return models.build("cnn", 64, "random", seed=3)


def pictures(count=5, size=64):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_eight_views_are_different_and_can_be_undone():
    images = pictures(2, size=9)
    shown = [views.view(images, number) for number in range(views.VIEWS)]
    assert len({view.tobytes() for view in shown}) == views.VIEWS == 8
    assert np.array_equal(shown[0], images)
    for view in shown:
        assert view.shape == images.shape and view.dtype == images.dtype
        back = [views.view(view, number) for number in range(8)]
        assert sum(np.array_equal(image, images) for image in back) == 1


def test_views_keep_images_apart():
    images = pictures(3)
    for number in range(8):
        together = views.view(images, number)
        alone = [views.view(images[[row]], number)[0] for row in range(3)]
        assert np.array_equal(together, alone)


def test_predict_is_the_mean_over_views_by_hand(model, monkeypatch):
    monkeypatch.setattr(views, "images_a_step", lambda: 2)  # 2, 2 and 1
    images = pictures()
    quarter = [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]
    shown = [*quarter, *(np.flip(image, axis=2) for image in quarter)]
    each = [np.asarray(model(view.astype(np.float32), training=False)) for view in shown]
    assert np.ptp(each, axis=0).max() > 1e-5
    found = views.predict(model, images)
    assert found.dtype == np.float32 and found.shape == (5, 7)
    assert np.allclose(found, np.mean(each, axis=0), atol=1e-5)
    plain = views.predict(model, images, tta=False)
    assert np.allclose(plain, each[0], atol=1e-5) and not np.allclose(plain, found, atol=1e-6)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_predict_with_patient_features(monkeypatch):
    monkeypatch.setattr(views, "images_a_step", lambda: 2)
    model = models.build("cnn", 64, "random", patient=True, seed=3)
    patient = np.random.default_rng(1).random((5, data.PATIENT_FEATURES), dtype=np.float32)
    inputs = {"image": pictures().astype(np.float32), "patient": patient}
    expected = np.asarray(model(inputs, training=False))
    found = views.predict(model, pictures(), tta=False, patient=patient)
    assert np.allclose(found, expected, atol=1e-5)


def test_predict_nothing(model):
    assert views.predict(model, pictures(0)).shape == (0, 7)


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (64, 64, 3), (2, 64, 64, 1)])
def test_images_of_the_wrong_shape(model, shape, one_sentence):
    with pytest.raises(ValueError) as error:
        views.predict(model, np.zeros(shape, np.uint8))
    one_sentence(error, "(n, 64, 64, 3)", "prepare")
