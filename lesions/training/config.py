"""What decides a training: its settings, checked when they are made."""

import math
import re
import types
import typing
from dataclasses import dataclass, fields

import keras

from lesions import data
from lesions.data import balance, images, leaky_splits
from lesions.evaluation.comparison import RETIRED
from lesions.networks import models
from lesions.system import hardware
from lesions.training import augmentation

LOSSES = {  # each takes `label_smoothing`
    "crossentropy": keras.losses.CategoricalCrossentropy,
    "focal": keras.losses.CategoricalFocalCrossentropy,  # Lin et al. 2017
}


@dataclass(frozen=True)
class Config:
    """Everything that decides what a training does; a ValueError names a value not allowed.

    Attributes:
        architecture: A name of `models.ARCHITECTURES`.
        image_size: Side of the input in pixels.
        weights: "imagenet", "available" or "random", see `models.build`.
        patient: Whether age, sex and body site are a second input.
        dropout: Share of features dropped before the last layer.
        seed: Seed of initial weights, order and augmentation.
        head_epochs: Epochs in which pretrained layers are kept as they are.
        epochs: Epochs in which all layers learn.
        batch_size: Images a step on each device; the learning rate does not depend on devices.
        learning_rate: Peak of the warm-up and cosine schedule; head epochs that others follow have
            their own.
        warmup_steps: Steps of linear warm-up.
        class_weighting: See `balance.class_weights`.
        oversampling: Whether small classes are repeated, see `balance.oversample`.
        loss: A name of `LOSSES`.
        label_smoothing: 0 to 1.
        augmentation: See `augmentation.augment`.
        mixup: Beta parameter of MixUp, 0 for none.
        ema: Momentum of the moving average of weights that is evaluated, 0 for none.
        freeze_batch_norm: Whether batch normalisation in pretrained layers stays as it is.
        precision: "auto", "float32", "bfloat16" or "float16".
        colour_constancy: Passed on to the image store.
        protocol: "lesion", or the name of a leaky split for the leakage experiment.
        tag: A word for the run's name.
        start: Name of an earlier run whose network this one goes on from, at another image size
            if need be; empty for `weights`.
        keep: "best" for the epoch of highest validation balanced accuracy, "last" for the last.
        teacher: Name of a recorded run, or several joined by "+", whose out-of-fold
            probabilities are half of each training label, see `earlier.soft_labels`; empty for
            none.
        fold: Number of the fold, 0 to 4, that is held out for validation; None for the 70% split.
            See `data.hold_out`.
        answers_from: Name of a run of the same recipe on one fold: this network then is trained
            on all rows but the test split, and the run's out-of-fold rows stand in for its
            validation rows; empty for none.
        tta: Whether the mean of eight views of a photograph is recorded as its prediction
            (test-time augmentation), or the prediction of the photograph as it is.
    """

    architecture: str
    image_size: int = 128
    weights: str = "available"
    patient: bool = False
    dropout: float = 0.3
    seed: int = 42
    head_epochs: int = 0
    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 3e-4
    warmup_steps: int = 200
    class_weighting: str = "square_root"
    oversampling: bool = False
    loss: str = "crossentropy"
    label_smoothing: float = 0.0
    augmentation: str = "standard"
    mixup: float = 0.0
    ema: float = 0.995
    freeze_batch_norm: bool = False
    precision: str = "auto"
    colour_constancy: str | None = None
    protocol: str = "lesion"
    tag: str = ""
    start: str = ""
    keep: str = "best"
    teacher: str = ""
    fold: int | None = None
    answers_from: str = ""
    tta: bool = True

    def __post_init__(self):
        kinds = typing.get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = _wanted(field.name, value, kinds[field.name])
            if wanted:
                raise ValueError(f"{field.name} is {value!r}; it must be {wanted}.")
        if self.head_epochs + self.epochs == 0:
            raise ValueError("epochs is 0 and so is head_epochs; one of them must be at least 1.")
        if self.answers_from and (self.keep, self.fold) != ("last", None):
            raise ValueError(
                f"answers_from is {self.answers_from}, so no row is left to validate on; set keep "
                "to last and fold to none."
            )


