"""Copy what a study made into the repository: runs, tables, notebooks, and its own address."""

import base64
import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pandas as pd
from PIL import Image

from lesions import data, inference
from lesions.evaluation import comparison, external
from lesions.study import (
    best_model,
    elsewhere,
    facts,
    gains,
    leakage,
    numbers,
    other_clinics,
    other_networks,
    pilot,
    readme,
    recipes,
    student,
)
from lesions.system.files import replacing
from lesions.system.folders import MODELS, REPOSITORY, named_by
from lesions.training.runs import copy_records

NOTEBOOKS = REPOSITORY / "notebooks"
# What differs from run to run: an object's place in memory, and how pandas names a styled table.
PLACE = re.compile(r" at 0x[0-9a-f]+>")
STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=_|\b)")
# A small picture of every notebook, for the README: that of the cell with this tag.
THUMBNAILS, THUMBNAIL, THUMBNAIL_SIZE = REPOSITORY / "docs" / "thumbnails", "thumbnail", (300, 190)


def notebooks(numbers: Sequence[str] = ()) -> list[Path]:
    """List the study's notebooks in order: those of these first two digits, or all.

    Raises:
        ValueError: If there is no notebook of a number.
    """
    found = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    for number in numbers:
        if number not in found:
            raise ValueError(f"There is no notebook {number!r}; use {', '.join(found)}.")
    return [path for number, path in found.items() if not numbers or number in numbers]


def latest_runs(build: Path) -> Path:
    """Find the folder of the runs that were made last, or raise a ValueError."""
    runs = build / "runs"
    # Notebook 06 writes its table in every study, also in one that trains nothing anew.
    made = {path: path.parent for path in runs.glob("*/comparison.csv")}
    made |= {path: path.parent.parent for path in runs.glob("*/*/metrics.json")}
    if not made:
        raise ValueError(f"{build} holds no finished run; run `make study` first.")
    return made[max(made, key=lambda path: path.stat().st_mtime)]


def publish_notebooks(build: Path, which: Sequence[str] = ()) -> list[Path]:
    """Copy the notebooks that the last study executed over the recorded ones, see `notebooks`.

    Returns:
        The paths written: the notebooks, a thumbnail of each, and Grad-CAM examples.

    Raises:
        ValueError: If a notebook has not been executed to its end as it is now, or on the demo
            set or as a quick study.
    """
    executed = {path: _read_executed(path, build / "study") for path in notebooks(which)}
    written = []
    for path, notebook in executed.items():
        _strip(notebook)
        with replacing(path) as temporary:
            nbformat.write(notebook, temporary)
        written += [path, write_thumbnail(notebook, path.stem)]
    if not which or "08" in which:  # which made Grad-CAM examples, here of real photographs
        made = [build / "runs" / name / "gradcam_examples" for name in recipes.REAL]
        made = [one for one in made if one.is_dir()]
        latest = max(made, key=lambda path: path.stat().st_mtime, default=None)
        examples = sorted(latest.iterdir()) if latest else []
        written += [Path(shutil.copy(one, REPOSITORY / "gradcam_examples")) for one in examples]
    return [*written, *publish_numbers(which)]


def _read_executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Read a notebook's executed copy; only quoted numbers may have changed since."""
    executed = folder / path.name
    if not executed.exists():
        raise ValueError(f"{executed} does not exist; run `make study` first.")
    notebook, now = nbformat.read(executed, 4), nbformat.read(path, 4)
    again = f"execute it again by `python -m lesions.study run {path.name[:2]}`."
    for cell in notebook.cells:
        failed = any(one.output_type == "error" for one in cell.get("outputs", []))
        code = cell.cell_type == "code" and cell.source.strip()
        if failed or (code and not cell.execution_count):
            raise ValueError(f"{executed} was not executed to its end; {again}")
    texts = (one.get("text", "") for cell in notebook.cells for one in cell.get("outputs", []))
    if re.search(r"^Profile (demo|\w+, quick)\b", "\n".join(texts), re.MULTILINE):
        raise ValueError(f"{executed} is of a demo or quick study; with all photographs, {again}")
    sources = [[numbers.MARK.sub("", cell.source) for cell in one.cells] for one in (notebook, now)]
    if sources[0] != sources[1]:
        raise ValueError(f"{path} was changed after {executed} was made; {again}")
    return notebook


def publish_numbers(which: Sequence[str] = ()) -> list[Path]:
    """Write the numbers that the notebooks' Markdown quotes again, and return the notebooks.

    Those of the data set need HAM10000; where it is not at hand, they stay as they are.
    """
    try:
        metadata = _ham10000()
    except ValueError:
        if named_by("HAM10000_DIR"):
            raise
        metadata = None
    return [numbers.update(path, facts.of(path.name[:2], metadata)) for path in notebooks(which)]


def _ham10000() -> pd.DataFrame:
    """Read HAM10000's table with the recorded split, or raise a ValueError."""
    return data.with_split(data.read_metadata(data.find_photographs()))


