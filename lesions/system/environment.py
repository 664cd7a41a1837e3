"""What must be true of Keras' surroundings before it is imported, and where this process runs."""

import importlib.util
import json
import os
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
# Made for debugging: they cut every call of `fit`.
SHORTENING = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def platform_name() -> str:
    """Return where this process runs: "colab", "kaggle" or "local"."""
    if "COLAB_RELEASE_TAG" in os.environ:
        return "colab"
    return "kaggle" if "KAGGLE_KERNEL_RUN_TYPE" in os.environ else "local"


def check_keras() -> None:
    """Check the settings that Keras reads when it is imported.

    Call it before the first import of Keras, which otherwise ends in a traceback of its own,
    builds networks that no recorded weights fit, or trains less than it is asked to.

    Raises:
        ValueError: If a setting cannot be used; names it and where it stands.
    """
    home = os.path.expanduser("~")
    usual = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = Path(os.path.expanduser(os.environ.get("KERAS_HOME") or usual)) / "keras.json"
    settings = _read_settings(path)
    _check_backend(settings, path)
    for name, expected in (("image_data_format", "channels_last"), ("floatx", "float32")):
        if settings.get(name, expected) != expected:
            raise ValueError(
                f"{path} sets {name} to {settings[name]!r}, and the networks here need "
                f'"{expected}"; change it there.'
            )
    if not isinstance(settings.get("epsilon", 1e-7), float):
        raise ValueError(
            f"{path} sets epsilon to {settings['epsilon']!r}, which is not a number with a point; "
            "write 1e-07 there."
        )
    for name in SHORTENING:
        if name in os.environ:
            raise ValueError(
                f"{name} is set, by which Keras would end trainings early; unset that variable."
            )


def _check_backend(settings: dict, path: Path) -> None:
    chosen = os.environ.get("KERAS_BACKEND")
    backend = chosen or settings.get("backend") or "tensorflow"
    if backend not in BACKENDS:
        raise ValueError(
            f"{'KERAS_BACKEND' if chosen else path} names the Keras backend {backend!r}; use one "
            f"of {', '.join(BACKENDS)}."
        )
    if importlib.util.find_spec(backend) is None:
        raise ValueError(
            f"The Keras backend {backend!r} is not installed; install it, or name an installed one "
            "by KERAS_BACKEND."
        )


def _read_settings(path: Path) -> dict:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # as Keras passes over them
        return {}
    except OSError as error:
        raise ValueError(
            f"{path}, where Keras has its settings, cannot be read ({error.strerror}); remove it."
        ) from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings of Keras in braces; remove it.")
    return settings
