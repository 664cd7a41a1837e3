"""Sets of other clinics, which lack classes."""

import numpy as np
import pytest
from drawn import CODES, FREQUENCIES, both_splits, draw, frame
from sklearn.metrics import recall_score, roc_auc_score

from lesions import evaluation
from lesions.evaluation import external

LABELLED = ["bkl", "mel", "nv"]


@pytest.fixture(scope="module")
def home():
    return both_splits(images=400, strength=2.0)


@pytest.fixture(scope="module")
def details(home):
    return evaluation.evaluate(home, FREQUENCIES, names=("accuracy",))


def abroad(strength=0.5, seed=7):
    there = frame(*draw(images=400, seed=seed, strength=strength), prefix="PH")
    return there[there["dx"].isin(LABELLED)].assign(lesion_id=there["image_id"], split="test")


def test_a_set_that_lacks_classes_is_compared_on_those_it_has(home, details):
    there = abroad()
    table = evaluation.external_report(there, home, details, resamples=100)
    answers = evaluation.answer(there, details)
    melanoma = answers["dx"] == "mel"
    assert table.loc["melanoma_auc", "there"] == pytest.approx(
        roc_auc_score(melanoma, answers["mel"])
    )
    test = home[(home["split"] == "test") & home["dx"].isin(LABELLED)]
    answers = evaluation.answer_among(test, details, LABELLED)
    assert set(answers["predicted"]) <= set(LABELLED)
    expected = recall_score(answers["dx"], answers["predicted"], labels=LABELLED, average="macro")
    assert table.loc["balanced_accuracy", "home"] == pytest.approx(expected)
    # The network is worse there, and the intervals of the differences say so.
    assert table.loc["melanoma_auc", "difference_high"] < 0
    assert table.loc["log_loss", "difference_low"] > 0
    for side in ("home", "there", "difference"):
        assert (table[f"{side}_low"] <= table[side] + 1e-9).all()
        assert (table[side] <= table[f"{side}_high"] + 1e-9).mean() > 0.8


def test_the_threshold_of_home_has_its_specificity_at_home_alone(home, details):
    validation = home[(home["split"] == "validation") & home["dx"].isin(LABELLED)]
    answers = evaluation.answer(validation, details)
    threshold = external.melanoma_threshold(answers)
    others = answers[answers["dx"] != "mel"]
    assert (others["mel"] < threshold).mean() >= 0.9
    assert (others["mel"] < threshold * 0.97).mean() <= 0.93
    table = evaluation.external_report(abroad(), home, details, resamples=20)
    assert table.loc["specificity_at_home_threshold", "home"] == pytest.approx(0.9, abs=0.06)
    assert table.loc["specificity_at_home_threshold", "there"] < 0.9


def test_the_rule_chooses_among_labelled_classes_as_it_does_among_all(home, details):
    test = home[home["split"] == "test"]
    whole = evaluation.answer_among(test, details, CODES)
    assert (whole["predicted"] == evaluation.answer(test, details)["predicted"]).all()
    assert np.allclose(evaluation.answer_among(test, details, LABELLED)[LABELLED].sum(axis=1), 1)


def test_a_set_without_melanoma_is_refused(home, details, one_sentence):
    there = abroad()
    with pytest.raises(ValueError) as error:
        evaluation.external_report(there[there["dx"] == "nv"], home, details)
    one_sentence(error, "shows nv")
