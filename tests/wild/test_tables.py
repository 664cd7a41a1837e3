"""Tables and folders as they are met in the wild: read rightly, or refused in one sentence.

A new kind is one more row: a function that spoils a good folder, and what must come of it.
"""

import os
import shutil
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from tables import draw_table, write_photographs

from lesions import classes, data
from lesions.evaluation import predictions

TABLE = "HAM10000_metadata.csv"
READ = ("image_id", "lesion_id", "dx", "age", "sex", "localization")


def read(folder, quietly=True):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quietly else "error")
        return data.read_metadata(data.open_dataset(folder, "made for a test"))


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory):
    """14 photographs, their table, nothing wrong."""
    folder = tmp_path_factory.mktemp("good") / "ham"
    table = draw_table(lesions=2)
    write_photographs(folder / "images", table["image_id"])
    table.to_csv(folder / TABLE, index=False)
    return folder


@pytest.fixture
def folder(good_folder, tmp_path):
    return shutil.copytree(good_folder, tmp_path / "ham")


def cells(folder, name=TABLE):
    return pd.read_csv(folder / name, dtype=str)


def write(table, folder, name=TABLE, **options):
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    table.to_csv(folder / name, index=False, **options)


def change(column, row, value):
    """Spoil one cell."""

    def spoil(folder):
        table = cells(folder)
        table.loc[row, column] = value
        write(table, folder)

    return spoil


def column(name, convert):
    """Spoil one column."""

    def spoil(folder):
        table = cells(folder)
        table[name] = table[name].map(convert)
        write(table, folder)

    return spoil


def saved(**options):
    return lambda folder: write(cells(folder), folder, **options)


def other_pictures(*parts, suffix=".jpg", copies=False):
    """Put pictures of the same names into another folder."""

    def spoil(folder):
        target = folder.joinpath(*parts)
        if copies:
            shutil.copytree(folder / "images", target)
        else:
            ids = cells(folder)["image_id"]
            write_photographs(target, ids[::-1], suffix=suffix, side=16)

    return spoil


def other_table(*parts, **options):
    """Put a table with other diagnoses into another place."""

    def spoil(folder):
        table = cells(folder)
        write(table.assign(dx=table["dx"].tolist()[::-1]), folder, os.path.join(*parts), **options)

    return spoil


def one_hot_added(folder):
    table = cells(folder)
    for code in classes.CODES:
        table[code.upper()] = (table["dx"] == code).astype(float)
    write(table, folder)


def behind_a_link(folder):
    shutil.move(folder / "images", folder.parent / "elsewhere")
    (folder / "images").symlink_to(folder.parent / "elsewhere")


def links_in_a_loop(folder):
    (folder / "images" / "again").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")


def pipe_among_them(folder):
    os.mkfifo(folder / "images" / "pipe.jpg")
    os.mkfifo(folder / "metadata.csv")


def pipe_instead(folder):
    first = folder / "images" / f"{cells(folder)['image_id'][0]}.jpg"
    first.unlink()
    os.mkfifo(first)


def named_segmentation(folder):
    (folder / "lesion_segmentation").mkdir()
    shutil.move(folder / "images", folder / "lesion_segmentation" / "images")


def masks_beside(folder):
    ids = [f"{image_id}_segmentation" for image_id in cells(folder)["image_id"]]
    write_photographs(folder / "images", ids, suffix=".png")


def rows_of_separators(folder):
    with open(folder / TABLE, "a") as file:
        file.write(",,,,,,\n\n ,,,,,,\n")


def append(line):
    def spoil(folder):
        with open(folder / TABLE, "a") as file:
            file.write(line + "\n")

    return spoil


def replaced(old, new):
    def spoil(folder):
        content = (folder / TABLE).read_bytes()
        assert old in content
        (folder / TABLE).write_bytes(content.replace(old, new))

    return spoil


def prepended(start, convert=lambda content: content):
    def spoil(folder):
        (folder / TABLE).write_bytes(start + convert((folder / TABLE).read_bytes()))

    return spoil


def without(name):
    return lambda folder: write(cells(folder).drop(columns=name), folder)


