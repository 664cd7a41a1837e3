"""The recorded recipes: which config each architecture gets under each profile."""

from __future__ import annotations

import types
import typing
from pathlib import Path

import pandas as pd

from lesions import data
from lesions.networks.models import ARCHITECTURES, BRANCHES
from lesions.system import hardware
from lesions.system.folders import REPOSITORY
from lesions.training import Config, find_run, run_name

PROFILES = {
    # Synthetic images, minutes on a laptop. ImageNet weights would be a download for nothing.
    "demo": {"image_size": 64, "weights": "random", "epochs": 6, "warmup_steps": 20, "ema": 0.9},
    # Real images on a few CPU cores: small ones, so that every network gets the same budget.
    "cpu": {"image_size": 64, "head_epochs": 1, "epochs": 4},
    # Real images on a GPU.
    "gpu": {"image_size": 224, "head_epochs": 1, "epochs": 25, "label_smoothing": 0.05},
}
# A network from scratch learns faster and longer than one that starts from ImageNet, and does
# best on rows oversampled after the split (notebook 02).
FROM_SCRATCH = {"learning_rate": 1e-3, "head_epochs": 0}
OVERSAMPLED = {"class_weighting": "none", "oversampling": True}
SCRATCH = {
    "demo": {"epochs": 16},
    "cpu": {"epochs": 10} | OVERSAMPLED,
    "gpu": {"epochs": 60} | OVERSAMPLED,
}
# Ten epochs are too few for new views in the smallest network, but not in the residual one.
UNVARIED = {("cnn", "cpu"): {"augmentation": "none"}}
# Statistics of batch normalisation do not settle in two epochs: pretrained ones are kept.
QUICK = {"epochs": 2, "warmup_steps": 10, "ema": 0.9, "freeze_batch_norm": True}
# The best network goes on at larger sizes, each leg from the weights of the one before, or from
# the mean of as many legs before as `start` says.
BEST = "densenet121"
LATER_LEG = {"head_epochs": 0, "augmentation": "strong", "mixup": 0.2}
LEGS = {
    "cpu": (
        {"image_size": 128, "epochs": 10},
        LATER_LEG | {"image_size": 192, "epochs": 8, "learning_rate": 2e-4},
        LATER_LEG | {"image_size": 192, "epochs": 4, "learning_rate": 2e-4} | OVERSAMPLED,
        {"image_size": 192, "head_epochs": 0, "epochs": 0, "start": 2},
    ),
    "gpu": (
        {},
        LATER_LEG | {"image_size": 320, "epochs": 10, "learning_rate": 1e-4, "keep": "last"},
    ),
}
# For the ensemble, one more of its kind and one of another, with other random numbers: all legs
# above share theirs, and voters are worth most where they err differently. On a GPU the seeds and
# networks below are large enough.
VOTER = {"seed": 43, "epochs": 9, "augmentation": "strong", "mixup": 0.2}
VOTERS = {
    "cpu": ((BEST, VOTER | {"image_size": 160}), ("resnet50", VOTER | {"image_size": 128})),
    "gpu": (),
}
SEEDS = (42, 43, 44)
# Notebook 02: what a small network gains from each remedy for the imbalance, alone and together.
UNTREATED = {
    "class_weighting": "none",
    "loss": "crossentropy",
    "oversampling": False,
    "augmentation": "none",
}
REMEDIES = {
    "none": {},
    "weights": {"class_weighting": "balanced"},
    "focal": {"loss": "focal"},
    "oversampling": {"oversampling": True},
    "augmentation": {"augmentation": "standard"},
}
REMEDIES["all"] = {key: value for change in REMEDIES.values() for key, value in change.items()}
REMEDY_EPOCHS = {"demo": 4, "cpu": 6, "gpu": 15}
# What else was tried on the best network, one change at a time, against its comparison run.
TRIALS = {
    "no-average": {"ema": 0.0},
    "frozen-statistics": {"freeze_batch_norm": True},
    "shades-of-grey": {"colour_constancy": "shades_of_grey"},
    "oversampled": OVERSAMPLED,
    "balanced-weights": {"class_weighting": "balanced"},
    "layerwise-rates": {"first_layer_rate": 0.1},
    "accumulated": {"accumulation": 4, "learning_rate": 6e-4},
    "random-augmentation": {"augmentation": "random"},
}


