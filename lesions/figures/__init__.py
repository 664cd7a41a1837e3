"""Every plot of the study, one function each: `from lesions import figures`.

A plot takes data and `ax`, the axes to draw on (None makes a new figure), draws, and returns the
axes; one of photographs or several panels returns its figure. None calls `show()`. The seven
classes have the colours of `lesions.classes` everywhere; whatever is not a class (a split, a run,
a sex) takes its colour from `SERIES`. What only draws belongs here; what computes a figure of merit
belongs to `lesions.evaluation`, what makes a heat map to `lesions.explanation`.
"""

from lesions.figures.comparisons import (
    ensemble_weights_bar,
    forest,
    leakage_bars,
    paired_panels,
    per_class_bars,
    per_class_heat_map,
    size_against_score,
)
from lesions.figures.data import (
    age_by_class,
    class_counts_bar,
    class_weights_bar,
    dx_type_by_class,
    localization_by_class,
    missing_values,
    original_and_augmented,
    photographs_per_lesion,
    sex_by_class,
    split_counts,
)
from lesions.figures.explanations import (
    cascade_curve,
    faithfulness_curves,
    flip_rates,
    map_scores,
    paired_scores_by_class,
)
from lesions.figures.external import (
    clinic_bars,
    metrics_by_clinic,
    networks_by_clinic,
    reliability_by_clinic,
    roc_by_clinic,
)
from lesions.figures.networks import feature_map, network_diagram
from lesions.figures.photographs import augmentation_grid, jpeg, photo_grid
from lesions.figures.results import (
    confusion_matrices,
    confusion_matrix,
    melanoma_curve,
    precision_recall_curves,
    probability_bars,
    reliability_diagram,
    roc_curves,
)
from lesions.figures.slices import slices_with_intervals
from lesions.figures.style import SERIES, use_style
from lesions.figures.training import several_histories, stages_plot, training_history
