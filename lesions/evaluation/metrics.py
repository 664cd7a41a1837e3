"""Every metric, interval and comparison of the study, computed from predictions alone.

Labels are positions in `classes.CODES`; probabilities are float (n, 7) in that order, each row
summing to 1. Frames of predictions have the columns image_id, lesion_id, split, dx and the
seven codes. Nothing here needs a model, an image or a GPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from lesions.evaluation import decisions, weighted
from lesions.evaluation.weighted import (
    ALL_CLASSES,
    BINS,
    CLASS_COUNT,
    CODES,
    HEADLINES,
    MALIGNANT,
    MELANOMA,
    SPECIFICITIES,
)

SLICES = ("sex", "age_band", "localization", "dx_type")
AGE_BANDS = ("0-29", "30-44", "45-59", "60-74", "75+", "missing")
TEMPERATURES = (0.05, 20.0)


def metrics(
    true_labels: np.ndarray, probabilities: np.ndarray, present_only: bool = False
) -> dict[str, float]:
    """Computes every figure of merit of the study.

    Macro figures weigh each class alike. `brier_score` is the multi-class score, a sum over
    classes and a mean over images, 0 to 2 (Brier, 1950). `expected_calibration_error` takes 15
    equal-width bins of the highest probability (Guo et al., 2017). A melanoma sensitivity is the
    highest one among thresholds on P(mel) whose specificity reaches the target. `malignant_auc`
    ranks images by the summed probability of `classes.MALIGNANT`.

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        present_only: Whether classes without an image are left out of macro figures instead of
            being refused; a figure that has no meaning is then NaN.

    Returns:
        Metric name to float.

    Raises:
        ValueError: If a class has no image and `present_only` is False, or the input is malformed.
    """
    labels, scores = _checked(true_labels, probabilities)
    present = np.unique(labels)
    absent = [CODES[label] for label in ALL_CLASSES if label not in present]
    if absent and not present_only:
        raise ValueError(
            f"No image has the true class {', '.join(absent)}, and the evaluation needs all seven; "
            "add images of it or pass present_only=True."
        )
    predicted = scores.argmax(axis=1)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, predicted, labels=present, average="macro", zero_division=0
    )
    melanoma = labels == MELANOMA
    result = {
        "balanced_accuracy": recall,
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": f1,
        "macro_auc": np.mean([_auc(labels == k, scores[:, k]) for k in present]),
        "macro_average_precision": np.mean(
            [sklearn_metrics.average_precision_score(labels == k, scores[:, k]) for k in present]
        ),
        **{
            name: _sensitivity(melanoma, scores[:, MELANOMA], target)
            for name, target in SPECIFICITIES.items()
        },
        "malignant_auc": _auc(MALIGNANT[labels], scores[:, MALIGNANT].sum(axis=1)),
        "brier_score": sklearn_metrics.brier_score_loss(
            labels, weighted.normalised(scores), labels=ALL_CLASSES, scale_by_half=False
        ),
        "expected_calibration_error": _calibration_error(reliability(labels, scores)),
        "log_loss": sklearn_metrics.log_loss(
            labels, weighted.normalised(scores), labels=ALL_CLASSES
        ),
    }
    return {name: float(value) for name, value in result.items()}


def per_class(true_labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Computes each class's metrics against the other six.

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.

    Returns:
        One row a class, indexed by code: precision, recall, f1, auc, average_precision (0 to 1,
        NaN for a class without an image) and images (int).
    """
    labels, scores = _checked(true_labels, probabilities)
    precision, recall, f1, images = sklearn_metrics.precision_recall_fscore_support(
        labels, scores.argmax(axis=1), labels=ALL_CLASSES, zero_division=0
    )
    table = pd.DataFrame(
        {"precision": precision, "recall": recall, "f1": f1, "auc": np.nan},
        index=pd.Index(CODES, name="code"),
    )
    table["average_precision"] = np.nan
    for label in np.unique(labels):
        row, positive = CODES[label], labels == label
        table.loc[row, "auc"] = _auc(positive, scores[:, label])
        table.loc[row, "average_precision"] = sklearn_metrics.average_precision_score(
            positive, scores[:, label]
        )
    table.loc[images == 0] = np.nan
    return table.assign(images=images.astype(int))


