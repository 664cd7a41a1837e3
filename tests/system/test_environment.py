"""What Keras would fail on is named before Keras is imported."""

import json

import pytest

from lesions.system import environment


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    """Settings of Keras' own for each test, and no backend chosen by the environment."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    return tmp_path / "keras.json"


def test_the_default_is_fine_and_so_is_a_file_that_keras_passes_over(keras_home):
    environment.check_keras()
    keras_home.write_text("{torn")
    environment.check_keras()


def test_an_unknown_backend_is_named_with_its_source(keras_home, monkeypatch, one_sentence):
    keras_home.write_text(json.dumps({"backend": "theano"}))
    with pytest.raises(ValueError) as error:
        environment.check_keras()
    one_sentence(error, keras_home, "theano", "tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "cntk")
    with pytest.raises(ValueError) as error:
        environment.check_keras()
    one_sentence(error, "KERAS_BACKEND", "cntk")


def test_a_backend_that_is_not_installed_is_named(python, monkeypatch):
    # Another process, in which no package of this name can be found.
    code = (
        "import importlib.util as util, sys\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'torch' else found(name, *more)\n"
        "from lesions.system import environment\n"
        "try:\n"
        "    environment.check_keras()\n"
        "except ValueError as error:\n"
        "    print(error, 'keras' in sys.modules)\n"
    )
    assert python(code, KERAS_BACKEND="torch").strip() == (
        "The Keras backend 'torch' is not installed; install it, or name an installed one by "
        "KERAS_BACKEND. False"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_data_format": "channels_first"}, ["channels_first", "channels_last"]),
        ({"image_data_format": 3}, ["image_data_format", "3"]),
        ({"floatx": "float16"}, ["float16", "float32"]),
        ({"floatx": "float64"}, ["float64", "float32"]),
        ({"epsilon": 1}, ["epsilon"]),
        (["tensorflow"], ["braces"]),
        ({"backend": ["jax"]}, ["backend", "jax"]),
    ],
)
def test_settings_that_no_network_here_fits_are_named(keras_home, settings, words, one_sentence):
    keras_home.write_text(json.dumps(settings))
    with pytest.raises(ValueError) as error:
        environment.check_keras()
    one_sentence(str(error.value).replace("1e-07", "1"), keras_home, *words)


def test_settings_that_cannot_be_read_are_named(keras_home, one_sentence):
    keras_home.mkdir()
    with pytest.raises(ValueError) as error:
        environment.check_keras()
    one_sentence(error, keras_home)


def test_the_settings_that_keras_writes_are_fine(keras_home):
    written = {"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow"}
    keras_home.write_text(json.dumps({**written, "image_data_format": "channels_last"}))
    environment.check_keras()


@pytest.mark.parametrize("variable", environment.SHORTENING)
def test_variables_that_cut_trainings_short_are_named(monkeypatch, variable, one_sentence):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ValueError) as error:
        environment.check_keras()
    one_sentence(error, variable)


@pytest.mark.parametrize(
    ("variable", "name"),
    [("KAGGLE_KERNEL_RUN_TYPE", "kaggle"), ("COLAB_RELEASE_TAG", "colab"), ("OTHER", "local")],
)
def test_the_platform_is_known_by_its_variable(variable, name, monkeypatch):
    for other in ("KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, "1")
    assert environment.platform_name() == name
