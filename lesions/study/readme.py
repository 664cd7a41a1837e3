"""The tables of the README and of `docs/`, written from what is recorded in `models/`."""

from pathlib import Path

import pandas as pd

from lesions import classes, data
from lesions.evaluation import Interval, comparison
from lesions.explanation import measurements
from lesions.figures.explanations import SCORES
from lesions.study import elsewhere, leakage, other_clinics, recipes, student, tables
from lesions.study.facts.common import listed
from lesions.system.files import replacing
from lesions.system.folders import MODELS, REPOSITORY

# The README's table tells the study in steps: name, and what picks the row of the comparison.
FROM_IMAGENET = {"architecture": "densenet121", "image_size": 128, "epochs": 11}
STEPS = (
    ("CNN from scratch", {"architecture": "cnn", "class_balance": "oversampled"}),
    (
        "DenseNet121 from random weights",
        {"architecture": "densenet121", "initial_weights": "random", "epochs": 30},
    ),
    (
        "CNN + DenseNet121 in one network, the latter from ImageNet",
        {"architecture": "cnn_densenet121", "epochs": 11},
    ),
    ("DenseNet169 from DenseNet121's weights", {"architecture": "densenet169", "epochs": 11}),
    ("DenseNet121 from ImageNet", FROM_IMAGENET | {"patient": False}),
    ("the same, given age, sex and site", FROM_IMAGENET | {"patient": True}),
    (
        "DenseNet121, strong augmentation, MixUp, the last 4 epochs on oversampled rows",
        {"image_size": 192, "epochs": 4},
    ),
    (f"{data.FOLDS} DenseNet121, one a fold, averaged", {"networks": data.FOLDS, "student": False}),
    (
        "a [student](docs/results.md#the-student) of these five, also trained on validation, MixUp",
        {"student": True, "networks": 1, "architecture": recipes.BEST},
    ),
)


def steps_block(table: pd.DataFrame) -> str:
    """Write the README's table, the study in steps, from `compare`'s table."""
    rows, best, shown = [], comparison.best_row(table), []
    for name, wanted in STEPS:
        found = table[(table[list(wanted)] == list(wanted.values())).all(axis=1)]
        if found.empty:
            raise ValueError(f"models/ holds no run of {name}; train it and publish it.")
        row = found.sort_values("seed", kind="stable").iloc[0]
        shown.append(row)
        mark = ": **the best model**" if row["run"] == best["run"] else ""
        scores = [Interval.of(row, f"test_{one}") for one in comparison.WITH_INTERVAL]
        cells = f"{row['image_size']:.0f}", _epochs(row), *(f"{score:.3f}" for score in scores)
        rows.append([f"{name}{mark}", *cells])
    header = (
        "| network | px | epochs | balanced accuracy | macro AUC "
        "| melanoma sensitivity at 90% specificity |"
    )
    return (
        f"{tables.markdown(header, rows)}\n\n"
        f"{best['test_images']:,} test photographs of {best['test_lesions']:,} lesions that no "
        "training has seen, eight views, one seed a network "
        "([the CNN and, at 5 epochs, DenseNet121 have three](docs/results.md)). Probabilities are "
        "at the frequencies of the diagnoses in training; a [decision rule](docs/results.md) names "
        "the class. In brackets: 95% intervals over test lesions.\n\n"
        f"{_about_the_best(best, pd.DataFrame(shown), table)}"
    )


def _epochs(row: pd.Series) -> str:
    """Write how many epochs a row's network was trained, and after how many of earlier stages."""
    before = f" after {row['epochs_before']:.0f}" if row["epochs_before"] > 0 else ""
    return f"{row['epochs']:.0f}{before}"


def _about_the_best(best: pd.Series, shown: pd.DataFrame, table: pd.DataFrame) -> str:
    """Describe what the best model is chosen by, what it leads, and what is beyond chance."""
    header = {"test_balanced_accuracy": "balanced accuracy", "test_macro_auc": "macro AUC"}
    header["test_melanoma_sensitivity_at_90_specificity"] = "melanoma sensitivity"
    leads = [name for column, name in header.items() if shown[column].max() == best[column]]
    text = (
        "The best model is chosen by log loss on photographs held out "
        "([how](docs/results.md#the-student)). Of these columns it leads "
        f"{listed(leads, code=False)}{' alone' * (len(leads) == 1)}"
    )
    compared = student.compare() if best["student"] else None
    if compared is None:
        return f"{text}."
    names = pd.Series(comparison.plain_names(table), table.index)
    (before,) = names[table["run"] == student.last_stage()]
    gaps = compared.xs(student.STUDENT).xs("test").drop([student.NAMED, student.ALARMS])
    zeros = {student.METRICS[name]: Interval.of(row).zero for name, row in gaps.iterrows()}
    sure = [name for name, zero in zeros.items() if zero == "excludes zero"]
    return (
        f"{text}. Of its differences in {listed(zeros, code=False)} from the best "
        f"model before there were students ({before}), {listed(sure, code=False)} "
        f"ha{'s' if len(sure) < 2 else 've'} an interval that excludes zero."
    )


