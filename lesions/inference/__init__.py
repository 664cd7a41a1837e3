"""A trained network with everything around it: photographs in, answers out."""

from lesions.inference.classifier import (
    BEST_MODEL,
    COLUMNS,
    Classifier,
    find_images,
)

__all__ = [
    "BEST_MODEL",
    "COLUMNS",
    "Classifier",
    "find_images",
]
