"""Every architecture: its ends, its preprocessing, its weights and its file."""

import functools
import urllib.request

import keras
import numpy as np
import pytest
from keras import layers

from lesions import classes, data, explanation
from lesions.networks import initial_weights, models

QUICK = ("cnn", "resnet18")
SIZE = 64
BLOCK = np.random.default_rng(1).standard_normal(4093).astype(np.float32)


def eager(model, images, patient=None):
    """Probabilities without tracing a graph, which would take longer than the test."""
    inputs = np.asarray(images, dtype=np.float32)
    inputs = inputs if patient is None else {"image": inputs, "patient": patient}
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def pictures(count=3, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def first_convolutions(model):
    """The convolutions in front of which there is no other, one a branch."""
    found = {}
    for layer in model.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        source = layer.input._keras_history.operation
        while not isinstance(source, (layers.InputLayer, layers.Conv2D)):
            source = source.input
            source = (source[0] if isinstance(source, list) else source)._keras_history.operation
            if isinstance(source, layers.Add):
                break
        if isinstance(source, layers.InputLayer):
            found[layer.name] = layer
    return list(found.values())


def expected_range(branch, value):
    """What a grey picture of this value must be when it reaches a branch's first kernel."""
    if branch == "cnn":
        return np.full(3, value / 127.5 - 1)
    if branch == "resnet50":
        return value - np.array([123.68, 116.779, 103.939])
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return (value / 255 - mean) / deviation


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in models.ARCHITECTURES
    ],
)
def test_architecture(name, tmp_path):
    """One build for all checks, because building a DenseNet takes seconds."""
    model = models.build(name, SIZE, weights="random")
    assert model.initial_weights.endswith("random") and model.pretrained_layers == []

    # One flat graph with the same two ends.
    assert not any(isinstance(layer, (keras.Model, layers.Lambda)) for layer in model.layers)
    assert isinstance(model.get_layer("logits"), layers.Dense)
    assert model.layers[-1].name == "probabilities" and model.output.dtype == "float32"
    branches = models.BRANCHES[name]
    shown = models.last_convolutions(model)
    assert len(shown) == len(branches)
    assert all(len(model.get_layer(layer).output.shape) == 4 for layer in shown)

    # The range that reaches the first kernel of every branch.
    convolutions = first_convolutions(model)
    assert len(convolutions) == len(branches)
    convolutions.sort(key=lambda layer: not layer.name.startswith("cnn_"))
    for branch, convolution in zip(branches, convolutions, strict=True):
        front = keras.Model(model.input, convolution.input)
        for value in (0.0, 127.5, 255.0):
            reached = eager(front, np.full((1, SIZE, SIZE, 3), value))
            middle = reached[0, SIZE // 2, SIZE // 2]
            assert np.allclose(middle, expected_range(branch, value), atol=2e-3), (branch, value)

    # The same probabilities after a round trip through .h5, with non-trivial statistics.
    for number, layer in enumerate(model.layers):
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, beta, mean + 0.01, variance * 1.1])
        elif layer.weights and not isinstance(layer, layers.Normalization):
            # Numbers that repeat are packed in no time; every layer begins elsewhere in them.
            kernel, *others = layer.get_weights()
            repeated = np.resize(np.roll(BLOCK, 7 * number), kernel.shape) * kernel.std()
            if layer.name == "logits":  # of the first class: what speaks for it has a heat map
                repeated[:, 0] = np.abs(repeated[:, 0])
            layer.set_weights([repeated, *others])
    probabilities = eager(model, pictures())
    assert probabilities.shape == (3, 7) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    path = models.save(model, tmp_path / "new" / f"{name}.h5", {"decision_strength": 0.5})
    again, details = models.load(path)
    assert np.abs(eager(again, pictures()) - probabilities).max() <= 1e-5
    for kept, read in zip(model.weights, again.weights, strict=True):
        # A random EfficientNet answers the same to every picture, so look at the weights too.
        assert np.array_equal(kept.numpy(), read.numpy()), kept.path
    assert models.last_convolutions(again) == shown
    assert details["architecture"] == name and details["image_size"] == SIZE
    assert details["classes"] == list(classes.CODES) and details["decision_strength"] == 0.5
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    if keras.backend.backend() == "tensorflow":
        same_heat_maps(model, again)


