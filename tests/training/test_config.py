"""A config checks itself when it is made."""

import dataclasses
import re

import pytest

from lesions import training
from lesions.data import balance
from lesions.networks import models
from lesions.study import recipes
from lesions.training import augmentation
from lesions.training.config import LOSSES

FAULTS = {
    "architecture": ["vgg16", None],
    "image_size": [0, 31, 64.5, 100_000, True, "64"],
    "weights": ["imagenet21k"],
    "patient": [1, "yes"],
    "dropout": [-0.1, 1.0, float("nan"), "0.3", True],
    "seed": [-1, 2**32, 1.5],
    "head_epochs": [-1, 0.5],
    "epochs": [-1, 1.5],
    "batch_size": [0, -4, 8.0],
    "learning_rate": [0.0, -1e-3, float("inf")],
    "warmup_steps": [-1],
    "class_weighting": ["inverse"],
    "oversampling": ["no"],
    "tta": ["no"],
    "loss": ["hinge", "logit_adjusted"],
    "label_smoothing": [-0.1, 1.0],
    "augmentation": ["heavy"],
    "mixup": [-0.2, float("inf")],
    "ema": [1.0, -0.5],
    "freeze_batch_norm": [None],
    "precision": ["float8"],
    "colour_constancy": ["retinex", "none"],
    "protocol": ["lesions"],
    "tag": ["a/b", "..\\c", "two words", "a\n", None],
    "start": ["../run", "one+two"],
    "keep": ["first"],
    "teacher": ["a/b"],
    "fold": [-1, 5, "0", True],
    "answers_from": ["a/b", "one+two"],
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(training.Config)])
def test_a_value_that_is_not_allowed_is_named(field, one_sentence):
    for value in FAULTS[field]:
        with pytest.raises(ValueError) as error:
            training.Config(**{"architecture": "cnn", field: value})
        one_sentence(error, f"{field} is {value!r}")


def test_what_is_allowed(config):
    allowed = {
        "architecture": models.ARCHITECTURES,
        "class_weighting": balance.WEIGHTINGS,
        "loss": LOSSES,
        "augmentation": augmentation.AUGMENTATIONS,
        "colour_constancy": (None, "grey_world", "shades_of_grey"),
        "fold": (None, 0, 4),
        "tag": ("", "balance-all", "v1.2_x"),
        "mixup": (0, 0.2, 3),
        "image_size": (models.MINIMUM_SIZE, 224, 1024),
    }
    for field, values in allowed.items():
        for value in values:
            assert getattr(dataclasses.replace(config, **{field: value}), field) == value


def test_something_is_trained(one_sentence):
    with pytest.raises(ValueError) as error:
        training.Config("cnn", epochs=0, head_epochs=0)
    one_sentence(error, "epochs is 0")


def test_settings_are_typed():
    text = ["dropout=0.5", "batch_size=8", "oversampling=yes", "colour_constancy=none", "fold=3"]
    assert training.read_settings(text) == {
        "dropout": 0.5,
        "batch_size": 8,
        "oversampling": True,
        "colour_constancy": None,
        "fold": 3,
    }
    assert training.read_settings(["fold=none", "tag=a=b"]) == {"fold": None, "tag": "a=b"}
    for wrong in ("dropout=much", "batch_size=8.5", "oversampling=maybe", "dropout", "fold=x"):
        with pytest.raises(ValueError, match=re.escape(wrong.split("=")[0])):
            training.read_settings([wrong])


def test_configs_of_recorded_runs(config, one_sentence):
    stored = dataclasses.asdict(config) | {"patience": 100, "cutmix": 0.0, "accumulation": 1}
    del stored["fold"]
    assert training.from_record(stored) == config
    with pytest.raises(ValueError) as error:
        training.from_record(stored | {"accumulation": 4})
    one_sentence(error, "accumulation", "4")


def test_the_pilot_differs_in_one_thing_at_a_time():
    configs = recipes.pilot()
    assert [one.augmentation for one in configs[:4]] == list(recipes.PILOT)
    same = {"augmentation": "none", "tag": "", "mixup": 0.0, "colour_constancy": None}
    assert len({dataclasses.replace(one, **same) for one in configs}) == 1
    for config, changes in zip(configs[4:], recipes.AFTERWARDS.values(), strict=True):
        assert dataclasses.replace(configs[0], tag=config.tag, **changes) == config


def test_every_fold_has_a_network_of_one_recipe_with_a_seed_of_its_own():
    configs = recipes.folds("scale")
    assert [one.fold for one in configs] == list(range(5))
    assert len({one.seed for one in configs}) == 5
    assert configs[0] in recipes.pilot()  # which is not trained twice
    assert len({dataclasses.replace(one, fold=None, seed=0, tag="") for one in configs}) == 1


def test_networks_from_imagenet_are_trained_longer_and_nothing_else_differs(demo_metadata):
    names = (*recipes.networks("cpu"), *recipes.hybrids("cpu"))
    longer = recipes.longer("cpu", names)
    of_one_branch = {"resnet50", "densenet121", "densenet169", "efficientnetb0"}
    assert set(longer) == of_one_branch | {"cnn_densenet121", "densenet121_efficientnetb3"}
    assert set(longer.values()) <= set(recipes.queue("cpu", demo_metadata))
    for name, one in longer.items():
        shorter = recipes.config(name, "cpu")
        assert one.epochs > shorter.epochs
        assert dataclasses.replace(one, epochs=shorter.epochs) == shorter
    assert longer[recipes.BEST] == recipes.stages("cpu", demo_metadata)[0]
    assert recipes.longer("gpu", (*recipes.networks("gpu"), *recipes.hybrids("gpu"))) == {}


def test_the_student_learns_out_of_fold_what_its_fold_is_worth(demo_metadata):
    names = [training.run_name(one, demo_metadata) for one in recipes.folds("scale")]
    start, first, whole, *others = recipes.students(demo_metadata, "scale")
    of_the_pilot = {"seed": recipes.SEEDS[0], "tag": "pilot-scale"}
    assert dataclasses.replace(start, **of_the_pilot) == recipes.folds("scale")[0]
    assert first.start == whole.start == training.run_name(start, demo_metadata)
    assert first.teacher == whole.teacher == "+".join(names)
    assert (first.fold, whole.fold) == (0, None)
    assert whole.answers_from == training.run_name(first, demo_metadata)
    assert dataclasses.replace(first, fold=None, answers_from=whole.answers_from) == whole
    # A twin of every fold, each with a seed and a start of its own.
    twins = [first, *others[1::2]]
    assert [one.fold for one in twins] == list(range(5)) == [one.seed - 43 for one in twins]
    for before, twin in zip([start, *others[::2]], twins, strict=True):
        assert twin.start == training.run_name(before, demo_metadata)
        assert dataclasses.replace(before, fold=0, seed=start.seed) == start
        assert dataclasses.replace(twin, fold=0, seed=first.seed, start=first.start) == first


@pytest.mark.parametrize("profile", ["demo", "cpu", "gpu"])
def test_quick_is_two_epochs_of_every_network(profile):
    for name in models.ARCHITECTURES:
        one = recipes.config(name, profile, quick=True)
        assert one.head_epochs + one.epochs == 2, name


def test_without_rows_to_validate_on_no_epoch_can_be_chosen(config, one_sentence):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(config, answers_from="another", keep="best")
    one_sentence(error, "answers_from", "last")
    with pytest.raises(ValueError, match="fold to none"):
        dataclasses.replace(config, answers_from="another", keep="last", fold=1)
