"""The study on the demo set, whole: every notebook runs, and the networks learn."""

import re

import nbformat
import numpy as np
import pytest

from lesions import classes, evaluation, training
from lesions.data import images, leaky_splits
from lesions.evaluation import comparison
from lesions.study import execution, publishing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """What `make study` makes where no photographs are at hand, two notebooks at a time."""
    folder = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HAM10000_DIR", "RETRAIN", "QUICK"):
            patch.delenv(name, raising=False)
        patch.setenv("PROFILE", "demo")
        patch.setenv("LESIONS_BUILD", str(folder))
        execution.run(folder)
    return folder


def test_every_notebook_runs(build):
    index = (build / "study" / "index.html").read_text(encoding="utf-8")
    notebooks = publishing.notebooks()
    assert re.findall(r'href="(.+?)"', index) == [f"{path.stem}.html" for path in notebooks]
    for path in notebooks:
        executed = nbformat.read(build / "study" / path.name, 4)
        for cell in executed.cells:
            for output in cell.get("outputs", []):
                text = output.get("text", "")
                assert output.get("name") != "stderr", f"{path.name}: {text[:300]}"
    runs = publishing.latest_runs(build)
    assert (runs / "comparison.csv").exists()
    assert (runs / "best_model.h5").exists()
    assert len(list((runs / "gradcam_examples").glob("*_gradcam.jpg"))) == len(classes.CODES)


@pytest.mark.parametrize(
    ("architecture", "bar"), [("cnn", 0.45), ("densenet121", 0.8), ("cnn_densenet121", 0.8)]
)
def test_networks_learn_the_drawn_classes(architecture, bar, build):
    runs = map(training.read_run, comparison.run_folders(publishing.latest_runs(build)))
    (run,) = (one for one in runs if one.record["config"]["architecture"] == architecture)
    test = run.predictions[run.predictions["split"] == "test"]
    found = evaluation.intervals(test).loc["balanced_accuracy", "value"]
    assert found >= bar, f"{architecture} reaches {found:.3f} on the drawn test split"
    shipped = run.record["initial_weights"].startswith("best_model.h5")
    assert shipped == (architecture != "cnn")


def answers_of(build, tag):
    """Answer by the only run with a tag."""
    (folder,) = publishing.latest_runs(build).glob(f"*-{tag}-*")
    run = training.read_run(folder)
    return evaluation.answer(run.predictions, run.metrics)


def test_repeating_rare_photographs_helps_a_small_network(build):
    sides = [
        evaluation.rows_of(answers_of(build, f"balance-{name}"), "validation")
        for name in ("oversampling", "none")
    ]
    assert evaluation.paired_difference(*sides, "balanced_accuracy")["value"] > 0


def test_oversampling_before_the_split_reports_too_much(build):
    answers = answers_of(build, "leak-oversampled")
    sides = [evaluation.rows_of(answers, split) for split in ("test", leaky_splits.CLEAN)]
    gap = evaluation.independent_difference(*sides)
    assert gap["value"] > 0.05 and gap["low"] > 0, gap


def test_grad_cam_points_at_the_drawn_lesion(build):
    executed = nbformat.read(build / "study" / "08_grad_cam.ipynb", 4)
    texts = [
        output.get("data", {}).get("text/plain", "")
        for cell in executed.cells
        for output in cell.get("outputs", [])
    ]
    (title,) = [text for text in texts if "Hottest point on the lesion" in text]
    share = float(re.search(r"Grad-CAM ([\d.]+)", title)[1])
    masks = [images.read_mask(path, 64) for path in (build / "demo").rglob("*_segmentation.png")]
    assert share > 2 * np.mean([mask.mean() for mask in masks]), title
