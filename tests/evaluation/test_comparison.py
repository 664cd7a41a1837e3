"""Runs side by side, those of folds together, and the ensemble of all."""

import json

import numpy as np
import pandas as pd
import pytest
from drawn import CODES, FREQUENCIES, both_splits

from lesions import evaluation
from lesions.evaluation import choice, comparison


def write_run(folder, predictions, images=None, **config):
    folder.mkdir()
    predictions.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    record = {
        "config": {"architecture": "cnn", "image_size": 64, "epochs": 9, "seed": 1, **config},
        "initial_weights": "random",
        "hardware": "CPU",
        "seconds": 90.0,
        "parameters": 1234,
        "epochs_trained": 5,
        "images": images or {},
    }
    (folder / "config.json").write_text(json.dumps(record), encoding="utf-8")
    correction = evaluation.Correction(class_frequencies=tuple(FREQUENCIES)).to_details()
    (folder / "metrics.json").write_text(json.dumps({"correction": correction}))
    return folder


def test_compare_puts_the_lowest_validation_log_loss_first(tmp_path):
    weak = write_run(tmp_path / "weak", both_splits(strength=1.0))
    strong = write_run(tmp_path / "strong", both_splits(strength=3.0), architecture="resnet18")
    table = comparison.compare(comparison.entries([weak, strong]))
    assert table["validation_log_loss"].is_monotonic_increasing
    assert set(table["run"]) == {"weak", "strong", "ensemble"}
    assert table["run"].tolist().index("strong") < table["run"].tolist().index("weak")
    row = table.set_index("run").loc["weak"]
    assert row["architecture"] == "cnn" and row["epochs"] == 5 and row["minutes"] == 1.5
    for name in ("test_balanced_accuracy", "test_macro_auc", "test_lesion_balanced_accuracy"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_every_figure_is_of_the_corrected_answers(tmp_path):
    """A network that is far too sure has the figures of its honest twin."""
    honest = both_splits(strength=1.5)
    sure = honest.copy()
    sure[CODES] = sure[CODES] ** 3
    sure[CODES] = sure[CODES].div(sure[CODES].sum(axis=1), axis=0)
    runs = [write_run(tmp_path / "honest", honest), write_run(tmp_path / "sure", sure)]
    table = comparison.compare(comparison.entries(runs)).set_index("run")
    for name in ("validation_log_loss", "test_log_loss", "test_expected_calibration_error"):
        assert table.loc["sure", name] == pytest.approx(table.loc["honest", name], abs=0.01)
    assert table.loc["sure", "power"] == pytest.approx(table.loc["honest", "power"] / 3, rel=0.02)


def test_the_ensemble_is_a_row_with_its_weights(tmp_path):
    runs = [write_run(tmp_path / f"run{n}", both_splits(seed=5, strength=2.0)) for n in range(2)]
    found = comparison.entries(runs)
    assert sum(found["ensemble"].members.values()) == pytest.approx(1)
    assert found["ensemble"].members["run0"] == pytest.approx(0.5, abs=1e-3)
    table = comparison.compare(found).set_index("run")
    # Two equal networks together are what each of them is.
    for name in ("test_macro_auc", "test_log_loss", "test_balanced_accuracy"):
        assert table.loc["ensemble", name] == pytest.approx(table.loc["run0", name], abs=2e-3)
    assert table.loc["ensemble", "networks"] == 2 and table.loc["run0", "networks"] == 1
    assert "ensemble" not in comparison.entries(runs[:1])


def test_runs_of_several_folds_become_one_row(tmp_path):
    whole = both_splits(images=280, strength=2.0)
    validation = np.flatnonzero(whole["split"] == "validation")
    runs = []
    for number in range(2):
        own = whole["split"].eq("test") | whole.index.isin(validation[number::2])
        images = {"train": len(validation) // 2, "validation": len(validation) // 2}
        own_start = {"fold": number, "seed": number, "start": f"stage1-{number}"}
        own_start["tag"] = "" if number else "pilot"  # which trained the first fold
        own_start |= {"answers_from": "", "tta": True} if number else {}  # settings that came later
        runs.append(write_run(tmp_path / f"f{number}", whole[own], images, **own_start))
    runs.append(write_run(tmp_path / "single", whole, epochs=3))
    assert set(comparison.entries(runs[1:])) == {"single"}  # one fold alone is none
    found = comparison.entries(runs)
    (name,) = [name for name in found if "folds" in name]
    assert set(found) == {name, "single"}
    table = comparison.compare(found).set_index("run")
    assert table.loc[name, "networks"] == 2
    assert table.loc[name, "validation_images"] == len(validation)
    # Each fold network is the single one here, so that out of fold they are alike.
    assert table.loc[name, "validation_log_loss"] == pytest.approx(
        table.loc["single", "validation_log_loss"], abs=0.02
    )
    with pytest.raises(ValueError, match="none is the best"):
        comparison.best_row(comparison.compare(comparison.entries(runs[:2])))


def test_folds_are_one_row_a_recipe_and_no_fold_counts_twice(tmp_path):
    whole = both_splits(images=280, strength=2.0)
    validation = np.flatnonzero(whole["split"] == "validation")
    images = {"train": len(validation) // 2, "validation": len(validation) // 2}

    def fold(name, number, **config):
        own = whole["split"].eq("test") | whole.index.isin(validation[number::2])
        return write_run(tmp_path / name, whole[own], images, fold=number, **config)

    pair = [fold(f"f{number}", number, seed=number) for number in range(2)]
    longer = [fold(f"g{number}", number, seed=number, epochs=20) for number in range(2)]
    assert len([name for name in comparison.entries([*pair, *longer]) if "folds" in name]) == 2
    again = fold("again", 0, seed=7)
    single = write_run(tmp_path / "single", whole)
    assert set(comparison.entries([*pair[:1], again, single])) == {"single"}
    (together,) = comparison.entries([*pair, again]).values()
    assert list(together.members) == ["f0", "f1"]


def test_single_folds_alone_cannot_be_compared(tmp_path, one_sentence):
    images = {"train": 600, "validation": 300}
    run = write_run(tmp_path / "f0", both_splits(), images, fold=0)
    with pytest.raises(ValueError) as error:
        comparison.compare(comparison.entries([run]))
    one_sentence(error, "train the other folds")


def test_runs_of_other_images_are_named(tmp_path, one_sentence):
    runs = [write_run(tmp_path / f"run{n}", both_splits(images=200 + 50 * n)) for n in range(2)]
    with pytest.raises(ValueError) as error:
        comparison.entries(runs)
    one_sentence(error, "run0", "run1", "different images")


def test_the_ensemble_is_of_networks_that_predict_the_validation_split(tmp_path):
    split = [write_run(tmp_path / f"run{n}", both_splits(), seed=n) for n in range(2)]
    every = write_run(tmp_path / "student", both_splits(), answers_from="run0")
    found = comparison.entries([*split, every])
    assert set(found["ensemble"].members) == {"run0", "run1"}
    assert set(comparison.of_the_split(found)) == {"run0", "run1"}
    assert "ensemble" not in comparison.entries([split[0], every])


@pytest.mark.parametrize(("strength", "best"), [(2.5, "student"), (1.5, "split"), (0.5, "split")])
def test_a_network_of_all_rows_is_best_if_it_is_not_worse_on_what_it_held_out(
    strength, best, tmp_path
):
    """Its rival of the split has strength 2, one of the folds 1, all on the same photographs."""
    whole = both_splits(images=280, strength=1.0)
    validation = np.flatnonzero(whole["split"] == "validation")
    own = [whole["split"].eq("test") | whole.index.isin(validation[n::2]) for n in range(2)]
    images = {"train": len(validation) // 2, "validation": len(validation) // 2}
    runs = [
        write_run(tmp_path / f"fold{n}", whole[own[n]], images, fold=n, seed=n) for n in range(2)
    ]
    runs.append(write_run(tmp_path / "split", both_splits(images=280, strength=2.0)))
    answered = both_splits(images=280, strength=strength)[own[0]]
    runs.append(write_run(tmp_path / "student", answered, answers_from="twin"))
    table = comparison.compare(comparison.entries(runs))
    assert comparison.best_row(table)["run"] == best
    assert comparison.best_row(comparison.compare(comparison.entries(runs[:3])))["run"] == "split"


def test_twins_of_a_student_on_every_fold_are_students_and_no_rival_of_it(tmp_path):
    whole = {strength: both_splits(images=280, strength=strength) for strength in (1.0, 2.5, 4.0)}
    validation = np.flatnonzero(whole[1.0]["split"] == "validation")
    test = whole[1.0]["split"].eq("test")
    own = [test | whole[1.0].index.isin(validation[n::2]) for n in range(2)]
    images = {"train": len(validation) // 2, "validation": len(validation) // 2}
    runs = [
        write_run(tmp_path / f"{name}{n}", whole[strength][own[n]], images, fold=n, **taught)
        for name, strength, taught in (("fold", 1.0, {}), ("twin", 4.0, {"teacher": "fold0+fold1"}))
        for n in range(2)
    ]
    runs.append(write_run(tmp_path / "student", whole[2.5][own[0]], answers_from="twin0"))
    found = comparison.entries(runs)
    assert choice.best_single(found) == "student"
    (of_folds,) = choice.of_folds(found).values()
    assert set(of_folds.members) == {"fold0", "fold1"}
    (of_twins,) = choice.of_folds(found, twins=True).values()
    assert set(of_twins.members) == {"twin0", "twin1"}
    several = comparison.compare(found).query("networks > 1").set_index("student")["members"]
    assert several[True] == "twin0: 0.500; twin1: 0.500"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_networks_of_all_rows_each_must_be_as_good_as_the_best_of_the_split(order, tmp_path):
    """The second is better than the first on the few rows that both held out, and no better."""
    whole = {strength: both_splits(images=280, strength=strength) for strength in (1.5, 2, 2.5, 4)}
    validation = np.flatnonzero(whole[2]["split"] == "validation")
    first, few, others = (whole[2].index.isin(validation[one]) for one in HELD_OUT)
    test = whole[2]["split"].eq("test")
    answers = {
        "first": whole[2.5][test | first],
        "second": pd.concat([whole[1.5][test | others], whole[4][few]]),
    }
    write_run(tmp_path / "split", whole[2])
    for name, answered in answers.items():
        write_run(tmp_path / name, answered, answers_from=f"twin of {name}")
    names = ["split", *list(answers)[::order]]
    found = comparison.entries(tmp_path / name for name in names)
    assert choice.best_single(found) == "first"
    assert choice.best_single({name: found[name] for name in ("split", "second")}) == "split"


HELD_OUT = slice(0, None, 2), slice(0, 24, 2), slice(1, None, 2)


def test_of_runs_with_a_tag_those_of_folds_take_part(tmp_path):
    write_run(tmp_path / "experiment", both_splits(), tag="balance-none")
    fold = write_run(tmp_path / "fold0", both_splits(), tag="pilot-standard", fold=0)
    assert comparison.run_folders(tmp_path) == [fold]


def test_an_entry_answers_by_photograph_and_by_lesion(tmp_path):
    entry = comparison.entries([write_run(tmp_path / "one", both_splits())])["one"]
    rows = entry.predictions[entry.predictions["split"] == "test"]
    assert entry.answers()["image_id"].tolist() == rows["image_id"].tolist()
    assert sorted(entry.answers(by_lesion=True)["lesion_id"]) == sorted(rows["lesion_id"])


def test_class_balance_is_named(tmp_path):
    run = write_run(tmp_path / "one", both_splits(), oversampling=True, class_weighting="balanced")
    assert (
        comparison.compare(comparison.entries([run]))["class_balance"][0]
        == "oversampled and balanced weights"
    )


def test_names_are_plain_and_as_short_as_they_stay_apart():
    weighted = "square-root weights"
    rows = [
        ("a", "cnn", 1, 64, 42, False, False, "oversampled", "random"),
        ("b", "cnn", 1, 64, 43, False, False, "oversampled", "random"),
        ("c", "densenet121", 1, 192, 42, False, False, "oversampled", "imagenet"),
        ("d", "densenet121", 1, 192, 42, False, False, weighted, "imagenet"),
        ("e", "densenet121", 1, 64, 42, True, False, weighted, "imagenet"),
        ("f", "densenet121", 1, 64, 42, False, False, weighted, "imagenet"),
        ("g", "densenet121", 1, 64, 42, False, False, weighted, "random"),
        ("h", "densenet121", 5, 192, np.nan, False, False, weighted, "imagenet"),
        ("i", "densenet121", 1, 192, 42, False, True, weighted, "imagenet"),
        ("ensemble", "ensemble", 6, np.nan, np.nan, False, False, "", "6 members"),
    ]
    columns = ["run", "architecture", "networks", "image_size", "seed", "patient"]
    columns += ["student", "class_balance", "initial_weights"]
    assert comparison.plain_names(pd.DataFrame(rows, columns=columns).assign(epochs=5)) == [
        "CNN, 64 px, seed 42",
        "CNN, 64 px, seed 43",
        "DenseNet121, 192 px, oversampled",
        "DenseNet121, 192 px, square-root weights",
        "DenseNet121, 64 px, given age, sex and site",
        "DenseNet121, 64 px",
        "DenseNet121, 64 px, random weights",
        "DenseNet121, 192 px, 5 folds",
        "DenseNet121, 192 px, student",
        "ensemble",
    ]
    twins = pd.DataFrame([rows[0], ("z", *rows[0][1:])], columns=columns).assign(epochs=5)
    assert comparison.plain_names(twins) == ["a", "z"]
    longer = comparison.plain_names(twins.assign(epochs=[5, 9]))
    assert longer == ["CNN, 64 px, 5 epochs", "CNN, 64 px, 9 epochs"]


def test_entries_name_the_faulty_folder(tmp_path):
    run = write_run(tmp_path / "broken", both_splits())
    predictions = both_splits()
    predictions.loc[4, "dx"] = "wart"
    predictions.to_csv(run / "predictions.csv", index=False)
    with pytest.raises(ValueError, match="broken.*diagnosis 'wart'"):
        comparison.entries([run])
    twice = pd.concat([both_splits(), both_splits().iloc[:1]])
    twice.to_csv(run / "predictions.csv", index=False)
    with pytest.raises(ValueError, match=f"holds {twice['image_id'].iloc[0]} twice"):
        comparison.entries([run])
    of_a_fold = {"architecture": "cnn", "image_size": 64, "fold": 0}  # lacks the images
    for record in ({}, of_a_fold, {"config": of_a_fold}):
        (run / "config.json").write_text(json.dumps(record), encoding="utf-8")
        with pytest.raises(ValueError, match="config.json is incomplete"):
            comparison.entries([run])
    (run / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="config.json is incomplete"):
        comparison.entries([run])
    (run / "predictions.csv").unlink()
    with pytest.raises(ValueError, match="broken has no predictions.csv"):
        comparison.entries([run])
    with pytest.raises(ValueError, match="no run folder"):
        comparison.entries([])
