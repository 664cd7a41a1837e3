"""Every plot of the study, one function each: `from lesions import figures`.

A plot takes data and `ax=None`, draws, and returns the axes (a figure where it holds photographs
or several panels); none calls `show()`. The seven classes wear the colours of `lesions.classes`
everywhere; whatever is not a class (a split, a run, a sex) takes its colour from `SERIES`.
"""

from lesions.figures.comparisons import (
    ensemble_weights_bar,
    forest,
    leakage_bars,
    paired_differences,
    per_class_bars,
    size_against_score,
    slices_plot,
)
from lesions.figures.data import (
    age_by_class,
    class_counts_bar,
    class_counts_pie,
    class_weights_bar,
    dx_type_by_class,
    localization_by_class,
    missing_values,
    photographs_per_lesion,
    resampling_bars,
    sex_by_class,
    split_counts,
)
from lesions.figures.explanations import (
    cascade_curve,
    faithfulness_curves,
    flip_rates,
    map_score_by_class,
    map_scores,
)
from lesions.figures.external import (
    clinic_bars,
    metrics_by_clinic,
    reliability_by_clinic,
    roc_by_clinic,
)
from lesions.figures.photographs import (
    augmentation_grid,
    jpeg,
    photo_grid,
    preprocessing_row,
)
from lesions.figures.results import (
    confusion_matrix,
    precision_recall_curves,
    probability_bars,
    reliability_diagram,
    roc_curves,
    several_histories,
    training_history,
)
from lesions.figures.style import (
    SERIES,
    use_style,
)

__all__ = [
    "SERIES",
    "age_by_class",
    "augmentation_grid",
    "cascade_curve",
    "class_counts_bar",
    "class_counts_pie",
    "class_weights_bar",
    "clinic_bars",
    "confusion_matrix",
    "dx_type_by_class",
    "ensemble_weights_bar",
    "faithfulness_curves",
    "flip_rates",
    "forest",
    "jpeg",
    "leakage_bars",
    "localization_by_class",
    "map_score_by_class",
    "map_scores",
    "metrics_by_clinic",
    "missing_values",
    "paired_differences",
    "per_class_bars",
    "photo_grid",
    "photographs_per_lesion",
    "precision_recall_curves",
    "preprocessing_row",
    "probability_bars",
    "reliability_by_clinic",
    "reliability_diagram",
    "resampling_bars",
    "roc_by_clinic",
    "roc_curves",
    "several_histories",
    "sex_by_class",
    "size_against_score",
    "slices_plot",
    "split_counts",
    "training_history",
    "use_style",
]