def open_data(
    profile: str = "auto",
    quick: bool = False,
    folder=None,
    build="build",
    download: bool = False,
    show: bool = False,
) -> tuple[data.Dataset, str, pd.DataFrame]:
    """Find the photographs, choose the profile that fits them, and split them by lesion.

    Args:
        profile: "demo", "cpu", "gpu", or "auto" for what the data and the machine allow.
        quick: Whether a stratified sample of lesions is enough.
        folder: Folder of the data; None for the usual places, see `data.find_dataset`.
        build: Folder under which a demo set is drawn.
        download: See `data.find_dataset`.
        show: Whether recorded runs are shown rather than trained: "auto" then is the profile
            that most of them were trained under, whatever the hardware.

    Returns:
        The dataset, the profile, and one row a photograph with its `split`.

    Raises:
        ValueError: If the profile is unknown or the data cannot be used.
    """
    if profile not in ("auto", *PROFILES):
        raise ValueError(f"Unknown profile {profile!r}; use auto, {', '.join(PROFILES)}.")
    drawn = Path(build) / "demo"
    if profile == "demo" and folder is None:
        from lesions.data import demo

        reason = "the synthetic demo set, as the profile asks"
        dataset = data.open_dataset(demo.make_demo(drawn), reason, is_demo=True)
    else:
        dataset = data.find_dataset(folder, download=download, demo_folder=drawn)
    metadata = data.with_split(data.read_metadata(dataset))
    if dataset.is_demo:
        profile = "demo"
    elif profile == "auto":
        profile = recorded_profile(metadata) if show else None
        profile = profile or ("gpu" if hardware.gpus() else "cpu")
    if quick and not dataset.is_demo:
        metadata = data.sample_lesions(metadata)
    return dataset, profile, metadata


def recorded_profile(metadata: pd.DataFrame) -> str | None:
    """Return the profile under which most recorded runs on these rows were trained.

    Args:
        metadata: Table with a column `split`.

    Returns:
        "cpu" or "gpu"; None where no run on these rows is recorded.
    """
    counts = {}
    for profile in ("gpu", "cpu"):
        found = [
            find_run(one, metadata, [REPOSITORY / "models"]) for one in queue(profile, metadata)
        ]
        counts[profile] = sum(folder is not None for folder in found)
    best = max(counts, key=counts.get)
    return best if counts[best] else None


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
        settings |= FROM_SCRATCH | SCRATCH[profile]
    settings |= UNVARIED.get((architecture, profile), {})
    if quick:
        settings |= QUICK
    return Config(architecture, **settings | changes)


def legs(profile: str, metadata: pd.DataFrame) -> list[Config]:
    """Give the recipes by which the best network is trained, each from the one before.

    Args:
        profile: "cpu" or "gpu".
        metadata: Table with a column `split`; its rows are part of a run's name.
    """
    configs, names = [], []
    for changes in LEGS[profile]:
        start = "+".join(names[-changes.get("start", 1) :])
        configs.append(config(BEST, profile, **changes | {"start": start}))
        names.append(run_name(configs[-1], metadata))
    return configs


def remedies(profile: str, quick: bool = False, **changes) -> dict[str, Config]:
    """Give the six recipes by which notebook 02 compares remedies for the imbalance.

    Args:
        profile: "demo", "cpu" or "gpu".
        quick: Whether only two epochs are trained.
        **changes: Fields of `training.Config` to set differently in all six.
    """
    epochs = QUICK["epochs"] if quick else REMEDY_EPOCHS[profile]
    common = {"image_size": 64, "epochs": epochs} | UNTREATED | changes
    return {
        name: config("cnn", profile, quick, tag=f"balance-{name}", **common | remedy)
        for name, remedy in REMEDIES.items()
    }


def queue(profile: str, metadata: pd.DataFrame) -> list[Config]:
    """List every recipe of the published comparison and of its experiments.

    Args:
        profile: "cpu" or "gpu".
        metadata: Table with a column `split`.
    """
    names = (*NETWORKS[profile], *HYBRIDS[profile])
    networks = [config(name, profile) for name in names]
    voters = [config(name, profile, **changes) for name, changes in VOTERS[profile]]
    patient = [config(BEST, profile, patient=True)]
    first, *others = legs(profile, metadata)
    later = [leg for leg in others if leg.epochs]
    teacher = {"distilled": {"teacher": "+".join(run_name(leg, metadata) for leg in later)}}
    tried = (TRIALS | teacher).items()
    trials = [config(BEST, profile, tag=f"try-{name}", **new) for name, new in tried]
    best, cnn = ([config(name, profile, seed=seed) for seed in SEEDS] for name in (BEST, "cnn"))
    experiments = [*remedies(profile).values(), *trials]
    listed = [first, *others, *voters, *networks, *patient, *best, *experiments, *cnn]
    return list(dict.fromkeys(listed))


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
