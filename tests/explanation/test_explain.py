"""Heat maps against results computed by hand and against an independent library."""

import importlib.util

import cv2
import keras
import numpy as np
import pytest

from lesions import explanation
from lesions.classes import CODES
from lesions.explanation import explainer

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="heat maps need the TensorFlow backend"
)


def heat_maps(model, images, target_classes=None, method="grad_cam", layers=None, patient=None):
    """Explain by an explainer made for this call alone."""
    layers = [layers] if isinstance(layers, str) else layers
    return explanation.Explainer(model, layers)(images, target_classes, method, patient)


def pictures(number=3, size=32, seed=0):
    """Return noise, uint8 (number, size, size, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (number, size, size, 3), dtype=np.uint8)


def ending(features):
    """Add the two last layers that all models of this study share."""
    logits = keras.layers.Dense(7, name="logits")(features)
    return keras.layers.Softmax(name="probabilities")(logits)


def convolution(name, stride=1, activation="relu", filters=6):
    return keras.layers.Conv2D(
        filters, 3, strides=stride, padding="same", activation=activation, name=name
    )


def pooled_model(seed=1):
    """Convolutions, global average pooling, a dense layer: the case of the papers."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((32, 32, 3), name="image")
    features = keras.layers.Rescaling(1 / 255)(image)
    features = convolution("first", stride=2)(features)
    features = convolution("last", stride=2)(features)
    return keras.Model(image, ending(keras.layers.GlobalAveragePooling2D()(features)))


