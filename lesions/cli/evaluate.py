"""python -m lesions evaluate: compare runs, or score one network on other photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lesions import classes
from lesions.cli.arguments import (
    add_command,
    add_model,
    add_output,
    filled,
    importing_keras,
    shows_progress,
)
from lesions.cli.outputs import model_files, refuse_overwriting, refuse_unwritable
from lesions.system.console import printable
from lesions.system.folders import BEST_MODEL, MODELS, SPLITS_FILE

if TYPE_CHECKING:
    import pandas as pd

    from lesions.data import Dataset

SUMMARY = "Compare trained networks and write the table as comparison.csv in their folder."
EPILOG = f"""examples:
  python -m lesions evaluate models
  python -m lesions evaluate --data ISIC2018_Task3_Test    score best_model.h5 on other photographs
  python -m lesions evaluate --data clinic --no-tta --output clinic.csv

The folder holds one folder for each run, with config.json and predictions.csv. Every number is
computed anew from predictions.csv; no photograph, network or GPU is needed. Runs are sorted by
log loss on photographs held out, not the same for all; [ ] is a 95% interval over lesions.

With --data nothing is compared: one network predicts the labelled photographs of that folder, in
any of HAM10000's layouts, an ISIC ground truth's, the ISIC Archive's, or a metadata.csv with any
of the seven classes. --output keeps its predictions, before any correction, as predictions.csv.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "evaluate", run, SUMMARY, EPILOG)
    command.add_argument(
        "folder",
        nargs="?",
        metavar="FOLDER",
        type=filled,
        help="default: models of this repository",
    )
    command.add_argument(
        "--data",
        type=filled,
        metavar="PHOTOS",
        help="labelled photographs to score one network on instead",
    )
    add_output(command, "FILE.csv", "with --data, also write the predictions")
    command.add_argument(
        "--no-tta",
        action="store_true",
        help="with --data, predict each photograph once, not in eight flips and turns",
    )
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    if arguments.data:
        return _run_score(arguments)
    given = {
        "--output": arguments.output,
        "--no-tta": arguments.no_tta,
        "--model": arguments.model != str(BEST_MODEL),
    }
    for option, was_given in given.items():
        if was_given:
            raise ValueError(f"{option} belongs to --data; pass the photographs as --data too.")

    from lesions.evaluation import comparison

    folder = Path(arguments.folder or MODELS)
    output = folder / "comparison.csv"
    runs = comparison.run_folders(folder)
    if not runs:
        raise ValueError(
            f"{folder} holds no folder of a run (with config.json, metrics.json and "
            "predictions.csv); name the folder above the runs."
        )
    refuse_overwriting([output], [Path(one) / "predictions.csv" for one in runs])
    refuse_unwritable(output, "copy the runs to a folder of yours and name that")
    table = comparison.compare(comparison.entries(runs))
    path = comparison.write_comparison(table, output)
    columns = {
        "run": table["run"],
        "validation log loss": table["validation_log_loss"].map("{:.3f}".format),
        "test balanced accuracy": [
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in table.filter(regex="^test_balanced_accuracy").to_numpy()
        ],
        "of lesions": table["test_lesion_balanced_accuracy"].map("{:.3f}".format),
        "macro AUC": table["test_macro_auc"].map("{:.3f}".format),
        "macro F1": table["test_macro_f1"].map("{:.3f}".format),
        "minutes": table["minutes"].astype(float).map("{:.1f}".format),
    }
    print(table.__class__(columns).to_string(index=False))
    print(f"Wrote {printable(str(path))}. {classes.NOTICE}")
    return 0


def _run_score(arguments) -> int:
    if arguments.folder:
        raise ValueError(
            f"--data scores one network, and the folder {arguments.folder} is for comparing runs; "
            "leave one of them out."
        )
    with importing_keras():
        from lesions import data
    dataset = data.open_dataset(arguments.data, "the folder that was named")
    if arguments.output:
        read = [SPLITS_FILE, *data.files_read(dataset), *model_files(arguments.model)]
        refuse_overwriting([arguments.output], read)
        refuse_unwritable(arguments.output)
    found = score(arguments.model, dataset, not arguments.no_tta)
    table = printable(str(dataset.metadata_file))
    print(f"Photographs: {len(found.predictions):,}, of {table}.")
    print(found.table.round(3).to_string())
    if found.lacking:
        print(
            f"No photograph here shows {', '.join(found.lacking)}; averages are over the classes "
            "that are there."
        )
    print(f"Balanced accuracy of the classes by the decision rule: {found.decided:.3f}.")
    if found.lacking:
        print(f"The same where it may name only the classes that are there: {found.among:.3f}.")
    if found.known:
        print(
            f"{found.known} of these photographs were used to train or choose the network, so "
            "these numbers are not a test of it."
        )
    if arguments.output:
        from lesions.evaluation import predictions

        path = predictions.write_predictions(found.predictions, arguments.output)
        print(f"Wrote {printable(str(path))}.")
    print(classes.NOTICE)
    return 0


class Score(NamedTuple):
    """What `score` finds.

    Attributes:
        table: `evaluation.intervals` of the calibrated probabilities.
        decided: The balanced accuracy of the decision rule, over the classes that are there.
        among: The same where the decision rule chooses among the classes that are there.
        known: How many of the photographs the recorded split trains or validates on.
        lacking: Classes that no photograph shows.
        predictions: Before any correction, in the form of predictions.csv, with the split "test".
    """

    table: pd.DataFrame
    decided: float
    among: float
    known: int
    lacking: list[str]
    predictions: pd.DataFrame


def score(model, dataset: Dataset, tta: bool = True) -> Score:
    """Score a network, as for `inference.Classifier`, on labelled photographs.

    Raises:
        ValueError: If the table, a photograph or the model cannot be used.
    """
    from lesions import data, evaluation, inference
    from lesions.evaluation import predictions

    rows = data.read_metadata(dataset).assign(split="test")
    classifier = inference.Classifier(model, tta)
    frame = predictions.table(rows, _predict(classifier, rows))
    answers = evaluation.answer(frame, classifier.details)
    splits = data.read_splits()
    known = splits.index[splits["split"] != "test"]
    present = [code for code in classes.CODES if (rows["dx"] == code).any()]
    among = evaluation.answer_among(frame, classifier.details, present)
    names = (*evaluation.HEADLINES, "melanoma_auc")
    return Score(
        evaluation.intervals(answers.drop(columns="predicted"), names=names),
        evaluation.score(answers, "balanced_accuracy", resamples=0).value,
        evaluation.score(among, "balanced_accuracy", resamples=0).value,
        int(rows["image_id"].isin(known).sum()),
        [code for code in classes.CODES if code not in present],
        frame,
    )


def _predict(classifier, rows):
    """Predict photographs before any correction, a few at a time; float, (n, 7)."""
    import numpy as np
    from tqdm import tqdm

    from lesions.networks import views

    parts = []
    with tqdm(total=len(rows), unit="images", disable=not shows_progress()) as bar:
        for _, pictures, _, patient in classifier.read_rows(rows):
            parts.append(views.predict(classifier.model, pictures, classifier.tta, patient))
            bar.update(len(pictures))
    return np.concatenate(parts)
