"""python -m lesions train: one network by its recipe."""

import textwrap
from pathlib import Path

from lesions import classes
from lesions.cli.arguments import add_command, filled, home, importing_keras, positive
from lesions.cli.outputs import refuse_inside
from lesions.networks.names import ARCHITECTURES
from lesions.system.console import printable

SUMMARY = "Train one network and leave a run folder: model, history, predictions, metrics."
EPILOG = f"""examples:
  python -m lesions train cnn --profile demo          synthetic images, minutes, no download
  python -m lesions train densenet121 --data ~/ham10000 --epochs 12
  python -m lesions train resnet50 --set class_weighting=balanced --set augmentation=strong

Architectures: {textwrap.fill(", ".join(ARCHITECTURES), 80, subsequent_indent="  ")}.
A training that was stopped goes on where it was when the same command is given again.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    add = add_command(commands, "train", run, SUMMARY, EPILOG).add_argument
    add("architecture", metavar="ARCHITECTURE", help="which network, see below")
    add(
        "--profile",
        choices=("auto", "demo", "cpu", "gpu"),
        default="auto",
        help="image size and length of the training; auto (the default) takes what the data and "
        "the machine allow",
    )
    add("--quick", action="store_true", help="two epochs on a sample, to see everything work")
    add("--seed", type=int, metavar="N", help="of initial weights, order and augmentation")
    add("--epochs", type=positive, metavar="N", help="epochs in which all layers learn")
    add("--image-size", type=positive, metavar="N", help="side of the input in pixels")
    add("--data", type=filled, metavar="FOLDER", help="HAM10000; default: the usual places")
    add(
        "--runs",
        type=home,
        metavar="FOLDER",
        help="where the run folder goes; default: build/runs/PROFILE",
    )
    add("--retrain", action="store_true", help="train even if --runs holds this very run")
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="another field of the recipe, for example dropout=0.5; may be repeated, and a wrong "
        "FIELD lists them all",
    )


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions import data, training
        from lesions.study import opening, recipes
        from lesions.system import hardware
    changes = training.read_settings(arguments.set)
    for name in ("seed", "epochs", "image_size"):
        if getattr(arguments, name) is not None:
            changes[name] = getattr(arguments, name)
    build, quick = data.build_folder(), arguments.quick
    # What no profile takes is refused before a demo set is drawn.
    recipes.config(arguments.architecture, "cpu", quick, **changes)
    dataset, profile, metadata = opening.open_data(arguments.profile, quick, arguments.data, build)
    if arguments.runs and not dataset.is_demo:
        refuse_inside(arguments.runs, dataset.root, "--runs")
    config = recipes.config(arguments.architecture, profile, quick, **changes)
    print(f"Data: {dataset.source}, {len(metadata):,} photographs.")
    print(f"Profile {profile}{', quick' if quick else ''} on {hardware.describe()}.")
    runs = Path(arguments.runs or build / "runs" / (profile + ("-quick" if quick else "")))
    found = None if arguments.retrain else training.find_run(config, metadata, [runs])
    if found:
        done = training.load_run(found, metadata)
    else:
        store = training.open_store(config, metadata, build)
        done = training.read_run(training.train(config, metadata, store, runs, arguments.retrain))
    for split in ("validation", "test"):
        print(f"Balanced accuracy, {split}: {done.metrics[split]['balanced_accuracy']:.3f}")
    where, model = "The network was not kept; --retrain trains it again.", done.folder / "model.h5"
    if model.exists():
        where = f"Model: {printable(str(model))}."
    print(f"{where} {classes.NOTICE}")
    return 0