def publish_runs(build: Path) -> list[Path]:
    """Copy the last runs, without their models, and the best model.

    The comparison is remade over all recorded runs; `evaluation.choice` says which is best.

    Raises:
        ValueError: If there is no run, it is of the demo set or quick, the best model is above
            60 MB, see `best_model.publish_model`, or another one answered to the external sets.
    """
    runs = latest_runs(build)
    if runs.name not in recipes.REAL:
        raise ValueError(f"{runs} holds {runs.name} runs; publish full runs on real images.")
    recorded = {path.name: path for path in comparison.run_folders(MODELS)}
    recorded |= {path.name: path for path in comparison.run_folders(runs)}
    found = comparison.entries(recorded[name] for name in sorted(recorded))
    table = comparison.compare(found)
    best = runs / comparison.best_row(table)["run"] / "model.h5"
    written = [copy_records(run, MODELS) for run in comparison.finished_folders(runs)]
    # Before the pages, which wait until a new best model has been asked about other clinics.
    if best.exists():
        written.append(best_model.publish_model(best, best.parent))
    return written + publish_table(table)


def publish_table(table: pd.DataFrame | None = None) -> list[Path]:
    """Remake comparison.csv and the pages' tables from what is recorded in `models/`.

    A table is `comparison.compare` over these runs, computed already.
    """
    found = facts.recorded_entries()
    if table is None:
        table = comparison.compare(found)
    best = comparison.best_row(table)["run"]
    written = [comparison.write_comparison(table, MODELS / "comparison.csv")]
    compared = pilot.compare()
    blocks = {
        "answer": readme.answer_block(table),
        "results": readme.steps_block(table),
        "networks": readme.results_block(table),
        "gains": gains.gains_block(found, best),
        "lesions": gains.lesions_block(found, best),
        "leakage": leakage.block(),
        "explanations": readme.explanations_block(),
        "elsewhere": elsewhere.card_block(),
        "recall": elsewhere.recall_block(),
        "warning": elsewhere.warning_block(),
        "at_prediction": elsewhere.tried_block(),
        "pilot": pilot.block(compared, pilot.of_all_folds()),
        "student": student.block(student.compare()),
    }
    return [*written, *readme.update(blocks), *publish_numbers()]


def publish_external() -> list[Path]:
    """Ask the recorded best model for its answers to other clinics' photographs anew.

    Those of an earlier best model go into its run folder, see `other_networks.keep_recorded`.
    """
    classifier, metadata = inference.Classifier(tta=False), _ham10000()
    same = external.recorded_run() == classifier.details["run"]
    kept = [] if same else other_networks.keep_recorded()
    return kept + other_clinics.publish(classifier, metadata)


def write_thumbnail(notebook: nbformat.NotebookNode, name: str, folder: Path = THUMBNAILS) -> Path:
    """Write the thumbnail of an executed notebook: the tagged picture, or else the first.

    Raises:
        ValueError: If the notebook holds no picture.
    """
    cells = sorted(notebook.cells, key=lambda cell: THUMBNAIL not in cell.metadata.get("tags", []))
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    kinds = ("image/png", "image/jpeg")
    pictures = [found[kind] for found in outputs for kind in kinds if kind in found]
    if not pictures:
        raise ValueError(f"{name} shows no picture; tag a cell with one by {THUMBNAIL!r}.")
    with Image.open(io.BytesIO(base64.b64decode(pictures[0]))) as picture:
        small = picture.convert("RGB")
        small.thumbnail(THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
    path = folder / f"{name[:2]}.jpg"
    with replacing(path) as temporary:
        small.save(temporary, "JPEG", quality=80, optimize=True)
    return path


def _smaller(png: str) -> str:
    """Return a plot, base64 of a PNG file, with a palette of 32 colours, a third of the size."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as plot:
        small = plot.convert("RGB").quantize(32, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    small.save(buffer, "PNG", optimize=True)
    return min(base64.b64encode(buffer.getvalue()).decode(), png, key=len)


def _strip(notebook: nbformat.NotebookNode) -> None:
    """Remove what belongs to one machine or one run, and compress the plots."""
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("execution", None)
        if cell.metadata.get("tags") == []:
            cell.metadata.pop("tags")
        if "outputs" in cell:  # what libraries write to stderr is of this machine
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
        for place, output in enumerate(cell.get("outputs", [])):
            shown = output.get("data", {})
            if "image/png" in shown:
                shown["image/png"] = _smaller(shown["image/png"])
            if "text/html" in shown:
                shown["text/html"] = STYLED.sub(f"T_{number}_{place}", shown["text/html"])
            if "text/plain" in shown:
                shown["text/plain"] = PLACE.sub(">", shown["text/plain"])
    notebook.metadata = {
        key: notebook.metadata[key]
        for key in ("kernelspec", "language_info", "title")
        if key in notebook.metadata
    }


def address() -> str:
    """Read "owner/repository" from the README's first badge."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return re.search(r"github(?:\.com)?/([\w.-]+/[\w.-]+)/blob", text).group(1)


def set_address(new: str) -> list[Path]:
    """Rewrite the repository's address in every badge and setup cell; returns what changed.

    Raises:
        ValueError: If it is not the address of a GitHub repository.
    """
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", new)
    if not match:
        raise ValueError(f"{new!r} is not like https://github.com/owner/repository; correct it.")
    old, new = address(), match.group(1)
    changed = []
    for path in [REPOSITORY / "README.md", *notebooks()]:
        text = path.read_text(encoding="utf-8")
        rewritten = re.sub(rf"(github(?:\.com)?/){re.escape(old)}\b", rf"\g<1>{new}", text)
        if rewritten != text:
            with replacing(path) as temporary:
                temporary.write_text(rewritten, encoding="utf-8")
            changed.append(path)
    return changed