def spatial_model(seed=1):
    """Without global pooling, so that the gradient differs from place to place."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((32, 32, 3), name="image")
    features = keras.layers.Rescaling(1 / 255)(image)
    features = convolution("last", stride=4)(features)
    return keras.Model(image, ending(keras.layers.Flatten()(features)))


def two_branch_model(patient=False, seed=1):
    """Two branches, one with a skip connection, and on demand a patient input."""
    keras.utils.set_random_seed(seed)
    inputs = [keras.Input((32, 32, 3), name="image")]
    scaled = keras.layers.Rescaling(1 / 255)(inputs[0])
    left = convolution("left_first", stride=2)(scaled)
    left = keras.layers.Add()([left, convolution("left_last", activation=None)(left)])
    right = convolution("right_last", stride=8)(scaled)
    pooled = [keras.layers.GlobalAveragePooling2D()(branch) for branch in (left, right)]
    if patient:
        inputs.append(keras.Input((4,), name="patient"))
        pooled.append(keras.layers.Dense(3, activation="relu")(inputs[1]))
    features = keras.layers.Concatenate()(pooled)
    features = keras.layers.Dense(8, activation="relu")(features)
    return keras.Model(inputs, ending(keras.layers.Dropout(0.3)(features)))


def enlarged(maps, size=32):
    maps = np.stack([cv2.resize(np.maximum(small, 0), (size, size)) for small in maps])
    return maps / maps.max(axis=(1, 2), keepdims=True)


def values_of(model, name, images):
    layer = keras.Model(model.inputs, model.get_layer(name).output)
    return np.asarray(layer([images.astype("float32")]))


@needs_tensorflow
def test_grad_cam_of_a_pooled_model_is_the_sum_weighted_by_the_dense_kernel():
    model, images, labels = pooled_model(), pictures(), [4, 0, 6]
    kernel = np.asarray(model.get_layer("logits").kernel)
    activations = values_of(model, "last", images)
    by_hand = np.einsum("nhwk,kn->nhw", activations, kernel[:, labels])
    maps = heat_maps(model, images, labels, layers=["last"])
    assert maps.shape == (3, 32, 32) and maps.dtype == np.float32
    np.testing.assert_allclose(maps, enlarged(by_hand), atol=1e-5)


@needs_tensorflow
def test_a_bright_square_that_alone_speaks_for_melanoma_is_found_in_its_place():
    image = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Conv2D(1, 1, name="last", kernel_initializer="ones")(image)
    model = keras.Model(image, ending(keras.layers.GlobalAveragePooling2D()(features)))
    kernel = np.zeros((1, 7), np.float32)
    kernel[0, CODES.index("mel")], kernel[0, CODES.index("nv")] = 2.0, -1.0
    model.get_layer("logits").set_weights([kernel, np.zeros(7, np.float32)])
    images = np.zeros((1, 8, 8, 3), np.uint8)
    images[0, 1:3, 4:7] = 200
    for method in explanation.METHODS:
        found = heat_maps(model, images, "mel", method, "last")[0]
        np.testing.assert_allclose(found, images[0, ..., 0] / 200, atol=1e-6)
        assert not heat_maps(model, images, "nv", method, "last").any()


@needs_tensorflow
def test_hires_cam_equals_grad_cam_after_global_pooling_and_differs_without():
    images = pictures()
    for model, same in ((pooled_model(), True), (spatial_model(), False)):
        plain = heat_maps(model, images, 4, "grad_cam", ["last"])
        hires = heat_maps(model, images, 4, "hires_cam", ["last"])
        assert np.allclose(plain, hires, atol=1e-5) == same


@needs_tensorflow
def test_hires_cam_and_grad_cam_plus_plus_follow_the_papers():
    model, images, label = spatial_model(), pictures(), 2
    activations = values_of(model, "last", images)
    kernel = np.asarray(model.get_layer("logits").kernel)[:, label]
    gradients = np.broadcast_to(kernel.reshape(activations.shape[1:]), activations.shape)
    maps = heat_maps(model, images, label, "hires_cam", "last")
    np.testing.assert_allclose(maps, enlarged((gradients * activations).sum(-1)), atol=1e-5)

    # The paper's three derivatives of exp(logit), written out.
    logits = values_of(model, "logits", images)[:, label].reshape(-1, 1, 1, 1)
    first, second, third = (np.exp(logits) * gradients**power for power in (1, 2, 3))
    total = activations.sum(axis=(1, 2), keepdims=True)
    weights = (second / (2 * second + total * third) * np.maximum(first, 0)).sum(axis=(1, 2))
    expected = np.einsum("nhwk,nk->nhw", activations, weights)
    maps = heat_maps(model, images, label, "grad_cam_plus_plus", "last")
    np.testing.assert_allclose(maps, enlarged(expected), atol=1e-5)


@needs_tensorflow
def test_agrees_with_tf_keras_vis():
    if importlib.util.find_spec("tf_keras_vis") is None:
        pytest.skip("tf-keras-vis is not installed")
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    model, images, labels = spatial_model(), pictures(), [1, 5, 3]
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    oracle = Gradcam(logits, clone=False)(
        CategoricalScore(labels),
        images.astype("float32"),
        penultimate_layer="last",
        expand_cam=False,
        normalize_cam=False,
    )
    maps = heat_maps(model, images, labels, layers="last")
    np.testing.assert_allclose(maps, enlarged(np.asarray(oracle)), atol=1e-5)


@needs_tensorflow
def test_the_target_class_is_the_predicted_one_unless_named():
    model, images = pooled_model(), pictures(4)
    predicted = np.asarray(model(images.astype("float32"))).argmax(axis=1)
    default = heat_maps(model, images, layers="last")
    np.testing.assert_array_equal(default, heat_maps(model, images, predicted, layers="last"))
    codes = [CODES[label] for label in predicted]
    np.testing.assert_array_equal(default, heat_maps(model, images, codes, layers="last"))
    other = (predicted[0] + 1) % 7
    assert np.abs(default - heat_maps(model, images, int(other), layers="last")).max() > 0.1


@needs_tensorflow
def test_chunks_and_compilation_change_nothing(monkeypatch):
    model, images = two_branch_model(), pictures(7)
    names = ["left_last", "right_last"]
    whole = heat_maps(model, images, layers=names)
    monkeypatch.setattr(explainer, "CHUNK", 3)
    np.testing.assert_allclose(heat_maps(model, images, layers=names), whole, atol=1e-5)
    monkeypatch.setattr(explainer, "COMPILE_ABOVE", 7)
    np.testing.assert_allclose(heat_maps(model, images, layers=names), whole, atol=1e-5)
    assert heat_maps(model, images[:0], layers=names).shape == (0, 32, 32)


@needs_tensorflow
@pytest.mark.parametrize("method", explanation.METHODS)
def test_two_branches_a_patient_input_and_frozen_weights(method):
    model = two_branch_model(patient=True)
    model.trainable = False
    images, patient = pictures(), np.random.default_rng(2).random((3, 4))
    both = heat_maps(model, images, 4, method, ["left_last", "right_last"], patient)
    left, right = (
        heat_maps(model, images, 4, method, name, patient) for name in ("left_last", "right_last")
    )
    assert np.isfinite(both).all() and both.min() >= 0
    assert left.any() and right.any() and not np.allclose(left, right, atol=0.1)
    for row in range(3):
        mean = (left[row] + right[row]) / 2
        np.testing.assert_allclose(both[row], mean / mean.max(), atol=1e-5)


@needs_tensorflow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": pictures()[0]}, "add a batch axis"),
        ({"images": pictures(size=16)}, r"the model reads \(n, 32, 32, 3\)"),
        ({"images": pictures() / 255}, "undo the scaling"),
        ({"images": np.full((1, 32, 32, 3), np.nan)}, "from 0 to 255"),
        ({"target_classes": "melanoma"}, "'melanoma'.*as a code of akiec"),
        ({"target_classes": 7}, "or its label"),
        ({"target_classes": [1, 2]}, "one for each of the 3"),
        ({"method": "score_cam"}, "use one of grad_cam"),
        ({"layers": "first_one"}, "first_one"),
        ({"layers": "logits"}, "'logits', which does not lead to 'logits'"),
        ({"patient": np.zeros((3, 4))}, "None to any other"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    arguments = {"images": pictures(), "layers": "last", **change}
    with pytest.raises(ValueError, match=message):
        heat_maps(pooled_model(), **arguments)


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="set KERAS_BACKEND=tensorflow"):
        heat_maps(None, pictures())


@needs_tensorflow
def test_an_explainer_is_compiled_once_and_kept():
    model, images = pooled_model(), pictures(6)
    kept = explanation.Explainer(model, ["last"])
    one_by_one = np.concatenate([kept(images[[row]], 4) for row in range(6)])
    np.testing.assert_allclose(one_by_one, heat_maps(model, images, 4, layers="last"), atol=1e-5)
    # Pictures that come one at a time, as in the app, count together.
    function = kept._compiled
    assert function is not None
    kept(images, 2)
    assert kept._compiled is function


def test_overlay_shows_the_picture_where_the_map_is_cold():
    image = np.full((4, 6, 3), 100, np.uint8)
    heat = np.zeros((4, 6), np.float32)
    heat[1, 2] = 1.0
    laid = explanation.overlay(image, heat)
    assert laid.dtype == np.uint8 and laid.shape == image.shape
    changed = (laid != image).any(axis=-1)
    assert changed[1, 2] and changed.sum() == 1
    yellow = np.array([253, 231, 37])  # the upper end of viridis, in RGB order
    np.testing.assert_allclose(laid[1, 2], 0.55 * 100 + 0.45 * yellow, atol=3)
    np.testing.assert_array_equal(explanation.overlay(image, heat, opacity=0), image)
    assert explanation.overlay(image, heat[:2, :3]).shape == image.shape
    with pytest.raises(ValueError, match="float64"):
        explanation.overlay(image / 255, heat)


def test_three_panels_name_the_classes_and_give_credit():
    import matplotlib.pyplot as plt

    image, heat = pictures(1)[0], np.eye(32, dtype=np.float32)
    figure = explanation.three_panels(image, heat, "mel", "nv", 0.62, credit="Synthetic demo image")
    assert figure.get_suptitle() == (
        "True: melanoma (mel) · Predicted: melanocytic nevus (nv), 62%"
    )
    assert figure.get_supxlabel().startswith("Synthetic demo image. ")
    assert "Not for clinical use" in figure.get_supxlabel()
    plt.close(figure)
    figure = explanation.three_panels(image, heat, None, "nv", 1.0, explained_code="mel")
    assert figure.get_suptitle() == "Predicted: melanocytic nevus (nv), 100% · Heat map for: mel"
    plt.close(figure)


def test_save_example_writes_a_whole_jpeg_and_nothing_else(tmp_path):
    import matplotlib.pyplot as plt

    open_before = plt.get_fignums()
    arguments = (pictures(1)[0], np.eye(32, dtype=np.float32), "akiec", "bkl", 0.5)
    path = explanation.save_example(tmp_path / "new" / "akiec_gradcam.jpg", *arguments)
    assert cv2.imread(str(path)).shape == (390, 1000, 3)
    assert [file.name for file in path.parent.iterdir()] == ["akiec_gradcam.jpg"]
    assert plt.get_fignums() == open_before
