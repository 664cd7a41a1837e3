"""The evaluation, against hand-computed cases and against scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
from drawn import CODES, FREQUENCIES, MEL, NV, both_splits, certain, draw, frame
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from lesions import classes, evaluation
from lesions.evaluation import weighted


def slow(labels, scores, weights):
    """The headline metrics from scikit-learn, with sample weights."""
    kept = weights > 0
    labels, scores, weights = labels[kept], scores[kept], weights[kept]
    present, predicted = np.unique(labels), scores.argmax(axis=1)
    shared = {"sample_weight": weights}
    macro = {"labels": present, "average": "macro", "zero_division": 0, **shared}
    malignant = weighted.MALIGNANT
    result = {
        "balanced_accuracy": sklearn_metrics.recall_score(labels, predicted, **macro),
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted, **shared),
        "macro_f1": sklearn_metrics.f1_score(labels, predicted, **macro),
        "macro_auc": np.mean(
            [sklearn_metrics.roc_auc_score(labels == k, scores[:, k], **shared) for k in present]
        ),
        "macro_average_precision": np.mean(
            [
                sklearn_metrics.average_precision_score(labels == k, scores[:, k], **shared)
                for k in present
            ]
        ),
        "malignant_auc": sklearn_metrics.roc_auc_score(
            malignant[labels], scores[:, malignant].sum(axis=1), **shared
        ),
        "brier_score": np.average(((scores - np.eye(7)[labels]) ** 2).sum(axis=1), weights=weights),
        "log_loss": sklearn_metrics.log_loss(labels, scores, labels=range(7), **shared),
    }
    false_rate, true_rate, _ = sklearn_metrics.roc_curve(
        labels == MEL, scores[:, MEL], drop_intermediate=False, **shared
    )
    for percent in (90, 95):
        name = f"melanoma_sensitivity_at_{percent}_specificity"
        result[name] = true_rate[false_rate <= 1 - percent / 100 + 1e-9].max()
    repeated = np.repeat(np.arange(len(labels)), weights.astype(int))
    table = evaluation.reliability(labels[repeated], scores[repeated]).dropna()
    gaps = (table["confidence"] - table["accuracy"]).abs()
    result["expected_calibration_error"] = np.average(gaps, weights=table["images"])
    return result


def test_metrics_of_a_perfect_model():
    labels = np.repeat(np.arange(7), 3)
    result = evaluation.metrics(labels, certain(labels, 1.0))
    for name in ("brier_score", "expected_calibration_error", "log_loss"):
        assert result.pop(name) == pytest.approx(0, abs=1e-9)
    assert set(result.values()) == {1.0}


def test_metrics_computed_by_hand():
    # Two images a class; one of the two melanomas is taken for a nevus.
    labels = np.repeat(np.arange(7), 2)
    predicted = labels.copy()
    predicted[2 * MEL] = NV
    result = evaluation.metrics(labels, certain(predicted, 0.7))
    assert result["accuracy"] == pytest.approx(13 / 14)
    assert result["balanced_accuracy"] == pytest.approx(6.5 / 7)
    assert result["macro_recall"] == result["balanced_accuracy"]
    assert result["macro_precision"] == pytest.approx((6 + 2 / 3) / 7)
    assert result["macro_f1"] == pytest.approx((5 + 2 / 3 + 4 / 5) / 7)
    # Six classes are ranked without fault or with one nevus score too high among twelve.
    auc_mel = (1 + 0.5) / 2
    auc_nv = (12 - 0.5) / 12
    assert result["macro_auc"] == pytest.approx((5 + auc_mel + auc_nv) / 7)
    assert result["melanoma_sensitivity_at_95_specificity"] == pytest.approx(0.5)
    right, wrong = 0.3**2 + 6 * 0.05**2, 0.7**2 + 0.95**2 + 5 * 0.05**2
    assert result["brier_score"] == pytest.approx((13 * right + wrong) / 14)
    assert result["expected_calibration_error"] == pytest.approx(13 / 14 - 0.7)
    assert result["log_loss"] == pytest.approx(-(13 * np.log(0.7) + np.log(0.05)) / 14)


def test_melanoma_sensitivity_reaches_a_specificity_of_exactly_the_target():
    # Ten images without melanoma: 90% specificity allows one false alarm, 95% none.
    labels = np.array([MEL] * 4 + [0, 1, 2, 3, 5, 6, 5, 5, 5, 5])
    melanoma = np.array([0.9, 0.7, 0.5, 0.1, 0.8, 0.6, 0.4, 0.3] + [0.05] * 6)
    scores = np.repeat((1 - melanoma)[:, None] / 6, 7, axis=1)
    scores[:, MEL] = melanoma
    result = evaluation.metrics(labels, scores)
    assert result["melanoma_sensitivity_at_90_specificity"] == 0.5
    assert result["melanoma_sensitivity_at_95_specificity"] == 0.25


def test_malignant_auc_sums_the_malignant_classes():
    labels, scores = draw(seed=3)
    positions = [CODES.index(code) for code in ("akiec", "bcc", "mel")]
    expected = sklearn_metrics.roc_auc_score(
        np.isin(labels, positions), scores[:, positions].sum(axis=1)
    )
    assert evaluation.metrics(labels, scores)["malignant_auc"] == pytest.approx(expected)


def test_metrics_agree_with_scikit_learn():
    labels, scores = draw()
    result = evaluation.metrics(labels, scores)
    predicted = scores.argmax(axis=1)
    expected = slow(labels, scores, np.ones(len(labels)))
    expected["balanced_accuracy"] = sklearn_metrics.balanced_accuracy_score(labels, predicted)
    expected["macro_auc"] = sklearn_metrics.roc_auc_score(labels, scores, multi_class="ovr")
    expected["log_loss"] = sklearn_metrics.log_loss(labels, scores)
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name


def test_an_absent_class_is_refused_or_left_out():
    labels, scores = draw()
    kept = labels != CODES.index("df")
    with pytest.raises(ValueError, match="true class df"):
        evaluation.metrics(labels[kept], scores[kept])
    result = weighted.once(labels[kept], scores[kept], ("balanced_accuracy",))
    recalls = evaluation.per_class(labels[kept], scores[kept])["recall"]
    assert result["balanced_accuracy"] == pytest.approx(recalls.drop("df").mean())
    assert np.isnan(recalls["df"])


def test_per_class_and_confusion_agree():
    labels, scores = draw()
    table, counts = evaluation.per_class(labels, scores), evaluation.confusion(labels, scores)
    assert list(table.index) == CODES
    assert table["recall"].to_numpy() == pytest.approx(np.diag(counts) / counts.sum(axis=1))
    assert table["precision"].to_numpy() == pytest.approx(np.diag(counts) / counts.sum(axis=0))
    assert table["images"].tolist() == counts.sum(axis=1).tolist()
    result = evaluation.metrics(labels, scores)
    for column, name in (
        ("f1", "macro_f1"),
        ("auc", "macro_auc"),
        ("average_precision", "macro_average_precision"),
    ):
        assert table[column].mean() == pytest.approx(result[name])


def test_calibration_error_is_zero_where_confidence_is_accuracy():
    # Every image is called nv with a confidence of 0.4, and 40% of them are.
    labels = np.array([NV] * 8 + [0, 1, 2, 3, 4, 6] * 2)
    scores = certain(np.full(20, NV), 0.4)
    result = evaluation.metrics(labels, scores)
    assert result["expected_calibration_error"] == pytest.approx(0, abs=1e-12)


def test_reliability_agrees_with_scikit_learn():
    labels, scores = draw()
    table = evaluation.reliability(labels, scores)
    accuracy, confidence = calibration_curve(
        scores.argmax(axis=1) == labels, scores.max(axis=1), n_bins=15
    )
    assert len(table) == 15 and table["images"].sum() == len(labels)
    assert table["accuracy"].dropna().to_numpy() == pytest.approx(accuracy)
    assert table["confidence"].dropna().to_numpy() == pytest.approx(confidence)


@pytest.mark.parametrize("decimals", [None, 1])
def test_weighted_metrics_agree_with_scikit_learn(decimals):
    labels, scores = draw(decimals=decimals, seed=5)
    generator = np.random.default_rng(2)
    weights = generator.poisson(1.0, size=(len(labels), 8)).astype(float)
    weights[:, 0] = 1
    # One weighting has no dermatofibroma and one gives the highest scores no weight.
    weights[labels == 3, 1] = 0
    weights[scores.max(axis=1) > 0.6, 2] = 0
    fast = weighted.metrics(labels, scores, weights, (*evaluation.HEADLINES, "melanoma_auc"))
    assert set(fast) == {*evaluation.HEADLINES, "melanoma_auc"}
    for column in range(weights.shape[1]):
        for name, value in slow(labels, scores, weights[:, column]).items():
            assert fast[name][column] == pytest.approx(value, abs=1e-10), (name, column)
    for name, values in fast.items():
        alone = weighted.metrics(labels, scores, weights, (name,))
        assert list(alone) == [name] and np.array_equal(alone[name], values, equal_nan=True)


def test_intervals_hold_the_point_estimates():
    labels, scores = draw()
    predictions = frame(labels, scores)
    table = evaluation.intervals(predictions, resamples=300)
    assert tuple(table.index) == evaluation.HEADLINES
    expected = evaluation.metrics(labels, scores)
    for name, row in table.iterrows():
        assert row["value"] == pytest.approx(expected[name], abs=1e-12)
        assert row["low"] <= row["high"]
    # Accuracy has a textbook interval to compare with.
    accuracy = table.loc["accuracy"]
    spread = 1.96 * np.sqrt(accuracy["value"] * (1 - accuracy["value"]) / len(labels))
    assert accuracy["high"] - accuracy["low"] == pytest.approx(2 * spread, rel=0.15)


def test_intervals_do_not_depend_on_row_order():
    predictions = frame(*draw(), photographs=2)
    table = evaluation.intervals(predictions, resamples=50)
    shuffled = evaluation.intervals(predictions.sample(frac=1, random_state=0), resamples=50)
    pd.testing.assert_frame_equal(table, shuffled)


def test_copied_photographs_do_not_narrow_the_intervals():
    labels, scores = (np.repeat(part, 4, axis=0) for part in draw(images=150))
    by_lesion = evaluation.intervals(frame(labels, scores, photographs=4), resamples=400)
    by_image = evaluation.intervals(frame(labels, scores), resamples=400)
    alone = evaluation.intervals(frame(*draw(images=150)), resamples=400)

    def width(table, name):
        return table.loc[name, "high"] - table.loc[name, "low"]

    for name in ("accuracy", "macro_auc", "brier_score"):
        # Four copies make the naive interval half as wide as it may be.
        assert width(by_lesion, name) > 1.6 * width(by_image, name)
        assert width(by_lesion, name) == pytest.approx(width(alone, name), rel=0.15)


def test_intervals_leave_out_resamples_without_meaning():
    labels, scores = draw(images=60)
    kept = (labels != MEL) | (np.cumsum(labels == MEL) == 1)
    table = evaluation.intervals(frame(labels[kept], scores[kept]), resamples=200)
    assert np.isfinite(table.to_numpy()).all()


def test_a_model_does_not_differ_from_itself():
    predictions = frame(*draw(), photographs=2)
    shuffled = predictions.sample(frac=1, random_state=0)
    for metric in evaluation.HEADLINES:
        result = evaluation.paired_difference(predictions, shuffled, metric, resamples=50)
        assert result == {"value": 0, "low": 0, "high": 0}


def test_paired_difference_is_narrower_than_two_intervals():
    labels, scores = draw()
    better = 0.9 * scores + 0.1 * np.eye(7)[labels]
    a, b = frame(labels, better), frame(labels, scores)
    result = evaluation.paired_difference(a, b, resamples=300)
    assert 0 < result["low"] < result["value"] < result["high"]
    row = evaluation.intervals(b, resamples=300).loc["balanced_accuracy"]
    assert result["high"] - result["low"] < row["high"] - row["low"]


def test_many_paired_differences_are_those_of_each_pair():
    a, b = frame(*draw(strength=2.0), photographs=2), frame(*draw(strength=1.5), photographs=2)
    c = frame(*draw(strength=1.0), photographs=2)
    metrics = ("balanced_accuracy", "macro_auc")
    found = evaluation.paired_differences({"a": (a, c), "b": (b, c)}, metrics, resamples=50)
    for metric in metrics:
        for name, one in (("a", a), ("b", b)):
            direct = evaluation.paired_difference(one, c, metric, resamples=50)
            assert found[metric].loc[name].to_dict() == pytest.approx(direct)


def test_independent_difference_is_wider_than_either_interval():
    predictions = frame(*draw())
    other = frame(*draw(), split="clean")  # the same rows, of other lesions
    result = evaluation.independent_difference(predictions, other, resamples=300)
    assert result["value"] == 0 and result["low"] < 0 < result["high"]
    row = evaluation.intervals(predictions, resamples=300).loc["balanced_accuracy"]
    width = (result["high"] - result["low"]) / (row["high"] - row["low"])
    assert width == pytest.approx(np.sqrt(2), abs=0.25)


def test_independent_difference_refuses_shared_lesions_and_unknown_metrics():
    predictions = frame(*draw())
    with pytest.raises(ValueError, match="300 lesions, the first is HAM_test_00000"):
        evaluation.independent_difference(predictions, predictions)
    with pytest.raises(ValueError, match="no metric 'kappa'"):
        evaluation.independent_difference(predictions, frame(*draw(), split="clean"), "kappa")


def test_paired_difference_refuses_other_images_and_metrics():
    predictions = frame(*draw())
    with pytest.raises(ValueError, match="different images"):
        evaluation.paired_difference(predictions, predictions.iloc[1:])
    with pytest.raises(ValueError, match="different images"):
        evaluation.paired_difference(predictions, frame(*draw(), prefix="other"))
    with pytest.raises(ValueError, match="no metric 'kappa'"):
        evaluation.paired_difference(predictions, predictions, "kappa")


def test_evaluate_is_plain_json_and_fits_on_validation_alone():
    predictions = both_splits()
    result = evaluation.evaluate(predictions, FREQUENCIES)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    changed = predictions.copy()
    test = changed["split"] == "test"
    changed.loc[test, "dx"] = changed.loc[test, "dx"].to_numpy()[::-1]
    again = evaluation.evaluate(changed, FREQUENCIES)
    assert again["test"] != result["test"]
    assert again["correction"] == result["correction"]
    assert again["decision_strength"] == result["decision_strength"]
    assert set(result["test_intervals"]) == set(evaluation.HEADLINES)
    assert set(result["test_per_class"]) == set(CODES)


def test_evaluate_scores_what_the_rule_answers_at_the_frequencies():
    predictions = both_splits()
    result = evaluation.evaluate(predictions, FREQUENCIES)
    test = predictions[predictions["split"] == "test"]
    correction = evaluation.Correction.from_details(result["correction"])
    corrected = correction.apply(test[CODES].to_numpy())
    named = evaluation.decide(corrected, FREQUENCIES, result["decision_strength"])
    labels = test["dx"].map(CODES.index).to_numpy()
    expected = sklearn_metrics.balanced_accuracy_score(labels, named)
    assert result["test"]["balanced_accuracy"] == pytest.approx(expected)
    expected = sklearn_metrics.accuracy_score(labels, corrected.argmax(axis=1))
    assert result["test"]["most_probable_accuracy"] == pytest.approx(expected)
    expected = sklearn_metrics.log_loss(labels, corrected, labels=range(7))
    assert result["test"]["log_loss"] == pytest.approx(expected)


def test_lesions_are_counted_once_with_the_mean_of_their_photographs():
    labels = np.repeat(np.arange(7), 3)
    predictions = frame(labels, certain(labels, 0.9), photographs=3)
    # Two of the three photographs of one lesion are wrong, but not by much.
    predictions.loc[:1, CODES] = certain(np.array([NV, NV]), 0.4)
    answers = evaluation.answer(predictions, {}, by_lesion=True)
    assert len(answers) == 7 and answers["image_id"].equals(answers["lesion_id"])
    assert (answers["predicted"] == answers["dx"]).all()
    expected = predictions.loc[:2, CODES].mean()
    assert answers.loc[0, CODES].to_numpy(float) == pytest.approx(expected.to_numpy())
    photographs = evaluation.answer(predictions, {})
    assert (photographs["predicted"] != photographs["dx"]).sum() == 2


def test_a_column_of_named_classes_is_what_is_counted():
    labels, scores = draw()
    predictions = frame(labels, scores)
    named = predictions.assign(predicted=predictions["dx"])
    assert evaluation.metrics(*evaluation.arrays(named))["accuracy"] == 1
    assert evaluation.intervals(named, resamples=20).loc["balanced_accuracy", "low"] == 1
    assert evaluation.per_class(*evaluation.arrays(named))["recall"].tolist() == [1] * 7
    assert np.trace(evaluation.confusion(*evaluation.arrays(named))) == len(labels)
    difference = evaluation.paired_difference(named, predictions, resamples=20)
    expected = 1 - evaluation.metrics(labels, scores)["balanced_accuracy"]
    assert difference["value"] == pytest.approx(expected)
    # What needs no decision does not change.
    for name in ("macro_auc", "expected_calibration_error", "log_loss"):
        assert evaluation.paired_difference(named, predictions, name, 20)["value"] == 0


def test_evaluate_refuses_an_absent_class():
    predictions = both_splits()
    predictions = predictions[(predictions["split"] != "test") | (predictions["dx"] != "mel")]
    with pytest.raises(ValueError, match="true class mel"):
        evaluation.evaluate(predictions, FREQUENCIES)


def test_evaluate_needs_both_splits():
    with pytest.raises(ValueError, match="split 'validation'"):
        evaluation.evaluate(frame(*draw()), FREQUENCIES)


def test_slices_by_age_band():
    labels, scores = draw(images=70)
    predictions = frame(labels, scores, photographs=2)
    ages = np.tile([0.0, 29, 30, 60, 75, 85, np.nan], 10)
    metadata = predictions[["image_id", "lesion_id", "dx"]].assign(age=ages)
    table = evaluation.slices(predictions, metadata.sample(frac=1, random_state=0), "age_band")
    assert list(table.index) == ["0-29", "30-44", "60-74", "75+", "missing"]
    assert table["images"].tolist() == [20, 10, 10, 20, 10]
    young = np.isin(ages, [0.0, 29])
    expected = (scores.argmax(axis=1) == labels)[young].mean()
    assert table.loc["0-29", "accuracy"] == pytest.approx(expected)
    assert table.loc["0-29", "lesions"] == predictions["lesion_id"][young].nunique()


def test_slices_leave_malignant_auc_open_where_undefined():
    labels, scores = draw()
    predictions = frame(labels, scores)
    metadata = predictions[["image_id"]].assign(
        dx_type=np.where(labels == NV, "follow_up", "histo"), sex="female"
    )
    table = evaluation.slices(predictions, metadata, "dx_type")
    assert np.isnan(table.loc["follow_up", "malignant_auc"])
    assert table.loc["follow_up", "balanced_accuracy"] == table.loc["follow_up", "accuracy"]
    assert 0.5 < table.loc["histo", "malignant_auc"] <= 1
    by_tone = evaluation.slices(predictions, metadata.assign(skin_tone="tan"), "skin_tone")
    assert by_tone.loc["tan", "images"] == len(predictions)
    melanoma = predictions["dx"] == "mel"
    assert by_tone.loc["tan", "melanomas"] == melanoma.sum()
    expected = sklearn_metrics.roc_auc_score(melanoma, predictions["mel"])
    assert by_tone.loc["tan", "melanoma_auc"] == pytest.approx(expected)


def test_malformed_input_is_named():
    labels, scores = draw()
    for damage in (2, np.nan):
        wrong = scores.copy()
        wrong[3] *= damage
        with pytest.raises(ValueError, match="ISIC_test_00003 has the probabilities"):
            evaluation.intervals(frame(labels, wrong))
    with pytest.raises(ValueError, match="mix the splits validation, test"):
        evaluation.intervals(both_splits())


def test_only_groups_with_enough_malignant_lesions_get_an_interval():
    labels, scores = draw(images=400)
    predictions = frame(labels, scores, photographs=2)
    malignant = predictions["dx"].isin(classes.MALIGNANT)
    few = np.flatnonzero(malignant)[:6]
    sex = pd.Series("male", predictions.index)
    sex.iloc[[*few, *np.flatnonzero(~malignant)[:60]]] = "female"
    metadata = predictions[["image_id"]].assign(sex=sex)
    table = evaluation.slice_intervals(predictions, metadata, ["sex"], least=10)
    assert list(table.index) == [("sex", "male")]
    row = table.iloc[0]
    males = predictions[(sex == "male").to_numpy()]
    direct = evaluation.metrics(*evaluation.arrays(males))
    assert row["value"] == pytest.approx(direct["malignant_auc"])
    assert row["low"] < row["value"] < row["high"] and row["images"] == len(males)
    lesions = males.drop_duplicates("lesion_id")["dx"].isin(classes.MALIGNANT).sum()
    assert row["malignant"] == lesions
    assert evaluation.slice_intervals(predictions, metadata, ["sex"], least=999).empty


def test_a_thousand_lesions_are_counted_as_the_threshold_leaves_them():
    scores = np.full((1000, 7), 0.9 / 6)
    labels = np.zeros(1000, int)
    labels[:100] = MEL
    scores[:, MEL] = 0.1
    scores[:70, MEL] = 0.8  # 70 of 100 melanomas are certain, and so is one other lesion in ten
    scores[100:190, MEL] = 0.8
    scores /= scores.sum(axis=1, keepdims=True)
    table = evaluation.screening(labels, scores)
    assert list(table.index) == [0.9, 0.95]
    row = next(table.itertuples(index=False))
    assert row.sensitivity == pytest.approx(0.7)
    assert row.precision == pytest.approx(70 / 160)
    assert list(row[2:]) == [70, 30, 90]


def test_melanomas_found_and_missed_add_up_in_whole_lesions():
    labels = np.repeat([MEL, 0], [61, 639])  # 87.14 of 1,000
    scores = np.full((700, 7), 0.1)
    scores[:33, MEL] = 0.9  # 47.14 of them
    table = evaluation.screening(labels, scores / scores.sum(axis=1, keepdims=True))
    assert table.loc[0.9, ["melanomas found", "melanomas missed"]].tolist() == [47, 40]