def confusion(true_labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts images by true class (rows) and most probable class (columns).

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.

    Returns:
        int, (7, 7), in the order of `classes.CODES`.
    """
    labels, scores = _checked(true_labels, probabilities)
    return sklearn_metrics.confusion_matrix(labels, scores.argmax(axis=1), labels=ALL_CLASSES)


def reliability(
    true_labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> pd.DataFrame:
    """Compares confidence with accuracy in equal-width bins (Guo et al., 2017).

    Args:
        true_labels: int, (n,), 0 to 6.
        probabilities: float, (n, 7), rows sum to 1.
        bins: How many bins divide 0 to 1; each is closed on the right.

    Returns:
        One row a bin, lowest first: mean confidence (the highest probability), accuracy (both 0
        to 1, NaN in an empty bin) and images (int).
    """
    labels, scores = _checked(true_labels, probabilities)
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == labels
    position = weighted.bin_numbers(confidence, bins)
    images = np.bincount(position, minlength=bins)
    filled = np.where(images > 0, images, np.nan)
    return pd.DataFrame(
        {
            "confidence": np.bincount(position, weights=confidence, minlength=bins) / filled,
            "accuracy": np.bincount(position, weights=correct, minlength=bins) / filled,
            "images": images,
        },
        index=pd.RangeIndex(bins, name="bin"),
    )


class _LogProbabilities(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input, for scikit-learn's calibration."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> _LogProbabilities:
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return X

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.classes_[X.argmax(axis=1)]


def fit_temperature(true_labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fits the temperature that minimises the log loss (Guo et al., 2017; scikit-learn).

    Fit it on validation images only. Above 1 the model is too sure of itself, below 1 not enough.

    Args:
        true_labels: int, (n,), 0 to 6; a class may be absent.
        probabilities: float, (n, 7), rows sum to 1.

    Returns:
        The temperature, kept between 0.05 and 20: a model without any error on these images has
        no finite optimum.
    """
    labels, scores = _checked(true_labels, probabilities)
    # One image of equal logits per class: its loss is log 7 at every temperature, so that the
    # optimum stays where it is while scikit-learn sees all seven classes.
    logits = np.vstack([_log(scores), np.zeros((CLASS_COUNT, CLASS_COUNT))])
    labels = np.concatenate([labels, ALL_CLASSES])
    rows = np.arange(len(labels))
    calibration = CalibratedClassifierCV(
        FrozenEstimator(_LogProbabilities().fit(logits, labels)),
        method="temperature",
        # A single fold of everything: nothing is trained, and rare classes need no five images.
        cv=[(rows, rows)],
        ensemble=False,
    ).fit(logits, labels)
    # Logits one apart come back 1 / temperature apart, which asks nothing of private attributes.
    probe = calibration.predict_proba(-np.eye(CLASS_COUNT)[:1])[0]
    with np.errstate(divide="ignore"):
        return float(np.clip(1 / np.log(probe[1] / probe[0]), *TEMPERATURES))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Softens (above 1) or sharpens (below 1) probabilities: softmax(log p / temperature).

    Args:
        probabilities: float, (n, 7), rows sum to 1.
        temperature: Above 0.

    Returns:
        float64, (n, 7), rows sum to 1; the most probable class does not change.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"The temperature is {temperature}; it must be a number above 0.")
    return softmax(_log(np.asarray(probabilities, dtype=float)) / temperature, axis=-1)