def same_heat_maps(model, again):
    """Check that heat maps are whole, not empty, and the same of a network that was read back."""
    explainers = explanation.Explainer(model), explanation.Explainer(again)
    # In an untrained network nothing may speak for the first class, either.
    maps = (explainers[0](pictures(1), code) for code in classes.CODES)
    code, fresh = next(found for found in zip(classes.CODES, maps, strict=True) if found[1].any())
    assert fresh.shape == (1, SIZE, SIZE) and np.isfinite(fresh).all()
    np.testing.assert_allclose(explainers[1](pictures(1), code), fresh, atol=1e-3)


def test_same_seed_gives_the_same_network():
    first, second, third = (models.build("cnn", SIZE, "random", seed=seed) for seed in (1, 1, 2))
    expected = eager(first, pictures())
    assert np.array_equal(eager(second, pictures()), expected)
    assert not np.allclose(eager(third, pictures()), expected, atol=1e-4)


def test_patient_branch(tmp_path):
    model = models.build("cnn", SIZE, "random", patient=True)
    assert [tensor.name for tensor in model.inputs] == ["image", "patient"]
    random = np.random.default_rng(0)
    first, second = random.random((2, 3, data.PATIENT_FEATURES), dtype=np.float32)
    probabilities = eager(model, pictures(), first)
    assert np.abs(eager(model, pictures(), second) - probabilities).max() > 1e-3
    again, _ = models.load(models.save(model, tmp_path / "patient.h5", {}))
    assert np.abs(eager(again, pictures(), first) - probabilities).max() <= 1e-5


def test_own_batch_normalisation_follows_short_epochs():
    model = models.build("resnet18", SIZE, "random")
    found = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(found) == 20 and {layer.momentum for layer in found} == {0.9}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("vgg16",), ("'vgg16'", "densenet121")),
        (("cnn", 31), ("31", "32")),
        (("cnn", 64, "noisy"), ("'noisy'", "available")),
        (("cnn", 64, "imagenet"), ("'cnn'", "random")),
    ],
)
def test_bad_arguments(arguments, words, one_sentence):
    with pytest.raises(ValueError) as error:
        models.build(*arguments)
    one_sentence(error, *words)


# What networks cost


def test_summary_table():
    table = models.summary_table(("cnn", "resnet18"), image_size=SIZE)
    assert table.index.tolist() == ["cnn", "resnet18"]
    # ResNet18 as published has 11.18 million parameters without its 1000-class layer.
    assert table["parameters"]["resnet18"] == pytest.approx(11.18, abs=0.02)
    assert np.allclose(table["megabytes"], 4 * table["parameters"])
    # 1.8 billion multiplications at 224 px, two operations each.
    assert table["gigaflops"]["resnet18"] == pytest.approx(3.6 * (SIZE / 224) ** 2, rel=0.1)
    assert table["feature_maps"]["cnn"] == "cnn_block4_2_relu"


# ImageNet weights


@pytest.fixture(scope="module")
def failures():
    """Constructor to how it first failed to get its weights, before which it builds its network."""
    return {}


@pytest.fixture
def no_download(monkeypatch, tmp_path, failures):
    """Let Keras find no weights of its own and no way to any, and fail the second time at once."""
    for constructor, _ in initial_weights.PRETRAINED.values():
        build = getattr(keras.applications, constructor)
        once = functools.partial(build_once, failures, build)
        monkeypatch.setattr(keras.applications, constructor, once)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nothing listens
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    # urllib would keep the proxy for all later tests of this process.
    monkeypatch.setattr(urllib.request, "_opener", None)


def build_once(failures, build, weights, **options):
    if weights != "imagenet":
        return build(weights=weights, **options)
    if build not in failures:
        with pytest.raises(Exception) as error:
            build(weights=weights, **options)
        failures[build] = error.value
    raise failures[build]


