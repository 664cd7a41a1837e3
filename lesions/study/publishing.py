"""Copy what a study made into the repository: runs, tables, notebooks, and its own address."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
from PIL import Image

from lesions import data, evaluation
from lesions.data import leaky_splits
from lesions.evaluation import comparison
from lesions.system.files import replacing
from lesions.system.folders import REPOSITORY

NOTEBOOKS = REPOSITORY / "notebooks"
MODEL_LIMIT = 60_000_000
LEAKAGE_METRICS = ("balanced_accuracy", "accuracy")


def notebooks() -> list[Path]:
    """List the study's notebooks in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def latest_runs(build: Path) -> Path:
    """Find the folder of the runs that were made last.

    Raises:
        ValueError: If no run is there.
    """
    runs = build / "runs"
    # Notebook 06 writes its table in every study, also in one that trains nothing anew.
    made = {path: path.parent for path in runs.glob("*/comparison.csv")}
    made |= {path: path.parent.parent for path in runs.glob("*/*/metrics.json")}
    if not made:
        raise ValueError(f"{build} holds no finished run; run `make study` first.")
    return made[max(made, key=lambda path: path.stat().st_mtime)]


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

    The comparison is remade over all recorded runs; the best is the single network with the
    lowest validation log loss.

    Returns:
        The paths written.

    Raises:
        ValueError: If there is no run, it is of the demo set or quick, or the best model is
            above 60 MB.
    """
    runs, models = latest_runs(build), REPOSITORY / "models"
    if runs.name not in ("cpu", "gpu"):
        raise ValueError(f"{runs} holds {runs.name} runs; publish full runs on real images.")
    recorded = {path.name: path for path in comparison.run_folders(models)}
    recorded |= {path.name: path for path in comparison.run_folders(runs)}
    found = comparison.entries(recorded[name] for name in sorted(recorded))
    table = comparison.compare(found)
    best = runs / table.loc[table["networks"] == 1, "run"].iloc[0] / "model.h5"
    if best.exists() and best.stat().st_size > MODEL_LIMIT:
        raise ValueError(f"{best} has {best.stat().st_size} bytes, over the limit of 60 MB.")
    written = []
    for folder in sorted(path.parent for path in runs.glob("*/metrics.json")):
        shutil.copytree(
            folder,
            models / folder.name,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.h5", "*.npz"),
        )
        written.append(models / folder.name)
    written += publish_table(table)
    if best.exists():
        written.append(Path(shutil.copyfile(best, models / "best_model.h5")))
    for picture in sorted((runs / "gradcam_examples").glob("*.jpg")):
        written.append(Path(shutil.copy(picture, REPOSITORY / "gradcam_examples")))
    return written


def publish_table(table: pd.DataFrame | None = None) -> list[Path]:
    """Remake comparison.csv and the README's figures from what is recorded in `models/`.

    Args:
        table: `comparison.compare` over these runs where it is at hand; None to make it.

    Returns:
        The paths written.
    """
    models = REPOSITORY / "models"
    if table is None:
        table = comparison.compare(comparison.entries(comparison.run_folders(models)))
    written = [comparison.write_comparison(table, models / "comparison.csv")]
    blocks = {
        "results": results_block(table),
        "leakage": leakage_block(),
        "explanations": explanations_block(),
    }
    return [*written, update_readme(blocks)]


def publish_metrics(metadata: pd.DataFrame | None = None) -> list[Path]:
    """Remake metrics.json of every recorded run from its predictions.

    Args:
        metadata: The table that the runs were trained with, split; None to find HAM10000.

    Returns:
        The paths written.

    Raises:
        ValueError: If a run was trained on other rows.
    """
    if metadata is None:
        metadata = data.with_split(data.read_metadata(data.find_photographs()))
    written = []
    for path in sorted((REPOSITORY / "models").glob("*/config.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        protocol, seed = record["config"]["protocol"], record["config"]["seed"]
        rows = metadata
        if leaky_splits.CLEAN in record["images"]:
            rows = leaky_splits.protocol_rows(metadata, protocol, seed)
        if data.data_fingerprint(rows) != record["data_fingerprint"]:
            raise ValueError(f"{path.parent} was trained on other rows than these; train it again.")
        frame = evaluation.read_predictions(path.parent / "predictions.csv")
        found = evaluation.evaluate(frame, evaluation.class_frequencies(rows))
        with replacing(path.parent / "metrics.json") as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        written.append(path.parent / "metrics.json")
    return written


def results_block(table: pd.DataFrame) -> str:
    """Write the README's results from the comparison, lowest validation log loss first.

    Args:
        table: From `comparison.compare` over the recorded runs.

    Returns:
        Markdown.
    """
    lines = [
        "| network | px | epochs | initial weights | classes | balanced accuracy "
        "| of lesions | macro AUC | macro F1 | accuracy, most probable "
        "| melanoma sensitivity at 90% specificity | calibration error | validation log loss |",
        "|" + " --- |" * 13,
    ]
    for row in table.itertuples():
        lines.append(
            f"| {_network(row)} "
            f"| {_with_interval(row, 'test_balanced_accuracy')} "
            f"| {row.test_lesion_balanced_accuracy:.3f} "
            f"| {_with_interval(row, 'test_macro_auc')} | {row.test_macro_f1:.3f} "
            f"| {row.test_most_probable_accuracy:.3f} "
            f"| {row.test_melanoma_sensitivity_at_90_specificity:.3f} "
            f"| {row.test_expected_calibration_error:.3f} | {row.validation_log_loss:.3f} |"
        )
    best = table.iloc[0]
    lines += [
        "",
        f"Test split, lesion-disjoint, {best['test_images']:,} photographs of "
        f"{best['test_lesions']:,} lesions, mean over eight views, every network brought to the "
        "class frequencies; 95% intervals by bootstrap over lesions. Balanced accuracy and macro "
        "F1 are by the decision rule, as `predict` decides: it divides each probability by the "
        "class's frequency to a power chosen on validation, then takes the largest. *Of lesions*: "
        "probabilities averaged over each lesion's photographs, every lesion counted once. "
        "Ordered by validation log loss, by which everything is chosen. The test split was never "
        "used for a choice; it was scored for every recorded run. "
        f"Hardware: {'; '.join(sorted(table.loc[table['networks'] == 1, 'hardware'].unique()))}.",
        *_seed_lines(table),
    ]
    return "\n".join(lines)


def _network(row) -> str:
    """Describe a row of the comparison in the first five cells of the README's table."""
    if row.run == "ensemble":
        parts = dict(part.rsplit(": ", 1) for part in row.members.split("; "))
        used = [f"{float(weight):.2f} {name}" for name, weight in parts.items()]
        used = [one for one in used if not one.startswith("0.00")]
        return f"**ensemble** of {len(parts)}, weights {', '.join(used)}; others 0.00 | | | |"
    name = f"{row.architecture}{', given age, sex and site' if row.patient else ''}"
    name += f", {row.networks} networks" if row.networks > 1 else f", seed {row.seed:.0f}"
    return (
        f"{name} | {row.image_size:.0f} | {row.epochs:.0f} | {row.initial_weights} "
        f"| {row.class_balance}"
    )