def intervals(
    predictions: pd.DataFrame, resamples: int = 1000, seed: int = 0, names=HEADLINES
) -> pd.DataFrame:
    """Computes 95% intervals of the headline metrics by resampling lesions.

    Percentile bootstrap (Efron, 1979): lesions are drawn with replacement, and all photographs
    of a drawn lesion come along, because photographs of one lesion are not independent. Where a
    class is absent from a resample, macro figures average over the classes present; a resample
    in which a metric has no meaning (no melanoma at all) is left out of that metric's interval.

    Args:
        predictions: Predictions of one split.
        resamples: How many resamples to draw.
        seed: Of the draw; with the lesions, it settles the resamples, whatever the row order.
        names: Which of `HEADLINES` to compute.

    Returns:
        Indexed by metric name: value, low and high.

    Raises:
        ValueError: If the frame is malformed or mixes splits.
    """
    drawn = _bootstrap(predictions, names, resamples, seed)
    table = {name: _summary(values) for name, values in drawn.items()}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("metric")


def mean_intervals(
    values: pd.DataFrame,
    lesion_ids: pd.Series,
    ratios: Mapping[str, tuple[str, str]] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Averages scores of single images, with 95% intervals by bootstrap over lesions.

    Args:
        values: One row an image, one column a score; NaN where a score is undefined, which
            leaves that image out of that score.
        lesion_ids: The lesion of each row.
        ratios: Name to two columns, of which the first's mean is divided by the second's, for
            scores that may be infinite on a single image.
        resamples: How many resamples of lesions to draw.
        seed: Of the draw.

    Returns:
        Indexed by the columns and the names of `ratios`: value, low, high and images (how many
        count). All three numbers are NaN where no image counts.
    """
    table = values.to_numpy(float)
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    blocks = [np.ones((len(table), 1)), *weighted.lesion_weights(lesion_ids, resamples, seed)]
    means = np.concatenate(
        [weighted.ratio(filled.T @ weights, known.T.astype(float) @ weights) for weights in blocks],
        axis=1,
    )
    drawn = dict(zip(values.columns, means, strict=True))
    images = dict(zip(values.columns, known.sum(axis=0), strict=True))
    for name, (above, below) in (ratios or {}).items():
        drawn[name] = weighted.ratio(drawn[above], drawn[below])
        images[name] = min(images[above], images[below])
    rows = {name: {**_summary(means), "images": int(images[name])} for name, means in drawn.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("score")


def paired_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str = "balanced_accuracy",
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Computes how far model a is above model b, with a 95% interval over the same resamples.

    Args:
        predictions_a: Predictions of one split.
        predictions_b: Predictions of the same images by another model, in any order.
        metric: Any index name of `intervals`.
        resamples: How many resamples of lesions to draw.
        seed: Of the draw.

    Returns:
        value (a minus b), low and high.

    Raises:
        ValueError: If the metric is unknown or the frames hold different images.
    """
    if metric not in HEADLINES:
        raise ValueError(f"There is no metric '{metric}'; choose one of {', '.join(HEADLINES)}.")
    for frame in (predictions_a, predictions_b):
        _one_split(frame)
        labels_and_probabilities(frame)
    frame_a = predictions_a.sort_values("image_id", ignore_index=True)
    frame_b = predictions_b.sort_values("image_id", ignore_index=True)
    keys = ["image_id", "lesion_id", "dx"]
    if not np.array_equal(frame_a[keys].astype(str), frame_b[keys].astype(str)):
        differing = set(frame_a["image_id"]) ^ set(frame_b["image_id"])
        raise ValueError(
            f"The two models were evaluated on different images or labels ({len(differing)} images "
            "are in one frame only); compare predictions made with the same split."
        )
    a = _bootstrap(frame_a, (metric,), resamples, seed)[metric]
    b = _bootstrap(frame_b, (metric,), resamples, seed)[metric]
    return _summary(a - b)


def evaluate(predictions: pd.DataFrame, present_only: bool = False) -> dict:
    """Gathers what metrics.json holds; the temperature is fitted on validation alone.

    Args:
        predictions: Predictions of the validation and the test split, before temperature.
        present_only: As in `metrics`.

    Returns:
        temperature, decision (strength and log_prior of `decisions.fit` on calibrated validation
        probabilities, and what it gives on validation and test), validation, test,
        test_calibrated (metrics), test_intervals (metric to [low, high], before temperature) and
        test_per_class: plain floats, None where undefined.

    Raises:
        ValueError: If a split is missing, or a class is absent from one of them.
    """
    validation, test = rows_of(predictions, "validation"), rows_of(predictions, "test")
    validation_labels, validation_scores = labels_and_probabilities(validation)
    labels, scores = labels_and_probabilities(test)
    temperature = fit_temperature(validation_labels, validation_scores)
    calibrated = apply_temperature(scores, temperature)
    bounds = intervals(test)
    return _plain(
        {
            "temperature": temperature,
            "decision": decided_scores(
                validation_labels,
                apply_temperature(validation_scores, temperature),
                labels,
                calibrated,
            ),
            "validation": metrics(validation_labels, validation_scores, present_only),
            "test": metrics(labels, scores, present_only),
            "test_calibrated": metrics(labels, calibrated, present_only),
            "test_intervals": {name: [row["low"], row["high"]] for name, row in bounds.iterrows()},
            "test_per_class": per_class(labels, scores).to_dict("index"),
        }
    )


def decided_scores(validation_labels, validation_calibrated, labels, calibrated) -> dict:
    """Fits the decision rule on calibrated validation and says what it gives on both splits."""
    strength, log_prior = decisions.fit(validation_labels, validation_calibrated)
    result = {"strength": strength, "log_prior": log_prior.tolist()}
    pairs = {
        "validation": (validation_labels, validation_calibrated),
        "test": (labels, calibrated),
    }
    for split, (true_labels, probabilities) in pairs.items():
        predicted = decisions.decide(probabilities, log_prior)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class may be absent from a small split
            result[f"{split}_balanced_accuracy"] = sklearn_metrics.balanced_accuracy_score(
                true_labels, predicted
            )
        result[f"{split}_accuracy"] = sklearn_metrics.accuracy_score(true_labels, predicted)
    return result


def slices(predictions: pd.DataFrame, metadata: pd.DataFrame, by: str) -> pd.DataFrame:
    """Evaluates groups of patients or photographs apart.

    Args:
        predictions: Predictions of one split.
        metadata: As `data.read_metadata` returns it; joined on image_id.
        by: 'sex', 'age_band' (0-29, 30-44, 45-59, 60-74, 75+ years, missing), 'localization' or
            'dx_type'.

    Returns:
        One row a group, age bands in order and others by size: images, lesions, accuracy,
        balanced_accuracy over the classes present, and malignant_auc (NaN where a group has only
        benign or only malignant lesions).

    Raises:
        ValueError: If `by` is unknown or the metadata lacks an image.
    """
    if by not in SLICES:
        raise ValueError(f"There are no slices by '{by}'; choose one of {', '.join(SLICES)}.")
    _one_split(predictions)
    known = metadata.set_index("image_id")["age" if by == "age_band" else by]
    lacking = predictions.loc[~predictions["image_id"].isin(known.index), "image_id"]
    if len(lacking):
        raise ValueError(
            f"The metadata has no row for {len(lacking)} predicted images, first "
            f"{lacking.iloc[0]}; pass the metadata these predictions were made with."
        )
    values = known.loc[predictions["image_id"]].to_numpy()
    groups = _age_bands(values) if by == "age_band" else pd.Series(values).fillna("missing")
    rows = {}
    for group, positions in groups.groupby(groups).indices.items():
        part = predictions.iloc[positions]
        result = metrics(*labels_and_probabilities(part), present_only=True)
        rows[group] = {
            "images": len(part),
            "lesions": part["lesion_id"].nunique(),
            **{name: result[name] for name in ("accuracy", "balanced_accuracy", "malignant_auc")},
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
    if by == "age_band":
        return table.loc[[band for band in AGE_BANDS if band in table.index]]
    return table.sort_values("images", ascending=False, kind="stable")


def _age_bands(ages: np.ndarray) -> pd.Series:
    bands = pd.cut(
        pd.Series(ages, dtype=float),
        [0, 30, 45, 60, 75, np.inf],
        right=False,
        labels=list(AGE_BANDS[:-1]),
    )
    return bands.astype(object).fillna("missing")


def _summary(values: np.ndarray) -> dict[str, float]:
    """Reads value, low and high from the point estimate (first) and its resamples."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _bootstrap(
    predictions: pd.DataFrame, names: tuple[str, ...], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Computes metrics on all images (first) and on resamples of lesions (the others)."""
    _one_split(predictions)
    labels, scores = labels_and_probabilities(predictions)
    blocks = [weighted.metrics(labels, scores, np.ones((len(labels), 1)), names)]
    for weights in weighted.lesion_weights(predictions["lesion_id"], resamples, seed):
        blocks.append(weighted.metrics(labels, scores, weights, names))
    return {name: np.concatenate([block[name] for block in blocks]) for name in names}


def _auc(positive: np.ndarray, score: np.ndarray) -> float:
    if positive.all() or not positive.any():
        return np.nan
    return sklearn_metrics.roc_auc_score(positive, score)


def _sensitivity(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    if positive.all() or not positive.any():
        return np.nan
    false_rate, true_rate, _ = sklearn_metrics.roc_curve(positive, score, drop_intermediate=False)
    return true_rate[false_rate <= 1 - specificity + 1e-9].max()


def _calibration_error(table: pd.DataFrame) -> float:
    gaps = (table["confidence"] - table["accuracy"]).abs().fillna(0)
    return float((gaps * table["images"]).sum() / table["images"].sum())


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, 1e-12, None))


def _checked(true_labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(true_labels), np.asarray(probabilities, dtype=float)
    if not len(labels) or scores.shape != (len(labels), CLASS_COUNT):
        raise ValueError(
            f"Probabilities have the shape {scores.shape} for {len(labels)} labels; "
            f"at least one image and the shape ({len(labels)}, {CLASS_COUNT}) are needed."
        )
    if not np.isin(labels, ALL_CLASSES).all():
        row = int(np.flatnonzero(~np.isin(labels, ALL_CLASSES))[0])
        raise ValueError(f"Row {row} has the label {labels[row]}; labels are 0 to 6.")
    wrong = ~(np.isfinite(scores) & (scores >= 0)).all(axis=1) | ~np.isclose(
        scores.sum(axis=1), 1, atol=1e-3
    )
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"Row {row} has the probabilities {scores[row].tolist()}; they must be at least 0 and "
            "sum to 1."
        )
    return labels.astype(int), scores


def labels_and_probabilities(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Takes labels, int (n,), and probabilities, float64 (n, 7), from a frame."""
    lacking = [c for c in ("image_id", "lesion_id", "dx", *CODES) if c not in predictions.columns]
    if lacking:
        raise ValueError(
            f"The predictions lack the column {', '.join(lacking)}; write them with "
            "predictions.write_predictions."
        )
    unknown = predictions.loc[~predictions["dx"].isin(CODES), ["image_id", "dx"]]
    if len(unknown):
        image_id, dx = unknown.iloc[0]
        raise ValueError(
            f"Image {image_id} has the diagnosis '{dx}'; it must be one of {', '.join(CODES)}."
        )
    labels = predictions["dx"].map(CODES.index).to_numpy(dtype=int)
    return _checked(labels, predictions[list(CODES)].to_numpy(dtype=float))


def rows_of(predictions: pd.DataFrame, split: str) -> pd.DataFrame:
    rows = predictions[predictions["split"] == split] if "split" in predictions else []
    if not len(rows):
        raise ValueError(f"The predictions have no row with split '{split}'; predict that split.")
    return rows


def _one_split(predictions: pd.DataFrame) -> None:
    splits = predictions["split"].unique() if "split" in predictions else []
    if len(splits) > 1:
        raise ValueError(
            f"The predictions mix the splits {', '.join(map(str, splits))}; "
            "pass one, such as predictions[predictions['split'] == 'test']."
        )


def _plain(value):
    """Turns nested results into what JSON can hold, NaN into None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if np.isfinite(value) else None
