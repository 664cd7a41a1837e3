"""Train the queue, run every notebook, render and publish it: `python -m lesions.study`."""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pandas as pd

from lesions.system import allocator, console
from lesions.system.folders import named_by

# TensorFlow, which comes along, writes a few lines while it is imported.
with console.quiet_stderr():
    from lesions import classes, data
    from lesions.study import best_model, pilot, publishing
    from lesions.study.publishing import REPOSITORY, latest_runs, notebooks


NEED_TENSORFLOW = ("08", "09")  # Grad-CAM and the export


def run(build: Path, chosen: list[Path] | None = None) -> Path:
    """Execute the notebooks in order and render them, with an index.html that links the pages.

    Args:
        build: Folder for everything made here; the notebooks see it as LESIONS_BUILD.
        chosen: Notebooks to execute, by default all.

    Returns:
        The path of index.html.

    Raises:
        ValueError: If a cell of a notebook fails; names the notebook and the cell.
    """
    folder = build / "study"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["LESIONS_BUILD"] = str(build.resolve())
    # The notebooks run in their own folder.
    for name in ("HAM10000_DIR", "PRETRAINED_DIR", "EXTERNAL_DIR"):
        if named_by(name):
            os.environ[name] = str(Path(named_by(name)).resolve())
    rendered = []
    chosen = notebooks() if chosen is None else chosen
    for number, path in enumerate(chosen, start=1):
        progress = Progress(f"[{number}/{len(chosen)}] {path.stem}")
        with _backend_of(path):
            execute(path, folder / path.name, progress)
        rendered.append((render(folder / path.name), progress.close()))
    return write_index(folder, rendered)


def execute(path: Path, target: Path, progress: Progress) -> None:
    """Execute a notebook in its own folder and write it to `target`, also when a cell fails.

    Raises:
        ValueError: If a cell fails or the kernel dies.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from traitlets.config import Config

    notebook = nbformat.read(path, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    progress.total = len(cells)
    # Sockets in a folder of its own, not on TCP, of which Jupyter warns.
    with tempfile.TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=None,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_execute=progress.start_cell,
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/k"}}),
        )
        try:
            client.execute()
        except (CellExecutionError, DeadKernelError) as error:
            reason = "the kernel died, perhaps for lack of memory"
            if isinstance(error, CellExecutionError):
                reason = f"{error.ename}: {error.evalue}"
            raise ValueError(
                f"{path.name} failed in cell {progress.cell} of {progress.total} with {reason}; "
                f"the notebook so far is {target}."
            ) from error
        finally:
            nbformat.write(notebook, target)


class Progress:
    """Print which cell of a notebook runs and how many seconds it has taken so far.

    A terminal sees one line that changes; a log gets a line at most every half minute.
    """

    PAUSE = 30

    def __init__(self, name: str, total: int = 0):
        self.name, self.total, self.cell = name, total, 0
        self.started = self.printed = time.monotonic()
        self.on_terminal = sys.stdout.isatty()

    def start_cell(self, cell, cell_index: int) -> None:
        """Note that a cell starts, as nbclient's `on_cell_execute` tells it."""
        self.cell += 1
        now = time.monotonic()
        if self.on_terminal:
            print(f"\r{self._line(now)}", end="", flush=True)
        elif self.cell == 1 or now - self.printed >= self.PAUSE:
            print(self._line(now), flush=True)
            self.printed = now

    def close(self) -> float:
        """Print that the notebook is done, and return the seconds that it took."""
        seconds = time.monotonic() - self.started
        start = "\r" if self.on_terminal else ""
        done = f"{self.name}: {self.total} cells in {seconds:.0f} s"
        print(f"{start}{done:<{len(self._line(0)) + 8}}".rstrip(" "), flush=True)
        return seconds

    def _line(self, now: float) -> str:
        return f"{self.name}: cell {self.cell} of {self.total}, {now - self.started:.0f} s"


@contextlib.contextmanager
def _backend_of(path: Path):
    """Use TensorFlow in the notebooks that need gradients of layers, whatever trained before."""
    before = os.environ.get("KERAS_BACKEND")
    if path.name.startswith(NEED_TENSORFLOW):
        os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before


def render(path: Path) -> Path:
    """Render an executed notebook as an HTML page in the same folder, and return its path."""
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(embed_images=True).from_filename(str(path))
    page = path.with_suffix(".html")
    page.write_text(body, encoding="utf-8")
    return page


def title(path: Path) -> str:
    """Read a notebook's title: the first heading of its first cell."""
    first = nbformat.read(path.with_suffix(".ipynb"), 4).cells[0].source
    return re.search(r"^# (.+)$", first, re.MULTILINE).group(1)


def write_index(folder: Path, rendered: list[tuple[Path, float]]) -> Path:
    """Write index.html, which links HTML pages and names the seconds that each notebook took."""
    rows = "\n".join(
        f'<li><a href="{page.name}">{html.escape(title(page))}</a> <small>{seconds:.0f} s</small>'
        for page, seconds in rendered
    )
    path = folder / "index.html"
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Skin-lesion study</title>"
        "<style>body{font:18px/1.6 system-ui;max-width:42em;margin:3em auto;padding:0 1em}"
        "small{color:#666}</style>"
        f"<h1>Skin-lesion study</h1><ol>\n{rows}\n</ol>"
        f"<p><strong>{classes.NOTICE}</strong></p><p><small>{classes.CREDIT}</small></p></html>\n",
        encoding="utf-8",
    )
    return path


