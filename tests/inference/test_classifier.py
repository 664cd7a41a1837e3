"""What the classifier says of photographs, and which files it takes for photographs."""

import os

import cv2
import numpy as np
import pytest

from lesions import data, evaluation, inference
from lesions.classes import CODES
from lesions.data import Patient
from lesions.inference import familiarity
from lesions.networks import models, views


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return inference.Classifier(tiny_model, tta=False)


def test_an_everyday_picture_gets_a_warning_and_a_lesion_none(classifier, demo_metadata, tmp_path):
    china = tmp_path / "china.png"
    cv2.imwrite(str(china), familiarity.everyday_pictures()["china"][..., ::-1])
    photograph = demo_metadata[demo_metadata["split"] == "test"]["image_path"].iloc[0]
    rows = list(classifier.classify([china, tmp_path / "missing.jpg", photograph], batch_size=2))
    assert [tuple(row) for row in rows] == [inference.COLUMNS] * 3
    assert "unlike the dermatoscopic photographs" in rows[0]["warning"]
    assert rows[1]["warning"] == "" and "missing.jpg" in rows[1]["error"]
    assert (rows[2]["warning"], rows[2]["error"]) == ("", "")


def test_decision_heeds_the_stored_prior(tiny_model):
    classifier = inference.Classifier(tiny_model)
    probabilities = np.array([[0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.1]])
    assert classifier.decide(probabilities) == ["nv"]
    classifier.correction = evaluation.Correction(
        class_frequencies=(0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1)
    )
    classifier.details["decision_strength"] = 1.0
    assert classifier.decide(probabilities) == ["mel"]


def test_network_with_patient_input_answers_without_one(tmp_path, demo_metadata):
    model = models.build("cnn", 64, "random", patient=True)
    classifier = inference.Classifier(models.save(model, tmp_path / "patient.h5", {}), tta=False)
    rows = list(classifier.classify(demo_metadata["image_path"].iloc[:2]))
    assert [row["error"] for row in rows] == ["", ""]
    assert sum(rows[0][code] for code in CODES) == pytest.approx(1)


OLD_MAN, NOBODY = Patient(75.0, "male", "ear"), Patient()


def test_age_sex_and_site_are_multiplied_with_the_answer(patient_model, demo_metadata):
    classifier = inference.Classifier(patient_model, tta=False)
    rows = demo_metadata.iloc[:2]
    prepared = np.stack([classifier.prepare(path) for path in rows["image_path"]])
    alone = classifier.probabilities(prepared)
    fusion = evaluation.Fusion.from_details(classifier.details["patient_fusion"])
    expected = fusion.apply(alone, [75, None], ["male", "unknown"], ["ear", "unknown"])
    found = classifier.answer(prepared, [OLD_MAN, NOBODY])
    assert np.allclose(found, expected)
    assert (found[1] == alone[1]).all()
    assert found[0, CODES.index("mel")] > alone[0, CODES.index("mel")] + 0.05


def test_rows_say_what_was_used(patient_model, demo_metadata, tmp_path):
    classifier = inference.Classifier(patient_model, tta=False)
    (tmp_path / "text.jpg").write_text("not an image")
    paths = [str(tmp_path / "text.jpg"), *demo_metadata["image_path"].iloc[:2]]
    rows = list(classifier.classify(paths, 2, {paths[0]: OLD_MAN, paths[2]: OLD_MAN}))
    assert [tuple(row) for row in rows] == [inference.COLUMNS_WITH_PATIENT] * 3
    assert [row["patient"] for row in rows] == ["", "", "age 75, male, ear"]
    alone = list(classifier.classify(paths[1:]))
    assert rows[1]["mel"] == pytest.approx(alone[0]["mel"], abs=1e-6)
    assert rows[2]["mel"] > alone[1]["mel"] + 0.05


def test_a_network_that_takes_patients_itself_is_not_multiplied_as_well(
    patient_model, demo_metadata, tmp_path
):
    details = {"patient_fusion": inference.Classifier(patient_model).details["patient_fusion"]}
    model = models.build("cnn", 64, "random", patient=True, seed=1)
    classifier = inference.Classifier(models.save(model, tmp_path / "own.h5", details), tta=False)
    prepared = classifier.prepare(demo_metadata["image_path"].iloc[0])[np.newaxis]
    features = data.patient_features(data.patients.as_table([OLD_MAN]))
    expected = model.predict_on_batch({"image": prepared.astype(np.float32), "patient": features})
    assert classifier.fusion is None and classifier.takes_patients
    assert np.allclose(classifier.answer(prepared, [OLD_MAN]), expected, atol=1e-5)
    assert not np.allclose(classifier.answer(prepared, [NOBODY]), expected, atol=1e-5)


def test_a_network_without_numbers_for_patients_refuses_them(classifier, one_sentence):
    with pytest.raises(ValueError) as error:
        classifier.require_patients()
    one_sentence(str(error.value).replace("model.h5", "it"), "age, sex and site")


def test_views_change_the_answer(tiny_model, classifier, demo_metadata):
    prepared = classifier.prepare(demo_metadata["image_path"].iloc[0])[np.newaxis]
    whole = inference.Classifier(tiny_model, tta=True).probabilities(prepared)
    assert np.abs(whole - classifier.probabilities(prepared)).max() > 1e-6


def test_features_are_what_the_last_layer_reads(classifier, demo_metadata):
    paths = demo_metadata["image_path"].iloc[:3]
    prepared = np.stack([classifier.prepare(path) for path in paths])
    kernel, bias = classifier.model.get_layer("logits").get_weights()
    scores = np.exp(classifier.features(prepared) @ kernel + bias)
    direct = views.predict(classifier.model, prepared, tta=False)
    assert np.abs(scores / scores.sum(axis=1, keepdims=True) - direct).max() < 1e-4


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_searched_below_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("b.png", "a/c.JPEG", "a/.hidden.jpg", "notes.txt", "a_segmentation.png")
    write(tmp_path / "in", *names)
    found = inference.find_images(["in/notes.txt", "in"])
    assert found == ["in/notes.txt", "in/a/c.JPEG", "in/b.png"]


def test_what_other_systems_leave_is_no_photograph(tmp_path):
    leavings = ("._a.jpg", ".thumbnails/a.jpg", "@eaDir/a.jpg/SYNOPHOTO.jpg", "__MACOSX/._a.jpg")
    write(tmp_path, "a.jpg", *leavings)
    assert inference.find_images([tmp_path]) == [str(tmp_path / "a.jpg")]


def test_links_are_followed_once_and_pipes_are_left_out(tmp_path):
    write(tmp_path, "in/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    found = inference.find_images([tmp_path / "in"])
    assert found == [str(tmp_path / "in" / name) for name in ("a.jpg", "linked/b.jpg")]


def test_a_folder_without_photographs_is_an_error(tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        inference.find_images([tmp_path])
    one_sentence(str(error.value).replace(".jpg, .jpeg and .png", "photographs"), tmp_path)