def answer_block(table: pd.DataFrame) -> str:
    """Write the README's answer: at home, in other clinics, and what leakage would have claimed."""
    best = comparison.best_row(table)
    other_clinics.home()  # which refuses the records of another network
    isic2017, ph2 = (elsewhere.reports()[name].loc["melanoma_auc"] for name in ("isic2017", "ph2"))
    missed = elsewhere.missed()
    at_home, in_isic2017, in_ph2 = (
        f"{row['missed']} ({row['missed_share']:.0%})" for _, row in missed.iterrows()
    )
    return (
        "HAM10000 holds 10,015 dermatoscopic photographs of skin lesions from two clinics. On "
        "lesions that it has not seen, the network chosen by log loss on photographs held out "
        f"recognises {best['test_balanced_accuracy']:.0%} of the photographs of a diagnosis, on "
        "average over the seven (balanced accuracy "
        f"{Interval.of(best, 'test_balanced_accuracy'):.3f}). The area under its ROC curve (AUC), "
        "which measures how well it ranks photographs, is, averaged over the diagnoses, "
        f"{Interval.of(best, 'test_macro_auc'):.3f}. It misses {at_home} melanoma photographs: it "
        "names another diagnosis.\n\n"
        "In [other clinics](notebooks/10_other_clinics.ipynb), it misses "
        f"{in_isic2017} on ISIC 2017 (several hospitals; this set also helped to choose the "
        f"augmentation) and {in_ph2} on PH2 (one hospital). Its AUC for melanoma is "
        f"{Interval.of(isic2017, 'there'):.3f} on ISIC 2017, against "
        f"{Interval.of(isic2017, 'home'):.3f} for the same diagnoses at home. On PH2 it is "
        f"{Interval.of(ph2, 'there'):.3f}, against {Interval.of(ph2, 'home'):.3f} at home.\n\n"
        f"{_leakage_answer()}"
    )


def _leakage_answer() -> str:
    """Describe what published accuracies are, and what leakage alone makes of a weak network."""
    config = leakage.run("oversampled").record["config"]
    own, clean = leakage.score("oversampled")
    own_accuracy, clean_accuracy = leakage.score("oversampled", metric="accuracy")
    return (
        "Published accuracies on HAM10000 reach 96 to 98.6% "
        "([two examples](docs/results.md#next-to-other-results); how their photographs were split "
        "was not examined). [Leakage](notebooks/07_why_not_97_percent.ipynb) alone can do it: "
        f"{comparison.NETWORKS[config['architecture']]} at {config['image_size']} px, without "
        "augmentation, on rows oversampled before the split, reaches an accuracy of "
        f"{own_accuracy.value:.3f} and a balanced accuracy of {own.value:.3f} on its own test set, "
        "whose classes are equally large; on unseen lesions, "
        f"{clean_accuracy:.3f} and {clean:.3f} (one view)."
    )


# The columns of the large table after the first five.
COLUMNS = (
    "test_balanced_accuracy",
    "test_lesion_balanced_accuracy",
    "test_macro_auc",
    "test_macro_f1",
    "test_accuracy",
    "test_melanoma_sensitivity_at_90_specificity",
    "test_expected_calibration_error",
    "validation_log_loss",
)


def results_block(table: pd.DataFrame) -> str:
    """Write the table of all networks, lowest validation log loss first, from `compare`'s table."""
    header = (
        "| network | px | epochs | initial weights | classes | balanced accuracy "
        "| of lesions | macro AUC | macro F1 | accuracy "
        "| melanoma sensitivity at 90% specificity | calibration error | validation log loss |"
    )
    plain = dict(zip(table["run"], comparison.plain_names(table), strict=True))
    rows = []
    for _, row in table.iterrows():
        known = {
            f"test_{name}": Interval.of(row, f"test_{name}") for name in comparison.WITH_INTERVAL
        }
        scores = [f"{known.get(name, row[name]):.3f}" for name in COLUMNS]
        rows.append([*_network(row, plain), *scores])
    first = table.iloc[0]
    lines = [
        tables.markdown(header, rows),
        "",
        f"Test split, lesion-disjoint, {first['test_images']:,} photographs of "
        f"{first['test_lesions']:,} lesions, mean over eight views, every network brought to the "
        "class frequencies; 95% intervals by bootstrap over lesions. Balanced accuracy, macro "
        "F1 and accuracy are by the decision rule, as `predict` decides: it divides each "
        "probability by the class's frequency to a power chosen on photographs held out, then "
        "takes the largest. *Of lesions*: probabilities averaged over each lesion's photographs, "
        "every lesion counted once. Ordered by log loss on validation, out of fold, or, for a "
        "student, on its twin's fold: other photographs each, so this is no ranking across them. "
        "No network of these and no setting was chosen by the test split, which was scored for "
        "every recorded run ([limits](limits.md)). "
        f"Hardware: {'; '.join(sorted(table.loc[table['networks'] == 1, 'hardware'].unique()))}.",
        *_seed_lines(table),
    ]
    return "\n".join(lines)