def train_queue(build: Path, which: str = "comparison") -> list[Path]:
    """Train every recipe of a list that has no run yet, one after another.

    It may be killed at any moment, by `timeout` too: the next call goes on after the last
    epoch, so that hours of training fit into pieces of ten minutes. Several processes may share
    one queue: two of one core each train small pictures a third faster than one of two. Other
    backends than TensorFlow serve as well, see KERAS_BACKEND.

    Args:
        build: Folder for everything made here.
        which: "comparison", the published one; "pilot", "folds" or "students", see the functions
            of these names in `recipes`.

    Returns:
        The run folders, found or made, without those that another process is training.

    Raises:
        ValueError: If only the demo set is at hand.
    """
    from lesions import training
    from lesions.study import recipes

    dataset, profile, metadata = recipes.open_data(os.environ.get("PROFILE") or "auto", build=build)
    if dataset.is_demo:
        raise ValueError("The queue trains on real photographs; set HAM10000_DIR to their folder.")
    runs, folders = build / "runs" / profile, []
    queues = {
        "comparison": lambda: recipes.queue(profile),
        "pilot": recipes.pilot,
        "folds": lambda: recipes.folds(pilot.chosen()),
        "students": lambda: recipes.students(metadata, pilot.chosen()),
    }
    configs = queues[which]()
    for number, config in enumerate(configs, start=1):
        folder = training.find_run(config, metadata, [runs, REPOSITORY / "models"])
        if folder is None:
            print(f"[{number}/{len(configs)}]", end=" ", flush=True)
            store = training.open_store(config, metadata, build)
            try:
                folder = training.train(config, metadata, store, runs)
            except (training.Busy, training.StartMissing) as error:
                # Perhaps another process is still training the one that it starts from.
                print(f"Left for a later call: {error}", flush=True)
                continue
        folders.append(folder)
    return folders


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lesions.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    execution = commands.add_parser("run", help="execute the notebooks in order, under build/")
    train = commands.add_parser("train", help="train networks one by one; resumes when killed")
    train.add_argument(
        "which",
        nargs="?",
        default="comparison",
        choices=("comparison", "pilot", "folds", "students"),
        help="all networks of the comparison; the pilot that compares augmentations; the networks "
        "of the five folds, with the augmentation that the pilot chose; or the network that "
        "learns from them",
    )
    publish = commands.add_parser("publish", help="copy results from build/ into the repository")
    publish.add_argument(
        "what",
        choices=("notebooks", "numbers", "runs", "pilot", "metrics", "table", "external", "model"),
        help="which of the results; numbers: those that the notebooks' text quotes; pilot: the "
        "runs of the pilot, with what they predict for ISIC 2017; model: write "
        "models/best_model.h5 again from its metrics.json",
    )
    for command in (execution, publish):
        help_text = "first two digits of a notebook, by default all; with publish, of `notebooks` "
        command.add_argument("numbers", nargs="*", help=f"{help_text}and `numbers`")
    renamed = commands.add_parser("address", help="rewrite the repository's address everywhere")
    renamed.add_argument("address", help="https://github.com/owner/repository")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    chosen = _parse(arguments)
    allocator.keep_memory()
    console.plain_warnings()
    build = data.build_folder()
    try:
        if chosen.command == "run":
            index = run(build, notebooks(chosen.numbers))
            print(index) if chosen.numbers else _report(build, index)
        elif chosen.command == "train":
            print(*train_queue(build, chosen.which), sep="\n")
        elif chosen.command == "publish":
            publishers = {
                "notebooks": lambda: publishing.publish_notebooks(build, chosen.numbers),
                "numbers": lambda: publishing.publish_numbers(chosen.numbers),
                "runs": lambda: publishing.publish_runs(build),
                "pilot": lambda: pilot.publish(build),
                "metrics": publishing.publish_metrics,
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
    return 0


def _report(build: Path, index: Path) -> None:
    """Print the recorded comparison first, which needs no photographs, then this study's own."""
    runs = latest_runs(build)
    _print_table("Recorded, on the photographs of HAM10000", REPOSITORY / "models")
    drawn = " on drawn pictures, which say nothing about skin" * runs.name.startswith("demo")
    _print_table(f"This run{drawn}", runs)
    print("\nWritten:")
    made = [runs / "comparison.csv", runs / "best_model.h5", runs / "gradcam_examples", index]
    print(*(f"  {path}" for path in made if path.exists()), sep="\n")
    print(f"\n{classes.NOTICE}")


def _print_table(name: str, folder: Path) -> None:
    """Print a folder's comparison.csv, best on validation first."""
    columns = ["run", "validation_log_loss", "test_balanced_accuracy", "test_macro_auc"]
    table = pd.read_csv(folder / "comparison.csv")
    print(f"\n{name} (best on validation first)\n")
    print(table[[column for column in columns if column in table]].round(3).to_string(index=False))
