"""The recorded recipes: which config each architecture gets under each profile.

A profile is "cpu" or "gpu", or, where a function says so, "demo". Further keyword arguments,
`changes`, are fields of `training.Config` to set differently.
"""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from lesions import data
from lesions.networks.models import BRANCHES
from lesions.training import Config, run_name

# In 150 steps at most, new views slow learning down more than they help.
FEW_STEPS = {"augmentation": "none", "dropout": 0.0}
PROFILES = {
    # Synthetic images, minutes on a laptop. Networks start from the one that the repository ships,
    # which is no download, and only what is new in them learns. At 64 px, their last feature maps
    # have four cells, and no heat map could point at a lesion in the middle.
    "demo": {
        "image_size": 128,
        "weights": "random",
        "start": "best_model",
        "head_epochs": 2,
        "epochs": 0,
        "learning_rate": 4e-3,
        "batch_size": 8,
        "warmup_steps": 20,
        "ema": 0.9,
        "tta": False,
    }
    | FEW_STEPS,
    # Real images on a few CPU cores: every network gets the same small budget.
    "cpu": {"image_size": 128, "head_epochs": 1, "epochs": 4},
    # Real images on a GPU.
    "gpu": {"image_size": 224, "head_epochs": 1, "epochs": 25, "label_smoothing": 0.05},
}
REAL = ("cpu", "gpu")  # the profiles of real photographs
# A network from scratch learns faster and longer than one that starts from ImageNet.
FROM_SCRATCH = {"learning_rate": 1e-3, "head_epochs": 0}
SCRATCH = {
    "demo": {"image_size": 32, "start": "", "epochs": 6, "batch_size": 16, "learning_rate": 2e-3},
    "cpu": {"epochs": 10},
    "gpu": {"epochs": 60},
}
OVERSAMPLED = {"class_weighting": "none", "oversampling": True}
# One treatment of the imbalance and of the views for all networks, except for the CNN, which gets
# what suits a small network (notebook 02); in ten epochs, new views do not.
TREATMENT = {"class_weighting": "square_root", "oversampling": False, "augmentation": "standard"}
OF_THE_CNN = {"demo": {}, "cpu": OVERSAMPLED | {"augmentation": "none"}, "gpu": OVERSAMPLED}
# Statistics of batch normalisation do not settle in two epochs: pretrained ones are kept.
QUICK = {"epochs": 2, "warmup_steps": 10, "ema": 0.9, "freeze_batch_norm": True}
# The best network goes on at larger sizes, each stage from the weights of the one before.
BEST = "densenet121"
STRONG = {"augmentation": "strong", "mixup": 0.2}
LATER_STAGE = STRONG | {"head_epochs": 0}
STAGES = {
    "cpu": (
        {"epochs": 10},
        LATER_STAGE | {"image_size": 192, "epochs": 8, "learning_rate": 2e-4},
        LATER_STAGE | {"image_size": 192, "epochs": 4, "learning_rate": 2e-4} | OVERSAMPLED,
    ),
    "gpu": (
        {},
        LATER_STAGE | {"image_size": 320, "epochs": 10, "learning_rate": 1e-4, "keep": "last"},
    ),
}
SEEDS = (42, 43, 44)
# Two more for the ensemble, straight from ImageNet: architecture and pixels.
MEMBERS = {"cpu": ((BEST, 160), ("resnet50", 128)), "gpu": ()}
MEMBER = STRONG | {"epochs": 9, "seed": SEEDS[1]}
# The augmentations that are compared before the fold networks are trained, the mildest first.
PILOT = ("standard", "colour", "scale", "artefacts")
# Tried on the same fold after the choice, with the standard augmentation: no candidates.
AFTERWARDS = {
    "mixup": {"mixup": 0.2},
    "shades of grey": {"colour_constancy": "shades_of_grey"},
}
# The last epoch is kept: the rows of a fold decide between recipes, not between epochs.
FOLD_RECIPE = {"image_size": 128, "head_epochs": 1, "epochs": 7, "keep": "last"}
# The network that learns from them goes on from an earlier one, with larger pictures.
STUDENT = LATER_STAGE | {
    "image_size": 192,
    "epochs": 12,
    "learning_rate": 2e-4,
    "keep": "last",
}
# Notebook 02: what a small network gains from each treatment of the imbalance, alone and together.
UNBALANCED = {
    "class_weighting": "none",
    "loss": "crossentropy",
    "oversampling": False,
    "augmentation": "none",
}
BALANCING = {
    "none": {},
    "square root": {"class_weighting": "square_root"},
    "weights": {"class_weighting": "balanced"},
    "focal": {"loss": "focal"},
    "oversampling": {"oversampling": True},
    "augmentation": {"augmentation": "standard"},
}
BALANCING["all"] = {key: value for change in BALANCING.values() for key, value in change.items()}
BALANCING_EPOCHS = {"demo": 4, "cpu": 6, "gpu": 15}
# Notebook 07: the network may learn its photographs by heart, until its training loss is near zero,
# and is asked about them as it has seen them: turned and mirrored ones would be new to it.
LEAKAGE = {
    "head_epochs": 0,
    "augmentation": "none",
    "label_smoothing": 0.0,
    "keep": "last",
    "tta": False,
}
LEAKAGE_EPOCHS = {"demo": 18, "cpu": 25, "gpu": 25}