def holding(content):
    return lambda folder: (folder / TABLE).write_bytes(content)


def of_bytes(folder):
    os.rename(os.fsencode(folder / "images"), os.fsencode(folder) + b"/im\xe4ges")


# Read as if nothing had happened

HARMLESS = {
    "same pictures twice": other_pictures("copy", copies=True),
    "other pictures in @eaDir": other_pictures("@eaDir"),
    "other pictures in __MACOSX": other_pictures("__MACOSX", "images"),
    "other pictures in a snapshot": other_pictures("#snapshot", "images"),
    "other pictures in Windows' folder": other_pictures("System Volume Information"),
    "a folder whose name is no text": of_bytes,
    "ids with an address": column("image_id", lambda i: f"https://a.org/{i}.jpg"),
    "diagnoses with an invisible mark": column("dx", lambda dx: f"\u200b{dx}"),
    "other pictures in a hidden folder": other_pictures(".cache", "thumbs"),
    "backup with another table": other_table("Backup", TABLE),
    "backup with a table of Dataverse": other_table("dataverse", "HAM10000_metadata.tab", sep="\t"),
    "table in a hidden folder": other_table(".old", TABLE),
    "same table twice": lambda f: shutil.copy(f / TABLE, f / "HAM10000_metadata"),
    "same table, other separators": lambda f: write(
        cells(f), f, "HAM10000_metadata.tab", sep="\t", quoting=1
    ),
    "one-hot columns added": one_hot_added,
    "semicolons": saved(sep=";"),
    "a first line for Excel": lambda f: (saved(sep=";")(f), prepended(b"sep=;\r\n")(f)),
    "a first line for Excel, and a shorter name": lambda f: (
        saved(sep=";")(f),
        prepended(b"sep=;\r\n")(f),
        (f / TABLE).rename(f / "metadata.csv"),
    ),
    "a second byte-order mark": prepended(b"\xef\xbb\xbf" * 2),
    "big-endian UTF-16": prepended(b"\xfe\xff", lambda text: text.decode().encode("utf-16-be")),
    "old Mac line ends": saved(lineterminator="\r"),
    "empty lines in front": prepended(b"\n\r\n"),
    "a comma at every line's end": lambda f: (
        cells(f).assign(**{"": ""}).to_csv(f / TABLE, index=False)
    ),
    "as .txt": lambda f: (f / TABLE).rename(f / "HAM10000_metadata.txt"),
    "downloaded twice": lambda f: shutil.copy(f / TABLE, f / "HAM10000_metadata (1).csv"),
    "tabs": saved(sep="\t"),
    "byte-order mark": saved(encoding="utf-8-sig"),
    "Excel's Unicode text": saved(encoding="utf-16", sep="\t"),
    "Windows line ends": saved(lineterminator="\r\n"),
    "all in quotes": saved(quoting=1),
    "rows of separators": rows_of_separators,
    "row numbers in front": lambda f: cells(f).to_csv(f / TABLE),
    "headers in capitals": lambda f: write(cells(f).rename(columns=str.upper), f),
    "headers with spaces": lambda f: write(cells(f).rename(columns=lambda c: f" {c} "), f),
    "ids with suffix": column("image_id", lambda i: f"{i}.jpg"),
    "ids with capital suffix": column("image_id", lambda i: f"{i}.JPG"),
    "ids with folder": column("image_id", lambda i: f"images/{i}.jpg"),
    "ids with spaces": column("image_id", lambda i: f" {i}\u00a0"),
    "lesions with spaces": column("lesion_id", lambda i: f"{i} "),
    "diagnoses in capitals": column("dx", str.upper),
    "diagnoses with spaces": column("dx", lambda dx: f"{dx} "),
    "ages with decimal comma": column("age", lambda age: "50,0"),
    "ages with unit": column("age", lambda age: "50 years"),
    "sex in capitals": column("sex", str.title),
    "sex as one letter": column("sex", lambda sex: "F"),
    "sites in capitals": column("localization", str.upper),
    "behind a link": behind_a_link,
    "links in a loop": links_in_a_loop,
    "named pipes": pipe_among_them,
    "segmentation in a folder's name": named_segmentation,
    "masks among the photographs": masks_beside,
    "lower case": lambda f: (f / TABLE).rename(f / TABLE.lower()),
    "suffix in capitals": lambda f: [
        path.rename(path.with_suffix(".JPG")) for path in (f / "images").iterdir()
    ],
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless(folder, good_folder, kind):
    expected = read(good_folder)
    HARMLESS[kind](folder)
    found = read(folder, quietly=False)
    assert found[list(READ)].equals(expected[list(READ)])
    for path, good in zip(found["image_path"], expected["image_path"], strict=True):
        assert open(path, "rb").read() == open(good, "rb").read()


# Refused, with the words that the sentence must hold

FAULTY = {
    "thumbnails": (
        other_pictures("thumbs"),
        ["images/ISIC_0000000.jpg", "thumbs/ISIC_0000000.jpg"],
    ),
    "a PNG beside the JPEG": (
        other_pictures("images", suffix=".png"),
        ["ISIC_0000000.jpg", "ISIC_0000000.png"],
    ),
    "two tables at the top": (
        other_table("HAM10000_metadata"),
        [TABLE, "HAM10000_metadata", "differ"],
    ),
    "a second download with other diagnoses": (
        other_table("HAM10000_metadata (1).csv"),
        [TABLE, "HAM10000_metadata (1).csv", "contradict", "ISIC_0000000"],
    ),
    "another table with other diagnoses": (
        other_table("metadata.csv"),
        [TABLE, "metadata.csv", "contradict"],
    ),
    "a table of any name above another one": (
        lambda f: [other_table("Backup", TABLE)(f), shutil.move(f / TABLE, f / "labels.csv")],
        ["labels.csv", f"Backup/{TABLE}", "contradict"],
    ),
    "lesions in two spellings": (
        change("lesion_id", 0, "ham_AKIEC_01"),
        ["ham_AKIEC_01", "HAM_akiec_01", "leak"],
    ),
    "two tables in two folders": (
        lambda f: [other_table("a", TABLE)(f), shutil.move(f / TABLE, f / "images")],
        [f"a/{TABLE}", f"images/{TABLE}"],
    ),
    "age below zero": (change("age", 3, "-1"), ["row 5", "'-1'", "age"]),
    "age of 999": (change("age", 3, "999"), ["row 5", "'999'"]),
    "age in words": (change("age", 3, "fifty"), ["row 5", "'fifty'"]),
    "age in months": (change("age", 3, "6 months"), ["row 5", "'6 months'"]),
    "age of infinity": (change("age", 3, "inf"), ["row 5", "'inf'"]),
    "sex as a number": (change("sex", 3, "1"), ["row 5", "'1'", "sex"]),
    "decimal comma between commas": (replaced(b"50.0", b"50,0"), ["row 2", "8 cells"]),
    "one cell too many": (append("a,b,mel,histo,50,female,back,more"), ["row 16", "8 cells"]),
    "one cell too few": (append("a,b,mel,histo,50,female"), ["row 16", "6 cells"]),
    "quote that does not end": (append('a,b,"mel,histo,50,female,back'), ["row 16"]),
    "two columns of one name": (replaced(b"dx_type", b"dx"), ["two columns 'dx'"]),
    "zero bytes after a power cut": (append("\x00" * 40), ["zero bytes"]),
    "diagnosis of another set": (change("dx", 3, "scc"), ["row 5", "'scc'"]),
    "one id with and without suffix": (
        change("image_id", 3, "ISIC_0000000.jpg"),
        ["row 5", "ISIC_0000000"],
    ),
    "lesion of spaces": (change("lesion_id", 3, "  "), ["row 5", "lesion_id"]),
    "pipe instead of a photograph": (pipe_instead, ["1 of 14", "ISIC_0000000"]),
    "not UTF-8": (replaced(b"female", b"f\xe9male"), ["UTF-8"]),
    "lesion with two diagnoses": (
        change("lesion_id", 2, "HAM_akiec_00"),
        ["HAM_akiec_00", "akiec and bcc"],
    ),
    "misspelt column": (
        replaced(b"localization", b"localisation"),
        ["rename 'localisation' to 'localization'"],
    ),
    "photographs that are not there": (
        lambda f: [path.unlink() for path in sorted((f / "images").iterdir())[4:6]],
        ["2 of 14", "ISIC_0000004"],
    ),
    **{f"no {name}": (without(name), [repr(name), TABLE]) for name in data.COLUMNS},
    **{f"empty {name}": (change(name, 3, None), ["row 5", name]) for name in data.COLUMNS[:3]},
    "0 bytes": (holding(b""), [TABLE]),
    "header only": (holding(",".join(data.COLUMNS).encode() + b"\n"), [TABLE]),
    "blank lines": (holding(b"\n\n"), [TABLE]),
    "a picture": (holding(b"\x89PNG\r\n\x1a\n\x00\xff\xfe"), [TABLE]),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_faulty(folder, kind, one_sentence):
    spoil, words = FAULTY[kind]
    spoil(folder)
    with pytest.raises(ValueError) as error:
        read(folder)
    one_sentence(error, *words)


def test_ids_are_text(tmp_path):
    table = draw_table(lesions=2).assign(image_id=[f"{n:04d}" for n in range(14)])
    write_photographs(tmp_path / "images", table["image_id"])
    write(table, tmp_path)
    found = read(tmp_path)
    assert found["image_id"].tolist() == table["image_id"].tolist()
    split = found.assign(split=["train", "test"] * 7, fold=[0, -1] * 7)
    path = data.write_splits(split, tmp_path / "splits.csv")
    assert data.with_split(found, path)["split"].tolist() == split["split"].tolist()
    probabilities = np.full((14, 7), 1 / 7)
    rows = predictions.table(split.assign(label=0), probabilities)
    written = predictions.write_predictions(rows, tmp_path / "predictions.csv")
    assert predictions.read_predictions(written)["image_id"].tolist() == found["image_id"].tolist()


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_umlauts_composed_and_decomposed(tmp_path, forms):
    table = draw_table(lesions=2)
    names = [f"Läsion_{n}" for n in range(14)]
    write_photographs(tmp_path / "images", [unicodedata.normalize(forms[1], n) for n in names])
    write(table.assign(image_id=[unicodedata.normalize(forms[0], n) for n in names]), tmp_path)
    found = read(tmp_path)
    stems = found["image_path"].map(lambda path: os.path.splitext(os.path.basename(path))[0])
    ids, stems = (
        [unicodedata.normalize("NFC", one) for one in ones] for ones in (found["image_id"], stems)
    )
    assert ids == stems and len(set(ids)) == 14


def test_split_that_covers_some_photographs_is_said(tmp_path):
    table = draw_table(lesions=8)
    path = data.write_splits(data.split_by_lesion(table)[:-1], tmp_path / "splits.csv")
    with pytest.warns(UserWarning, match="55 of 56 photographs"):
        assert data.with_split(table, path)["split"].notna().all()


HEADER = "image_id,split,fold\n"
SPLITS = {
    "empty": ("", ["not a table"]),
    "no fold": ("image_id,split\na,train\n", ["'fold'"]),
    "unknown split": (f"{HEADER}a,training,0\n", ["row 2", "'training'"]),
    "image twice": (f"{HEADER}a,train,0\na,test,\n", ["row 3", "(a)"]),
    "a fold in words": (f"{HEADER}a,train,x\n", ["row 2", "(a)", "'x'"]),
    "a training row without fold": (f"{HEADER}a,train,\n", ["row 2", "(a)", "fold"]),
    "a test row with one": (f"{HEADER}a,test,3\n", ["row 2", "(a)", "'3'"]),
    "a test row with an unknown one": (f"{HEADER}a,test,7\n", ["row 2", "(a)", "'7'"]),
    "a test row with a word": (f"{HEADER}a,test,x\n", ["row 2", "(a)", "'x'"]),
    "a comma at every row's end": (f"{HEADER}a,train,0,\nb,test,,\n", ["not a table"]),
    "a cell too many": (f"{HEADER}a,train,0\nb,test,,5\n", ["not a table"]),
    "zeros after a power cut": (f"{HEADER}a,train,0\n\0\0\0\0\n", ["row 3"]),
}


@pytest.mark.parametrize("kind", SPLITS)
def test_splits_file_that_is_damaged(tmp_path, kind, one_sentence):
    content, words = SPLITS[kind]
    (tmp_path / "splits.csv").write_text(content)
    with pytest.raises(ValueError) as error:
        data.with_split(draw_table(), tmp_path / "splits.csv")
    one_sentence(error, "splits.csv", *words)


def test_lesions_that_a_program_wrote_as_fractions_are_the_same(tmp_path):
    table = draw_table(lesions=2, photographs=2)
    write_photographs(tmp_path / "images", table["image_id"])
    ids = [f"{number // 2}{'.0' * (number % 2)}" for number in range(len(table))]
    write(table.assign(lesion_id=ids), tmp_path)
    assert read(tmp_path)["lesion_id"].tolist() == [str(number // 2) for number in range(28)]


def test_missing_cells_are_missing(folder):
    table = cells(folder)
    table.loc[range(5), "age"] = ["", "NA", "unknown", "n/a", "-"]
    table.loc[range(3), "sex"] = ["", "unknown", "NaN"]
    table.loc[0, "localization"] = ""
    write(table, folder)
    found = read(folder)
    assert found["age"].dtype == float
    assert found["age"].isna().tolist() == [True] * 5 + [False] * 9
    assert (found["sex"] == "unknown").sum() == 3 and found["localization"][0] == "unknown"


def test_site_that_no_network_knows_is_said(folder):
    change("localization", 3, "elbow")(folder)
    with pytest.warns(UserWarning, match="'elbow', row 5"):
        found = data.read_metadata(data.open_dataset(folder, "test"))
    assert found["localization"][3] == "elbow"


# ISIC's challenges


def truth(table, **other):
    columns = {code.upper(): (table["dx"] == code).astype(float) for code in classes.CODES}
    return pd.DataFrame({"image": table["image_id"], **columns, **other})


@pytest.fixture
def challenge(tmp_path):
    """ISIC 2018 with two photographs a lesion; returns the folder and the groupings."""
    table = draw_table(lesions=2, photographs=2)
    write_photographs(tmp_path / "ISIC2018_Task3_Training_Input", table["image_id"])
    write(truth(table), tmp_path, TRUTH)
    groups = table[["image_id", "lesion_id"]].rename(columns={"image_id": "image"})
    return tmp_path, groups.assign(diagnosis_confirm_type="histopathology")


TRUTH = "ISIC2018_Task3_Training_GroundTruth.csv"
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
GROUPED = {
    "semicolons": lambda groups, folder: write(groups, folder, GROUPINGS, sep=";"),
    "byte-order mark": lambda groups, folder: write(
        groups, folder, GROUPINGS, encoding="utf-8-sig"
    ),
    "a row twice": lambda groups, folder: write(pd.concat([groups, groups[:3]]), folder, GROUPINGS),
    "with suffix": lambda groups, folder: write(
        groups.assign(image=groups["image"] + ".jpg"), folder, GROUPINGS
    ),
    "with spaces in its name": lambda groups, folder: write(groups, folder, "Lesion Groupings.csv"),
    "beside a renamed ground truth": lambda groups, folder: (
        write(groups, folder, GROUPINGS),
        (folder / TRUTH).rename(folder / "labels.csv"),
    ),
    "in the ground truth itself": lambda groups, folder: write(
        pd.read_csv(folder / TRUTH).assign(lesion_id=groups["lesion_id"]),
        folder,
        TRUTH,
    ),
    "in a folder": lambda groups, folder: write(groups, folder, f"tables/{GROUPINGS}"),
}


@pytest.mark.parametrize("kind", GROUPED)
def test_groupings(challenge, kind):
    folder, groups = challenge
    GROUPED[kind](groups, folder)
    assert read(folder, quietly=False)["lesion_id"].tolist() == groups["lesion_id"].tolist()


UNGROUPED = {
    "partial": (lambda groups: groups[:-2], ["2 of 28", "ISIC_0000026"]),
    "no lesion": (lambda groups: groups.assign(lesion_id=[""] + ["a"] * 27), ["1 of 28"]),
    "no column": (lambda groups: groups.rename(columns={"lesion_id": "lesion"}), ["'lesion_id'"]),
    "one image, two lesions": (
        lambda groups: pd.concat([groups, groups[:1].assign(lesion_id="other")]),
        ["row 30", "ISIC_0000000"],
    ),
}


@pytest.mark.parametrize("kind", UNGROUPED)
def test_groupings_that_would_leak(challenge, kind, one_sentence):
    folder, groups = challenge
    spoil, words = UNGROUPED[kind]
    write(spoil(groups), folder, GROUPINGS)
    with pytest.raises(ValueError) as error:
        read(folder)
    one_sentence(error, GROUPINGS, *words)


UNTRUE = {
    "two diagnoses": (
        lambda marks: marks.assign(MEL=1.0 * (marks["MEL"] + marks["NV"] > 0)),
        ["row 22", "ISIC_0000020"],
    ),
    "no column": (lambda marks: marks.drop(columns="VASC"), ["VASC"]),
}


@pytest.mark.parametrize("kind", UNTRUE)
def test_ground_truth_that_is_faulty(challenge, kind, one_sentence):
    folder, _ = challenge
    spoil, words = UNTRUE[kind]
    write(spoil(pd.read_csv(folder / TRUTH)), folder, TRUTH)
    with pytest.raises(ValueError) as error:
        read(folder)
    one_sentence(error, *words)


def test_isic_2019_leaves_out_what_has_no_class(tmp_path):
    table = draw_table(lesions=2, photographs=2)
    write_photographs(tmp_path / "ISIC_2019_Training_Input", table["image_id"])
    marks = truth(table, SCC=0.0, UNK=0.0).rename(columns={"AKIEC": "AK"})
    marks.iloc[[4, 5], 1:] = 0.0
    marks.loc[[4, 5], ["SCC", "UNK"]] = np.eye(2)
    write(marks, tmp_path, "ISIC_2019_Training_GroundTruth.csv")
    people = pd.DataFrame({"image": table["image_id"], "age_approx": 45, "sex": "male"})
    people["anatom_site_general"], people["lesion_id"] = "posterior torso", table["lesion_id"]
    people["age"] = 99  # of somebody's own, beside that of the archive
    people.loc[0, "lesion_id"] = None
    write(people, tmp_path, "ISIC_2019_Training_Metadata.csv")
    with pytest.warns(UserWarning) as caught:
        found = data.read_metadata(data.open_dataset(tmp_path, "test"))
    kept = table.drop([4, 5]).reset_index(drop=True)
    assert found["dx"].tolist() == kept["dx"].tolist()
    assert found["lesion_id"].tolist()[1:] == kept["lesion_id"].tolist()[1:]
    assert set(found["age"]) == {45.0} and set(found["localization"]) == {"back"}
    text = " ".join(str(warning.message) for warning in caught)
    assert "2 of 28 rows" in text and "1 squamous cell carcinoma" in text and "1 unknown" in text
    assert "1 of 26 photographs" in text


# Other clinics


def test_metadata_of_another_clinic(tmp_path):
    """Its classes are a subset, its lesions unknown, one diagnosis has no class."""
    table = draw_table(lesions=2)
    table = table[table["dx"].isin(["nv", "mel"])][["image_id", "dx"]]
    table = pd.concat([table, pd.DataFrame({"image_id": ["x"], "dx": ["lentigo"]})])
    write_photographs(tmp_path / "images", table["image_id"])
    write(table, tmp_path, "metadata.csv")
    with pytest.warns(UserWarning) as caught:
        found = data.read_metadata(data.open_dataset(tmp_path, "test"))
    assert found["dx"].tolist() == ["mel", "mel", "nv", "nv"] and found["age"].isna().all()
    assert found["lesion_id"].tolist() == found["image_id"].tolist()
    text = " ".join(str(warning.message) for warning in caught)
    assert "1 lentigo" in text and "4 of 4 photographs" in text


def test_photographs_without_a_lesion_may_differ_in_capitals_alone(tmp_path):
    write_photographs(tmp_path, ["IMG_1", "img_1"])
    write(
        pd.DataFrame({"image_id": ["IMG_1", "img_1"], "dx": ["nv", "mel"]}),
        tmp_path,
        "metadata.csv",
    )
    with pytest.warns(UserWarning, match="2 of 2 photographs"):
        found = data.read_metadata(data.open_dataset(tmp_path, "test"))
    assert found["lesion_id"].tolist() == ["IMG_1", "img_1"]


def test_a_photograph_without_a_lesion_does_not_join_one_of_its_name(tmp_path, one_sentence):
    table = pd.DataFrame({"image_id": ["1", "5"], "lesion_id": ["5", ""], "dx": ["nv", "nv"]})
    write_photographs(tmp_path / "images", table["image_id"])
    write(table, tmp_path, "metadata.csv")
    with pytest.raises(ValueError) as error:
        read(tmp_path)
    one_sentence(error, "metadata.csv", "photograph 5", "fill in the lesion_id of 5")


ARCHIVE = {
    "melanoma": "mel",
    "nevus": "nv",
    "seborrheic keratosis": "bkl",
    "actinic keratosis": "akiec",
    "squamous cell carcinoma": None,
    "angioma": "vasc",
    "Melanoma Invasive": "mel",
    "Solar or actinic keratosis": "akiec",
    "Squamous cell carcinoma, Invasive": None,
    "Melanoma metastasis": None,
}


@pytest.mark.parametrize("form", ["diagnosis", "diagnosis_3", "diagnosis_5"])
def test_isic_archive(tmp_path, form):
    ids = [f"ISIC_{number:07d}" for number in range(len(ARCHIVE))]
    table = pd.DataFrame({"isic_id": ids, form: list(ARCHIVE), "age_approx": 60, "sex": "female"})
    table = table.assign(lesion_id=ids, anatom_site_general="palms/soles", attribution="somebody")
    if form != "diagnosis":
        table["diagnosis_1"] = "Malignant"
    write_photographs(tmp_path, ids)
    write(table, tmp_path, "metadata.csv")
    with pytest.warns(UserWarning, match="3 of 10 rows are left out.*Melanoma metastasis".lower()):
        found = data.read_metadata(data.open_dataset(tmp_path, "test"))
    assert found["dx"].tolist() == [code for code in ARCHIVE.values() if code]
    assert set(found["localization"]) == {"acral"} and set(found["age"]) == {60.0}


def test_archive_names_vascular_lesions_at_a_coarser_level(tmp_path):
    write_photographs(tmp_path, ["ISIC_1", "ISIC_2"])
    vascular = "Benign soft tissue proliferations - Vascular"
    table = pd.DataFrame(
        {
            "isic_id": ["ISIC_1", "ISIC_2"],
            "diagnosis_1": "Benign",
            "diagnosis_2": [vascular, "Benign melanocytic proliferations"],
            "diagnosis_3": [None, "Nevus"],
            "diagnosis_4": [None, "Nevus, Spitz"],
            "image_type": "dermoscopic",
        }
    )
    write(table, tmp_path, "isic_collection.csv")
    assert read(tmp_path)["dx"].tolist() == ["vasc", "nv"]


def test_lesion_of_the_archive_that_changed_is_said(tmp_path):
    write_photographs(tmp_path, ["ISIC_1", "ISIC_2"])
    table = pd.DataFrame({"isic_id": ["ISIC_1", "ISIC_2"], "diagnosis": ["nevus", "melanoma"]})
    write(table.assign(lesion_id="IL_1"), tmp_path, "metadata.csv")
    with pytest.warns(UserWarning, match="IL_1 .nv and mel"):
        assert len(data.read_metadata(data.open_dataset(tmp_path, "test"))) == 2


def test_clinical_photographs_of_the_archive_are_left_out(tmp_path):
    write_photographs(tmp_path, ["ISIC_1", "ISIC_2"])
    table = pd.DataFrame({"isic_id": ["ISIC_1", "ISIC_2"], "diagnosis": "nevus"})
    write(table.assign(image_type=["dermoscopic", "clinical"]), tmp_path, "metadata.csv")
    with pytest.warns(UserWarning, match="1 clinical"):
        found = data.read_metadata(data.open_dataset(tmp_path, "test"))
    assert found["image_id"].tolist() == ["ISIC_1"]


def test_table_without_diagnoses_is_none(tmp_path, one_sentence):
    write_photographs(tmp_path, ["a"])
    write(pd.DataFrame({"image_id": ["a"], "age": [5]}), tmp_path, "metadata.csv")
    with pytest.raises(ValueError) as error:
        read(tmp_path)
    one_sentence(error, "metadata.csv", "image_id and dx")


UNTIDY = {
    "two byte-order marks": lambda text: "\ufeff\ufeff" + text,
    "a no-break space": lambda text: text.replace("image_id", "\u00a0image_id"),
    "separators alone at first": lambda text: ",,,,\n" + text,
    "quoted names": lambda text: text.replace("image_id,dx", '"image_id","dx"'),
    "semicolons": lambda text: text.replace(",", ";"),
}


@pytest.mark.parametrize("kind", UNTIDY)
def test_a_table_is_found_by_the_columns_that_are_read(kind, tmp_path):
    write_photographs(tmp_path, ["a"])
    text = "image_id,dx,lesion_id,age,sex\na,nv,l,50,male\n"
    (tmp_path / "metadata.csv").write_text(UNTIDY[kind](text), encoding="utf-8")
    assert read(tmp_path)["image_id"].tolist() == ["a"]


def test_two_long_tables_that_differ_in_one_lesion_are_not_the_same(challenge, one_sentence):
    folder, groups = challenge
    many = pd.concat([groups] * 100, ignore_index=True)
    write(many, folder, GROUPINGS)
    many.loc[700, "lesion_id"] = many["lesion_id"][0][:-1] + "9"
    write(many, folder, f"other_{GROUPINGS}")
    sizes = {path.stat().st_size for path in folder.glob("*LesionGroupings.csv")}
    assert len(sizes) == 1 and sizes.pop() > 60_000
    with pytest.raises(ValueError) as error:
        read(folder)
    one_sentence(error, GROUPINGS, f"other_{GROUPINGS}", "differ")


def test_predictions_that_this_project_wrote_into_a_folder_are_no_second_table(tmp_path):
    table = draw_table(lesions=1)
    write_photographs(tmp_path, table["image_id"])
    write(table, tmp_path, "labels.csv")
    found = read(tmp_path)
    answers = predictions.table(found.assign(split="test"), np.full((len(found), 7), 1 / 7))
    predictions.write_predictions(answers, tmp_path / "answers.csv")
    assert data.open_dataset(tmp_path, "test").metadata_file.name == "labels.csv"
    named = answers.rename(columns={"image_id": "image"}).assign(predicted="nv")  # by `predict`
    write(named[["image", "predicted", *classes.CODES]], tmp_path, "answers.csv")
    assert data.open_dataset(tmp_path, "test").metadata_file.name == "labels.csv"


def test_a_link_that_leads_nowhere_is_a_photograph_that_cannot_be_read(tmp_path):
    write_photographs(tmp_path, ["a"])
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "nowhere.txt")
    assert [path.name for path in data.list_photographs(tmp_path)] == ["a.jpg", "b.jpg"]


def test_file_instead_of_a_folder(folder, one_sentence, monkeypatch):
    with pytest.raises(ValueError) as error:
        data.open_dataset(folder / TABLE, "test")
    one_sentence(error, folder / TABLE, "is a file")
    monkeypatch.setenv("HAM10000_DIR", f'"{folder}" ')
    assert data.find_dataset().root == folder


def test_list_of_photographs(folder):
    for spoil in (other_pictures("@eaDir"), masks_beside, links_in_a_loop, pipe_among_them):
        spoil(folder)
    (folder / "images" / "._ISIC_0000000.jpg").write_bytes(b"a leaving")
    names = [path.name for path in data.list_photographs(folder)]
    assert names == [f"ISIC_{number:07d}.jpg" for number in range(14)]