def test_weights_that_cannot_be_had(no_download, monkeypatch, one_sentence, any_network):
    monkeypatch.delenv("PRETRAINED_DIR", raising=False)
    file_name = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with pytest.raises(ValueError) as error:
        initial_weights.load(any_network, "resnet50", "imagenet")
    one_sentence(error, "resnet50", file_name, "PRETRAINED_DIR", "'available'")
    assert initial_weights.load(any_network, "resnet50", "available") == ("random", [])


@pytest.fixture(scope="module")
def any_network():
    return models.build("cnn", SIZE, "random")


@pytest.mark.parametrize("weights", ["imagenet", "available"])
@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(500)])
@pytest.mark.parametrize("branch", ["resnet50", "efficientnetb0"])
def test_damaged_local_weights(
    no_download, monkeypatch, tmp_path, one_sentence, any_network, branch, content, weights
):
    name = initial_weights.PRETRAINED[branch][1]
    if branch == "efficientnetb0" and weights == "available":
        name = initial_weights.LITE0_FILE  # which stands in for the missing weights
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("PRETRAINED_DIR", str(tmp_path))
    with pytest.raises(ValueError) as error:
        initial_weights.load(any_network, branch, weights)
    one_sentence(error, tmp_path / name, "damaged")


def test_local_weights_of_another_network(
    no_download, monkeypatch, tmp_path, one_sentence, any_network
):
    name = initial_weights.PRETRAINED["resnet50"][1]
    models.save(any_network, tmp_path / name, {})
    monkeypatch.setenv("PRETRAINED_DIR", str(tmp_path))
    with pytest.raises(ValueError) as error:
        initial_weights.load(any_network, "resnet50", "available")
    one_sentence(error, tmp_path / name, "resnet50")


@pytest.fixture
def donors(monkeypatch):
    """The networks that Keras' own constructors return while a test runs, and their files."""
    kept = {}

    def keep(name, build, **options):
        network = build(**options)
        if options["weights"]:
            kept[name] = network, options["weights"]
        return network

    for name, _ in initial_weights.PRETRAINED.values():
        build = functools.partial(keep, name, getattr(keras.applications, name))
        monkeypatch.setattr(keras.applications, name, build)
    return kept


def pooled(model, images):
    features = next(
        layer.output for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling2D)
    )
    return eager(keras.Model(model.input, features), images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "resnet50"])
def test_pretrained_features_equal_keras_own(pretrained, donors, name):
    constructor, file_name = initial_weights.PRETRAINED[name]
    if not (pretrained / file_name).exists():
        pytest.skip(f"PRETRAINED_DIR has no {file_name}")
    model = models.build(name, SIZE, "imagenet")
    assert model.initial_weights == "imagenet" and len(model.pretrained_layers) > 100
    preprocess = getattr(keras.applications, "densenet" if name == "densenet121" else "resnet")
    reference, path = donors[constructor]
    assert path == str(pretrained / file_name)
    expected = eager(reference, preprocess.preprocess_input(pictures().copy()))
    expected = expected.mean(axis=(1, 2))
    assert np.abs(expected).max() > 0.1
    assert np.allclose(pooled(model, pictures()), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_densenet169_from_densenet121(pretrained, no_download, donors):
    file_name = initial_weights.PRETRAINED["densenet121"][1]
    if not (pretrained / file_name).exists():
        pytest.skip(f"PRETRAINED_DIR has no {file_name}")
    if (pretrained / initial_weights.PRETRAINED["densenet169"][1]).exists():
        pytest.skip("PRETRAINED_DIR has DenseNet169's own weights")
    model = models.build("densenet169", SIZE, "available")
    assert model.initial_weights == "imagenet (densenet121 layers)"
    copied = set(model.pretrained_layers)
    assert 150 < len(copied) < sum(bool(layer.weights) for layer in model.layers)
    donor, path = donors["DenseNet121"]
    assert path == str(pretrained / file_name)
    for layer in donor.layers:
        if layer.name in copied:
            pairs = zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True)
            assert all(np.array_equal(first, second) for first, second in pairs)
    # The three blocks that both have alike are whole, up to what DenseNet169 has more of.
    assert {"conv1_conv", "conv2_block6_2_conv", "conv3_block12_2_conv"} <= copied
    assert "conv4_block25_1_conv" not in copied and "logits" not in copied