def config(architecture: str, profile: str, quick: bool = False, **changes) -> Config:
    """Return the recorded recipe of an architecture, under any profile.

    Args:
        architecture: A name of `models.ARCHITECTURES`.
        profile, changes: See the module.
        quick: Whether only two epochs are trained, to see everything work.

    Raises:
        ValueError: If the architecture is unknown.
    """
    settings = dict(PROFILES[profile])  # `open_data` has checked it
    if BRANCHES.get(architecture) in (("cnn",), ("resnet18",)):
        settings |= FROM_SCRATCH | SCRATCH[profile]
    if architecture == "cnn":
        settings |= OF_THE_CNN[profile]
    if quick:
        settings |= QUICK
        if settings.get("start"):
            settings["head_epochs"] = QUICK["epochs"]
        settings["epochs"] = QUICK["epochs"] - settings["head_epochs"]
    return Config(architecture, **settings | changes)


def stages(profile: str, metadata: pd.DataFrame) -> list[Config]:
    """Return the recipes by which the best network is trained, each from the one before.

    The rows of `metadata`, with a column `split`, are part of a run's name.
    """
    configs, start = [], ""
    for changes in STAGES[profile]:
        configs.append(config(BEST, profile, start=start, **changes))
        start = run_name(configs[-1], metadata)
    return configs


def balance_experiments(profile: str, quick: bool = False, **changes) -> dict[str, Config]:
    """Return the recipes by which notebook 02 compares treatments of the imbalance.

    Under any profile; where `quick`, only two epochs are trained.
    """
    epochs = QUICK["epochs"] if quick else BALANCING_EPOCHS[profile]
    size = 32 if profile == "demo" else 64
    common = {"image_size": size, "epochs": epochs} | UNBALANCED | changes
    return {
        name: config(
            "cnn", profile, quick, tag=f"balance-{name.replace(' ', '-')}", **common | change
        )
        for name, change in BALANCING.items()
    }


def leakage_experiments(
    profile: str, training_rows: dict[str, int], quick: bool = False, **changes
) -> dict[str, Config]:
    """Return the recipes by which notebook 07 compares ways to split, all of as many steps.

    Args:
        profile: Any.
        training_rows: Protocol to its number of training rows, see `leaky_splits.protocol_rows`;
            one of them is "lesion".
        quick: Whether only two epochs are trained.
        **changes: See the module; `epochs` are those of the protocol "lesion".
    """
    architecture = "cnn" if profile == "demo" else BEST
    epochs = changes.pop("epochs", None) or (QUICK["epochs"] if quick else LEAKAGE_EPOCHS[profile])
    common = {"image_size": 32 if profile == "demo" else 64} | LEAKAGE | changes
    return {
        name: config(
            architecture,
            profile,
            protocol=name,
            tag=f"leak-{name}",
            epochs=max(1, round(epochs * training_rows["lesion"] / count)),
            **common,
        )
        for name, count in training_rows.items()
    }


def controls(profile: str) -> dict[str, Config]:
    """Return by name the recipes that change one thing: the start, the treatment, the budget.

    The best architecture starts from random weights, at the pace of the networks from scratch; the
    CNN is treated as the others are; three networks from scratch are trained three times as long.
    """
    random = config(BEST, profile, weights="random", **FROM_SCRATCH | SCRATCH[profile])
    treated = config("cnn", profile, **TREATMENT)
    longer = 3 * SCRATCH[profile]["epochs"]
    return {
        "DenseNet121, random weights": random,
        "CNN, treated as the others": treated,
        f"ResNet18, {longer} epochs": config("resnet18", profile, epochs=longer),
        f"DenseNet121, random weights, {longer} epochs": replace(random, epochs=longer),
        f"CNN, treated as the others, {longer} epochs": replace(treated, epochs=longer),
    }


