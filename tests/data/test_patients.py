"""Age, sex and site as people write them, alone and in tables."""

import pandas as pd
import pytest

from lesions import data
from lesions.data import Patient


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (("62", "female", "back"), Patient(62.0, "female", "back")),
        (("62,5 years", " F ", "Lower_Extremity"), Patient(62.5, "female", "lower extremity")),
        ((45, "Male", "posterior torso"), Patient(45.0, "male", "back")),
        (("", "unknown", None), Patient()),
        ((None, "n/a", "-"), Patient()),
        ((0, "", ""), Patient(0.0)),
    ],
)
def test_what_is_written_is_understood(written, expected):
    assert Patient.read(*written) == expected


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (("sixty", "", ""), ["age", "'sixty'", "0 to 120"]),
        (("-1", "", ""), ["age", "'-1'"]),
        (("130", "", ""), ["age", "'130'"]),
        (("6 months", "", ""), ["age", "'6 months'"]),
        (("", "2", ""), ["sex", "'2'", "female"]),
        (("", "", "moon"), ["site", "'moon'", "lower extremity"]),
        (("9" * 5000, "", ""), ["age", "9" * 40]),
    ],
)
def test_nonsense_is_named(written, words, one_sentence):
    with pytest.raises(ValueError) as error:
        Patient.read(*written)
    one_sentence(error, *words)
    assert len(str(error.value)) < 300


def test_a_patient_in_words():
    assert Patient(62.0, "male", "back").describe() == "age 62, male, back"
    assert Patient(localization="ear").describe() == "ear" and Patient(sex="male").is_known
    assert Patient().describe() == "" and not Patient().is_known


TABLES = {
    "as HAM10000 has it": "lesion_id,image_id,dx,age,sex,localization\nx,a,nv,50.0,male,back\n"
    "y,b,mel,,unknown,\n",
    "semicolons": "image_id;age;sex;localization\na.jpg;50,0;M;Back\nb;;;\n",
    "the Archive's names": "isic_id,age_approx,sex,anatom_site_general\na,50,male,posterior torso\n"
    "b,,,\n",
    "two names of one column": "image,isic_id,age,sex,anatom_site_general,site\n"
    "a,x,50,male,back,face\nb,y,,,,\n",
    "a row twice": "image_id,age,sex,site\na,50,male,back\na,50,male,back\nb,,,\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path, kind):
    (tmp_path / "t.csv").write_text(TABLES[kind])
    found, notes = data.read_patients(tmp_path / "t.csv")
    assert found == {"a": Patient(50.0, "male", "back"), "b": Patient()} and notes == []


def test_a_column_may_be_missing_and_a_strange_site_is_said(tmp_path):
    (tmp_path / "t.csv").write_text("image_id,site\na,elbow\nb,ear\n")
    found, notes = data.read_patients(tmp_path / "t.csv")
    assert found == {"a": Patient(), "b": Patient(localization="ear")}
    assert len(notes) == 1 and "'elbow'" in notes[0] and "row 2" in notes[0]


FAULTY = {
    "two patients of one id": ("image_id,age\na,50\na.jpg,60\n", ["row 3", "image id a"]),
    "an age in words": ("image_id,age\na,50\nb,old\n", ["row 3", "'old'"]),
    "a sex as a number": ("image_id,sex\na,1\n", ["row 2", "'1'"]),
    "no id": ("image_id,age\n,50\n", ["row 2", "image_id"]),
    "nothing on patients": ("image_id,dx\na,nv\n", ["age, sex and localization"]),
    "no ids": ("patient,age\na,50\n", ["image_id"]),
    "empty": ("", ["empty"]),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_faulty_tables(tmp_path, kind, one_sentence):
    content, words = FAULTY[kind]
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError) as error:
        data.read_patients(tmp_path / "t.csv")
    one_sentence(error, "t.csv", *words)


def test_a_missing_table_is_named(tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        data.read_patients(tmp_path / "gone.csv")
    one_sentence(error, "gone.csv")


def test_features_of_patients_are_those_of_their_rows():
    rows = pd.DataFrame(
        {"age": [62.0, None], "sex": ["male", "unknown"], "localization": ["lower extremity", ""]}
    )
    given = [Patient(62.0, "male", "lower extremity"), Patient()]
    found = data.patient_features(data.patients.as_table(given))
    assert (found == data.patient_features(rows)).all()
