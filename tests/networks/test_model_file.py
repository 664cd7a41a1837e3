"""Files of networks: what is inside, who can read them, and what happens to damaged ones."""

import json

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from tables import drawn_fusion

from lesions import classes, evaluation
from lesions.networks import description, model_file, models

SIZE = 64
# What the constructors of Keras 3.10 accept of what newer versions write for these layers.
KERAS_3_10 = {
    "BatchNormalization": "axis beta_constraint beta_initializer beta_regularizer center epsilon "
    "gamma_constraint gamma_initializer gamma_regularizer momentum moving_mean_initializer "
    "moving_variance_initializer scale synchronized",
    "Dense": "activation bias_constraint bias_initializer bias_regularizer kernel_constraint "
    "kernel_initializer kernel_regularizer units use_bias",
    "GlorotUniform": "seed",
    "HeNormal": "seed",
}


@pytest.fixture(scope="module")
def network():
    return models.build("cnn", SIZE, "random", patient=True, dropout=0.4)


@pytest.fixture(scope="module")
def written(network, tmp_path_factory):
    """A whole file, to be copied and damaged."""
    path = tmp_path_factory.mktemp("whole") / "whole.h5"
    return models.save(network, path, {"run": "some", "colour_constancy": "grey_world"})


@pytest.fixture
def copy(written, tmp_path):
    path = tmp_path / "copy.h5"
    path.write_bytes(written.read_bytes())
    return path


def refuse(path, one_sentence, *words):
    with pytest.raises(ValueError) as error:
        models.load(path)
    one_sentence(error, path.name, *words)


def test_everything_needed_is_inside(network, written):
    again, details = models.load(written)
    assert [tensor.name for tensor in again.inputs] == ["image", "patient"]
    assert again.get_layer("dropout_features").rate == 0.4
    assert details["patient"] is True and details["dropout"] == 0.4
    assert details["run"] == "some" and details["colour_constancy"] == "grey_world"
    assert details["decision_strength"] == 0 and details["correction"]["power"] == 1
    for kept, read in zip(network.weights, again.weights, strict=True):
        assert np.array_equal(kept.numpy(), read.numpy()), kept.path


def test_loading_leaves_the_random_numbers_of_others_alone(written):
    keras.utils.set_random_seed(7)
    expected = np.random.random(3)
    keras.utils.set_random_seed(7)
    models.load(written)
    assert np.array_equal(np.random.random(3), expected)


def test_settings_in_the_file_do_not_matter(copy):
    with h5py.File(copy, "r+") as file:
        settings = file.attrs["model_config"]
        assert '"momentum"' in settings
        file.attrs["model_config"] = settings.replace('"momentum"', '"of_the_future"')
    models.load(copy)


def test_settings_are_those_that_keras_3_10_knows(written):
    found = {}

    def collect(one):
        if isinstance(one, dict):
            if isinstance(one.get("config"), dict):
                found.setdefault(one["class_name"], set()).update(one["config"])
            for value in one.values():
                collect(value)
        elif isinstance(one, list):
            for value in one:
                collect(value)

    with h5py.File(written, "r") as file:
        collect(json.loads(file.attrs["model_config"]))
    for name, known in KERAS_3_10.items():
        if name in found:
            assert found[name] <= {*known.split(), "name", "dtype", "trainable"}, name
    assert {"BatchNormalization", "Dense", "HeNormal"} <= set(found)


@pytest.mark.filterwarnings("ignore")
def test_keras_reads_the_file_without_this_project(network, written):
    again = keras.models.load_model(written, compile=False)
    images = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    inputs = {"image": images, "patient": np.zeros((2, again.inputs[1].shape[1]), np.float32)}
    answers = [np.asarray(one(inputs, training=False)) for one in (network, again)]
    assert np.abs(answers[0] - answers[1]).max() < 1e-5