def _seed_lines(table: pd.DataFrame) -> list[str]:
    """Say how far apart the runs of one recipe are that differ in their seed alone."""
    lines = []
    recipe = ["architecture", "image_size", "patient", "class_balance", "epochs"]
    for (architecture, size, *_), runs in table[table["networks"] == 1].groupby(recipe):
        if runs["seed"].nunique() > 1:
            scores = runs["test_balanced_accuracy"]
            seeds = ", ".join(f"{seed:.0f}" for seed in sorted(runs["seed"]))
            lines += [
                "",
                f"{architecture} at {size:.0f} px with seeds {seeds}: balanced accuracy "
                f"{scores.min():.3f} to {scores.max():.3f}. A difference of that size between "
                "rows may be chance.",
            ]
    return lines


def _with_interval(row, name: str) -> str:
    return _interval(*(getattr(row, name + end) for end in ("", "_low", "_high")))


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def leakage_block() -> str:
    """Write the README's figures on leakage from the recorded runs of notebook 07.

    Returns:
        Markdown: what each protocol reports, and what holds on the common clean set.
    """
    names = {
        "oversampled": "oversampled, then split by image",
        "image": "split by image",
        "lesion": "split by lesion, as everywhere else here",
    }
    lines = [
        "| protocol | balanced accuracy on its own test set | on lesions that no protocol has met "
        "| accuracy, own | accuracy, clean |",
        "|" + " --- |" * 5,
    ]
    for protocol, label in names.items():
        folders = list((REPOSITORY / "models").glob(f"cnn-*-leak-{protocol}-*/config.json"))
        if not folders:
            raise ValueError(f"models/ holds no run of the protocol {protocol!r}; publish one.")
        # Of several profiles, the one that was trained last.
        folder = max(folders, key=lambda path: (json.loads(path.read_text())["date"], path)).parent
        details = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        found = evaluation.read_predictions(folder / "predictions.csv")
        found = evaluation.answer(found, details)
        bounds = [
            evaluation.intervals(found[found["split"] == split], names=LEAKAGE_METRICS)
            for split in ("test", leaky_splits.CLEAN)
        ]
        cells = [_interval(**one.loc["balanced_accuracy"]) for one in bounds]
        cells += [f"{one.loc['accuracy', 'value']:.3f}" for one in bounds]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def explanations_block() -> str:
    """Write the README's figures on heat maps from `models/explanations.csv`.

    Returns:
        Markdown: a table of the maps' agreement with the lesion, and what the other parts found.
    """
    from lesions.explanation import measurements

    table = pd.read_csv(measurements.TABLE)

    def quote(*which, **more):
        return measurements.quote(table, *which, **more)

    def share(*which):
        row = measurements.look_up(table, *which)
        return f"{row['value']:.0%} ({row['low']:.0%} to {row['high']:.0%})"

    scores = ("pointing_game", "energy_inside", "intersection_over_union", "outside_over_inside")
    lines = [
        "| map | hottest point on the lesion | share on the lesion | intersection over union "
        "| mean outside over inside |",
        "|" + " --- |" * 5,
    ]
    for name in table.loc[table["part"] == "agreement", "method"].unique():
        label = "**Grad-CAM**" if name == "grad_cam" else name
        values = [quote("agreement", name, score) for score in scores]
        lines.append(f"| {label} | {' | '.join(values)} |")
    changes = table.loc[table["part"] == "perturbations", "method"].unique()
    flips = [f"{name} {share('perturbations', name, 'flipped')}" for name in changes]
    gaps = [
        f"{quote('faithfulness', name, 'road_gap')} for {label}"
        for name, label in (
            ("grad_cam", "Grad-CAM"),
            ("centred Gaussian", "the centred Gaussian"),
            ("random weights", "a network with random weights"),
        )
    ]
    counts = table.groupby("part")["images"].max()
    lines += [
        "",
        f"Run {table['run'].iloc[0]}, {counts['agreement']:,} test photographs for the table, "
        f"{counts['faithfulness']} to {counts['perturbations']} for what follows (one a lesion, "
        "the classes in turn); 95% intervals by bootstrap over lesions. Of the maps with a "
        f"randomised top, {share('agreement', 'randomised top', 'empty_map')} are empty, and only "
        "their overlap is counted.",
        "",
        f"- **Does the answer rest on the pixels named?** The ROAD gap is {'; '.join(gaps)}; a "
        "map without information has 0.",
        "- **Does it rest on the lesion?** With the lesion painted over, "
        f"{share('lesion', 'lesion inpainted', 'flipped')} of the answers change; with all but "
        f"the lesion taken away, {share('lesion', 'lesion only', 'flipped')}.",
        "- **Does the map depend on what was learned?** With the weights of all layers shuffled, "
        "its rank correlation with the real map is "
        f"{quote('sanity', 'grad_cam', 'rank_correlation', step=1.0)}.",
        f"- **What else flips an answer?** {'; '.join(flips)}.",
    ]
    return "\n".join(lines)


def update_readme(blocks: dict[str, str]) -> Path:
    """Put each block between the README's two markers of its name.

    Args:
        blocks: Name to Markdown.

    Returns:
        The README's path.
    """
    path = REPOSITORY / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, block in blocks.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = f"{before}{start}\n{block}\n{end}{after}"
    path.write_text(text, encoding="utf-8")
    return path


def _smaller(png: str) -> str:
    """Write a plot, base64 of a PNG file, with a palette of 256 colours, a third of the size."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as plot, io.BytesIO() as buffer:
        plot.convert("RGB").quantize(256).save(buffer, "PNG", optimize=True)
        packed = base64.b64encode(buffer.getvalue()).decode()
    return min(packed, png, key=len)


def _strip(notebook: nbformat.NotebookNode) -> None:
    """Take out what papermill notes about the run, times and paths, and pack the plots."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = _smaller(output["data"]["image/png"])
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
