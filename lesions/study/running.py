"""Train the queue, run every notebook and publish the results: `python -m lesions.study`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from lesions.system import allocator, console
from lesions.system.folders import MODELS

# TensorFlow, which comes along, writes a few lines while it is imported.
with console.quiet_stderr():
    from lesions import classes, data, training
    from lesions.evaluation import comparison
    from lesions.study import best_model, execution, opening, pilot, publishing, recipes
    from lesions.study.publishing import latest_runs, notebooks

# What `train` trains, from the profile and the table.
QUEUES = {
    "comparison": lambda profile, metadata: recipes.queue(profile, metadata),
    "pilot": lambda profile, metadata: recipes.pilot(),
    "folds": lambda profile, metadata: recipes.folds(pilot.chosen()),
    "students": lambda profile, metadata: recipes.students(metadata, pilot.chosen()),
}


def train_queue(build: Path, which: str = "comparison") -> list[Path]:
    """Train every recipe of a list that has no run yet, one after another.

    It may be killed at any moment, by `timeout` too: the next call goes on after the last
    epoch, so that hours of training fit into pieces of ten minutes. Several processes may share
    one queue: two of one core each train small pictures a third faster than one of two. Other
    backends than TensorFlow serve as well, see KERAS_BACKEND.

    Args:
        build: Folder for everything made here.
        which: A key of `QUEUES`.

    Returns:
        The run folders, found or made, without those that another process is training.

    Raises:
        ValueError: If only the demo set is at hand.
    """
    dataset, profile, metadata = opening.open_data(os.environ.get("PROFILE") or "auto", build=build)
    if dataset.is_demo:
        raise ValueError("The queue trains on real photographs; set HAM10000_DIR to their folder.")
    runs, folders = build / "runs" / profile, []
    places = [runs, MODELS]
    configs = QUEUES[which](profile, metadata)
    found, starts = {}, set()  # starts: names of the runs from which trainings of this queue go on
    for config in reversed(configs):  # every run comes before those that go on from it
        found[config] = _find(config, metadata, places, starts)
        if found[config] is None:
            starts.add(config.start)
    for number, config in enumerate(configs, start=1):
        # Another process may have finished it while the ones before it were trained.
        folder = found[config] or _find(config, metadata, places, starts)
        if folder is None:
            print(f"[{number}/{len(configs)}]", end=" ", flush=True)
            store = training.open_store(config, metadata, build)
            try:
                folder = training.train(config, metadata, store, runs, retrain=False)
            except (training.Busy, training.StartMissing) as error:
                # Perhaps another process is still training the one that it starts from.
                print(f"Left for a later call: {error}", flush=True)
                continue
        folders.append(folder)
    return folders


def _find(config, metadata: pd.DataFrame, places: list[Path], starts: set[str]) -> Path | None:
    """Find the run of a config; one of `starts` counts only with its weights."""
    folder = training.find_run(config, metadata, places)
    if folder and folder.name in starts and not training.find_weights(folder.name, places[0]):
        return None
    return folder


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lesions.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    execution = commands.add_parser("run", help="execute the notebooks in order, under build/")
    train = commands.add_parser("train", help="train networks one by one; resumes when killed")
    train.add_argument(
        "which",
        nargs="?",
        default="comparison",
        choices=QUEUES,
        help="all networks of the comparison; the pilot that compares augmentations; the networks "
        "of the five folds, with the augmentation that the pilot chose; or the network that "
        "learns from them",
    )
    publish = commands.add_parser("publish", help="copy results from build/ into the repository")
    publish.add_argument(
        "what",
        choices=("notebooks", "numbers", "runs", "folds", "table", "external", "model"),
        help="which of the results; numbers: those that the notebooks' text quotes; folds: the "
        "runs of folds and students, with what they predict for other clinics; model: write "
        "models/best_model.h5 again from its config.json and predictions.csv",
    )
    for command in (execution, publish):
        help_text = "first two digits of a notebook, by default all; with publish, of `notebooks` "
        command.add_argument("numbers", nargs="*", help=f"{help_text}and `numbers`")
    renamed = commands.add_parser("address", help="rewrite the repository's address everywhere")
    renamed.add_argument("address", help="https://github.com/owner/repository")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 done, 2 not done, 130 interrupted."""
    chosen = _parse(arguments)
    allocator.keep_memory()
    console.plain_warnings()
    build = data.build_folder()
    try:
        if chosen.command == "run":
            index = execution.run(build, notebooks(chosen.numbers))
            print(index) if chosen.numbers else _report(build, index)
        elif chosen.command == "train":
            print(*train_queue(build, chosen.which), sep="\n")
        elif chosen.command == "publish":
            if chosen.numbers and chosen.what not in ("notebooks", "numbers"):
                raise ValueError(
                    f"publish {chosen.what} takes no number of a notebook; leave "
                    f"{' '.join(chosen.numbers)} out."
                )
            publishers = {
                "notebooks": lambda: publishing.publish_notebooks(build, chosen.numbers),
                "numbers": lambda: publishing.publish_numbers(chosen.numbers),
                "runs": lambda: publishing.publish_runs(build),
                "folds": lambda: pilot.publish(build),
                "table": publishing.publish_table,
                "external": publishing.publish_external,
                "model": lambda: [best_model.publish_model()],
            }
            print(*publishers[chosen.what](), sep="\n")
        else:
            print(*publishing.set_address(chosen.address), sep="\n")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _report(build: Path, index: Path) -> None:
    """Print the recorded comparison first, which needs no photographs, then this study's own."""
    runs = latest_runs(build)
    _print_table("Recorded, on the photographs of HAM10000", MODELS)
    drawn = " on drawn pictures, which say nothing about skin" * runs.name.startswith("demo")
    _print_table(f"This run{drawn}", runs)
    print("\nWritten:")
    made = [runs / "comparison.csv", runs / "best_model.h5", runs / "gradcam_examples", index]
    print(*(f"  {path}" for path in made if path.exists()), sep="\n")
    print(f"\n{classes.NOTICE}")


def _print_table(name: str, folder: Path) -> None:
    """Print a folder's comparison.csv, lowest log loss on photographs held out first."""
    columns = {
        "name": "network",
        "validation_log_loss": "log loss, held out",
        "test_balanced_accuracy": "balanced accuracy, test",
        "test_macro_auc": "macro AUC, test",
    }
    table = comparison.read_comparison(folder / "comparison.csv")
    table["name"] += table["best"].map({True: " (the best model)", False: ""})
    print(f"\n{name} (lowest log loss on photographs held out first)\n")
    print(table[[*columns]].rename(columns=columns).round(3).to_string(index=False))
