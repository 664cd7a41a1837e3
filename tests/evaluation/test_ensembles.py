"""Ensembles, and the networks of five folds put together."""

import numpy as np
import pytest
from tables import drawn_predictions as frame

from lesions import classes, evaluation
from lesions.evaluation import predictions

CODES = list(classes.CODES)


def test_ensemble_weights_prefer_the_better_member():
    good, poor = frame(4.0, seed=1), frame(0.2, seed=2)
    weights = evaluation.fit_ensemble([poor, good])
    assert weights.sum() == pytest.approx(1) and weights.min() >= 0
    assert weights[1] > 0.7
    assert evaluation.fit_ensemble([good, poor])[0] == pytest.approx(weights[1], abs=1e-3)


def test_equal_members_get_equal_weights():
    one = frame(2.0)
    assert np.allclose(evaluation.fit_ensemble([one, one, one]), 1 / 3, atol=1e-6)


def test_ensemble_weights_come_from_validation_alone():
    good, poor = frame(4.0, seed=1), frame(0.2, seed=2)
    swapped_good, swapped_poor = good.copy(), poor.copy()
    test = good["split"] == "test"
    swapped_good.loc[test, CODES] = poor.loc[test, CODES]
    swapped_poor.loc[test, CODES] = good.loc[test, CODES]
    expected = evaluation.fit_ensemble([good, poor])
    assert np.array_equal(evaluation.fit_ensemble([swapped_good, swapped_poor]), expected)


def test_ensemble_is_the_weighted_mean():
    first, second = frame(2.0, seed=1), frame(1.0, seed=2)
    mixed = evaluation.ensemble([first, second], np.array([0.25, 0.75]))
    expected = 0.25 * first[CODES] + 0.75 * second[CODES]
    assert np.allclose(mixed[CODES], expected)
    assert mixed.columns.tolist() == predictions.COLUMNS
    assert mixed["image_id"].equals(first["image_id"])


def test_members_of_other_images(one_sentence):
    with pytest.raises(ValueError) as error:
        evaluation.fit_ensemble([frame(1.0), frame(1.0)[::-1].reset_index(drop=True)])
    one_sentence(error, "nsemble")


def fold(number, folds=3, sharpness=2.0):
    """One network of several: it predicts its own part of the validation rows, and all of test."""
    whole = frame(sharpness, seed=number)
    rows = np.flatnonzero(whole["split"] == "validation")[number::folds]
    kept = whole.index.isin(rows) | (whole["split"] == "test")
    return whole[kept].sample(frac=1, random_state=number)


def test_out_of_fold_rows_come_from_the_network_that_has_not_seen_them():
    frames = [fold(number) for number in range(3)]
    together = evaluation.out_of_fold(frames)
    assert together.columns.tolist() == predictions.COLUMNS
    whole = frame(2.0)
    assert sorted(together["image_id"]) == sorted(whole["image_id"])
    for one in frames:
        own = one[one["split"] == "validation"].set_index("image_id")
        found = together.set_index("image_id").loc[own.index]
        assert found[CODES].equals(own[CODES]) and (found["split"] == "validation").all()
    test = together[together["split"] == "test"].set_index("image_id")
    mean = sum(one.set_index("image_id").loc[test.index, CODES] for one in frames) / 3
    assert np.allclose(test[CODES], mean)


def test_out_of_fold_refuses_other_test_rows(one_sentence):
    with pytest.raises(ValueError) as error:
        evaluation.out_of_fold([fold(0), fold(1)[lambda f: f["dx"] != "mel"]])
    one_sentence(error)
