"""The benchmark of explanations, run once by its command on the demo set, and its parts by hand."""

import numpy as np
import pandas as pd
import pytest

from lesions import figures, inference
from lesions.classes import CODES
from lesions.cli import command_line, explain
from lesions.data.images import read_mask
from lesions.explanation import METHODS, agreement, benchmark, faithfulness, measurements, sanity
from lesions.networks import models, views
from lesions.serving.texts import TEXTS
from lesions.system import files

NUMBER = 7


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    """An untrained network that names its run."""
    path = tmp_path_factory.mktemp("explanations") / "cnn.h5"
    model = models.build("cnn", 64, "random", seed=1)
    return models.save(model, path, {"run": "cnn-64px-test"})


@pytest.fixture(scope="module")
def table(model_path, demo_folder):
    """What `python -m lesions explain --measure` writes."""
    path = model_path.with_name("explanations.csv")
    arguments = ["explain", "--measure", "--images", str(NUMBER), "--data", str(demo_folder)]
    arguments += ["--model", str(model_path), "--output", str(path)]
    assert command_line.main(arguments) == 0
    assert [file.name for file in path.parent.iterdir() if "partial" in file.name] == []
    return pd.read_csv(path)


def values(table, **wanted):
    rows = table[(table["class"] == "all") & (table["group"] == "all")]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows.set_index("method")["value"]


def test_every_part_is_in_the_table(table):
    assert table.columns.tolist() == measurements.COLUMNS
    parts = list(benchmark.PARTS)
    agreement_part, road_part, *others = parts
    expected = [agreement_part, measurements.PAIRED, road_part, measurements.PAIRED_ROAD, *others]
    assert list(dict.fromkeys(table["part"])) == expected
    assert set(table["run"]) == {"cnn-64px-test"}
    whole = table[(table["class"] == "all") & (table["group"] == "all")]
    assert (whole["images"] <= NUMBER).all() and (whole["images"] == NUMBER).any()
    assert ((table["low"] <= table["value"] + 1e-6) | table["low"].isna()).all()
    assert ((table["value"] <= table["high"] + 1e-6) | table["high"].isna()).all()
    assert set(whole.loc[whole["part"] == "methods", "method"]) == set(METHODS)
    assert (table.loc[table["method"] == "grad_cam", "seconds_per_image"].dropna() > 0).all()


def test_controls_score_as_what_they_are(table):
    uniform = table[(table["part"] == "agreement") & (table["method"] == "uniform")]
    uniform = uniform[(uniform["class"] == "all") & (uniform["group"] == "all")]
    uniform = uniform.set_index("metric")["value"]
    # A flat map scores by the lesion's share of the picture in everything.
    assert uniform["energy_inside"] == pytest.approx(uniform["pointing_game"])
    assert uniform["energy_inside"] == pytest.approx(uniform["intersection_over_union"])
    assert uniform["outside_over_inside"] == pytest.approx(1)
    inside = values(table, part="agreement", metric="energy_inside")
    assert inside["centred Gaussian"] > inside["uniform"]


def test_paired_differences_are_those_of_the_means(table):
    found = values(table, part="agreement", metric="intersection_over_union")
    gaps = table[(table["part"] == "agreement, paired") & (table["class"] == "all")]
    gaps = gaps[gaps["group"] == "all"].set_index("metric")
    gap = gaps.loc["intersection_over_union"]
    assert gap["value"] == pytest.approx(found["grad_cam"] - found["centred Gaussian"], abs=1e-6)
    assert gap["low"] <= gap["value"] <= gap["high"]


def test_right_and_wrong_answers_add_up(table):
    rows = table[(table["part"] == "agreement") & (table["metric"] == "empty_map")]
    rows = rows[(rows["method"] == "grad_cam") & (rows["class"] == "all")]
    images = rows.set_index("group")["images"]
    assert images["all"] == NUMBER == images.drop("all").sum()
    by_class = table[(table["part"] == "lesion") & (table["metric"] == "flipped")]
    by_class = by_class[by_class["method"] == "lesion only"].set_index(["class", "group"])
    assert sum(by_class.loc[(code, "all"), "images"] for code in CODES) == NUMBER


def test_every_map_of_a_shuffled_network_is_compared_or_empty(table):
    rows = table[table["part"] == "sanity"].set_index(["metric", "step"])
    for share in sanity.SHARES:
        empty = rows.loc[("empty_map", share)]
        left = round((1 - empty["value"]) * empty["images"])
        assert empty["images"] == NUMBER
        assert left == rows.loc[("rank_correlation", share), "images"]


