"""python -m lesions familiarity: what photographs like those of the training look like."""

from lesions import classes
from lesions.cli.arguments import add_command, add_model, filled, importing_keras
from lesions.cli.outputs import named_in_errors, refuse_unwritable
from lesions.system.console import printable

SUMMARY = "Learn what photographs like those of the training look like to a network."
WAY_OUT = "copy the model to a folder of yours and name it by --model"
EPILOG = f"""example:
  python -m lesions familiarity

It reads photographs of HAM10000's training split, sets its thresholds on the validation split and
measures itself on the test split, on everyday pictures and on pictures out of focus. The file goes
into the model's folder, belongs to that model only, and lets predict, the app and the service warn
of pictures unlike those of the training.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "familiarity", run, SUMMARY, EPILOG)
    command.add_argument(
        "--data",
        type=filled,
        metavar="FOLDER",
        help="where HAM10000 lies; default: the usual places",
    )
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions import data, inference
        from lesions.inference import familiarity
    classifier = inference.Classifier(arguments.model)
    classifier.require_keras("Familiarity features")
    path = classifier.path.with_name(familiarity.FILE)
    refuse_unwritable(path, WAY_OUT)
    dataset = data.find_photographs(arguments.data)
    print(f"Data: {dataset.source}.")
    metadata = data.with_split(data.read_metadata(dataset))
    fitted = familiarity.fit(classifier, metadata)
    with named_in_errors(path, WAY_OUT):
        fitted.save(path)
    found = fitted.measured
    print(
        f"{found['other_images']} everyday pictures against {found['test_images']} test "
        f"photographs: AUC {found['unlike_auc']:.3f}, {found['unlike_found']:.0%} of them found, "
        f"{found['unlike_false']:.1%} false alarms.\n"
        f"The same test photographs out of focus: AUC {found['blurred_auc']:.3f}, "
        f"{found['blurred_found']:.0%} found, {found['blurred_false']:.1%} false alarms."
    )
    print(f"Wrote {printable(str(path))}, for {fitted.model}. {classes.NOTICE}")
    return 0
