"""Every plot draws onto the axes it is given, says what it shows, and shows nothing by itself."""

import re
from inspect import ismodule

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.colors import to_hex

from lesions import figures
from lesions.classes import CODES, COLOURS


def make_metadata(images=300):
    """A table shaped like HAM10000's, with every class, a missing age and repeated lesions."""
    rng = np.random.default_rng(0)
    choose = rng.choice
    return pd.DataFrame(
        {
            "image_id": [f"ISIC_{number:07d}" for number in range(images)],
            "lesion_id": [f"HAM_{number // 2:07d}" for number in range(images)],
            "dx": [CODES[number % 7] for number in range(images)],
            "dx_type": choose(["histo", "follow_up", "consensus", "confocal"], images),
            "age": np.where(rng.random(images) < 0.1, np.nan, choose([40.0, 55.0, 70.0], images)),
            "sex": choose(["male", "female", "unknown"], images),
            "localization": choose(["back", "face", "unknown"], images),
            "split": choose(["train", "validation", "test"], images),
        }
    )


def make_predictions(images=210):
    rng = np.random.default_rng(1)
    true_labels = np.arange(images) % 7
    logits = rng.normal(size=(images, 7)) + 2 * np.eye(7)[true_labels]
    probabilities = np.exp(logits)
    return true_labels, (probabilities / probabilities.sum(1, keepdims=True)).astype("float32")


def make_history(epochs=6):
    values = np.linspace(0.3, 0.7, epochs)
    return pd.DataFrame(
        {
            "epoch": range(1, epochs + 1),
            "phase": ["head"] * 2 + ["all"] * (epochs - 2),
            "loss": 1 - values,
            "val_loss": 1.2 - values,
            "val_balanced_accuracy": values,
            "val_accuracy": values + 0.1,
        }
    )


def make_comparison():
    value = np.array([0.6, 0.75, 0.7])
    return pd.DataFrame(
        {
            "run": ["cnn", "densenet121", "resnet50"],
            "parameters": [4e5, 8e6, 25e6],
            "value": value,
            "low": value - 0.05,
            "high": value + 0.04,
        }
    )