def from_record(stored: dict) -> Config:
    """Read the config of a recorded run, which may hold settings that are gone since.

    Args:
        stored: `config` of a run's config.json.

    Raises:
        ValueError: If it used a setting that is gone, or has a value that is not allowed.
    """
    known = {field.name for field in fields(Config)}
    for name in sorted(stored.keys() - known):
        if stored[name] != RETIRED.get(name):
            raise ValueError(
                f"This version of the project has no setting {name}, which the run has at "
                f"{stored[name]!r}; train it by the version that recorded it."
            )
    return Config(**{name: value for name, value in stored.items() if name in known})


_CHOICES = {
    "architecture": models.BRANCHES,
    "weights": ("imagenet", "available", "random"),
    "class_weighting": balance.WEIGHTINGS,
    "loss": LOSSES,
    "augmentation": augmentation.AUGMENTATIONS,
    "precision": hardware.PRECISIONS,
    "colour_constancy": (*images.CONSTANCY, None),
    "protocol": leaky_splits.PROTOCOLS,
    "keep": ("best", "last"),
    "fold": (*range(data.FOLDS), None),
}
_ABOVE_ZERO = 1e-30
# From the least value allowed to the first that is not.
_BOUNDS = {
    "image_size": (models.MINIMUM_SIZE, 1025),
    "dropout": (0, 1),
    "seed": (0, 2**32),
    "head_epochs": (0, math.inf),
    "epochs": (0, math.inf),
    "batch_size": (1, math.inf),
    "learning_rate": (_ABOVE_ZERO, math.inf),
    "warmup_steps": (0, math.inf),
    "label_smoothing": (0, 1),
    "mixup": (0, math.inf),
    "ema": (0, 1),
}


def _wanted(name: str, value, kind) -> str:
    """Return what a field must be where a value is not that, else nothing."""
    choices = (True, False) if kind is bool else _CHOICES.get(name)
    if choices:
        # True == 1, so the type counts, too.
        right = any(type(value) is type(one) and value == one for one in choices)
        *others, last = map(str, choices)
        return "" if right else f"{', '.join(others)} or {last}"
    if kind is str:  # it becomes a folder's name, or names one
        pattern = r"[A-Za-z0-9_.+-]*" if name == "teacher" else r"[A-Za-z0-9_.-]*"
        right = isinstance(value, str) and len(value) <= 1000 and re.fullmatch(pattern, value)
        plus = ", plus signs" * (name == "teacher")
        return "" if right else f"letters, digits, dots, dashes{plus} and underscores alone"
    least, end = _BOUNDS[name]
    number = isinstance(value, int if kind is int else (int, float))
    if number and not isinstance(value, bool) and least <= value < end:
        return ""
    bounds = f"from {least} to " + (f"{end - 1}" if kind is int else f"below {end}")
    if end == math.inf:
        bounds = "above 0" if least == _ABOVE_ZERO else f"from {least} up"
    return f"{'a whole number' if kind is int else 'a number'} {bounds}"


def read_settings(settings: list[str]) -> dict:
    """Read changes to a config from text.

    Args:
        settings: Like "dropout=0.5", "oversampling=yes" or "colour_constancy=none".

    Returns:
        Values by field of `Config`, each of the field's type.

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
        if text.lower() == "none":
            return None
        (kind,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
    if kind is bool:
        if text.lower() not in ("yes", "true", "1", "no", "false", "0"):
            raise ValueError(f"{name} is {text!r}; write yes or no.")
        return text.lower() in ("yes", "true", "1")
    try:
        return kind(text)
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {text!r}; write {wanted}.") from error
