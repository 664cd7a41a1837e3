"""Train the queue, run every notebook, render and publish it: `python -m lesions.study`."""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd

from lesions import classes, evaluation

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPOSITORY / "notebooks"
MODEL_LIMIT = 60_000_000


def notebooks() -> list[Path]:
    """List the study's notebooks in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def run(build: Path, chosen: list[Path] | None = None) -> Path:
    """Execute the notebooks in order and render them beside an index.html.

    Args:
        build: Folder for everything made here; the notebooks see it as LESIONS_BUILD.
        chosen: Notebooks to execute, by default all.

    Returns:
        The path of index.html.

    Raises:
        ValueError: If a cell of a notebook fails; names the notebook.
    """
    import papermill
    from traitlets.config import Config

    folder = build / "study"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["LESIONS_BUILD"] = str(build.resolve())
    rendered = []
    chosen = notebooks() if chosen is None else chosen
    for number, path in enumerate(chosen, start=1):
        cells = sum(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells)
        print(f"[{number}/{len(chosen)}] {path.stem}: {cells} cells ...", flush=True)
        started = time.time()
        try:
            papermill.execute_notebook(
                path,
                folder / path.name,
                cwd=NOTEBOOKS,
                kernel_name="python3",
                progress_bar=sys.stderr.isatty(),
                # Sockets in a folder of the user's, not on TCP, of which Jupyter warns.
                config=Config({"KernelManager": {"transport": "ipc"}}),
            )
        except papermill.exceptions.PapermillExecutionError as error:
            raise ValueError(
                f"{path.name} failed in cell {error.cell_index} with {error.ename}: "
                f"{error.evalue}; the notebook so far is {folder / path.name}."
            ) from error
        seconds = time.time() - started
        print(f"      done in {seconds:.0f} s", flush=True)
        rendered.append((render(folder / path.name), seconds))
    return write_index(folder, rendered)


def render(path: Path) -> Path:
    """Render an executed notebook as HTML beside it.

    Returns:
        The path of the HTML page.
    """
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
    """Write the page that links the rendered notebooks.

    Args:
        folder: Where it goes.
        rendered: HTML pages in this folder and the seconds that each notebook took.

    Returns:
        The path of index.html.
    """
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


def train_queue(build: Path) -> list[Path]:
    """Train every recipe of the published comparison that has no run yet, one after another.

    It may be killed at any moment, by `timeout` too: the next call goes on after the last
    epoch, so that hours of training fit into pieces of ten minutes. Other backends than
    TensorFlow serve as well, see KERAS_BACKEND.

    Args:
        build: Folder for everything made here.

    Returns:
        The run folders, found or made.

    Raises:
        ValueError: If only the demo set is at hand.
    """
    from lesions import images, recipes, training

    dataset, profile, metadata = recipes.open_data(os.environ.get("PROFILE") or "auto", build=build)
    if dataset.is_demo:
        raise ValueError("The queue trains on real photographs; name their folder by HAM10000_DIR.")
    runs, folders = build / "runs" / profile, []
    configs = recipes.queue(profile, metadata)
    for number, config in enumerate(configs, start=1):
        folder = training.find_run(config, metadata, [runs, REPOSITORY / "models"])
        if folder is None:
            print(f"[{number}/{len(configs)}]", end=" ", flush=True)
            store = images.ImageStore(metadata, config.image_size, build / "stores")
            folder = training.train(config, metadata, store, runs)
        folders.append(folder)
    return folders


def latest_runs(build: Path) -> Path:
    """Find the folder of the runs that were made last.

    Raises:
        ValueError: If no run is there.
    """
    finished = [path.parent for path in (build / "runs").glob("*/*/metrics.json")]
    if not finished:
        raise ValueError(f"{build} holds no finished run; run `make study` first.")
    return max(finished, key=lambda path: path.stat().st_mtime).parent


def publish_notebooks(build: Path) -> list[Path]:
    """Copy the notebooks that the last study executed over the recorded ones.

    Returns:
        The paths written.

    Raises:
        ValueError: If a notebook has not been executed.
    """
    written = []
    for path in notebooks():
        executed = build / "study" / path.name
        if not executed.exists():
            raise ValueError(f"{executed} does not exist; run `make study` first.")
        notebook = nbformat.read(executed, 4)
        _strip(notebook)
        nbformat.write(notebook, path)
        written.append(path)
    return written


def publish_runs(build: Path) -> list[Path]:
    """Copy the last runs, without their models, the best model and its Grad-CAM examples.

    The comparison is remade over all recorded runs; the best is best on validation.

    Returns:
        The paths written.

    Raises:
        ValueError: If there is no run, it is of the demo set or quick, or the best model is
            above 60 MB.
    """
    runs, models = latest_runs(build), REPOSITORY / "models"
    if runs.name not in ("cpu", "gpu"):
        raise ValueError(f"{runs} holds {runs.name} runs; publish full runs on real images.")
    written = []
    for folder in sorted(path.parent for path in runs.glob("*/metrics.json")):
        shutil.copytree(
            folder,
            models / folder.name,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.h5", "*.npz"),
        )
        written.append(models / folder.name)
    written += publish_table()
    table = pd.read_csv(models / "comparison.csv")
    best = runs / table["run"].iloc[0] / "model.h5"
    if best.exists():
        if best.stat().st_size > MODEL_LIMIT:
            raise ValueError(f"{best} has {best.stat().st_size} bytes, over the limit of 60 MB.")
        written.append(Path(shutil.copyfile(best, models / "best_model.h5")))
    for picture in sorted((runs / "gradcam_examples").glob("*.jpg")):
        written.append(Path(shutil.copy(picture, REPOSITORY / "gradcam_examples")))
    return written


def publish_table() -> list[Path]:
    """Remake comparison.csv and the README's table from the recorded predictions.

    Returns:
        The paths written.
    """
    models = REPOSITORY / "models"
    table = evaluation.compare(evaluation.run_folders(models))
    return [evaluation.write_comparison(table, models / "comparison.csv"), update_readme(table)]


def results_block(table: pd.DataFrame) -> str:
    """Write the README's results from the comparison, best on validation first.

    Args:
        table: From `evaluation.compare`.

    Returns:
        Markdown.
    """
    lines = [
        "| network | px | epochs | initial weights | balanced accuracy | with decision rule "
        "| macro AUC | macro F1 | accuracy | melanoma sensitivity at 90% specificity | ECE |",
        "|" + " --- |" * 11,
    ]
    for row in table.itertuples():
        lines.append(
            f"| {row.architecture}, seed {row.seed} | {row.image_size} | {row.epochs} "
            f"| {row.initial_weights} | {_with_interval(row, 'test_balanced_accuracy')} "
            f"| {row.test_decided_balanced_accuracy:.3f} "
            f"| {_with_interval(row, 'test_macro_auc')} | {row.test_macro_f1:.3f} "
            f"| {row.test_accuracy:.3f} | {row.test_melanoma_sensitivity_at_90_specificity:.3f} "
            f"| {row.test_calibrated_expected_calibration_error:.3f} |"
        )
    best = table.iloc[0]
    lines += [
        "",
        f"Test split, lesion-disjoint, {best['test_images']:,} photographs, mean over eight views; "
        "95% intervals by bootstrap over lesions; ECE after temperature scaling. The decision rule "
        "names the class that most exceeds its frequency, to a strength fitted on validation, as "
        "`predict` does; all else takes the most probable class. Ordered by "
        f"validation balanced accuracy. Hardware: {best['hardware']}.",
    ]
    return "\n".join(lines)


def _with_interval(row, name: str) -> str:
    value, low, high = (getattr(row, name + end) for end in ("", "_low", "_high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def update_readme(table: pd.DataFrame) -> Path:
    """Put `results_block` between the README's two result markers.

    Returns:
        The README's path.
    """
    path = REPOSITORY / "README.md"
    start, end = "<!-- results:start -->", "<!-- results:end -->"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(start)
    _, after = rest.split(end)
    text = f"{before}{start}\n{results_block(table)}\n{end}{after}"
    path.write_text(text, encoding="utf-8")
    return path


def _strip(notebook: nbformat.NotebookNode) -> None:
    """Take out what papermill notes about the run: times and paths of this machine."""
    for part in (notebook, *notebook.cells):
        for key in ("papermill", "execution", "widgets"):
            part.metadata.pop(key, None)
        if part.metadata.get("tags") == []:
            part.metadata.pop("tags")
    notebook.metadata = {
        key: notebook.metadata[key]
        for key in ("kernelspec", "language_info", "title")
        if key in notebook.metadata
    }


def address() -> str:
    """Read the repository's address from the README's first badge."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return "https://github.com/" + re.search(r"github\.com?/([\w.-]+/[\w.-]+)/blob", text).group(1)


