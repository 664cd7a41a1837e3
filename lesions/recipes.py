"""The recorded recipes: which config each architecture gets under each profile."""

from __future__ import annotations

import types
import typing

from lesions.models import ARCHITECTURES, BRANCHES
from lesions.training import Config

PROFILES = {
    # Synthetic images, minutes on a laptop. ImageNet weights would be a download for nothing.
    "demo": {"image_size": 64, "weights": "random", "epochs": 10, "warmup_steps": 20, "ema": 0.9},
    # Real images on a few CPU cores.
    "cpu": {"image_size": 128, "head_epochs": 1, "epochs": 10},
    # Real images on a GPU.
    "gpu": {"image_size": 224, "head_epochs": 1, "epochs": 25, "label_smoothing": 0.05},
}
# A network from scratch learns faster and longer than one that starts from ImageNet.
FROM_SCRATCH = {"learning_rate": 1e-3, "head_epochs": 0}
SCRATCH_EPOCHS = {"demo": 16, "cpu": 30, "gpu": 60}
# Statistics of batch normalisation do not settle in two epochs: pretrained ones are kept.
QUICK = {"epochs": 2, "warmup_steps": 10, "ema": 0.9, "freeze_batch_norm": True}


def config(architecture: str, profile: str, quick: bool = False, **changes) -> Config:
    """Give the recorded recipe of an architecture.

    Args:
        architecture: A name of `models.ARCHITECTURES`.
        profile: "demo", "cpu" or "gpu".
        quick: Whether only two epochs are trained, to see everything work.
        **changes: Fields of `training.Config` to set differently.

    Returns:
        A `training.Config`.

    Raises:
        ValueError: If the architecture or profile is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"Unknown architecture {architecture!r}; use one of {', '.join(ARCHITECTURES)}."
        )
    if profile not in PROFILES:
        raise ValueError(f"Unknown profile {profile!r}; use {', '.join(PROFILES)}.")
    settings = dict(PROFILES[profile])
    if BRANCHES[architecture] in (("cnn",), ("resnet18",)):
        settings |= FROM_SCRATCH | {"epochs": SCRATCH_EPOCHS[profile]}
    if quick:
        settings |= QUICK
    return Config(architecture, **settings | changes)


def read_settings(settings: list[str]) -> dict:
    """Read changes to a recipe from text.

    Args:
        settings: Like "dropout=0.5", "oversampling=yes" or "colour_constancy=none"; the fields
            are those of `training.Config`.

    Returns:
        Values by field, each of the field's type.

    Raises:
        ValueError: If a field is unknown or its value is not of its type.
    """
    kinds = typing.get_type_hints(Config)
    # The protocol names a split that only notebook 07 makes.
    names = [name for name in kinds if name not in ("architecture", "protocol")]
    read = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in names:
            raise ValueError(f"{setting!r} is not FIELD=VALUE; FIELD is one of {', '.join(names)}.")
        read[name] = _typed(name, text, kinds[name])
    return read


def _typed(name: str, text: str, kind):
    if isinstance(kind, types.UnionType):
        return None if text.lower() == "none" else text
    if kind is bool:
        if text.lower() not in ("yes", "true", "1", "no", "false", "0"):
            raise ValueError(f"{name} is {text!r}; write yes or no.")
        return text.lower() in ("yes", "true", "1")
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {text!r}; write {wanted}.") from error


# The first TensorFlow step of a DenseNet takes half a minute on two cores, so the smaller
# profiles build the networks that the study needs and no more.
NETWORKS = {
    "demo": ("densenet121",),
    "quick": ("densenet121",),
    "cpu": ("resnet18", "resnet50", "densenet121", "densenet169", "efficientnetb0"),
    "gpu": (
        "resnet18",
        "resnet50",
        "densenet121",
        "densenet169",
        "efficientnetb0",
        "efficientnetb3",
    ),
}
HYBRIDS = {
    "demo": ("cnn_densenet121",),
    "quick": ("cnn_densenet121",),
    "cpu": ("cnn_densenet121", "densenet121_efficientnetb3"),
    "gpu": ("cnn_densenet121", "densenet121_efficientnetb3"),
}


def networks(profile: str, quick: bool = False) -> tuple[str, ...]:
    """List the single-branch networks that notebook 04 trains under a profile."""
    return NETWORKS["quick" if quick and profile != "demo" else profile]


def hybrids(profile: str, quick: bool = False) -> tuple[str, ...]:
    """List the two-branch networks that notebook 05 trains under a profile."""
    return HYBRIDS["quick" if quick and profile != "demo" else profile]