def _network(row, plain: dict[str, str]) -> list[str]:
    """Describe a row of the comparison in the first five cells of the large table."""
    if row.run == "ensemble":
        parts = [part.rsplit(": ", 1) for part in row.members.split("; ")]
        used = sorted(((float(weight), plain[name]) for name, weight in parts), reverse=True)
        texts = [f"{weight:.2f} {name}" for weight, name in used if weight >= 0.05]
        texts += ["others below 0.05"] * (len(texts) < len(parts))
        about = f"**ensemble** of {len(parts)}: {'; '.join(texts)}"
        return [f"{about} | | | | "]
    name = f"{row.architecture}{', given age, sex and site' if row.patient else ''}"
    name += ", student" if row.student else ""
    name += f", {row.networks} networks" if row.networks > 1 else f", seed {row.seed:.0f}"
    name += ": **the best model**" if row.best else ""
    return [name, f"{row.image_size:.0f}", _epochs(row), row.initial_weights, row.class_balance]


def _seed_lines(table: pd.DataFrame) -> list[str]:
    """Describe how far apart the runs of one recipe are that differ in their seed alone."""
    lines = []
    recipe = ["architecture", "image_size", "epochs", "initial_weights", "class_balance"]
    alone = table[table["networks"] == 1].groupby([*recipe, "patient", "student"])
    for (architecture, size, epochs, weights, balance, *_), runs in alone:
        if runs["seed"].nunique() > 1:
            accuracy, auc = (
                f"{scores.min():.3f} to {scores.max():.3f}"
                for scores in (runs["test_balanced_accuracy"], runs["test_macro_auc"])
            )
            seeds = ", ".join(f"{seed:.0f}" for seed in sorted(runs["seed"]))
            lines += [
                "",
                f"{architecture} at {size:.0f} px, {epochs:.0f} epochs, initial weights {weights}, "
                f"{balance}, with seeds {seeds}: balanced accuracy {accuracy}, macro AUC {auc}. A "
                "difference of that size between rows may be chance.",
            ]
    return lines


def explanations_block() -> str:
    """Write the figures on heat maps from `models/explanations.csv`: a table, and findings."""
    table = pd.read_csv(measurements.TABLE)
    header = f"| map | {' | '.join(map(classes.in_a_sentence, SCORES.values()))} |"
    labels = {"grad_cam": "**Grad-CAM**", "randomised top": "last layer shuffled"}
    methods = table.loc[table["part"] == "agreement", "method"].unique()
    rows = [
        [
            labels.get(name, name),
            *(measurements.quote(table, "agreement", name, score) for score in SCORES),
        ]
        for name in methods
    ]
    return "\n".join([tables.markdown(header, rows), "", *_findings(table)])


