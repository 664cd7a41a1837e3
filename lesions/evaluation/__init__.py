"""Figures, intervals, calibration, decision rule and ensembles, from predictions alone.

What is here reads tables of predictions (predictions.csv) and at most the table of the photographs
they are of. It needs no network, no photograph and no GPU, so that every figure can be remade in
seconds from what is recorded. Code that loads a model, decodes an image or draws a plot belongs
elsewhere.

The order is always the same: `answer` brings a run's probabilities to the class frequencies and
names a class by the decision rule, with numbers fitted by `answers_details` or `evaluate` on rows
that the network was not trained on; everything else computes on what `answer` returns.
"""

from lesions.evaluation.answering import answer, answers_details, decide
from lesions.evaluation.bootstrap import (
    Interval,
    independent_difference,
    intervals,
    mean_intervals,
    paired_difference,
    paired_differences,
    score,
)
from lesions.evaluation.ensembles import ensemble, fit_ensemble, out_of_fold, vote
from lesions.evaluation.external import answer_among, external_report
from lesions.evaluation.frequencies import Correction, class_frequencies
from lesions.evaluation.patient_data import Fusion
from lesions.evaluation.predictions import (
    CODES,
    arrays,
    labels_and_probabilities,
    read_predictions,
    rows_of,
)
from lesions.evaluation.scores import confusion, metrics, per_class, reliability, screening
from lesions.evaluation.subgroups import slice_intervals, slices
from lesions.evaluation.summary import evaluate
from lesions.evaluation.weighted import HEADLINES
