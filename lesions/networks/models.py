"""Networks by name: build one, save it, load it."""

from lesions.networks.architectures import (
    ARCHITECTURES,
    BRANCHES,
    MINIMUM_SIZE,
    build,
    gigaflops,
    last_convolutions,
    summary_table,
)
from lesions.networks.initial_weights import learned_layers
from lesions.networks.model_file import DETAILS, load, rounded, save
