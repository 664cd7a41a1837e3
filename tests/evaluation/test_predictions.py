"""Views, test-time augmentation, ensembles and predictions.csv."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from lesions import classes, data
from lesions.evaluation import predictions
from lesions.networks import models, views

CODES = list(classes.CODES)


@pytest.fixture(scope="module")
def model():
    return models.build("cnn", 64, "random", seed=3)


def pictures(count=5, size=64):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def frame(sharpness, count=140, seed=0):
    """Predictions that lean towards the truth by `sharpness`; half of them are validation."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 7
    logits = random.normal(size=(count, 7)) + sharpness * np.eye(7)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = pd.DataFrame(
        {
            "image_id": [f"ISIC_{number:07d}" for number in range(count)],
            "lesion_id": [f"HAM_{number:07d}" for number in range(count)],
            "split": np.where(np.arange(count) % 2 == (labels % 2), "validation", "test"),
            "dx": np.array(CODES)[labels],
        }
    )
    return predictions.table(rows, probabilities)


# Views


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


def test_predict_is_the_mean_over_views_by_hand(model):
    images = pictures()
    quarter = [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]
    shown = [*quarter, *(np.flip(image, axis=2) for image in quarter)]
    each = [np.asarray(model(view.astype(np.float32), training=False)) for view in shown]
    assert np.ptp(each, axis=0).max() > 1e-5
    found = views.predict(model, images, batch_size=2)  # 2, 2 and 1
    assert found.dtype == np.float32 and found.shape == (5, 7)
    assert np.allclose(found, np.mean(each, axis=0), atol=1e-5)
    plain = views.predict(model, images, tta=False)
    assert np.allclose(plain, each[0], atol=1e-5) and not np.allclose(plain, found, atol=1e-6)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_predict_with_patient_features():
    model = models.build("cnn", 64, "random", patient=True, seed=3)
    patient = np.random.default_rng(1).random((5, data.PATIENT_FEATURES), dtype=np.float32)
    inputs = {"image": pictures().astype(np.float32), "patient": patient}
    expected = np.asarray(model(inputs, training=False))
    found = views.predict(model, pictures(), tta=False, patient=patient, batch_size=2)
    assert np.allclose(found, expected, atol=1e-5)


def test_predict_nothing(model):
    assert views.predict(model, pictures(0)).shape == (0, 7)


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (64, 64, 3), (2, 64, 64, 1)])
def test_images_of_the_wrong_shape(model, shape, one_sentence):
    with pytest.raises(ValueError) as error:
        views.predict(model, np.zeros(shape, np.uint8))
    one_sentence(error, "(n, 64, 64, 3)", "prepare")


# predictions.csv


def test_file_round_trip(tmp_path):
    written = frame(2.0)
    path = predictions.write_predictions(written, tmp_path / "predictions.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.csv"]
    read = predictions.read_predictions(path)
    assert read.columns.tolist() == predictions.COLUMNS
    assert np.abs(read[CODES].to_numpy() - written[CODES].to_numpy()).max() < 2e-6
    assert np.allclose(read[CODES].sum(axis=1), 1, atol=1e-12)
    assert read[predictions.COLUMNS[:4]].equals(written[predictions.COLUMNS[:4]])
    # Writing what was read changes nothing, so a run's file can be copied about.
    again = predictions.write_predictions(read, tmp_path / "again.csv")
    assert np.allclose(predictions.read_predictions(again)[CODES], read[CODES], atol=2e-6)


def test_file_without_a_column(tmp_path, one_sentence):
    frame(1.0).drop(columns="mel").to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(ValueError) as error:
        predictions.read_predictions(tmp_path / "short.csv")
    one_sentence(error, "short.csv", "'mel'")


# Ensembles


def test_ensemble_weights_prefer_the_better_member():
    good, poor = frame(4.0, seed=1), frame(0.2, seed=2)
    weights = predictions.fit_ensemble([poor, good])
    assert weights.sum() == pytest.approx(1) and weights.min() >= 0
    assert weights[1] > 0.7
    assert predictions.fit_ensemble([good, poor])[0] == pytest.approx(weights[1], abs=1e-3)


def test_equal_members_get_equal_weights():
    one = frame(2.0)
    assert np.allclose(predictions.fit_ensemble([one, one, one]), 1 / 3, atol=1e-6)


def test_ensemble_weights_come_from_validation_alone():
    good, poor = frame(4.0, seed=1), frame(0.2, seed=2)
    swapped_good, swapped_poor = good.copy(), poor.copy()
    test = good["split"] == "test"
    swapped_good.loc[test, CODES] = poor.loc[test, CODES]
    swapped_poor.loc[test, CODES] = good.loc[test, CODES]
    expected = predictions.fit_ensemble([good, poor])
    assert np.array_equal(predictions.fit_ensemble([swapped_good, swapped_poor]), expected)


def test_runs_on_equal_classes_are_brought_to_the_frequencies():
    """What a network says that was trained on equal classes is undone, whatever its temperature."""
    random = np.random.default_rng(0)
    prior = np.array([0.05, 0.05, 0.1, 0.02, 0.1, 0.65, 0.03])
    labels = random.choice(7, 4000, p=prior)
    prior = np.bincount(labels[1::2]) / 2000
    evidence = random.normal(size=(4000, 7)) + 1.5 * np.eye(7)[labels]
    frames = []
    for scores in (1.5 * evidence + np.log(prior), 3 * evidence):  # with the frequencies; without
        rows = pd.DataFrame({"image_id": [f"i{n:04d}" for n in range(4000)]})
        rows["lesion_id"], rows["dx"] = rows["image_id"], np.array(CODES)[labels]
        rows["split"] = np.where(np.arange(4000) % 2, "validation", "test")
        frames.append(predictions.table(rows, softmax(scores, axis=1)))
    plain, equal = (predictions.to_frequencies(one)[CODES].to_numpy() for one in frames)
    assert np.abs(plain - equal).max() < 0.01
    assert np.abs(plain - frames[0][CODES].to_numpy()).mean() < 0.01
    assert np.abs(plain - frames[1][CODES].to_numpy()).mean() > 0.05
    swapped = frames[1].copy()
    swapped.loc[swapped["split"] == "test", "dx"] = "nv"  # labels that must not be looked at
    assert np.array_equal(predictions.to_frequencies(swapped)[CODES].to_numpy(), equal)


def test_ensemble_is_the_weighted_mean():
    first, second = frame(2.0, seed=1), frame(1.0, seed=2)
    mixed = predictions.ensemble([first, second], np.array([0.25, 0.75]))
    expected = 0.25 * first[CODES] + 0.75 * second[CODES]
    assert np.allclose(mixed[CODES], expected)
    assert mixed.columns.tolist() == predictions.COLUMNS
    assert mixed["image_id"].equals(first["image_id"])


def test_members_of_other_images(one_sentence):
    for members in ([frame(1.0), frame(1.0)[::-1].reset_index(drop=True)], []):
        with pytest.raises(ValueError) as error:
            predictions.fit_ensemble(members)
        one_sentence(error, "nsemble")
