"""95% intervals and paired differences, by resampling lesions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesions.evaluation import weighted
from lesions.evaluation.predictions import arrays, one_split
from lesions.evaluation.weighted import HEADLINES


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval; `{:.3f}` writes "0.771 (0.724 to 0.816)".

    With a sign, as `{:+.3f}`, it is a difference, and gets up to two digits more, so that an end
    other than zero does not read as zero.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, row: pd.Series, name: str = "") -> "Interval":
        """Read a row's value, low and high; or name, name_low and name_high."""
        names = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
        return cls(*(row[one] for one in names))

    def __mul__(self, factor: float) -> "Interval":
        """Return the same in another unit; the factor is positive."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def __format__(self, how: str) -> str:
        digits = re.fullmatch(r"\+\.(\d)f", how)
        ends = [abs(end) for end in (self.low, self.high) if end]
        if digits and ends:
            least = int(digits[1])
            shown = (n for n in range(least, least + 2) if min(ends) >= 0.5 * 10.0**-n)
            how = f"+.{next(shown, least + 2)}f"
        return f"{self.value:{how}} ({self.low:{how}} to {self.high:{how}})"

    @property
    def zero(self) -> str:
        """Whether the interval of a difference includes zero, as an unknown one (NaN) may."""
        return "excludes zero" if self.low > 0 or self.high < 0 else "includes zero"


def intervals(predictions: pd.DataFrame, resamples: int = 1000, names=HEADLINES) -> pd.DataFrame:
    """Compute 95% intervals of the headline metrics by resampling lesions.

    Percentile bootstrap (Efron, 1979): lesions are drawn with replacement, and all photographs
    of a drawn lesion come along, because photographs of one lesion are not independent. Where a
    class is absent from a resample, macro figures average over the classes present; a resample
    in which a metric has no meaning (no melanoma at all) is left out of that metric's interval.

    Args:
        predictions: Predictions of one split; a column `predicted` holds the classes that the
            decision rule names, without it the most probable class counts.
        resamples: How many resamples to draw, always the same ones, whatever the row order.
        names: Which metrics to compute, of `HEADLINES` and "melanoma_auc".

    Returns:
        Indexed by metric name: value, low and high.

    Raises:
        ValueError: If the frame is malformed or mixes splits, or a metric is unknown.
    """
    return _table(_bootstrap(predictions, names, resamples)).rename_axis("metric")


def score(predictions: pd.DataFrame, metric: str, resamples: int = 1000) -> Interval:
    """Compute one metric with its interval, NaN without resamples; see `intervals`."""
    return Interval.of(intervals(predictions, resamples, (metric,)).loc[metric])


def mean_intervals(
    values: pd.DataFrame,
    lesion_ids: pd.Series,
    ratios: Mapping[str, tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Average scores of single images, with 95% intervals by bootstrap over lesions.

    Args:
        values: One row an image, one column a score; NaN where a score is undefined, which
            leaves that image out of that score.
        lesion_ids: The lesion of each row.
        ratios: Name to two columns, of which the first's mean is divided by the second's, for
            scores that may be infinite on a single image.

    Returns:
        Indexed by the columns and the names of `ratios`: value, low, high and images (how many
        count). All three numbers are NaN where no image counts.
    """
    table = values.to_numpy(float)
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    blocks = [
        weighted.ratio(filled.T @ weights, known.T.astype(float) @ weights)
        for weights in weighted.lesion_weights(lesion_ids, resamples=1000)
    ]
    means = np.concatenate(blocks, axis=1)
    drawn = dict(zip(values.columns, means, strict=True))
    images = dict(zip(values.columns, known.sum(axis=0), strict=True))
    for name, (above, below) in (ratios or {}).items():
        drawn[name] = weighted.ratio(drawn[above], drawn[below])
        images[name] = min(images[above], images[below])
    return _table(drawn).assign(images=pd.Series(images)).rename_axis("score")


