"""The assessment of a picture, the same by every way of asking."""

import asyncio
import dataclasses
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesions import classes, explanation, export, inference
from lesions.classes import CODES
from lesions.cli import command_line
from lesions.data import Patient
from lesions.evaluation import predictions
from lesions.export import comparison
from lesions.networks import description, models, views
from lesions.serving import Assessor, report, site, table, track_record


@pytest.fixture(scope="module")
def assessor(tiny_model):
    return Assessor(tiny_model)


@pytest.fixture(scope="module")
def paths(demo_metadata):
    return demo_metadata["image_path"].iloc[:3].tolist()


@pytest.fixture(scope="module")
def expected(tiny_model, paths):
    """What the classifier predicts for three photographs, by eight views."""
    rows = list(inference.Classifier(tiny_model).classify(paths))
    return np.array([[row[code] for code in CODES] for row in rows])


@pytest.fixture(scope="module")
def lite_files(tiny_model, lite_file, tmp_path_factory):
    """The tiny network as TensorFlow Lite, in three precisions."""
    folder = tmp_path_factory.mktemp("lite")
    files = {precision: folder / f"{precision}.tflite" for precision in export.PRECISIONS}
    shutil.copy(lite_file, files["float32"])
    shutil.copy(description.beside(lite_file), description.beside(files["float32"]))
    network = models.load(tiny_model)
    for precision in ("float16", "int8"):
        _, checked = export.export(*network, "tflite", files[precision], precision)
        assert checked.startswith("Checked")
    return files


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_the_assessor_predicts_what_the_classifier_predicts(assessor, paths, expected):
    found = [assessor.assess(read(path), "a.jpg").probabilities for path in paths]
    assert np.abs(found - expected).max() < 1e-4


def test_the_command_line_predicts_it(tiny_model, paths, expected, tmp_path):
    arguments = ["predict", *paths, "--output", str(tmp_path / "a.csv")]
    assert command_line.main([*arguments, "--model", str(tiny_model)]) == 0
    found = pd.read_csv(tmp_path / "a.csv")[list(CODES)].to_numpy()
    assert np.abs(found - expected).max() < 1e-4


def test_the_service_predicts_it(assessor, paths, expected):
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    pytest.importorskip("fastapi", reason="fastapi is not installed; see requirements-app.txt")
    from lesions.serving import service

    app = service.make_service(assessor)

    async def send(path):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            reply = await client.post("/predict", files={"file": ("a.jpg", read(path))})
            return list(reply.json()["probabilities"].values())

    found = [asyncio.run(send(path)) for path in paths]
    assert np.abs(np.array(found) - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-4), ("float16", 1e-2), ("int8", 2e-2)]
)
def test_tensorflow_lite_predicts_it(lite_files, paths, expected, precision, tolerance):
    rows = list(inference.Classifier(lite_files[precision]).classify(paths))
    found = np.array([[row[code] for code in CODES] for row in rows])
    assert np.abs(found - expected).max() < tolerance
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-6