def longer(profile: str, names: Iterable[str]) -> dict[str, Config]:
    """Return by architecture the recipes of what starts from ImageNet, trained for longer.

    As long as the first stage of the best architecture; so the order of the networks after few
    epochs can be held against that after more. What has head epochs starts from ImageNet. None
    where `config` trains as long. For names, see `networks` and `hybrids`.
    """
    found = {name: config(name, profile, **STAGES[profile][0]) for name in names}
    return {
        name: one for name, one in found.items() if one.head_epochs and one != config(name, profile)
    }


def repeats(profile: str) -> list[Config]:
    """Return the recipes that are trained with every seed, each with the first seed first."""
    return [config(name, profile, seed=seed) for name in (BEST, "cnn") for seed in SEEDS]


def pilot() -> list[Config]:
    """Return the recipes by which an augmentation is chosen out of fold, on the first fold.

    Those of `AFTERWARDS` come last.
    """
    changes = {name: {"augmentation": name} for name in PILOT} | AFTERWARDS
    return [
        config(BEST, "cpu", fold=0, tag=f"pilot-{name.replace(' ', '-')}", **FOLD_RECIPE | change)
        for name, change in changes.items()
    ]


def folds(augmentation: str) -> list[Config]:
    """Return the recipes of the five fold networks, each with a seed of its own.

    Args:
        augmentation: The augmentation that the pilot chose; it trained the first of them.
    """
    recipe = {"augmentation": augmentation, **FOLD_RECIPE}
    others = [
        config(BEST, "cpu", fold=fold, seed=SEEDS[0] + fold, **recipe)
        for fold in range(1, data.FOLDS)
    ]
    return [pilot()[PILOT.index(augmentation)], *others]


def students(metadata: pd.DataFrame, augmentation: str) -> list[Config]:
    """Return the recipes of the network that learns from the fold networks, the student.

    The first is of a network of four folds, from which the others go on: one of these again, with
    their seed. The second, the twin, is trained on these folds, too, and tells on the fifth what
    the third, which is trained on all rows but the test split, is worth. The twin has learnt from
    teachers that were trained on its fold, which flatters it there, but not on the test split and
    in other clinics; see `study.student`. Then follow, in pairs, what the twins of the other folds
    go on from, and these, each with a seed of its own.

    Args:
        metadata: Table with the columns `split` and `fold`; its rows are part of a run's name.
        augmentation: The augmentation that the pilot chose.
    """
    fold_networks = folds(augmentation)
    teachers = "+".join(run_name(one, metadata) for one in fold_networks)
    recipe = STUDENT | {"augmentation": augmentation, "teacher": teachers}
    pairs = []
    for one in fold_networks:
        start = replace(one, seed=one.seed + 1, tag="")
        own = {"fold": start.fold, "seed": start.seed, "start": run_name(start, metadata)}
        pairs.append((start, config(BEST, "cpu", **recipe | own)))
    (start, first), *others = pairs
    student = replace(first, fold=None, answers_from=run_name(first, metadata))
    return [start, first, student, *itertools.chain(*others)]


def queue(profile: str, metadata: pd.DataFrame) -> list[Config]:
    """List every recipe of the published comparison and of the class-balance experiment."""
    names = (*NETWORKS[profile], *HYBRIDS[profile])
    networks = [config(name, profile) for name in names]
    patient = [config(BEST, profile, patient=True, **one) for one in ({}, STAGES[profile][0])]
    members = [config(name, profile, image_size=px, **MEMBER) for name, px in MEMBERS[profile]]
    others = [*controls(profile).values(), *patient, *repeats(profile), *members]
    others += longer(profile, names).values()
    listed = [*stages(profile, metadata), *networks, *others]
    return list(dict.fromkeys([*listed, *balance_experiments(profile).values()]))


# The first TensorFlow step of a DenseNet takes half a minute on two cores, so the demo and quick
# studies build the networks that they need and no more.
NETWORKS = {
    "demo": (BEST,),
    "cpu": ("resnet18", "resnet50", "densenet121", "densenet169", "efficientnetb0"),
}
NETWORKS["gpu"] = (*NETWORKS["cpu"], "efficientnetb3")
HYBRIDS = {
    "demo": ("cnn_densenet121",),
    "cpu": ("cnn_densenet121", "densenet121_efficientnetb3"),
}
HYBRIDS["gpu"] = HYBRIDS["cpu"]


def networks(profile: str, quick: bool = False) -> tuple[str, ...]:
    """List the single-branch networks that notebook 04 trains under a profile."""
    return NETWORKS["demo" if quick else profile]


def hybrids(profile: str, quick: bool = False) -> tuple[str, ...]:
    """List the two-branch networks that notebook 05 trains under a profile."""
    return HYBRIDS["demo" if quick else profile]