def paired_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str = "balanced_accuracy",
    resamples: int = 1000,
) -> dict[str, float]:
    """Compute how far model a is above model b, with a 95% interval over the same resamples.

    Args:
        predictions_a: Predictions of one split.
        predictions_b: Predictions of the same images by another model, in any order.
        metric, resamples: As of `intervals`.

    Returns:
        value (a minus b), low and high.

    Raises:
        ValueError: If the metric is unknown or the frames hold different images.
    """
    pairs = {"": (predictions_a, predictions_b)}
    return paired_differences(pairs, (metric,), resamples)[metric].loc[""].to_dict()


def independent_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str = "balanced_accuracy",
    resamples: int = 1000,
) -> dict[str, float]:
    """Compute how far a score on one set is above that on another, see `paired_difference`.

    The two sets show different lesions, and are resampled independently.

    Raises:
        ValueError: If the metric is unknown or the two sets share a lesion.
    """
    shared = set(predictions_a["lesion_id"]) & set(predictions_b["lesion_id"])
    if shared:
        raise ValueError(
            f"Both sets show {len(shared)} lesions, the first is {min(shared)}, so they are not "
            "independent; compare the same images by paired_difference."
        )
    a, b = (
        _bootstrap(frame, (metric,), resamples, seed)[metric]
        for seed, frame in enumerate((predictions_a, predictions_b))  # not drawn alike
    )
    return summary(a - b)


def paired_differences(
    pairs: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    metrics: tuple[str, ...] = ("balanced_accuracy", "macro_auc"),
    resamples: int = 1000,
) -> dict[str, pd.DataFrame]:
    """Compute `paired_difference` for many pairs and several metrics; each frame is drawn once.

    Args:
        pairs: Name to the predictions of two models.
        metrics, resamples: As of `intervals`.

    Returns:
        Metric to a table, one row a pair: value, low and high.
    """
    drawn: dict[int, dict[str, np.ndarray]] = {}
    for pair in pairs.values():
        for frame, ordered in zip(pair, _in_order(*pair), strict=True):
            if id(frame) not in drawn:
                drawn[id(frame)] = _bootstrap(ordered, metrics, resamples)
    return {
        metric: _table(
            {name: drawn[id(a)][metric] - drawn[id(b)][metric] for name, (a, b) in pairs.items()}
        )
        for metric in metrics
    }


def _in_order(
    predictions_a: pd.DataFrame, predictions_b: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check that two frames hold the same images, and sort both by image."""
    frame_a = predictions_a.sort_values("image_id", ignore_index=True)
    frame_b = predictions_b.sort_values("image_id", ignore_index=True)
    keys = ["image_id", "lesion_id", "dx"]
    if not np.array_equal(frame_a[keys].astype(str), frame_b[keys].astype(str)):
        raise ValueError(
            "The two models were evaluated on different images or labels; compare predictions "
            "made with the same split."
        )
    return frame_a, frame_b


def summary(values: np.ndarray) -> dict[str, float]:
    """Read value, low and high from the point estimate (first) and its resamples."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _table(drawn: Mapping[str, np.ndarray]) -> pd.DataFrame:
    rows = {name: summary(values) for name, values in drawn.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _bootstrap(
    predictions: pd.DataFrame, names: tuple[str, ...], resamples: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Compute metrics on all images (first) and on resamples of lesions (the others)."""
    known = (*HEADLINES, "melanoma_auc")
    unknown = set(names) - {*known}
    if unknown:
        raise ValueError(f"There is no metric '{unknown.pop()}'; choose one of {', '.join(known)}.")
    one_split(predictions)
    labels, scores, named = arrays(predictions)
    weights = weighted.lesion_weights(predictions["lesion_id"], resamples, seed)
    blocks = [weighted.metrics(labels, scores, block, names, named) for block in weights]
    return {name: np.concatenate([block[name] for block in blocks]) for name in names}
