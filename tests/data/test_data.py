"""Finding, reading, checking and splitting the data, and every way in which it can be wrong."""

import functools
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables import draw_table, write_photographs

from lesions import classes, data
from lesions.data import demo, finding, splits
from lesions.system.folders import REPOSITORY


def read(folder):
    return data.read_metadata(data.open_dataset(folder, "made for a test"))


def listing(folder):
    """Every path below a folder with its size and time of change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def one_hot(table):
    columns = {code.upper(): (table["dx"] == code).astype(float) for code in classes.CODES}
    return pd.DataFrame({"image": table["image_id"], **columns})


# Layouts


def test_kaggle_layout(kaggle_folder, table):
    folder = kaggle_folder(table.sample(frac=1, random_state=1))
    found = read(folder)
    assert found["image_id"].tolist() == sorted(table["image_id"])
    assert found.index.tolist() == list(range(len(table)))
    assert [classes.CODES[label] for label in found["label"]] == found["dx"].tolist()
    assert all(os.path.exists(path) for path in found["image_path"])
    assert found["mask_path"].isna().all()


def test_both_cases_at_once_as_in_the_zip(tmp_path, table):
    for folder in ("HAM10000_images_part_1", "ham10000_images_part_1"):
        write_photographs(tmp_path / folder, table["image_id"])
    table.to_csv(tmp_path / "HAM10000_metadata.csv", index=False)
    found = read(tmp_path)
    assert found["image_id"].is_unique and len(found) == len(table)
    assert found["image_path"].is_unique


def test_the_home_folder_may_be_written_short(monkeypatch):
    monkeypatch.setenv("LESIONS_BUILD", "~/big")
    assert data.build_folder() == Path.home() / "big"
    monkeypatch.delenv("LESIONS_BUILD")
    assert data.build_folder() == REPOSITORY / "build"


@pytest.mark.parametrize("name", ["HAM10000_metadata", "HAM10000_metadata.tab"])
def test_dataverse_names(tmp_path, table, name):
    write_photographs(tmp_path / "HAM10000_images_part_1", table["image_id"])
    separator = "\t" if name.endswith(".tab") else ","
    table.assign(dataset="vidir_modern").to_csv(tmp_path / name, index=False, sep=separator)
    found = read(tmp_path)
    assert found["dx"].tolist() == table["dx"].tolist()
    assert "dataset" not in found.columns


def test_masks_are_found_and_are_no_photographs(kaggle_folder, table):
    folder = kaggle_folder(table)
    masks = folder / "HAM10000_segmentations_lesion_tschandl"
    marked = [f"{image_id}_segmentation" for image_id in table["image_id"][:5]]
    write_photographs(masks, marked, suffix=".png")
    paths = read(folder)["mask_path"]
    assert paths.notna().sum() == 5 and paths[0].endswith("_segmentation.png")
    moved = folder.rename(folder.with_name(os.fsdecode(b"latin-\xe9")))  # no UTF-8
    assert read(moved)["mask_path"].notna().sum() == 5


def test_isic_2018_task_3_without_its_groupings(tmp_path):
    table = draw_table(lesions=8, photographs=2)
    write_photographs(tmp_path / "ISIC2018_Task3_Training_Input", table["image_id"])
    one_hot(table).to_csv(tmp_path / "ISIC2018_Task3_Training_GroundTruth.csv", index=False)
    # A test table beside it must not be taken for the training table.
    one_hot(table[:1]).to_csv(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    with pytest.warns(UserWarning, match="LesionGroupings"):
        found = read(tmp_path)
    assert found["dx"].tolist() == table["dx"].tolist()
    assert found["lesion_id"].tolist() == table["image_id"].tolist()
    assert found["age"].isna().all()


def test_drawn_photographs_will_not_do_for_measuring(
    places, demo_folder, monkeypatch, one_sentence
):
    for named in (None, demo_folder):
        if named:
            monkeypatch.setenv("HAM10000_DIR", str(named))
        with pytest.raises(ValueError) as error:
            data.find_photographs()
        one_sentence(error, "--data", "HAM10000_DIR")
    assert data.find_photographs(demo_folder).is_demo  # asked for in so many words
    assert data.open_dataset(demo_folder.parent, "the folder above").is_demo


# Bad input


def test_missing_folder(tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        data.find_dataset(tmp_path / "nowhere")
    one_sentence(error, tmp_path / "nowhere", "HAM10000_DIR")


def test_folder_without_a_table(tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        data.find_dataset(tmp_path)
    one_sentence(error, tmp_path, "HAM10000_metadata.csv")


def test_folder_without_images(tmp_path, table, one_sentence):
    table.to_csv(tmp_path / "HAM10000_metadata.csv", index=False)
    with pytest.raises(ValueError) as error:
        data.find_dataset(tmp_path)
    one_sentence(error, "no .jpg or .png", "HAM10000_images_part_1")


def test_nothing_is_written_into_the_dataset(tmp_path, demo_folder):
    from lesions.data import images

    folder = tmp_path / "read_only"
    shutil.copytree(demo_folder, folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = listing(folder)
    metadata = data.split_by_lesion(read(folder))
    data.write_splits(metadata, tmp_path / "splits.csv")
    store = images.ImageStore(metadata[:20], 32, tmp_path / "build")
    assert store.images.shape == (20, 32, 32, 3)
    assert listing(folder) == before
    for path in [folder, *folder.rglob("*")]:  # so that pytest can remove it
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


# Which dataset


@pytest.fixture
def places(monkeypatch, tmp_path, kaggle_folder, table):
    """No dataset anywhere, and a way to put one at a place."""
    monkeypatch.delenv("HAM10000_DIR", raising=False)
    monkeypatch.setattr(finding, "REPOSITORY", tmp_path / "repository")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "make_demo", functools.partial(demo.make_demo, images=14))
    monkeypatch.setattr(finding, "KAGGLE_INPUT", tmp_path / "kaggle")
    return lambda name: kaggle_folder(table, name)


def test_demo_is_the_last_resort(places, tmp_path):
    dataset = data.find_dataset(demo_folder=tmp_path / "drawn")
    assert dataset.is_demo and dataset.root == tmp_path / "drawn"
    assert "synthetic" in dataset.source and len(data.read_metadata(dataset)) == 14
    assert data.find_dataset().root == tmp_path / "repository" / "build" / "demo"


def test_order_of_places(places, tmp_path, monkeypatch):
    version = f"cache/datasets/{finding.KAGGLE_HANDLE}/versions/2"
    steps = [
        (version, "kagglehub"),
        ("kaggle/datasets/kmader/skin-cancer-mnist-ham10000", "mounted by Kaggle"),
        ("kaggle/ham", "mounted by Kaggle"),
        ("repository/data", "repository's data folder"),
    ]
    for name, reason in steps:
        folder = places(name)
        dataset = data.find_dataset()
        assert dataset.root == folder and reason in dataset.source and not dataset.is_demo
    named = places("named")
    monkeypatch.setenv("HAM10000_DIR", str(named))
    dataset = data.find_dataset()
    assert dataset.root == named and "HAM10000_DIR" in dataset.source
    asked = places("asked")
    dataset = data.find_dataset(asked)
    assert dataset.root == asked and "asked for" in dataset.source


def test_wrong_place_that_was_named_is_an_error(places, tmp_path, monkeypatch):
    monkeypatch.setenv("HAM10000_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="does not exist"):
        data.find_dataset()


# The split


@pytest.fixture(scope="module")
def several():
    """210 lesions with one to three photographs each."""
    table = draw_table(lesions=30, photographs=3)
    kept = np.random.default_rng(0).random(len(table)) < 0.6
    kept |= ~table["lesion_id"].duplicated()
    return table[kept].reset_index(drop=True)


def test_split_shares_and_strata(several):
    split = data.split_by_lesion(several)
    assert "split" not in several.columns
    lesions = split.drop_duplicates("lesion_id")
    shares = pd.crosstab(lesions["dx"], lesions["split"], normalize="index")
    for name, share in splits.FRACTIONS.items():
        assert np.allclose(shares[name], share, atol=0.04)
        assert abs((lesions["split"] == name).mean() - share) < 0.01


def test_split_keeps_lesions_whole(several):
    split = data.split_by_lesion(several)
    assert split.groupby("lesion_id")["split"].nunique().max() == 1
    sides = {name: split[split["split"] == name] for name in data.SPLITS}
    data.check_no_leak(sides["train"], sides["validation"])
    data.check_no_leak(sides["train"], sides["test"])
    data.check_no_leak(sides["validation"], sides["test"])


def test_split_depends_on_the_seed_alone(several):
    split = data.split_by_lesion(several).set_index("image_id")["split"]
    shuffled = several.sample(frac=1, random_state=3)
    again = data.split_by_lesion(shuffled).set_index("image_id")["split"]
    assert again[split.index].tolist() == split.tolist()
    other = data.split_by_lesion(several, seed=1).set_index("image_id")["split"]
    assert (other[split.index] != split).any()


def test_split_of_lesions_whose_diagnosis_changed_depends_on_the_seed_alone(several):
    """As in the ISIC Archive: its lesions may have several diagnoses."""
    torn = several.assign(dx=several["dx"].where(several["lesion_id"].duplicated(), "mel"))
    split, again = (data.split_by_lesion(table) for table in (torn, torn.iloc[::-1]))
    pd.testing.assert_frame_equal(again.sort_index(), split)
    samples = [data.sample_lesions(table, images=200) for table in (split, split.iloc[::-1])]
    assert set(samples[0]["image_id"]) == set(samples[1]["image_id"])


def test_split_by_image_leaks(several, one_sentence):
    split = data.split_by_image(several)
    train, test = split[split["split"] == "train"], split[split["split"] == "test"]
    shared = data.count_shared_lesions(train, test)
    seen = test["lesion_id"].isin(set(train["lesion_id"]))
    assert shared["share"] == pytest.approx(seen.mean()) and seen.any()
    assert shared["same_images"] == 0
    with pytest.raises(ValueError) as error:
        data.check_no_leak(train, test)
    one_sentence(error, f"{seen.sum()} of {len(test)}", test["lesion_id"][seen].iloc[0])


def test_same_image_on_both_sides_is_a_leak(several):
    first = several[:4].assign(lesion_id=["a", "b", "c", "d"])
    second = several[3:8].assign(lesion_id=["e", "f", "g", "h", "i"])
    with pytest.raises(ValueError, match="1 of 5 images"):
        data.check_no_leak(first, second)


def test_too_few_lesions_of_a_class(several, one_sentence):
    few = several[(several["dx"] != "df") | (several["lesion_id"] <= "HAM_df_02")]
    with pytest.raises(ValueError) as error:
        data.split_by_lesion(few)
    one_sentence(error, "'df'", "3 lesions")


def test_class_absent_from_a_split(several, one_sentence):
    split = data.split_by_lesion(several)
    gone = split[~((split["dx"] == "vasc") & (split["split"] == "test"))]
    with pytest.raises(ValueError) as error:
        data.check_classes_present(gone)
    one_sentence(error, "'vasc'", "test split")


def test_splits_file_round_trip(several, tmp_path):
    split = data.split_by_lesion(several, seed=7)
    path = data.write_splits(split, tmp_path / "new" / "splits.csv")
    assert [entry.name for entry in path.parent.iterdir()] == ["splits.csv"]
    again = data.with_split(several, path)
    assert again["split"].tolist() == split["split"].tolist()
    assert again["fold"].tolist() == split["fold"].tolist()
    others = several.assign(image_id="other_" + several["image_id"])
    computed = data.with_split(others, path)["split"]
    assert computed.tolist() == data.split_by_lesion(others)["split"].tolist()


def test_folds_are_disjoint_by_lesion_and_leave_the_test_split_out(several):
    split = data.split_by_lesion(several)
    assert set(split["fold"]) == {-1, 0, 1, 2, 3, 4}
    assert ((split["fold"] == -1) == (split["split"] == "test")).all()
    assert split.groupby("lesion_id")["fold"].nunique().max() == 1
    counts = split[split["fold"] >= 0].groupby(["dx", "fold"]).size()
    assert (counts.groupby("dx").max() <= 2 * counts.groupby("dx").min()).all()
    shuffled = data.split_by_lesion(several.sample(frac=1, random_state=0))
    assert shuffled.sort_index()["fold"].tolist() == split["fold"].tolist()


def test_one_fold_held_out(several, one_sentence):
    split = data.split_by_lesion(several)
    held_out = data.hold_out(split, 3)
    validation = held_out[held_out["split"] == "validation"]
    assert set(validation["fold"]) == {3}
    assert set(held_out[held_out["split"] == "train"]["fold"]) == {0, 1, 2, 4}
    assert ((held_out["split"] == "test") == (split["split"] == "test")).all()
    data.check_no_leak(held_out[held_out["split"] == "train"], validation)
    assert data.hold_out(split, None) is split
    with pytest.raises(ValueError) as error:
        data.hold_out(split, 5)
    one_sentence(error, "5", "0 to 4")


def test_sample_keeps_lesions_whole(several):
    split = data.split_by_lesion(several)
    sample = data.sample_lesions(split, images=200)
    assert 120 <= len(sample) < len(split)
    whole = split["lesion_id"].value_counts()
    drawn = sample["lesion_id"].value_counts()
    assert (drawn == whole[drawn.index]).all()
    assert sample.groupby(["split", "dx"]).size().min() >= 4
    assert sample.index.tolist() == list(range(len(sample)))
    pd.testing.assert_frame_equal(sample, data.sample_lesions(split, images=200))
    assert len(data.sample_lesions(split, images=10_000)) == len(split)


# Patient features


def test_patient_features_by_hand():
    table = pd.DataFrame(
        {
            "age": [45.0, np.nan],
            "sex": ["male", "other"],
            "localization": ["lower extremity", "elbow"],
            "dx_type": ["histo", "follow_up"],
        }
    )
    features = data.patient_features(table)
    assert features.shape == (2, data.PATIENT_FEATURES) and features.dtype == np.float32
    names = ["age", "no age", *data.SEXES, *data.SITES]
    first = dict(zip(names, features[0].tolist(), strict=False))
    assert first["age"] == pytest.approx(0.45) and first["no age"] == 0
    assert first["male"] == first["lower_extremity"] == 1
    # "unknown" is a sex and a site: the last of either list.
    assert features[1].tolist() == [0, 1, 0, 0, 1] + [0] * (len(data.SITES) - 1) + [1]
    assert features[0].sum() == pytest.approx(2.45)


def test_patient_features_know_no_diagnosis(demo_metadata):
    features = data.patient_features(demo_metadata)
    blinded = demo_metadata.drop(columns=["dx", "dx_type", "label"])
    assert np.array_equal(features, data.patient_features(blinded))
    assert features.min() >= 0 and features.max() <= 1
    assert np.all(features[:, 2:].sum(axis=1) == 2)