def test_it_is_recorded_how_much_of_the_lesion_each_change_touches(table):
    touched = values(table, part="lesion", metric="lesion_changed")
    assert touched["lesion inpainted"] > 0.9
    assert touched["lesion only"] == touched["as much skin inpainted"] == 0
    touched = values(table, part="perturbations", metric="lesion_changed")
    assert 0 < touched["hairs drawn"] < 0.5 and touched["round frame"] < 0.5


def test_lesions_of_more_than_half_of_the_picture_are_left_out_of_equal_areas(
    table, model_path, demo_metadata
):
    test = demo_metadata[(demo_metadata["split"] == "test") & demo_metadata["mask_path"].notna()]
    masks = [read_mask(path, 64) for path in measurements.sample(test, NUMBER)["mask_path"]]
    rows = table[(table["metric"] == "flipped_equal_area") & (table["group"] == "all")]
    rows = rows[rows["class"] == "all"]
    assert set(rows["part"]) == {"lesion"}
    assert set(rows["images"]) == {sum(map(faithfulness.has_room, masks))}


def test_it_is_said_how_many_maps_are_left():
    def said(*shares):
        steps = zip(sanity.SHARES, shares, strict=True)
        rows = [("sanity", "empty_map", step, share, 20) for step, share in steps]
        columns = ["part", "metric", "step", "value", "images"]
        return measurements.maps_left(pd.DataFrame(rows, columns=columns))

    assert said(0.5, 0.75, 1, 1, 1) == (
        "10 keep a map with the last layer shuffled, 5 with a tenth of the layers, none with a "
        "quarter or more"
    )
    assert said(0, 0, 0, 1, 0.9).endswith("20 with a quarter, none with half, 2 with all")
    assert said(0, 0, 0, 0, 1).endswith("20 with half, none with all")
    assert said(1, 1, 1, 1, 1) == "none keep a map with the last layer shuffled or more"


def test_it_is_said_how_like_the_real_ones_the_maps_are_that_are_left():
    table = pd.read_csv(measurements.TABLE)
    likeness = (table["part"] == "sanity") & (table["metric"] == "rank_correlation")
    likeness &= (table["group"] == "all") & (table["class"] == "all") & (table["step"] == 1)
    numbers = {"images": 16, "value": 0.2, "low": 0.02, "high": 0.37}
    table.loc[likeness, list(numbers)] = list(numbers.values())
    assert "of the 16 maps" in measurements.dependence(table)
    assert measurements.dependence(table).endswith(" a mean of 0.20 (0.02 to 0.37).")
    table.loc[likeness, list(numbers)] = [0, np.nan, np.nan, np.nan]
    assert measurements.dependence(table).endswith(", so it could not be decided.")


def test_the_scores_have_one_set_of_names():
    assert tuple(figures.explanations.SCORES) == agreement.SCORES


def test_road_gaps_are_the_area_between_the_curves(table):
    rows = table[(table["part"] == "faithfulness") & (table["method"] == "grad_cam")]
    curves = rows[rows["step"].notna()].pivot(index="step", columns="metric", values="value")
    gap = curves["least_relevant_first"] - curves["most_relevant_first"]
    area = faithfulness.area(gap)
    found = values(table, part="faithfulness", metric="road_gap")
    assert area == pytest.approx(found["grad_cam"], abs=1e-5)
    paired = values(table, part=measurements.PAIRED_ROAD, metric="road_gap")
    difference = found["grad_cam"] - found["centred Gaussian"]
    assert paired[measurements.AGAINST_GAUSSIAN] == pytest.approx(difference, abs=2e-6)


def test_the_table_is_read_back_for_its_own_run_only(table, model_path, tmp_path):
    path = files.write_csv(table, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(measurements.recorded("cnn-64px-test", path), table)
    assert measurements.recorded("another", path) is None
    assert measurements.recorded("cnn-64px-test", tmp_path / "absent.csv") is None


def test_the_plots_show_the_table(table):
    import matplotlib.pyplot as plt

    figure = figures.map_scores(table, "agreement", ["energy_inside"], "Title")
    assert [ax.get_xlabel() for ax in figure.axes] == ["Share on the\nlesion"]
    shares = values(table, part="agreement", metric="energy_inside")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [f"{share:.2f}" for share in shares]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][0] == "Grad-CAM"
    assert len(figures.faithfulness_curves(table).axes[0].lines) == 5
    assert figures.paired_scores_by_class(table).get_title().startswith("Grad-CAM against")
    cascade = figures.cascade_curve(table)
    assert "shuffled" in cascade.get_xlabel() and f"Of {NUMBER} photo" in cascade.get_title()
    # The dots are of different photographs: no line joins them, and each says of how many.
    assert cascade.containers[0].lines[0].get_linestyle() == "None"
    assert all(f" of {NUMBER}" in label.get_text() for label in cascade.get_xticklabels())
    for part, changes in (("perturbations", 7), ("lesion", 4)):
        assert len(figures.flip_rates(table, part).get_yticklabels()) == changes
    named = figures.flip_rates(table, "lesion", "lesion only").get_title()
    assert named.startswith("Lesion only: ")
    with pytest.raises(ValueError, match="no rows of the part 'sanity'"):
        figures.cascade_curve(table[table["part"] != "sanity"])
    plt.close("all")