def test_onnx_predicts_it(tiny_model, paths, expected, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    classifier = inference.Classifier(tiny_model)
    path, _ = export.export(classifier.model, classifier.details, "onnx", tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(path)
    prepared = np.stack([classifier.prepare(one) for one in paths])
    shown = [
        session.run(None, {"image": views.view(prepared, number).astype(np.float32)})[0]
        for number in range(views.VIEWS)
    ]
    described = json.loads((tmp_path / "a.onnx.json").read_text())
    raw = np.mean(shown, axis=0)
    from lesions import evaluation

    found = evaluation.Correction.from_details(described["correction"]).apply(raw)
    assert np.abs(found - expected).max() < 1e-4


def test_smaller_precision_is_a_smaller_file(tiny_model, lite_files):
    whole = 4 * inference.Classifier(tiny_model).model.count_params()
    for precision, share in {"float32": 1.0, "float16": 0.55, "int8": 0.35}.items():
        assert lite_files[precision].stat().st_size < share * whole + 100_000


def test_table_of_exports(tiny_model, lite_files, demo_metadata, monkeypatch):
    monkeypatch.setattr(comparison, "REPEATS", 3)
    rows = demo_metadata.iloc[:20]
    classifier = inference.Classifier(tiny_model)
    prepared = np.stack([classifier.prepare(path) for path in rows["image_path"]])
    labels = rows["dx"].map(CODES.index).to_numpy()
    table = export.compare(classifier, lite_files, prepared, labels)
    assert table.index.tolist() == ["Keras (.h5)", *export.PRECISIONS]
    assert table.loc["float32", "largest_difference"] < 1e-4
    same = table["balanced_accuracy"].iloc[:2]
    assert same.nunique() == 1 and table["balanced_accuracy"].between(0, 1).all()
    assert (table["milliseconds"].iloc[1:] > 0).all()


def test_lite_file_without_its_description_is_refused(lite_files, tmp_path, one_sentence):
    lonely = tmp_path / "lonely.tflite"
    lonely.write_bytes(lite_files["float32"].read_bytes())
    with pytest.raises(ValueError) as error:
        inference.Classifier(lonely)
    one_sentence(str(error.value).replace("lonely.tflite.json", "it"), "export")
    described = lite_files["float32"].with_name("float32.tflite.json").read_text()
    lonely.with_name("lonely.tflite.json").write_text(described)
    for wrong in ({"image_size": 96}, {"patient": True}):
        changed = {**json.loads(described), **wrong}
        lonely.with_name("lonely.tflite.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match="are not those that lonely.tflite.json records"):
            inference.Classifier(lonely)
    lonely.with_name("lonely.tflite.json").write_text(described)
    lonely.write_bytes(b"text")
    with pytest.raises(ValueError, match="is not the file that lonely.tflite.json describes"):
        inference.Classifier(lonely)


def test_a_run_folder_is_a_model(tiny_model):
    assert inference.Classifier(tiny_model.parent).path == tiny_model


def test_too_large_a_picture_is_refused_unread(assessor, one_sentence):
    with pytest.raises(ValueError) as error:
        assessor.assess(bytes(40_000_000), "large")
    one_sentence(error, "large has 40 MB, over the limit of 20 MB")


def test_table_has_one_row_a_picture(assessor, paths):
    found = [assessor.assess(read(path), f"{number}.jpg") for number, path in enumerate(paths)]
    rows = table(found)
    assert rows["image"].tolist() == ["0.jpg", "1.jpg", "2.jpg"]
    malignant = rows[list(classes.MALIGNANT)].sum(axis=1)
    assert np.allclose(rows["malignant"], malignant)


def test_report_is_one_page_with_the_picture_in_it(assessor, paths):
    assessment = assessor.assess(read(paths[0]), "a$b_{c\ud800\n.jpg")
    heat_map = assessor.heat_map(assessment)
    pages = []
    for sentences in ([], ["A sentence on testing."]):
        page = report.one_page(assessment, heat_map, "mel", sentences, "cnn")
        pages.append(np.asarray(Image.open(io.BytesIO(page)).convert("RGB")))
    assert pages[0].shape == (1402, 992, 3)
    assert (pages[0] != pages[1]).any()
    patient = Patient(62.0, "female", "lower extremity")
    picture = dataclasses.replace(assessment.picture, patient=patient)
    given = dataclasses.replace(assessment, picture=picture)
    page = report.one_page(given, heat_map, "mel", [], "cnn")
    changed = (np.asarray(Image.open(io.BytesIO(page)).convert("RGB")) != pages[0]).any(axis=2)
    assert changed[150:190].any() and not changed[200:].any()  # the line below the class
    assert not changed[:, 950:].any()  # which ends on the page
    red, blue = assessment.picture.shown.reshape(-1, 3).mean(axis=0)[[0, 2]]
    left = pages[0][450:560, 130:420].reshape(-1, 3).mean(axis=0)
    assert abs(left[0] - red) < 60 and abs(left[2] - blue) < 60


@pytest.fixture
def recorded(tiny_model, tmp_path):
    """A classifier whose run has predictions, made by hand: 40 test photographs."""
    classifier = inference.Classifier(tiny_model)
    (tmp_path / "tiny").mkdir()
    classifier.path = tmp_path / "tiny" / "model.h5"
    rows = pd.DataFrame({"dx": ["mel"] * 20 + ["nv"] * 20})
    rows["image_id"] = rows["lesion_id"] = [f"image_{number}" for number in range(40)]
    rows["split"] = "test"
    probabilities = np.full((40, 7), 0.01)
    said = ["mel"] * 15 + ["nv"] * 5 + ["nv"] * 18 + ["mel"] * 2
    probabilities[range(40), [CODES.index(code) for code in said]] = 0.94
    frame = predictions.table(rows, probabilities)
    predictions.write_predictions(frame, tmp_path / "tiny" / "predictions.csv")
    return classifier


def test_record_counts_what_was_right_and_wrong(recorded):
    found = track_record.read(recorded)
    assert (
        "predicted melanoma for 17 photographs, and 15 of them showed it (88%)"
        in found.when_named("mel")
    )
    assert "the others were melanocytic nevus (2)" in found.when_named("mel")
    assert "found 15 (75%)" in found.when_true("mel")
    assert "it classified the others as melanocytic nevus (5)" in found.when_true("mel")
    assert found.when_named("df") == "In testing the network never predicted dermatofibroma."
    sure = found.rows["probability"].iloc[0]
    assert "right in 82% (33 of 40 photographs)" in found.when_as_sure(sure)
    assert found.when_as_sure(0.2) == ""
    assert len(found.sentences("mel", sure)) == 3


@pytest.fixture
def abroad():
    """Forty photographs of one other clinic, without dermatofibroma."""
    said = ["mel"] * 15 + ["nv"] * 5 + ["nv"] * 17 + ["mel"] * 2 + ["df"]
    rows = pd.DataFrame({"dx": ["mel"] * 20 + ["nv"] * 20, "predicted": said})
    rows["melanoma"] = [0.9] * 15 + [0.1] * 25
    return track_record.TrackRecord(rows, "", {"Elsewhere": rows})


def test_photographs_are_counted_in_the_range_that_is_printed():
    rows = pd.DataFrame({"dx": "nv", "predicted": "nv", "probability": [0.902, 0.85] * 20})
    found = track_record.TrackRecord(rows, "")
    assert "of 70% to 90%, it was right in 100% (20 of 20" in found.when_as_sure(0.8)
    assert found.when_as_sure(0.804) == found.when_as_sure(0.796) == found.when_as_sure(0.8)


def test_record_tells_what_was_right_and_wrong_in_other_clinics(abroad):
    named, found, told_apart = abroad.elsewhere("mel")
    assert named == (
        "In Elsewhere, 40 photographs taken elsewhere, it predicted melanoma for 17 photographs, "
        "and 15 of them showed it (88%); the others were melanocytic nevus (2)."
    )
    assert found.startswith("Of the 20 photographs of melanoma in Elsewhere it found 15 (75%); ")
    # 15 of 20 melanomas lie above all others, and 5 are tied with them.
    assert "0.88 in Elsewhere, against 0.88 on test photographs" in told_apart
    assert (
        "for 1 photograph, and none there shows it; they were melano" in abroad.elsewhere("df")[0]
    )
    never, _ = abroad.elsewhere("bcc")
    assert never.endswith("it never predicted basal cell carcinoma, which none of them shows.")


def test_record_of_other_clinics_is_that_of_this_network_only(recorded, best_classifier):
    assert track_record.read(recorded).elsewhere("mel") == []
    best = track_record.read(best_classifier).elsewhere("mel")
    assert len(best) == 5 and "ISIC 2017" in best[0] and "PH2" in best[2]


def test_record_says_that_testing_was_without_the_patient(recorded):
    found = track_record.read(recorded)
    (added,) = set(found.sentences("mel", 0.9, is_known=True)) - set(found.sentences("mel", 0.9))
    assert added == "Testing was on photographs alone, without age, sex and site."
    recorded.details["patient"] = True
    found = track_record.read(recorded)
    assert "was given age, sex and site" in found.sentences("mel", 0.9)[0]


def test_no_record_no_sentence(tiny_model):
    assert track_record.read(inference.Classifier(tiny_model)) is None


def test_best_models_record_is_what_the_comparison_says(best_classifier):
    record = track_record.read(best_classifier)
    table = pd.read_csv(track_record.MODELS / "comparison.csv").set_index("run")
    row = table.loc[best_classifier.details["run"]]
    recall = (record.rows["dx"] == record.rows["predicted"]).groupby(record.rows["dx"]).mean()
    assert recall.mean() == pytest.approx(row["test_balanced_accuracy"], abs=2e-3)
    assert f"in testing is {row['test_balanced_accuracy']:.0%}" in record.headline


def test_an_explainer_is_built_once(assessor, paths, monkeypatch):
    """Building one takes seconds, so every heat map comes from the same one."""
    monkeypatch.setattr(explanation, "Explainer", lambda *_: pytest.fail("built again"))
    assessments = [assessor.assess(read(path), "a.jpg") for path in paths[:2]]
    maps = [assessor.heat_map(assessment, "mel") for assessment in assessments]
    assert (maps[0] != maps[1]).any()


def test_a_file_that_is_slow_to_decode_ends_in_a_sentence(assessor, monkeypatch):
    from lesions.serving import assessment

    monkeypatch.setattr(assessment, "DECODING_SECONDS", 0.001)
    noise = np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "jpeg", quality=95)
    with pytest.raises(ValueError, match="takes longer than 0.001 s"):
        assessor.read(buffer.getvalue(), "slow.jpg")


def test_a_page_cannot_be_made_of_a_lite_file(lite_files, tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        site.write(tmp_path / "page", lite_files["float32"])
    one_sentence(str(error.value).replace("float32.tflite", "it").replace(".h5", ""), "Pages need")
    assert list(tmp_path.iterdir()) == []


def test_a_lite_file_cannot_be_assessed_with(lite_files, one_sentence):
    with pytest.raises(ValueError) as error:
        Assessor(lite_files["float32"])
    one_sentence(str(error.value).replace(".tflite", "").replace(".h5 ", ""), "float32")
