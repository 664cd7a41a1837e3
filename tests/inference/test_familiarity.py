"""Whether pictures unlike the training's are told apart, and by a file that fits the network."""

import copy
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lesions import data, inference
from lesions.data import images
from lesions.inference import familiarity
from lesions.networks import models


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return inference.Classifier(tiny_model, tta=False)


@pytest.fixture(scope="module")
def fitted(classifier):
    found, problem = familiarity.find_for(classifier)
    assert problem == ""
    return found


@pytest.fixture(scope="module")
def photograph(demo_metadata):
    return images.read_image(demo_metadata[demo_metadata["split"] == "test"]["image_path"].iloc[0])


def warned(fitted, classifier, picture):
    return " ".join(familiarity.warnings(fitted, classifier, picture, classifier.prepare(picture)))


@pytest.mark.parametrize("missing", ["train", "validation", "test"])
def test_photographs_without_a_split_are_refused(classifier, demo_metadata, missing, one_sentence):
    others = demo_metadata[demo_metadata["split"] != missing]
    with pytest.raises(ValueError) as error:
        familiarity.fit(classifier, others)
    one_sentence(error, missing)


def test_everyday_pictures_are_far_even_for_an_untrained_network(fitted):
    assert fitted.measured["unlike_auc"] > 0.95
    assert fitted.measured["unlike_found"] >= 0.75  # of few pictures
    assert fitted.measured["unlike_false"] < 0.2
    assert fitted.measured["other_images"] >= 2


def test_each_fault_gets_its_own_sentence(fitted, classifier, photograph):
    assert warned(fitted, classifier, photograph) == ""
    soft = cv2.GaussianBlur(photograph, (0, 0), min(photograph.shape[:2]) / 30)
    assert "blurred" in warned(fitted, classifier, soft)
    tiny = cv2.resize(photograph, (40, 30), interpolation=cv2.INTER_AREA)
    assert "tiny: 30 pixels" in warned(fitted, classifier, tiny)
    china = familiarity.everyday_pictures()["china"]
    assert "unlike the dermatoscopic photographs" in warned(fitted, classifier, china)
    assert "tiny" in warned(None, classifier, tiny)


def test_sharpness_falls_with_blur(photograph):
    found = [
        familiarity.sharpness(cv2.GaussianBlur(photograph, (0, 0), sigma)) for sigma in (0.5, 2, 6)
    ]
    assert found[0] > found[1] > found[2]


def test_file_is_read_back(fitted, tmp_path):
    again = familiarity.load(fitted.save(tmp_path / "familiarity.npz"))
    random = np.random.default_rng(0)
    features = fitted.centre + random.normal(0, 1, (5, len(fitted.centre))).astype(np.float32)
    assert np.abs(again.distances(features) - fitted.distances(features)).max() < 5e-3
    assert (again.model, again.far, again.measured) == (fitted.model, fitted.far, fitted.measured)
    assert [path.name for path in tmp_path.iterdir()] == ["familiarity.npz"]


def test_a_file_of_another_network_is_named_not_used(fitted, tiny_model, tmp_path, one_sentence):
    model, details = models.load(tiny_model)
    weights = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([weights[0] + 1, weights[1]])
    retrained = inference.Classifier(models.save(model, tmp_path / "model.h5", details))
    found, problem = familiarity.find_for(retrained)
    assert found is None and "no familiarity.npz" in problem
    fitted.save(tmp_path / familiarity.FILE)
    found, problem = familiarity.find_for(retrained)
    assert found is None
    one_sentence(problem.replace("familiarity.npz", ""), fitted.model, "lesions familiarity")
    (tmp_path / familiarity.FILE).write_bytes(b"PK torn")
    found, problem = familiarity.find_for(retrained)
    assert found is None and "not a valid" in problem


def test_a_damaged_file_is_named_not_used(fitted, classifier, tmp_path):
    whole = fitted.save(tmp_path / "whole.npz")
    content, known, refused = whole.read_bytes(), familiarity.load(whole), 0
    own = copy.copy(classifier)
    own.path = tmp_path / "model.h5"
    for place in range(40, len(content), len(content) // 12):
        damaged = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        (tmp_path / familiarity.FILE).write_bytes(damaged)
        found, problem = familiarity.find_for(own)
        if found is None:
            refused += 1
            assert "is not a valid familiarity file" in problem
        else:  # a byte that nothing reads
            assert np.array_equal(found.known, known.known) and found.far == known.far
    assert refused


def test_features_come_from_three_resolutions_of_any_network():
    network = models.build("resnet18", 64, "random")
    classifier = SimpleNamespace(model=network, patient_input=lambda number: None)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = familiarity.features_of(classifier, pictures)
    assert features.shape == (2, 64 + 128 + 256)  # maps of 16, 8 and 4 pixels
    assert np.isfinite(features).all()
    for part in np.split(features, [64, 192], axis=1):
        assert (part[0] != part[1]).any()


COMMITTED = inference.BEST_MODEL.with_name(familiarity.FILE)


def test_committed_file_belongs_to_the_best_model_and_works(best_classifier):
    found, problem = familiarity.find_for(best_classifier)
    assert problem == ""
    assert COMMITTED.stat().st_size < 2_000_000
    assert found.measured["unlike_auc"] > 0.95 and found.measured["other_images"] > 20
    assert found.measured["blurred_auc"] > 0.95


def test_committed_file_holds_on_fresh_pictures(best_classifier, ham10000_table):
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    found, _ = familiarity.find_for(best_classifier)
    rows = data.with_split(ham10000_table)
    rows = rows[rows["split"] == "test"].sample(24, random_state=7)
    others = list(familiarity.everyday_pictures().values())[:12]
    own = [images.read_image(path) for path in rows["image_path"]]
    false = sum("unlike" in warned(found, best_classifier, picture) for picture in own)
    true = sum("unlike" in warned(found, best_classifier, picture) for picture in others)
    assert true >= 8 and false <= 2
