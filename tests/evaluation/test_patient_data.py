"""Age, sex and site by late fusion."""

import json

import numpy as np
import pandas as pd
import pytest
from drawn import CODES, both_splits

from lesions import evaluation
from lesions.evaluation import patient_data

MEL, NV = CODES.index("mel"), CODES.index("nv")


@pytest.fixture(scope="module")
def study():
    """Predictions, and a table in which melanoma is old and nevi are young and on the back."""
    predictions = both_splits(images=500, strength=1.0)
    known = predictions[predictions["split"] == "validation"]
    train = pd.concat([known] * 2, ignore_index=True)
    train["image_id"] = [f"train_{number}" for number in range(len(train))]
    train["lesion_id"] = train["image_id"]
    metadata = pd.concat([predictions, train.assign(split="train")], ignore_index=True)
    random = np.random.default_rng(0)
    old, young = metadata["dx"] == "mel", metadata["dx"] == "nv"
    metadata["age"] = np.where(old, 75, np.where(young, 25, 50)) + random.integers(0, 15, len(old))
    metadata["sex"] = random.choice(["female", "male"], len(metadata))
    metadata["localization"] = np.where(young, "back", "lower extremity")
    metadata.loc[::17, ["age", "sex", "localization"]] = [np.nan, "unknown", "unknown"]
    return predictions, metadata, evaluation.answers_details(predictions, metadata)


def test_fusion_helps_where_patients_differ(study):
    predictions, metadata, details = study
    test = predictions[predictions["split"] == "test"]
    alone = evaluation.answer(test, details)
    fused = evaluation.answer(test, details, metadata=metadata)
    for metric, sign in (("macro_auc", 1), ("log_loss", -1)):
        gap = evaluation.paired_difference(fused, alone, metric, resamples=200)
        assert sign * gap["value"] > 0.02 and gap["low"] * gap["high"] > 0


def test_fusion_survives_json_and_computes_by_addition(study):
    """A page without Python adds one row of each table to the intercepts."""
    details = json.loads(json.dumps(study[2]["patient_fusion"]))
    fusion = evaluation.Fusion.from_details(details)
    assert json.loads(json.dumps(fusion.to_details())) == details
    photograph = np.full(7, 1 / 7)
    tables = details["tables"]
    patient = np.array(details["intercepts"]) + tables["age"]["70"] + tables["sex"]["male"]
    patient = np.exp(patient + tables["localization"]["back"])
    scores = (patient / patient.sum()) ** details["weight"]
    scores *= np.array(details["class_frequencies"]) ** details["offset"]
    found = fusion.apply(photograph[None], [79], ["male"], ["back"])
    assert found[0] == pytest.approx(scores / scores.sum())


def test_what_is_missing_is_a_category_and_nothing_known_changes_nothing(study):
    fusion = evaluation.Fusion.from_details(study[2]["patient_fusion"])
    photograph = np.full((3, 7), 1 / 7)
    found = fusion.apply(photograph, [np.nan, None, 80], ["unknown", "", None], [None, "", None])
    assert np.array_equal(found[0], photograph[0])
    assert np.array_equal(found[1], photograph[1])
    assert found[2, MEL] > photograph[2, MEL] > found[2, NV]
    assert np.isfinite(fusion.apply(photograph[:1], [30], ["male"], ["a place never seen"])).all()


def test_ages_fall_into_bands_of_ten_years():
    known = patient_data.categories([0, 9.9, 10, 85, 120, None], ["male"] * 6, ["lower_leg"] * 6)
    assert known["age"].tolist() == ["0", "0", "10", "80", "80", "unknown"]
    assert set(known["localization"]) == {"lower leg"}


def test_labels_of_test_rows_are_never_looked_at(study):
    predictions, metadata, details = study
    changed = metadata.assign(dx=metadata["dx"].where(metadata["split"] != "test", "nv"))
    assert evaluation.answers_details(predictions, changed) == details


def test_numbers_that_are_not_whole_are_refused(study, one_sentence):
    stored = {**study[2]["patient_fusion"]}
    del stored["weight"]
    with pytest.raises(ValueError) as error:
        evaluation.Fusion.from_details(stored)
    one_sentence(error, "save the model again")
