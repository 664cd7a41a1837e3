"""python -m lesions site: a page that computes in the reader's browser."""

from lesions import classes
from lesions.cli.arguments import add_command, add_model, add_output, importing_keras
from lesions.system import folders

SUMMARY = "Write a page that computes in the reader's own browser."
EPILOG = f"""examples:
  make site          # gets what it needs and runs this command;  make site-serve  shows it
  python -m lesions site --output page

It needs `pip install -r requirements-app.txt`, and `npm install` in the folder site. Whatever
serves plain files can show the page; photographs never leave the reader's device.
{classes.NOTICE}"""


def add_parser(commands) -> None:
    """Describe the command."""
    command = add_command(commands, "site", run, SUMMARY, EPILOG)
    add_output(command, "FOLDER", "default: build/site; an earlier page there is replaced")
    add_model(command)


def run(arguments) -> int:
    """Run the command; returns the exit code."""
    with importing_keras():
        from lesions.serving import site
    folder = site.write(arguments.output or folders.build_folder() / "site", arguments.model)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    show = f"python -m http.server --bind 127.0.0.1 --directory {folder}"
    print(f"{folder}: {total / 1e6:.1f} MB; show it by `{show}`.")
    return 0
