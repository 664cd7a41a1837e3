"""Scores of maps against masks, by hand; controls that know nothing; intervals over lesions."""

import numpy as np
import pandas as pd
import pytest

from lesions import evaluation
from lesions.explanation import agreement, controls
from lesions.networks import models

MASK = np.zeros((4, 4), bool)
MASK[1:3, 1:3] = True


def test_a_map_equal_to_the_mask_its_complement_and_a_constant():
    perfect = agreement.mask_agreement(MASK.astype(float), MASK)
    assert perfect == {
        "energy_inside": 1.0,
        "pointing_game": 1.0,
        "intersection_over_union": 1.0,
        "inside": 1.0,
        "outside": 0.0,
        "empty_map": 0.0,
    }
    opposite = agreement.mask_agreement((~MASK).astype(float), MASK)
    assert opposite["energy_inside"] == opposite["pointing_game"] == 0.0
    assert opposite["intersection_over_union"] == 0.0
    # A flat map scores by area: 4 of 16 pixels.
    flat = agreement.mask_agreement(np.ones((4, 4)), MASK)
    assert [flat[name] for name in agreement.SCORES[:3]] == [0.25, 0.25, 0.25]
    assert flat["inside"] == flat["outside"] == 1.0


def test_a_map_scored_by_hand():
    heat = np.zeros((4, 4))
    heat[1, 1], heat[1, 2], heat[0, 0], heat[3, 3] = 1.0, 0.4, 0.5, 0.1
    scores = agreement.mask_agreement(heat, MASK)
    assert scores["energy_inside"] == pytest.approx(1.4 / 2.0)
    assert scores["pointing_game"] == 1.0
    assert scores["intersection_over_union"] == pytest.approx(1 / 5)
    assert scores["outside"] == pytest.approx(0.6 / 12)
    assert scores["inside"] == pytest.approx(1.4 / 4)
    assert agreement.mask_agreement(heat, MASK, 0.4)["intersection_over_union"] == 2 / 5


def test_scores_are_undefined_for_an_empty_map_or_mask():
    mask = np.eye(4, dtype=bool)
    scores = agreement.mask_agreement(np.zeros((4, 4)), mask)
    assert scores["intersection_over_union"] == 0.0
    assert all(np.isnan(scores[name]) for name in ("energy_inside", "pointing_game"))
    for side, uniform in (("inside", np.zeros((4, 4), bool)), ("outside", np.ones((4, 4), bool))):
        assert np.isnan(agreement.mask_agreement(np.ones((4, 4)), uniform)[side])
    table = agreement.table([np.zeros((4, 4)), MASK.astype(float)], [mask, MASK], 0.5)
    assert table["empty_map"].tolist() == [1, 0]


def test_overlaps_are_those_of_each_threshold_and_the_best_is_kept():
    rng = np.random.default_rng(0)
    heat, mask = rng.random((9, 9)).round(1), rng.random((9, 9)) > 0.6
    by_hand = [
        agreement.mask_agreement(heat, mask, threshold)["intersection_over_union"]
        for threshold in agreement.THRESHOLDS
    ]
    np.testing.assert_allclose(agreement.overlaps(heat, mask), by_hand)
    # Hot at 0.6 on the lesion and at 0.3 around it: every threshold between the two is perfect.
    maps = np.where(MASK, 0.6, 0.3)
    assert agreement.best_threshold([agreement.overlaps(maps, MASK)]) == 0.35


def test_the_gaussian_has_the_middle_and_the_spread_of_the_masks():
    mask = np.zeros((60, 80), bool)
    mask[20:40, 10:70] = True
    found = controls.centred_gaussian([mask, mask])
    assert found.shape == mask.shape and found.dtype == np.float32 and found.max() == 1
    np.testing.assert_allclose(found, found[::-1, ::-1], atol=1e-6)
    weights = found.astype(float) / found.sum()
    down, across = (np.arange(side) - (side - 1) / 2 for side in mask.shape)
    assert (weights.sum(1) * down**2).sum() == pytest.approx((20**2 - 1) / 12, rel=0.01)
    assert (weights.sum(0) * across**2).sum() < (60**2 - 1) / 12  # cut off by the frame
    assert weights.sum(0)[39] > weights.sum(0)[10]
    with pytest.raises(ValueError, match="no training mask"):
        controls.centred_gaussian([np.zeros((3, 3), bool)])


def test_controls_keep_the_network_and_lose_what_it_learned():
    model = models.build("cnn", 64, "random", seed=3)
    top = controls.randomised_top(model)
    np.testing.assert_array_equal(top.layers[1].get_weights(), model.layers[1].get_weights())
    for one, other in zip(top.weights, model.weights, strict=True):
        same = np.array_equal(one, other)
        assert same == ("logits" not in one.path or "bias" in one.path)
        np.testing.assert_array_equal(*(np.sort(np.ravel(weights)) for weights in (one, other)))
    untrained = controls.random_network(model)
    assert untrained.name == "cnn" and untrained.input_shape == model.input_shape
    kernel = "cnn_block1_1_conv"
    assert not np.allclose(
        untrained.get_layer(kernel).get_weights()[0], model.get_layer(kernel).get_weights()[0]
    )


def test_intervals_draw_lesions_and_leave_undefined_scores_out():
    values = pd.DataFrame({"a": [1.0, 1.0, 0.0, np.nan], "b": [2.0, 2.0, 4.0, 6.0]})
    values["c"] = np.nan
    table = evaluation.mean_intervals(values, pd.Series(list("xxyz")), {"d": ("a", "b")})
    assert table.loc["a", ["value", "images"]].tolist() == [2 / 3, 3]
    assert table.loc["b", "value"] == 3.5 and table.loc["d", "value"] == (2 / 3) / 3.5
    assert table.loc["a", "low"] == 0 and table.loc["a", "high"] == 1
    assert table.loc["c", ["value", "low", "high"]].isna().all()
    # Twice the same photograph of a lesion is no more evidence than once.
    rng = np.random.default_rng(0)
    once = pd.DataFrame({"a": rng.random(40)})
    twice = pd.concat([once, once], ignore_index=True)
    lesions = pd.Series(range(40))
    narrow = evaluation.mean_intervals(twice, pd.Series(range(80))).loc["a"]
    honest = evaluation.mean_intervals(twice, pd.concat([lesions, lesions])).loc["a"]
    single = evaluation.mean_intervals(once, lesions).loc["a"]
    np.testing.assert_allclose(honest[["value", "low", "high"]], single[["value", "low", "high"]])
    assert narrow["high"] - narrow["low"] < 0.85 * (honest["high"] - honest["low"])
