"""An honest study of skin-lesion classification on HAM10000. Not for clinical use."""

import os

# Else the first process takes the whole memory of a GPU, and a notebook's own command none.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