def test_rounded_weights_are_close_and_take_half_the_room(tmp_path):
    model = models.build("cnn", SIZE, "random")
    before = model.get_weights()
    model.set_weights([models.rounded(value) for value in before])
    for one, two in zip(before, model.get_weights(), strict=True):
        assert np.allclose(one, two, rtol=2**-11, atol=3e-8)
    path = models.save(model, tmp_path / "rounded.h5", {})
    assert path.stat().st_size < 0.55 * 4 * model.count_params()
    for one, two in zip(model.get_weights(), models.load(path)[0].get_weights(), strict=True):
        assert np.array_equal(one, two)
    assert models.rounded(np.array([3, 5])).tolist() == [3, 5]
    assert models.rounded(np.float32([1 / 3, 1e30]))[0] == np.float32(1 / 3)


# Files that are not ours


def test_missing_model(tmp_path, one_sentence):
    refuse(tmp_path / "gone.h5", one_sentence)


@pytest.mark.parametrize("content", [b"", b"just text", b"\x89HDF\r\n\x1a\n"])
def test_text_file(tmp_path, content, one_sentence):
    path = tmp_path / "text.h5"
    path.write_bytes(content)
    refuse(path, one_sentence, "not an .h5 file")


def test_folder_in_the_place_of_a_model(tmp_path, one_sentence):
    refuse(tmp_path, one_sentence)


@pytest.mark.filterwarnings("ignore")
def test_keras_model_without_our_details(tmp_path, one_sentence):
    stranger = keras.Sequential([layers.Input((4,)), layers.Dense(7)])
    stranger.save(tmp_path / "stranger.h5")
    refuse(tmp_path / "stranger.h5", one_sentence, "classes")


# Damaged files


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_cut_short(copy, share, one_sentence):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    refuse(copy, one_sentence)