METADATA = make_metadata()
TRUE_LABELS, PROBABILITIES = make_predictions()
COUNTS = np.eye(7, dtype=int) * 20 + 3
RELIABILITY = pd.DataFrame(
    {
        "confidence": [0.3, 0.6, np.nan, 0.9],
        "accuracy": [0.4, 0.5, np.nan, 0.8],
        "images": [9, 20, 0, 60],
    }
)
PER_CLASS = pd.DataFrame(
    {"recall": np.linspace(0.0, 0.9, 7), "images": range(20, 27)}, index=list(CODES)
)
SLICES_WITH_INTERVALS = pd.DataFrame(
    {"value": [0.9, 0.8], "low": [0.8, 0.6], "high": [0.95, 0.9], "images": 50, "malignant": 12},
    index=pd.MultiIndex.from_tuples([("sex", "female"), ("age_band", "75+")]),
)
LEAKAGE = pd.DataFrame(
    [
        (protocol, test_set, 0.7, 0.6, 0.8)
        for protocol in ("split by lesion", "split by image", "oversampled before split")
        for test_set in ("own test set", "common clean set")
    ],
    columns=["protocol", "test_set", "value", "low", "high"],
)
EXPLANATIONS = pd.DataFrame(
    [
        (part, method, code, group, metric, step, 0.6, 0.5, 0.7, 20)
        for part, methods, metric, steps in (
            (
                "agreement, paired",
                ("grad_cam minus Gaussian",),
                "intersection_over_union",
                [np.nan],
            ),
            ("sanity", ("grad_cam",), "rank_correlation", [0.0, 0.5, 1.0]),
            ("sanity", ("grad_cam",), "empty_map", [0.0, 0.5, 1.0]),
            ("perturbations", ("hairs removed", "dark corners"), "flipped", [np.nan]),
        )
        for method in methods
        for step in steps
        for code, group in [("all", "all"), ("all", "right"), ("all", "wrong")]
        + [(code, "all") for code in CODES]
        if part != "sanity" or (code, group) == ("all", "all")
    ],
    columns="part method class group metric step value low high images".split(),
)
SCREENING = pd.DataFrame({"sensitivity": [0.7], "precision": [0.4]}, index=[0.9])
WEIGHTS = {"none": np.ones(7), "balanced": np.linspace(0.2, 12, 7)}
EXPLORATION = (
    "class_counts_bar",
    "age_by_class",
    "sex_by_class",
    "dx_type_by_class",
    "localization_by_class",
    "missing_values",
    "photographs_per_lesion",
    "split_counts",
)
CLINICS = {
    name: pd.DataFrame(
        {"home": 0.9, "home_low": 0.85, "home_high": 0.93}
        | {"there": value, "there_low": value - 0.1, "there_high": value + 0.1},
        index=["melanoma_auc"],
    )
    for name, value in (("ISIC 2017", 0.6), ("PH2", 0.8))
}
MELANOMAS = TRUE_LABELS == 4, PROBABILITIES[:, 4]
PLOTS = {
    **{name: (METADATA,) for name in EXPLORATION},
    "class_weights_bar": (WEIGHTS,),
    "several_histories": ({"a": make_history(), "b": make_history(9)},),
    "confusion_matrix": (COUNTS,),
    "roc_curves": (TRUE_LABELS, PROBABILITIES),
    "precision_recall_curves": (TRUE_LABELS, PROBABILITIES),
    "reliability_diagram": (RELIABILITY, RELIABILITY),
    "probability_bars": (PROBABILITIES[0],),
    "per_class_heat_map": ({"cnn": PER_CLASS, "resnet50": PER_CLASS}, "Recall"),
    "melanoma_curve": (TRUE_LABELS, PROBABILITIES, SCREENING),
    "per_class_bars": ({"cnn": PER_CLASS, "resnet50": PER_CLASS},),
    "forest": (make_comparison(),),
    "leakage_bars": (LEAKAGE,),
    "slices_with_intervals": (SLICES_WITH_INTERVALS, 0.85, "Malignant AUC"),
    "size_against_score": (make_comparison(), "value", "run"),
    "ensemble_weights_bar": ({"cnn": 0.3, "resnet50": 0.7},),
    "metrics_by_clinic": (CLINICS, ["melanoma_auc"], "Worse elsewhere"),
    "networks_by_clinic": (CLINICS, "Every network is worse elsewhere"),
    "roc_by_clinic": ({"PH2": {"home": MELANOMAS, "there": MELANOMAS}}, {"PH2": 0.2}, "Curves"),
    "reliability_by_clinic": ({"home": RELIABILITY, "there": RELIABILITY}, "Surer than right"),
    "clinic_bars": (pd.DataFrame({"a": [0.1, -0.2]}, ["ink", "ruler"]), "Bars", "Change"),
    "paired_scores_by_class": (EXPLANATIONS,),
    "cascade_curve": (EXPLANATIONS,),
    "flip_rates": (EXPLANATIONS,),
}


HISTORIES = {"stage 1, 128 px": make_history(), "stage 2, 192 px": make_history(4)}
PANELS = {
    "original_and_augmented": (range(7), [6] * 7, ("original", "oversampled"), "Equal after it"),
    "confusion_matrices": ({"by the rule": COUNTS, "most probable": COUNTS}, "Side by side"),
    "paired_panels": ({"AUC": make_comparison(), "accuracy": make_comparison()}, "Better"),
    "stages_plot": (HISTORIES, make_comparison()[:2].set_index(pd.Index(HISTORIES)), "Stages"),
}


