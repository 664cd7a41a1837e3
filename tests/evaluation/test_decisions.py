"""The decision rule leans to rare classes as far as validation asks, and no further."""

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from lesions import classes
from lesions.evaluation import decisions

COUNTS = (30, 50, 110, 12, 110, 670, 14)


def labels_and_probabilities(seed: int, prior) -> tuple[np.ndarray, np.ndarray]:
    """Draw evidence of a fixed strength and mix it with a prior, as a trained network does."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(7), COUNTS)
    evidence = random.normal(size=(len(labels), 7)) + 2.0 * np.eye(7)[labels]
    scores = np.exp(2.0 * evidence + np.log(prior))
    return labels, scores / scores.sum(axis=1, keepdims=True)


def test_without_a_prior_the_most_probable_class_is_named():
    probabilities = np.eye(7)[[3, 5, 0]] * 0.4 + 0.6 / 7
    assert decisions.decide(probabilities).tolist() == [3, 5, 0]


def test_a_log_prior_lets_a_rare_class_win():
    probabilities = np.array([[0.0, 0.0, 0.0, 0.3, 0.0, 0.7, 0.0]])
    prior = np.log(np.array(COUNTS) / sum(COUNTS))
    assert decisions.decide(probabilities)[0] == classes.CODES.index("nv")
    assert decisions.decide(probabilities, prior)[0] == classes.CODES.index("df")


def test_fit_raises_balanced_accuracy_on_other_images():
    prior = np.array(COUNTS) / sum(COUNTS)
    strength, log_prior = decisions.fit(*labels_and_probabilities(0, prior))
    assert 0.3 < strength <= 1
    labels, probabilities = labels_and_probabilities(1, prior)
    before = balanced_accuracy_score(labels, decisions.decide(probabilities))
    after = balanced_accuracy_score(labels, decisions.decide(probabilities, log_prior))
    assert after > before + 0.02


def test_fit_leaves_a_network_alone_that_knows_no_prior():
    strength, log_prior = decisions.fit(*labels_and_probabilities(0, np.ones(7)))
    assert strength <= 0.2
    assert np.abs(log_prior).max() < 1