def test_flipped_bits(copy, one_sentence):
    content = copy.read_bytes()
    for place in np.random.default_rng(0).integers(len(content) // 10, len(content), 12):
        damaged = bytearray(content)
        damaged[place] ^= 16
        copy.write_bytes(damaged)
        try:
            model, _ = models.load(copy)
        except ValueError as error:
            one_sentence(error, copy.name)
        else:  # the bit was in what HDF5 does not use
            assert (
                model_file.digest(
                    {one.name: one.get_weights() for one in model.layers if one.weights}
                )
                == json.loads(h5py.File(copy).attrs[models.DETAILS])["digest"]
            )


def test_one_weight_that_differs(copy, one_sentence):
    with h5py.File(copy, "r+") as file:
        weights = file["model_weights/logits"]
        values = weights[weights.attrs["weight_names"][0]]
        values[0, 0] = values[0, 0] + 1
    refuse(copy, one_sentence, "not those that were saved")


def test_missing_layer(copy, one_sentence):
    with h5py.File(copy, "r+") as file:
        del file["model_weights/logits"]
    refuse(copy, one_sentence)


def change(copy, edit):
    with h5py.File(copy, "r+") as file:
        details = json.loads(file.attrs[models.DETAILS])
        edit(details)
        file.attrs[models.DETAILS] = json.dumps(details)


def test_weights_that_are_no_numbers(network, tmp_path, one_sentence):
    spoiled = keras.models.clone_model(network)
    spoiled.get_layer("logits").set_weights(
        [np.full(one.shape, np.nan) for one in network.get_layer("logits").get_weights()]
    )
    path = models.save(spoiled, tmp_path / "diverged.h5", {})
    refuse(path, one_sentence, "not numbers")


def test_details_of_another_network(copy, one_sentence):
    change(copy, lambda details: details.update(architecture="resnet18"))
    refuse(copy, one_sentence, "resnet18", "another network")


WRONG = {
    "architecture": [None, "", 5],
    "classes": [None, "nv", list(reversed(classes.CODES)), ["nv"]],
    "image_size": ["64", 0, 64.5, True, -64, 10**9, None],
    "patient": ["yes", 1, None],
    "dropout": ["0.3", 2, -1, None, float("nan")],
    "correction": [
        None,
        [],
        {},
        {"power": 1, "offset": 0},
        {"power": 0, "offset": 0, "class_frequencies": [1 / 7] * 7},
        {"power": 1e300, "offset": 0, "class_frequencies": [1 / 7] * 7},
        {"power": 1, "offset": -1e9, "class_frequencies": [1 / 7] * 7},
        {"power": 1, "offset": float("inf"), "class_frequencies": [1 / 7] * 7},
        {"power": 1, "offset": 0, "class_frequencies": [1 / 6] * 6},
        {"power": 1, "offset": 0, "class_frequencies": [1 / 6] * 6 + [0]},
    ],
    "decision_strength": ["1", 2, None, float("nan")],
    "digest": [None, "abc", 5],
    "hair_removal": ["no", 1, True],
    "colour_constancy": ["sepia", 1, []],
    "patient_fusion": [
        5,
        {},
        {**drawn_fusion(), "weight": "much"},
        {**drawn_fusion(), "power": float("nan")},
        {**drawn_fusion(), "offset": -1e300},
        {**drawn_fusion(), "class_frequencies": [1 / 6] * 6},
        {**drawn_fusion(), "intercepts": [0.0] * 6 + [None]},
        {**drawn_fusion(), "tables": {"age": {}, "sex": {}}},
        {**drawn_fusion(), "tables": dict.fromkeys(("age", "sex", "localization"), {"a": [0, 1]})},
    ],
    "run": [5, ""],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_wrong_field(copy, name, value, one_sentence):
    change(copy, lambda details: details.update({name: value}))
    refuse(copy, one_sentence, name)


REQUIRED = "architecture classes image_size patient dropout correction decision_strength digest"


@pytest.mark.parametrize("name", REQUIRED.split())
def test_missing_field(copy, name, one_sentence):
    change(copy, lambda details: details.pop(name))
    refuse(copy, one_sentence, name)


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '"text"', "[" * 100_000])
def test_broken_json(copy, text, one_sentence):
    with h5py.File(copy, "r+") as file:
        file.attrs.pop(models.DETAILS)
        if len(text) < 60_000:
            file.attrs[models.DETAILS] = text
    refuse(copy, one_sentence)
    with pytest.raises(ValueError) as error:
        description.parse(text, copy)
    one_sentence(error, copy.name)


# The description beside an exported file


@pytest.fixture
def exported(tmp_path):
    """A file and the description that belongs to it."""
    path = tmp_path / "a.onnx"
    path.write_bytes(b"weights")
    details = {
        "correction": evaluation.Correction().to_details(),
        "decision_strength": 0.0,
        "architecture": "cnn",
        "classes": list(classes.CODES),
        "image_size": SIZE,
        "patient": False,
        "dropout": 0.3,
        "digest": description.file_digest(path),
    }
    path.with_name("a.onnx.json").write_text(json.dumps(details))
    return path


def test_description_beside_a_file(exported, one_sentence):
    assert description.read_beside(exported)["image_size"] == SIZE
    exported.write_bytes(b"weighta")
    with pytest.raises(ValueError) as error:
        description.read_beside(exported)
    one_sentence(error, exported, "a.onnx.json")


@pytest.mark.parametrize("name", ["a.onnx", "a.onnx.json"])
def test_missing_file_or_description(exported, name, one_sentence):
    exported.with_name(name).unlink()
    with pytest.raises(ValueError) as error:
        description.read_beside(exported)
    one_sentence(error, name)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b'{"classes": 7}'])
def test_damaged_description(exported, content, one_sentence):
    exported.with_name("a.onnx.json").write_bytes(content)
    with pytest.raises(ValueError) as error:
        description.read_beside(exported)
    one_sentence(error, "a.onnx.json")
