"""Age, sex and site on the command line: of one photograph, or of many by a table."""

import sys
from pathlib import Path

from lesions.cli.arguments import home
from lesions.system.console import printable


def add_patient(command) -> None:
    """Add `--age`, `--sex`, `--site` and `--patients`."""
    add = command.add_argument
    add("--age", metavar="YEARS", help="of the patient in the one photograph, 0 to 120")
    add("--sex", metavar="SEX", help="female or male")
    add("--site", metavar="SITE", help='where on the body, such as back or "lower extremity"')
    add(
        "--patients",
        type=home,
        metavar="TABLE.csv",
        help="age, sex and site of many: a table with image_id (the name of a photograph without "
        "its suffix) and any of age, sex and localization, as HAM10000 has them",
    )


def read(arguments, paths: list[str]):
    """Read the options: path to patient, for those that are known; None where none was given.

    Raises:
        ValueError: If an option makes no sense, or the table names none of the photographs or
            could mean two by one name.
    """
    single = (arguments.age, arguments.sex, arguments.site)
    if arguments.patients is None and single == (None, None, None):
        return None
    from lesions import data

    if arguments.patients is None:
        if len(paths) != 1:
            raise ValueError(
                f"--age, --sex and --site describe one photograph, and there are {len(paths)}; "
                "write a table and pass it as --patients."
            )
        return {paths[0]: data.Patient.read(*single)}
    if single != (None, None, None):
        raise ValueError(
            "--patients cannot be used together with --age, --sex or --site; leave one of them out."
        )
    return _from_table(arguments.patients, paths)


def _from_table(table: str, paths: list[str]) -> dict:
    from lesions import data
    from lesions.data import values, walking

    known, notes = data.read_patients(table)
    found: dict = {}
    files: dict[str, str] = {}
    for path in paths:
        # A table may leave any suffix out.
        names = values.image_id(Path(path).name), values.image_id(Path(path).stem)
        name = next((name for name in names if name in known), None)
        if name is None:
            continue
        found[path] = known[name]
        other = files.setdefault(name, path)
        if other != path and not walking.same_content(Path(other), Path(path)):
            raise ValueError(
                f"{table} has one row for {other} and {path}, which are different photographs; "
                "rename one of them, or predict them separately."
            )
    if not found:
        raise ValueError(
            f"{table} names none of the photographs, of which the first is {paths[0]}; write their "
            "names without the suffix into its column image_id."
        )
    if len(found) < len(paths):
        notes.append(
            f"{table} does not name {len(paths) - len(found)} of {len(paths)} photographs, whose "
            "answers are from the photograph alone."
        )
    for note in notes:
        print(printable(note), file=sys.stderr)
    return found
