"""Probabilities at the class frequencies, and the decision rule."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score

from lesions import classes, evaluation
from lesions.evaluation import answering, comparison
from lesions.system.folders import MODELS

CODES = list(classes.CODES)
PRIOR = np.array([0.03, 0.05, 0.11, 0.01, 0.11, 0.67, 0.02])


def answers(prior, power=1.0, images=4000, seed=0):
    """Labels drawn by `PRIOR`, and what a network says that knows `prior` and is off by a power."""
    random = np.random.default_rng(seed)
    labels = random.choice(7, images, p=PRIOR)
    labels[:7] = range(7)
    evidence = 1.5 * random.normal(size=(images, 7)) + 2.25 * np.eye(7)[labels]
    return labels, softmax(power * (evidence + np.log(prior)), axis=1)


# The correction


def test_a_network_of_equal_classes_and_one_of_frequencies_end_alike():
    labels, honest = answers(PRIOR)
    _, equal = answers(np.ones(7))
    _, sharp = answers(PRIOR, power=2.0)
    corrected = [
        evaluation.Correction.fit(labels, found, PRIOR).apply(found)
        for found in (honest, equal, sharp)
    ]
    for one in corrected:
        assert np.abs(one - honest).mean() < 0.01
        assert one.sum(axis=1) == pytest.approx(1)
        assert log_loss(labels, one) <= log_loss(labels, honest) + 1e-6
    assert np.abs(equal - honest).mean() > 0.05


def test_the_two_numbers_say_what_was_wrong():
    labels, sharp = answers(np.ones(7), power=2.0)
    correction = evaluation.Correction.fit(labels, sharp, PRIOR)
    assert correction.power == pytest.approx(0.5, rel=0.1)
    assert correction.offset == pytest.approx(1.0, abs=0.1)


def test_both_numbers_minimise_the_log_loss_even_with_an_absent_class():
    labels, found = answers(np.ones(7), power=0.5)
    kept = labels != 3
    labels, found = labels[kept], found[kept]
    best = evaluation.Correction.fit(labels, found, PRIOR)

    def loss(power, offset):
        one = evaluation.Correction(power, offset, best.class_frequencies)
        return log_loss(labels, one.apply(found), labels=range(7))

    least = loss(best.power, best.offset)
    for power, offset in ((1.02, 0), (0.98, 0), (1, 0.02), (1, -0.02)):
        assert least < loss(best.power * power, best.offset + offset)


def test_a_network_without_errors_gets_finite_numbers():
    labels = np.arange(7)
    certain = np.eye(7) * 0.9 + 0.1 / 7
    correction = evaluation.Correction.fit(labels, certain / certain.sum(axis=1), PRIOR)
    assert 1 < correction.power <= 20 and abs(correction.offset) <= 5
    assert np.isfinite(correction.apply(np.eye(7))).all()


def test_a_correction_survives_json_and_a_missing_one_changes_nothing():
    labels, found = answers(np.ones(7))
    correction = evaluation.Correction.fit(labels, found, PRIOR)
    stored = json.loads(json.dumps(correction.to_details()))
    assert evaluation.Correction.from_details(stored) == correction
    assert evaluation.Correction.from_details(None).apply(found) == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize("name", ["power", "offset", "class_frequencies"])
def test_a_stored_correction_that_is_not_whole_is_refused(name, one_sentence):
    stored = evaluation.Correction().to_details()
    del stored[name]
    with pytest.raises(ValueError) as error:
        evaluation.Correction.from_details(stored)
    one_sentence(error, "save the model again")


def test_frequencies_are_of_training_and_validation_rows_and_never_of_test():
    rows = pd.DataFrame({"dx": ["nv"] * 6 + ["mel"] * 2 + ["df"], "split": "train"})
    rows.loc[6:, "split"] = ["validation", "validation", "test"]
    found = dict(zip(CODES, evaluation.class_frequencies(rows), strict=True))
    # A class that nobody has seen counts as one row, so that its logarithm is finite.
    assert found["nv"] == pytest.approx(6 / 13) and found["mel"] == pytest.approx(2 / 13)
    assert found["df"] == pytest.approx(1 / 13)
    with pytest.raises(ValueError, match="train or validation"):
        evaluation.class_frequencies(rows[rows["split"] == "test"])


# The decision rule


def test_strength_0_names_the_most_probable_class():
    probabilities = np.eye(7)[[3, 5, 0]] * 0.4 + 0.6 / 7
    assert evaluation.decide(probabilities, PRIOR, 0).tolist() == [3, 5, 0]


def test_the_rule_divides_by_the_frequency_to_a_power():
    probabilities = np.array([[0.0, 0.0, 0.0, 0.1, 0.0, 0.9, 0.0]])
    assert evaluation.decide(probabilities, PRIOR, 1).tolist() == [CODES.index("df")]
    # 0.1 / 0.01^s exceeds 0.9 / 0.67^s where s is above log 9 / log 67, 0.523.
    assert evaluation.decide(probabilities, PRIOR, 0.51).tolist() == [CODES.index("nv")]
    assert evaluation.decide(probabilities, PRIOR, 0.53).tolist() == [CODES.index("df")]


def test_the_fitted_strength_raises_balanced_accuracy_on_other_images():
    strength = answering.fit_strength(*answers(PRIOR), PRIOR)
    assert 0.3 < strength <= 1
    labels, probabilities = answers(PRIOR, seed=1)
    before = balanced_accuracy_score(labels, evaluation.decide(probabilities, PRIOR, 0))
    after = balanced_accuracy_score(labels, evaluation.decide(probabilities, PRIOR, strength))
    assert after > before + 0.02


@pytest.mark.parametrize("number", [3, 5, 8, 13, 21, 34])
def test_the_fitted_strength_is_one_of_the_good_ones(number):
    """With few photographs the good strengths are no single stretch."""
    labels, probabilities = (part[number::60] for part in answers(PRIOR, seed=number))

    def score(strength):
        named = evaluation.decide(probabilities, PRIOR, strength)
        return recall_score(labels, named, labels=np.unique(labels), average="macro")

    best = max(score(strength) for strength in answering.STRENGTHS)
    assert score(answering.fit_strength(labels, probabilities, PRIOR)) >= best - 0.0051


def test_the_strength_of_a_recorded_run_is_one_of_the_good_ones():
    """Halfway between two good strengths, fewer photographs may be right than at either."""
    runs = [next(MODELS.glob(name)) for name in ("cnn-128px-seed44-*", "*_efficientnetb3-128px-*")]
    for entry in map(comparison.read_entry, runs):
        labels, probabilities, named = evaluation.arrays(entry.answers("validation"))
        frequencies = np.array(entry.details["correction"]["class_frequencies"])
        rules = [evaluation.decide(probabilities, frequencies, one) for one in answering.STRENGTHS]
        best = max(recall_score(labels, rule, average="macro") for rule in rules)
        assert recall_score(labels, named, average="macro") >= best - 0.0051, entry.name


def test_the_strength_is_small_where_the_network_knows_no_frequencies():
    assert answering.fit_strength(*answers(np.ones(7)), PRIOR) <= 0.2