def _findings(table: pd.DataFrame) -> list[str]:
    """Return what the parts after agreement found, as lines of Markdown."""

    def share(*which):
        return f"{Interval.of(measurements.look_up(table, *which)):.0%}"

    changes = table.loc[table["part"] == "perturbations", "method"].unique()
    flips = [f"{name} {share('perturbations', name, 'flipped')}" for name in changes]
    touched = [
        measurements.look_up(table, "perturbations", name, "lesion_changed")["value"]
        for name in changes
    ]
    touched = [f"{name} {value:.1%}" for name, value in zip(changes, touched, strict=True)]
    gaps = [
        f"{measurements.quote(table, 'faithfulness', name, 'road_gap')} for {label}"
        for name, label in (
            ("grad_cam", "Grad-CAM"),
            ("centred Gaussian", "the centred Gaussian"),
            ("random weights", "a network with random weights"),
        )
    ]
    which = measurements.PAIRED_ROAD, measurements.AGAINST_GAUSSIAN
    road = measurements.quote(table, *which, "road_gap", sign="+")
    counts = table.groupby("part")["images"].max()
    return [
        f"Run {table['run'].iloc[0]}, {counts['agreement']:,} test photographs for the table and "
        f"the first point below it, {counts['perturbations']} at most for each of the others (one "
        "a lesion, the classes in turn); every answer is that of one view, while `predict` takes "
        "eight. 95% intervals by bootstrap over lesions. *Mean outside / inside*: how warm the map "
        "is on the skin, divided by how warm it is on the lesion. Of the maps with the last layer "
        f"shuffled, {share('agreement', 'randomised top', 'empty_map')} are empty; they count as "
        "no overlap, and in no other column.",
        "",
        f"- **Does the warm part follow the lesion?** {_shape(table)}",
        "- **Does the answer rest on the pixels named?** The pixels are removed step by step, "
        "once those first that the map names most, once those last. The area between the two "
        "curves of the answer's probability (the ROAD gap; "
        f"{counts['faithfulness']} photographs) is {'; '.join(gaps)}; a map without information "
        f"has 0. Photograph by photograph, Grad-CAM's gap differs from the Gaussian's by {road}.",
        "- **Does it rest on the lesion?** With the lesion painted over, "
        f"{share('lesion', 'lesion inpainted', 'flipped')} of the answers change; with skin "
        "painted over instead, away from the lesion, "
        f"{share('lesion', 'as much skin inpainted', 'flipped')}. {_room(table)} With the lesion "
        "alone on a plain ground, of which no control was measured, "
        f"{share('lesion', 'lesion only', 'flipped')} change.",
        "- **Does the map depend on what was learned?** An empty map cannot be compared. "
        f"{measurements.dependence(table)}",
        f"- **What else flips an answer?** {'; '.join(flips)}. {_most_flipped(table)} The "
        f"share of the lesion's pixels that a change touches, on average: {', '.join(touched)}.",
    ]


def _most_flipped(table: pd.DataFrame) -> str:
    """Describe in which two classes the strongest change of the photograph flips most answers."""
    rows = table[(table["part"] == "perturbations") & (table["metric"] == "flipped")]
    rows = rows[rows["group"] == "all"]
    most = rows[rows["class"] == "all"].set_index("method")["value"].idxmax()
    by_class = rows[(rows["method"] == most) & rows["class"].isin(classes.CODES)]
    two = by_class.nlargest(2, "value").set_index("class")
    texts = [f"{code}, {Interval.of(row):.0%}" for code, row in two.iterrows()]
    return f"By class, the {most} flips most answers in {', and '.join(texts)}."


def _room(table: pd.DataFrame) -> str:
    """Describe the control with skin where there is as much skin as lesion to paint over."""
    inpainted, skin = (
        measurements.look_up(table, "lesion", name, "flipped_equal_area")
        for name in ("lesion inpainted", "as much skin inpainted")
    )
    images = measurements.look_up(table, "lesion", "as much skin inpainted", "flipped")["images"]
    return (
        f"Of these {images} lesions, {images - skin['images']} leave less skin than they cover "
        "themselves, so that less of it could be painted over; of the answers on the other "
        f"{skin['images']}, {Interval.of(inpainted):.0%} change without the lesion and "
        f"{Interval.of(skin):.0%} without as much skin."
    )


def _shape(table: pd.DataFrame) -> str:
    """Describe how far the map's place on the lesion is from a Gaussian's, and in which classes."""
    found = {
        verdict: ", ".join(codes) or "no class"
        for verdict, codes in measurements.compared_classes(table).items()
    }
    which = measurements.PAIRED, measurements.AGAINST_GAUSSIAN
    differences = [
        f"{classes.in_a_sentence(SCORES[name])} {measurements.quote(table, *which, name, sign='+')}"
        for name in ("pointing_game", "energy_inside", "intersection_over_union")
    ]
    return (
        f"Photograph by photograph, against the Gaussian: {', '.join(differences)}. By class, the "
        f"last is better in {found['better']}, worse in {found['worse']}, and its interval "
        f"includes zero in {found['unclear']}."
    )


def pages() -> list[Path]:
    """List the pages that may hold blocks: the README, the model card and `docs/`."""
    places = [REPOSITORY / "README.md", MODELS / "README.md"]
    return [*places, *sorted((REPOSITORY / "docs").glob("*.md"))]


def update(blocks: dict[str, str]) -> list[Path]:
    """Put each block of Markdown between the two markers of its name, on the page that has them."""
    written = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        for name, block in blocks.items():
            start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
            if start not in text:
                continue
            before, rest = text.split(start)
            _, after = rest.split(end)
            text = f"{before}{start}\n{block}\n{end}{after}"
            written.append(path)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(dict.fromkeys(written))