@pytest.fixture(autouse=True)
def nothing_is_shown(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a plot called show()")

    monkeypatch.setattr(plt, "show", refuse)
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


def photograph(shade=120):
    return np.full((20, 20, 3), shade, np.uint8)


def colours_of(patches):
    return [to_hex(patch.get_facecolor()).upper() for patch in patches]


def test_every_public_plot_is_tested():
    apart = {"SERIES", "use_style", "jpeg", "training_history", "network_diagram"}
    grids = {"photo_grid", "augmentation_grid", "feature_map"}
    tables = {"map_scores", "faithfulness_curves"}  # tested with the table that they show
    public = {name for name, one in vars(figures).items() if name[0] != "_" and not ismodule(one)}
    assert public == set(PLOTS) | apart | grids | tables | set(PANELS)


@pytest.mark.parametrize("name", PLOTS)
def test_draws_on_the_given_axes_and_names_everything(name, ax):
    others = len(plt.get_fignums())
    returned = getattr(figures, name)(*PLOTS[name], ax=ax)
    assert returned is ax
    assert len(plt.get_fignums()) == others
    assert ax.get_title() and ax.get_xlabel()
    # Where a name stands at every tick, the axis needs no other.
    assert ax.get_ylabel() or re.search("[a-z]", ax.get_yticklabels()[0].get_text())
    assert ax.patches or ax.lines or ax.collections


@pytest.mark.parametrize("name", PLOTS)
def test_makes_its_own_figure_without_axes_and_cuts_nothing_off(name):
    figure = getattr(figures, name)(*PLOTS[name]).figure
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 >= 0 and drawn.y0 >= 0
    assert drawn.x1 <= width and drawn.y1 <= height


@pytest.mark.parametrize("name", PANELS)
def test_panels_have_titles_and_cut_nothing_off(name):
    figure = getattr(figures, name)(*PANELS[name])
    assert figure.get_suptitle() == PANELS[name][-1]
    assert len(figure.axes) == 2 and all(ax.get_title() for ax in figure.axes)
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and width <= 9
    assert drawn.x1 <= width and drawn.y1 <= height


def test_a_stage_starts_where_the_one_before_ends():
    left = figures.stages_plot(*PANELS["stages_plot"]).axes[0]
    first, second = [line.get_xdata() for line in left.lines if len(line.get_xdata()) > 2]
    assert list(first) == [1, 2, 3, 4, 5, 6] and list(second) == [7, 8, 9, 10]


def test_a_difference_that_may_be_chance_is_grey():
    table = make_comparison().set_index("run") - 0.7
    (ax,) = figures.paired_panels({"AUC": table}, "Against zero").axes
    colours = [to_hex(container.lines[0].get_color()) for container in ax.containers]
    # 0.55 to 0.64, 0.70 to 0.79 and 0.65 to 0.74, less 0.7: only the first is clear of chance.
    assert colours[2] == "#666666" and colours[0] == figures.SERIES[0].lower()


def test_runs_of_little_weight_are_one_bar(ax):
    figures.ensemble_weights_bar({"a": 0.9, "b": 0.01, "c": 0.01, "d": 0.08}, ax=ax)
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["2 others together", "d", "a"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.02, 0.08, 0.9])
    assert ax.get_title() == "90% of the weight is on 1 of 4 runs"


def test_a_title_leaves_no_word_alone(ax):
    title = "Highest balanced accuracy on one view: DenseNet169, 0.621"
    figures.style.finish(ax, title, "", "")
    lines = ax.get_title().splitlines()
    assert " ".join(lines) == title and len(lines) == 2
    assert min(map(len, lines)) > 20


def test_a_diagram_has_a_box_for_every_part(ax):
    figures.network_diagram({"a": ["one", "two"], "b": ["three"]}, ["end"], "Two branches", ax=ax)
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    assert sorted(texts) == sorted(["photograph", "one", "two", "three", "end", "a", "b"])
    assert len(ax.patches) == 5 and ax.get_title() == "Two branches"


def test_a_feature_map_shows_every_class_and_the_chosen_pictures():
    codes = [CODES[number % 7] for number in range(21)]
    places = np.random.default_rng(0).normal(size=(21, 2))
    figure = figures.feature_map(places, codes, {3: photograph(), 9: photograph()}, "Map", "By us")
    (ax,) = figure.axes
    assert [len(dots.get_offsets()) for dots in ax.collections] == [3] * 7
    assert [to_hex(dots.get_facecolor()[0]).upper() for dots in ax.collections] == [
        COLOURS[code].upper() for code in CODES
    ]
    assert len(ax.artists) == 2 and figure.get_supxlabel() == "By us"
    assert figures.feature_map(places, codes, {}, "Map").axes
    # The photographs stand beside the dots, which they would hide.
    figure.canvas.draw()
    dots = ax.get_window_extent()
    assert all(box.offsetbox.get_window_extent().x0 > dots.x1 for box in ax.artists)


