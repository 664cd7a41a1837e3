"""Trained networks for other programs: TensorFlow Lite, SavedModel and ONNX.

`export` writes a file with its description beside it, `compare` measures what the smaller files
cost. Code that knows another program's format belongs here; what uses such a file to classify
photographs is `lesions.inference`.
"""

from lesions.export.comparison import compare
from lesions.export.formats import FORMATS, PRECISIONS, check_request, export