def set_address(new: str) -> list[Path]:
    """Rewrite the repository's address in every badge and setup cell.

    Args:
        new: For example "https://github.com/someone/skin-lesions".

    Returns:
        The files that changed.

    Raises:
        ValueError: If it is not the address of a GitHub repository.
    """
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", new)
    if not match:
        raise ValueError(f"{new!r} is not like https://github.com/owner/repository; correct it.")
    old, new = address().removeprefix("https://github.com/"), match.group(1)
    changed = []
    for path in [REPOSITORY / "README.md", *notebooks()]:
        text = path.read_text(encoding="utf-8")
        rewritten = re.sub(rf"(github(?:\.com)?/){re.escape(old)}\b", rf"\g<1>{new}", text)
        if rewritten != text:
            path.write_text(rewritten, encoding="utf-8")
            changed.append(path)
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lesions.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="execute every notebook in order, under build/")
    commands.add_parser("train", help="train every network of the comparison; resumes when killed")
    publish = commands.add_parser("publish", help="copy results from build/ into the repository")
    publish.add_argument(
        "what", choices=("notebooks", "runs", "table"), help="which of the results"
    )
    renamed = commands.add_parser("address", help="rewrite the repository's address everywhere")
    renamed.add_argument("address", help="https://github.com/owner/repository")
    chosen = parser.parse_args(arguments)
    build = Path(os.environ.get("LESIONS_BUILD") or REPOSITORY / "build")
    try:
        if chosen.command == "run":
            _report(build, run(build))
        elif chosen.command == "train":
            print(*train_queue(build), sep="\n")
        elif chosen.command == "publish":
            publishers = {
                "notebooks": lambda: publish_notebooks(build),
                "runs": lambda: publish_runs(build),
                "table": publish_table,
            }
            print(*publishers[chosen.what](), sep="\n")
        else:
            print(*set_address(chosen.address), sep="\n")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _report(build: Path, index: Path) -> None:
    runs = latest_runs(build)
    table = pd.read_csv(runs / "comparison.csv")
    columns = ["run", "validation_balanced_accuracy", "test_balanced_accuracy", "test_macro_auc"]
    print("\nComparison (best on validation first)\n")
    print(table[[c for c in columns if c in table]].round(3).to_string(index=False))
    print("\nMade:")
    made = [runs / "comparison.csv", runs / "best_model.h5", runs / "gradcam_examples", index]
    print(*(f"  {path}" for path in made if path.exists()), sep="\n")
    print(f"\n{classes.NOTICE}")


if __name__ == "__main__":
    sys.exit(main())