def test_a_long_title_of_a_feature_map_is_whole():
    places, title = (
        np.zeros((7, 2)),
        "64% of these lesions are nearest to one of their own diagnosis",
    )
    with matplotlib.rc_context():
        figures.use_style()
        pictures = {number: photograph() for number in range(7)}
        figure = figures.feature_map(places, CODES, pictures, f"{title} (by chance 17 per cent)")
        figure.canvas.draw()
        drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0 and drawn.x1 <= figure.get_size_inches()[0]


def test_a_map_score_says_how_many_maps_are_not_empty():
    keys = [("energy_inside", 0.5), ("empty_map", 0.75)]
    rows = [("agreement", "randomised top", "all", "all", *key, np.nan) for key in keys]
    table = pd.DataFrame(rows, columns="part method class group metric value step".split())
    table = table.assign(low=0.4, high=0.8, images=[25, 100])
    ax = figures.map_scores(table, "agreement", ["energy_inside"]).axes[0]
    assert ax.get_yticklabels()[0].get_text() == "Last layer shuffled\n(n = 25 of 100)"


def test_a_threshold_is_marked_where_its_curve_passes(ax):
    positive = np.array([True, True, False, False, False])
    score = np.array([0.9, 0.2, 0.7, 0.1, 0.1])
    sides = {"home": (positive, score), "there": (positive, score)}
    scores, thresholds = {"a": sides, "b": sides}, {"a": 0.5, "b": 0.8}
    figures.roc_by_clinic(scores, thresholds, "One in three, and none", ax=ax)
    points = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    false_rates = [point.get_xdata()[0] for point in points]
    assert false_rates == pytest.approx([1 / 3, 1 / 3, 0, 0])
    assert {point.get_ydata()[0] for point in points} == {0.5}


def test_small_bins_count_in_the_error_and_are_not_drawn(ax):
    table = pd.DataFrame(
        {"confidence": [0.3, 0.9], "accuracy": [1.0, 0.9], "images": [9, 21]}, index=[4, 13]
    )
    figures.reliability_by_clinic({"home": table}, "One bin", ax=ax)
    assert list(ax.lines[1].get_xdata()) == [0.9]
    assert "(ECE 0.21)" in ax.lines[1].get_label()


def test_clinics_differ_in_more_than_colour(ax):
    figures.reliability_by_clinic({"home": RELIABILITY, "there": RELIABILITY}, "Two", ax=ax)
    _, *lines = ax.lines
    assert len({line.get_marker() for line in lines} - {"None"}) == len(lines) == 2


def test_bars_have_a_true_minus_or_the_texts_of_a_table(ax):
    table = pd.DataFrame({"a": [0.1, -0.001, -0.2]}, ["ink", "patch", "ruler"])
    figures.clinic_bars(table, "Changes", "Change", "{:+z.2f}", ax=ax)
    assert [text.get_text() for text in ax.texts] == ["+0.10", "+0.00", "−0.20"]
    ax.clear()
    counts = pd.DataFrame({"a": ["1 of 10", "0 of 9", "2 of 10"]}, table.index)
    figures.clinic_bars(table.abs(), "Shares", "Share", counts, ax=ax)
    assert [text.get_text() for text in ax.texts] == counts["a"].tolist()
    assert ax.yaxis.get_major_formatter()(0.2) == "20%"


