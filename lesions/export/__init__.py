"""Write a trained network for phones, ONNX runtimes and TensorFlow Serving."""

from lesions.export.formats import (
    FORMATS,
    INPUTS,
    PRECISIONS,
    TOLERANCES,
    export,
)

__all__ = [
    "FORMATS",
    "INPUTS",
    "PRECISIONS",
    "TOLERANCES",
    "export",
]
