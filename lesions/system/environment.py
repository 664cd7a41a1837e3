"""What must be true of Keras' surroundings before it is imported, and where this process runs."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")


def platform_name() -> str:
    """Return where this process runs: "colab", "kaggle" or "local"."""
    if "COLAB_RELEASE_TAG" in os.environ:
        return "colab"
    return "kaggle" if "KAGGLE_KERNEL_RUN_TYPE" in os.environ else "local"


def check_keras() -> None:
    """Check the backend and the data format that Keras reads when it is imported.

    Call it before the first import of Keras, which otherwise ends in a traceback of its own or
    builds networks that no recorded weights fit.

    Raises:
        ValueError: If the backend is unknown or not installed, or images are to come with their
            channels first.
    """
    path = _settings_file()
    settings = _read_settings(path)
    backend = os.environ.get("KERAS_BACKEND") or settings.get("backend") or "tensorflow"
    named_by = "KERAS_BACKEND" if os.environ.get("KERAS_BACKEND") else str(path)
    if backend not in BACKENDS:
        raise ValueError(
            f"{named_by} names the Keras backend {backend!r}; use one of {', '.join(BACKENDS)}."
        )
    if importlib.util.find_spec(backend) is None:
        raise ValueError(
            f"The Keras backend {backend!r} is not installed; install it, or name an installed one "
            "by KERAS_BACKEND."
        )
    if settings.get("image_data_format") == "channels_first":
        raise ValueError(
            f"{path} sets image_data_format to channels_first, and the networks here take channels "
            'last; change it to "channels_last" there.'
        )


def _settings_file() -> Path:
    """Return where Keras keeps its settings."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return Path(home) / "keras.json"


def _read_settings(path: Path) -> dict:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # Keras, too, passes over a file that it cannot read.
        return {}
    return settings if isinstance(settings, dict) else {}