def test_ticks_of_small_shares_differ_from_each_other(ax):
    table = pd.DataFrame({"a": [0.03, 0.0, 0.01]}, ["home", "ISIC 2017", "PH2"])
    counts = pd.DataFrame({"a": ["3 of 100", "0 of 9", "1 of 100"]}, table.index)
    figures.clinic_bars(table, "Shares", "Share", counts, ax=ax)
    ax.figure.canvas.draw()
    ticks = [tick.get_text() for tick in ax.get_yticklabels()]
    assert len(ticks) == len(set(ticks)) > 2


def test_class_bars_have_the_class_colours(ax):
    table = pd.DataFrame({"mel": [0.1, -0.2], "nv": [0.2, 0.1]}, ["ink", "ruler"])
    margins = {code: np.full((2, 2), 0.05) for code in table}
    figures.clinic_bars(table, "Changes", "Change", None, margins, colours=COLOURS, ax=ax)
    wanted = [COLOURS[code].upper() for code in ("mel", "nv")]
    assert colours_of(ax.patches) == [code for code in wanted for _ in range(2)]
    assert colours_of(ax.get_legend().get_patches()) == wanted
    whiskers = [to_hex(one) for lines in ax.collections for one in lines.get_colors()]
    caps = [to_hex(line.get_markeredgecolor()) for line in ax.lines if line.get_marker() == "_"]
    assert len(whiskers) == 2 and len(caps) == 4
    assert COLOURS["mel"] not in (*whiskers, *caps)
    ax.clear()
    figures.probability_bars(PROBABILITIES[0], ax=ax)
    assert colours_of(ax.patches) == [COLOURS[code].upper() for code in CODES]
    ax.clear()
    figures.class_counts_bar(METADATA, ax=ax)
    codes = [re.search(r"\((\w+)\)$", tick.get_text())[1] for tick in ax.get_yticklabels()]
    assert colours_of(ax.patches) == [COLOURS[code].upper() for code in codes]


@pytest.mark.parametrize("name", ["roc_curves", "precision_recall_curves"])
def test_curves_have_the_class_colours_and_skip_absent_classes(name, ax):
    present = TRUE_LABELS != 3
    getattr(figures, name)(TRUE_LABELS[present], PROBABILITIES[present], ax=ax)
    drawn = {}
    for line in ax.lines:
        code = line.get_label().split(":")[0]
        if code in CODES:
            drawn[code] = to_hex(line.get_color()).upper()
    assert drawn == {code: COLOURS[code].upper() for code in CODES if code != "df"}


def test_series_colours_are_not_class_colours():
    lower = {colour.lower() for colour in figures.SERIES}
    assert len(lower) == len(figures.SERIES)
    assert not lower & {colour.lower() for colour in COLOURS.values()}


def test_missing_values_count_the_word_unknown(ax):
    figures.missing_values(METADATA, ax=ax)
    widths = dict(
        zip(
            [tick.get_text() for tick in ax.get_yticklabels()],
            [bar.get_width() for bar in ax.patches],
            strict=True,
        )
    )
    assert widths["sex"] == (METADATA["sex"] == "unknown").sum() > 0
    assert widths["age"] == METADATA["age"].isna().sum() > 0
    assert widths["dx"] == 0


def test_split_counts_are_the_counts(ax):
    figures.split_counts(METADATA, ax=ax)
    train = METADATA[METADATA["split"] == "train"]["dx"].value_counts()
    texts = [text.get_text() for text in ax.texts]
    assert texts[:7] == [str(train[code]) for code in CODES]


def test_shares_add_up_to_a_hundred(ax):
    figures.sex_by_class(METADATA, ax=ax)
    tops = np.zeros(7)
    for bars in ax.containers:
        tops += [bar.get_height() for bar in bars]
    np.testing.assert_allclose(tops, 100)


def contrast(text, ground):
    """The ratio of WCAG 2, 1 to 21, of a text's colour to the one behind it."""
    dark, light = sorted(map(sns.utils.relative_luminance, (text.get_color(), ground)))
    return (light + 0.05) / (dark + 0.05)


