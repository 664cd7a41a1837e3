"""python -m lesions explain: heat maps of photographs, or a measurement of the maps."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lesions import classes
from lesions.cli import outputs
from lesions.cli.arguments import (
    add_command,
    add_model,
    add_output,
    add_paths,
    filled,
    importing_keras,
    positive,
    report_unreadable,
    shows_progress,
)
from lesions.system.console import printable
from lesions.system.files import write_csv
from lesions.system.folders import SPLITS_FILE

# The module that owns this list imports Keras, which takes seconds; a test compares them.
METHODS = ("grad_cam", "grad_cam_plus_plus", "hires_cam")
# Most file systems allow 255 bytes for a name; the rest is for the ending and a number.
STEM_BYTES = 255 - len(outputs.HEAT_MAP_ENDING) - 8
CREDIT_CHARACTERS = 60
SUMMARY = "Draw heat maps of what in a photograph speaks for a diagnosis."
EPILOG = f"""examples:
  python -m lesions explain photo.jpg --output heat_maps
  python -m lesions explain photos/ --output heat_maps --method hires_cam --class mel
  python -m lesions explain --measure --images 40 --output explanations.csv

For photo.jpg it writes photo_gradcam.jpg: the image, the heat map, and both together.
A heat map shows roughly where the evidence for a diagnosis lies, not whether it is right; a blob
in the middle of the photograph points at the lesion about as well.

With --measure it writes a table instead, from HAM10000's test photographs and lesion masks: how
well maps agree with the lesion, whether the answer rests on the pixels they name, whether they
depend on what was learned, and what else flips an answer. All test photographs take
half an hour on two cores at most; --images limits every part.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "explain", run, SUMMARY, EPILOG)
    add_paths(command, "*")
    add = command.add_argument
    add_output(
        command,
        "PATH",
        "the folder of the pictures; with --measure the table, default: "
        "models/explanations.csv of this repository",
    )
    add_model(command)
    add("--method", choices=METHODS, default=METHODS[0], help=f"default: {METHODS[0]}")
    add(
        "--class",
        dest="target",
        choices=classes.CODES,
        help="the diagnosis to explain; default: the predicted one",
    )
    add("--measure", action="store_true", help="measure the maps on the test split instead")
    add("--images", type=positive, metavar="N", help="with --measure: at most N test photographs")
    add("--data", type=filled, metavar="FOLDER", help="with --measure: where HAM10000 lies")


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    if arguments.measure:
        return _run_measure(arguments)
    if not arguments.paths or not arguments.output:
        raise ValueError(
            "explain needs photographs and --output FOLDER; name both, or measure by --measure."
        )
    if arguments.images or arguments.data:
        raise ValueError("--images and --data belong to --measure; add it or leave them out.")
    with importing_keras():
        from lesions import inference

    paths = outputs.without_heat_maps(inference.find_images(arguments.paths), arguments.paths)
    pictures = picture_paths(paths, arguments.output)
    outputs.refuse_overwriting(pictures, [*paths, *outputs.model_files(arguments.model)])
    outputs.refuse_unwritable(pictures[0])
    classifier = inference.Classifier(arguments.model)
    classifier.require_keras("Heat maps")
    unreadable = 0
    found = _write_heat_maps(classifier, paths, pictures, arguments.method, arguments.target)
    for picture, error in found:
        text = printable(error or f"Wrote {picture}")
        print(text, file=sys.stderr if error else sys.stdout)
        unreadable += bool(error)
    print(classes.NOTICE)
    return report_unreadable(unreadable, len(paths), "see above")


def picture_paths(paths: list[str], folder) -> list[Path]:
    """Return `<folder>/<stem>_gradcam.jpg` for each photograph, the stem cut where it is long."""
    taken: set[str] = set()
    stems = [_free_name(Path(path).stem, taken) for path in paths]
    return [Path(folder) / f"{stem}{outputs.HEAT_MAP_ENDING}" for stem in stems]


def _free_name(stem: str, taken: set[str]) -> str:
    """Number a name that is taken, also by one that some systems take for the same."""
    while len(os.fsencode(stem)) > STEM_BYTES:
        stem = stem[:-1]
    name, number = stem, 1
    while outputs.plain(name) in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(outputs.plain(name))
    return name


def _write_heat_maps(
    classifier, paths: list[str], pictures: list[Path], method: str, target: str | None
) -> Iterator[tuple[Path, str]]:
    """Write a picture for each photograph; yields it with "", or with what is wrong."""
    import numpy as np

    from lesions import explanation

    explainer = explanation.Explainer(classifier.model)  # once, because building it takes seconds
    read = (one for batch in classifier.read(paths, 8) for one in batch)
    for picture, (path, image, error) in zip(pictures, read, strict=True):
        if error:
            yield picture, error
            continue
        probabilities = classifier.probabilities(image[np.newaxis])
        predicted = classifier.decide(probabilities)[0]
        explained = target or predicted
        patient = classifier.patient_input(1)
        maps = explainer(image[np.newaxis], explained, method, patient=patient)
        probability = float(probabilities[0, classes.CODES.index(predicted)])
        credit = f"Image: {_text_for_figures(Path(path).name)}"
        answer = (None, predicted, probability)
        with outputs.named_in_errors(picture):
            explanation.save_example(picture, image, maps[0], *answer, credit, explained)
        yield picture, ""


def _text_for_figures(name: str) -> str:
    """Return a file name as Matplotlib draws it plainly: short, without formulas, in its font."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    name = printable(name)
    if len(name) > CREDIT_CHARACTERS:
        half = CREDIT_CHARACTERS // 2
        name = f"{name[:half]}…{name[-half:]}"
    drawn = "".join(one if font.get_char_index(ord(one)) else "?" for one in name)
    return drawn.replace("$", r"\$")


def _run_measure(arguments) -> int:
    if arguments.paths or arguments.target or arguments.method != METHODS[0]:
        raise ValueError(
            "explain --measure takes HAM10000's test photographs and all methods; leave the "
            "paths, --class and --method out."
        )
    with importing_keras():
        from lesions import data, inference
        from lesions.explanation import benchmark, measurements
    output = arguments.output or measurements.TABLE
    outputs.refuse_overwriting([output], outputs.model_files(arguments.model))
    dataset = data.find_photographs(arguments.data)
    metadata = data.with_split(data.read_metadata(dataset))
    outputs.refuse_overwriting([output], [SPLITS_FILE, *data.files_read(dataset)])
    outputs.refuse_unwritable(output)
    classifier = inference.Classifier(arguments.model, tta=False)
    classifier.require_keras("Heat maps")
    print(f"Data: {dataset.source}, {(metadata['split'] == 'test').sum():,} test photographs.")
    table = benchmark.measure(classifier, metadata, arguments.images, shows_progress())
    _print_summary(table)
    with outputs.named_in_errors(output):
        path = write_csv(table, output)
    print(f"Wrote {printable(str(path))}. {classes.NOTICE}")
    return 0


def _print_summary(table) -> None:
    """Print the agreement of all maps with the lesion, as the shortest useful answer."""
    from lesions.explanation import agreement

    rows = table[(table["part"] == "agreement") & (table["class"] == "all")]
    rows = rows[(rows["group"] == "all") & rows["metric"].isin(agreement.SCORES)]
    shown = rows.assign(
        text=[f"{v:.3f} [{a:.3f}, {b:.3f}]" for v, a, b in rows[["value", "low", "high"]].values]
    )
    print(shown.pivot(index="method", columns="metric", values="text").to_string())