def test_what_does_not_fit_is_named(model_path, demo_metadata, capsys):
    classifier = inference.Classifier(model_path)
    with pytest.raises(ValueError, match="The train split has no lesion masks"):
        benchmark.measure(classifier, demo_metadata.assign(mask_path=None))
    for arguments in (["photo.jpg", "--measure"], ["photo.jpg"], ["--output", "x"]):
        assert command_line.main(["explain", *arguments]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_the_sample_takes_classes_in_turn_and_no_lesion_twice(demo_metadata):
    drawn = measurements.sample(demo_metadata, 21)
    assert drawn["dx"].value_counts().tolist() == [3] * 7 and drawn["lesion_id"].is_unique
    mixed = demo_metadata.sample(frac=1, random_state=5)
    assert measurements.sample(mixed, 21)["image_id"].tolist() == drawn["image_id"].tolist()
    assert len(measurements.sample(demo_metadata, None)) == len(demo_metadata)


def test_rank_correlations_by_hand():
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    others = np.stack([ramp**3, 1 - ramp, np.ones((8, 8))])
    found = sanity.rank_correlations(np.stack([ramp] * 3), others)
    np.testing.assert_allclose(found, [1, -1, np.nan])


def test_views_of_maps_are_turned_back():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    for number in range(views.VIEWS):
        back = sanity.turned_back(views.view(images, number)[..., 0], number)
        np.testing.assert_array_equal(back, images[..., 0])


def test_the_cascade_forgets_from_the_last_layer_to_the_first(monkeypatch):
    model = models.build("cnn", 64, "random")
    before = model.get_weights()
    kernels = ["logits", "cnn_block4_2_conv", "cnn_block1_1_conv"]
    changed = []
    monkeypatch.setattr(sanity, "SHARES", (0.0, 0.5, 1.0))
    for _, twin in sanity.cascade(model):
        pairs = [(twin.get_layer(name), model.get_layer(name)) for name in kernels]
        changed.append(
            [not np.array_equal(a.get_weights()[0], b.get_weights()[0]) for a, b in pairs]
        )
    assert changed == [[True, False, False], [True, True, False], [True, True, True]]
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_measured_artefacts_are_drawn_anew_on_every_photograph():
    skin = np.full((96, 96, 3), (215, 170, 150), np.uint8)
    for draw in benchmark.ARTEFACTS.values():
        first, second = (draw(skin, np.random.default_rng(seed)) for seed in (0, 1))
        assert (first != second).any() and (first != skin).any()


def test_classes_are_sorted_by_the_interval_of_their_paired_difference():
    known = {"part": measurements.PAIRED, "method": measurements.AGAINST_GAUSSIAN, "group": "all"}
    known["metric"] = "intersection_over_union"
    bounds = {"nv": (0.02, 0.05), "bcc": (-0.06, -0.01)}
    rows = [
        known | {"class": code, "low": low, "high": high}
        for code in CODES
        for low, high in [bounds.get(code, (-0.02, 0.03))]
    ]
    found = measurements.compared_classes(pd.DataFrame(rows, columns=measurements.COLUMNS))
    assert found["better"] == ["nv"] and found["worse"] == ["bcc"]
    assert found["unclear"] == [code for code in CODES if code not in bounds]


def test_the_blob_in_the_middle_is_not_called_worse_than_it_was_measured():
    recorded = pd.read_csv(measurements.TABLE)
    cam, blob = (
        pd.Series(
            {
                score: measurements.look_up(recorded, "agreement", method, score)["value"]
                for score in agreement.SCORES
            }
        )
        for method in ("grad_cam", "centred Gaussian")
    )
    better = (blob > cam) != (blob.index == "outside_over_inside")
    assert better.sum() == 3
    for text in (explain.EPILOG, TEXTS["heat_map"]):
        assert "blob" in text and "almost" not in text