def test_numbers_in_cells_and_slices_can_be_read(ax):
    counts = np.arange(49).reshape(7, 7) ** 2
    figures.confusion_matrix(counts, ax=ax)
    cells = ax.collections[0].get_facecolors()
    assert min(map(contrast, ax.texts, cells)) > 4.5
    ax.clear()
    figures.dx_type_by_class(METADATA, ax=ax)
    slices = [to_hex(bar.get_facecolor()) for bars in ax.containers for bar in bars]
    assert len(slices) == len(ax.texts) == 28
    assert min(map(contrast, ax.texts, slices)) > 4.5


def test_confusion_matrix_writes_recall_and_counts_and_marks_an_absent_class(ax):
    counts = COUNTS.copy()
    counts[3] = 0
    figures.confusion_matrix(counts, ax=ax)
    texts = [text.get_text() for text in ax.texts]
    assert len(texts) == 49
    assert texts[0] == f"{23 / 41:.0%}\n23"
    assert texts[21:28] == ["–"] * 7


def test_training_history_marks_the_best_epoch_and_the_phases():
    figure = figures.training_history(make_history(), "cnn")
    assert figure.get_suptitle() == "cnn"
    left, right = figure.axes
    assert left.get_title() and left.get_xlabel() and left.get_ylabel()
    legend = [text.get_text() for text in right.get_legend().get_texts()]
    assert "best: 0.700 in epoch 6" in legend
    assert any("all layers" in text.get_text() for text in left.texts)


def test_forest_puts_the_best_run_on_top_and_reads_named_columns(ax):
    comparison = make_comparison().rename(
        columns={"value": "macro_auc", "low": "macro_auc_low", "high": "macro_auc_high"}
    )
    figures.forest(comparison, "macro_auc", name="Macro AUC", ax=ax)
    runs = [tick.get_text() for tick in ax.get_yticklabels()]
    assert runs == ["densenet121", "resnet50", "cnn"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.texts[0].get_text() == "0.750 [0.700, 0.790]"


def test_photo_grid_shows_each_photograph_title_and_credit():
    shades = [10, 60, 110, 160, 210]
    titles = [f"shade {shade}" for shade in shades]
    figure = figures.photo_grid(
        [photograph(shade) for shade in shades], titles, 3, "Shades", "By us", ["#000000"] * 5
    )
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(figure.axes) == 6 and [ax.get_title() for ax in shown] == titles
    assert [ax.images[0].get_array()[0, 0, 0] for ax in shown] == shades
    assert figure.get_suptitle() == "Shades" and figure.get_supxlabel() == "By us"


def test_an_augmentation_names_its_versions():
    figure = figures.augmentation_grid(photograph(), [photograph()] * 3)
    assert [ax.get_title() for ax in figure.axes] == [
        "original", "version 1", "version 2", "version 3",
    ]  # fmt: skip


def test_jpeg_is_a_jpeg_and_closes_the_figure():
    image = figures.jpeg(figures.photo_grid([photograph()]))
    assert image.data[:2] == b"\xff\xd8"
    assert not plt.get_fignums()


def test_style_sets_a_hundred_dots_per_inch():
    with matplotlib.rc_context():
        figures.use_style()
        assert matplotlib.rcParams["figure.dpi"] == 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.roc_curves(TRUE_LABELS, PROBABILITIES[:, :6]), r"\(210, 6\)"),
        (lambda: figures.confusion_matrix(np.ones((2, 2))), r"\(2, 2\)"),
        (lambda: figures.photo_grid([]), "no photograph"),
        (lambda: figures.photo_grid([photograph()], ["a", "b"]), "1 photographs and 2 titles"),
        (lambda: figures.probability_bars([0.5, 0.5]), r"\(1, 2\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_titles_of_the_data_name_what_is_there(ax):
    rows = METADATA[METADATA["dx"] != "df"].assign(localization="unknown")
    figures.localization_by_class(rows, ax=ax)
    assert ax.get_title() == "Body site by diagnosis"
    ax.clear()
    figures.sex_by_class(rows, ax=ax)
    assert "df" not in ax.get_title()
    ax.clear()
    figures.dx_type_by_class(rows.assign(dx_type=np.nan), ax=ax)
    assert ax.get_title() == "By histopathology: none of malignant, none of benign"
