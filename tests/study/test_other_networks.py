"""Other networks on photographs of other clinics: what they predict, and what is read of it."""

import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lesions import evaluation, inference
from lesions.data import images
from lesions.evaluation import comparison, external
from lesions.networks import models
from lesions.study import other_networks
from lesions.system.folders import MODELS


@pytest.mark.parametrize("constancy", [None, "shades_of_grey"])
def test_a_run_predicts_an_external_set(constancy, demo_folder, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("EXTERNAL_DIR", str(tmp_path / "external"))
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "build"))
    shutil.copytree(demo_folder, tmp_path / "external" / "ph2")
    (tmp_path / "run").mkdir()
    model, details = models.load(tiny_model)
    details["colour_constancy"] = constancy
    models.save(model, tmp_path / "run" / "model.h5", details)
    path = other_networks.predict(tmp_path / "run", "ph2")
    found = evaluation.read_predictions(path)
    assert found["image_id"].is_unique and len(found) > 100
    row = found.iloc[5]
    photograph = next((tmp_path / "external").rglob(f"{row['image_id']}.jpg"))
    classifier = inference.Classifier(tmp_path / "run" / "model.h5", tta=False)
    prepared = images.prepare(photograph, classifier.image_size, colour_constancy=constancy)
    expected = np.asarray(classifier.model(prepared[None].astype(np.float32)))[0]
    assert row[list(evaluation.CODES)].to_numpy(float) == pytest.approx(expected, abs=1e-5)


def test_a_run_that_is_given_age_sex_and_site_predicts_an_external_set(
    demo_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("EXTERNAL_DIR", str(tmp_path / "external"))
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path / "build"))
    shutil.copytree(demo_folder, tmp_path / "external" / "ph2")
    model = models.build("cnn", 32, "random", patient=True)
    # The answer rests on the patient alone.
    kernel, bias = model.get_layer("logits").get_weights()
    kernel[:-32] = 0
    model.get_layer("logits").set_weights([kernel, bias])
    models.save(model, tmp_path / "run" / "model.h5", {})
    found = evaluation.read_predictions(other_networks.predict(tmp_path / "run", "ph2"))
    assert found[list(evaluation.CODES)].drop_duplicates().shape[0] > 20


def test_without_external_photographs_it_says_how_to_name_them(tmp_path, monkeypatch):
    monkeypatch.delenv("EXTERNAL_DIR", raising=False)
    with pytest.raises(ValueError, match="set EXTERNAL_DIR to their folder"):
        other_networks.predict(tmp_path, "isic2017")


@pytest.fixture(scope="module")
def asked():
    return other_networks.asked()


def test_the_best_model_the_folds_and_a_network_of_the_comparison_are_asked(asked):
    assert list(asked)[:2] == [other_networks.BEST, other_networks.MEAN]
    assert {f"fold {number}" for number in range(5)} <= set(asked)
    assert any(name.endswith("px, random weights, 10 epochs") for name in asked)
    for one in asked.values():
        assert {name: len(frame) for name, frame in one.there.items()} == {
            "isic2017": 1253,
            "ph2": 200,
        }


def test_every_network_that_was_asked_has_a_name_of_its_own(asked):
    runs = [run for run in comparison.finished_folders(MODELS) if (run / "ph2.csv").exists()]
    assert len(asked) == len(runs) + 2  # the best model, and the mean


def test_answers_of_an_earlier_best_model_go_into_its_run_folder(tmp_path):
    network = external.recorded_run()
    (tmp_path / "another").mkdir()
    shutil.copytree(MODELS / network, tmp_path / network)
    written = other_networks.keep_recorded(tmp_path)
    assert written == [tmp_path / network / f"{name}.csv" for name in external.SETS]
    entry = comparison.read_entry(tmp_path / network)
    for name in external.SETS:
        answered = other_networks.answers(entry, name, tmp_path)
        before = other_networks.answers(entry, name)
        pd.testing.assert_frame_equal(answered, before[answered.columns], atol=1e-5)
    assert other_networks.keep_recorded(tmp_path / "another") == []


def test_the_mean_of_the_folds_is_that_of_their_answers(asked):
    answers = [
        evaluation.answer(asked[f"fold {number}"].there["ph2"], asked[f"fold {number}"].details)
        for number in range(5)
    ]
    mean = sum(one[[*evaluation.CODES]].to_numpy() for one in answers) / 5
    found = asked[other_networks.MEAN].there["ph2"][[*evaluation.CODES]]
    assert found.to_numpy() == pytest.approx(mean, abs=1e-9)


def test_a_network_is_compared_with_itself_at_home(asked):
    report = other_networks.reports(20)["PH2"].loc["melanoma_auc"]
    assert list(report.index) == list(asked)
    entry = comparison.read_entry(next(MODELS.glob("*-fold3-*")))
    test = entry.answers("test").query("dx in ('mel', 'nv')")
    there = evaluation.answer(asked["fold 3"].there["ph2"], entry.details)
    for side, rows in (("home", test), ("there", there)):
        expected = roc_auc_score(rows["dx"] == "mel", rows["mel"])
        assert report.loc["fold 3", side] == pytest.approx(expected, abs=1e-9)


def test_a_run_without_all_sets_is_not_asked(asked, tmp_path):
    for run in comparison.finished_folders(MODELS):
        if (run / "ph2.csv").exists():
            shutil.copytree(run, tmp_path / run.name)
    next(tmp_path.glob("*-fold2-*/ph2.csv")).unlink()
    found = other_networks.asked(tmp_path)
    assert other_networks.MEAN not in found and len(found) == len(asked) - 2
