"""python -m lesions evaluate: compare runs, or score one network on other photographs."""

from __future__ import annotations

import sys
from pathlib import Path

from lesions import classes
from lesions.cli.arguments import add_command, add_model, importing_keras
from lesions.cli.outputs import refuse_overwriting
from lesions.system.console import printable

SUMMARY = "Compare trained networks and write the table as comparison.csv in their folder."
EPILOG = f"""examples:
  python -m lesions evaluate models
  python -m lesions evaluate --data ISIC2018_Task3_Test    score best_model.h5 on other photographs

The folder holds one folder for each run, with config.json and predictions.csv. Every number is
computed anew from predictions.csv; no image, network or GPU is needed. Runs are sorted by
balanced accuracy on the validation images; [ ] is a 95% interval over lesions.

With --data nothing is compared or written: one network predicts the labelled photographs of
that folder, in any of HAM10000's layouts or ISIC 2018 Task 3's with its ground truth.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "evaluate", run, SUMMARY, EPILOG)
    command.add_argument(
        "folder", nargs="?", default="models", metavar="FOLDER", help="default: models"
    )
    command.add_argument(
        "--data", metavar="PHOTOS", help="labelled photographs to score one network on instead"
    )
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    if arguments.data:
        return _run_score(arguments)

    from lesions.evaluation import comparison

    output, runs = (
        Path(arguments.folder) / "comparison.csv",
        comparison.run_folders(arguments.folder),
    )
    refuse_overwriting([output], [Path(one) / "predictions.csv" for one in runs])
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
        "minutes": table["minutes"].map("{:.1f}".format),
    }
    print(table.__class__(columns).to_string(index=False))
    print(f"Wrote {printable(str(path))}. {classes.NOTICE}")
    return 0


def _run_score(arguments) -> int:
    with importing_keras():
        from lesions import inference
    table, decided, known = score(arguments.model or inference.BEST_MODEL, arguments.data)
    print(table.round(3).to_string())
    print(f"Balanced accuracy of the classes by the decision rule: {decided:.3f}.")
    if known:
        print(
            f"{known} of these photographs were used to train or choose the network, so these "
            "numbers are no test of it."
        )
    print(classes.NOTICE)
    return 0


def score(model, folder, tta: bool = True):
    """Score a network on the labelled photographs of a folder, such as the official test set.

    Args:
        model: An `.h5` file from `models.save`.
        folder: A folder in any layout of `data.open_dataset`.
        tta: Whether the mean over eight views is taken.

    Returns:
        `evaluation.intervals` of the calibrated probabilities; the balanced accuracy of the
        classes by the decision rule; and how many of the photographs are among those that the
        recorded split trains or validates on.

    Raises:
        ValueError: If the folder, a photograph or the model cannot be used.
    """
    import pandas as pd
    from sklearn.metrics import balanced_accuracy_score
    from tqdm import tqdm

    from lesions import data, evaluation, inference
    from lesions.evaluation import predictions

    rows = data.read_metadata(data.open_dataset(folder, "the folder that was named"))
    classifier = inference.Classifier(model, tta)
    answers = classifier.classify(rows["image_path"], patient=data.patient_features(rows))
    bar = tqdm(answers, total=len(rows), unit="images", disable=not sys.stderr.isatty())
    table = pd.DataFrame(list(bar))
    faulty = table.index[table["error"] != ""]
    if len(faulty):
        raise ValueError(table["error"][faulty[0]])
    frame = predictions.table(rows.assign(split="test"), table[list(classes.CODES)].to_numpy())
    splits = pd.read_csv(data.REPOSITORY / "models" / "splits.csv")
    known = splits.loc[splits["split"] != "test", "image_id"]
    decided = balanced_accuracy_score(rows["dx"], table["predicted"])
    return evaluation.intervals(frame), decided, int(rows["image_id"].isin(known).sum())
