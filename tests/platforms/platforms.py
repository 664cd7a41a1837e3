"""The study on the versions of Kaggle's and Colab's images: `make test-platforms`.

The name keeps it out of `make test`, because it needs environments of its own.
"""

import json
import os

import nbformat
import pytest
from prepare import ADDRESS, HERE, PLATFORMS, REPOSITORY

SESSION = HERE / "session.py"
NOTEBOOKS = ("01_explore_data", "06_compare_models", "08_grad_cam", "09_use_the_model")
ANSWERS = """
import json, sys
import keras, numpy as np
from lesions import inference
from lesions.networks import models
model, details = models.load(sys.argv[1])
plain = keras.models.load_model(sys.argv[1], compile=False)
size = details["image_size"]
picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype("float32")
print(json.dumps([one.predict(picture, verbose=0).tolist() for one in (model, plain)]))
"""


def notebook(name):
    return REPOSITORY / "notebooks" / f"{name}.ipynb"


def attach(session, checkout, demo_folder):
    """Attach the repository and the pictures, one at each of Kaggle's two kinds of places."""
    session.mount(checkout, "/kaggle/input/datasets/somebody/lesion-study", read_only=True)
    session.mount(demo_folder, "/kaggle/input/skin-cancer-mnist-ham10000", read_only=True)


def executed(session, name):
    done = session.run(SESSION, notebook(name))
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    cells = nbformat.read(session.working / f"{name}.ipynb", 4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    for output in outputs:
        assert output.get("name") != "stderr", output["text"][:500]
    return outputs


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_model_loads_and_predicts(platform, session, demo_folder, tmp_path):
    here = session(platform)
    here.current = str(REPOSITORY)
    done = here.run("-c", ANSWERS, REPOSITORY / "models" / "best_model.h5")
    assert done.returncode == 0, done.stderr[-2000:]
    own, plain = json.loads(done.stdout.splitlines()[-1])
    assert own[0] == pytest.approx(plain[0], abs=1e-5)
    assert sum(own[0]) == pytest.approx(1, abs=1e-4)

    some = sorted(demo_folder.rglob("*.jpg"))[:3]
    done = here.run("-m", "lesions", "predict", *some, "--output", tmp_path / "answers.csv")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 1 + len(some)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_kaggle_without_internet(name, session, checkout, demo_folder):
    here = session("kaggle")
    attach(here, checkout, demo_folder)
    outputs = executed(here, name)
    assert any("drawn pictures" in str(output.get("data")) for output in outputs)
    kept = [path.name for path in here.working.rglob("*")]
    assert not any(path.endswith(".npy") or path == "demo" for path in kept), kept


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_colab_clones_the_repository(name, session, served):
    here = session("colab")
    cells = nbformat.read(notebook(name), 4).cells
    found = [ADDRESS.search(cell.source) for cell in cells if cell.cell_type == "code"]
    here.redirect(next(filter(None, found)).group(), served)
    executed(here, name)
    assert (here.folder / "clone" / "utils.py").exists()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_without_the_repository_one_sentence_tells_what_to_do(platform, session, one_sentence):
    done = session(platform).run(SESSION, notebook(NOTEBOOKS[0]), 1)
    assert done.returncode == 1
    kind, _, sentence = done.stdout.strip().splitlines()[-1].partition(": ")
    assert kind == "AssertionError"
    one_sentence(sentence, "Attach", "online", "address")


def test_what_is_missing_is_named_where_it_cannot_be_installed(session, checkout, one_sentence):
    here = session("kaggle")
    here.current = str(REPOSITORY)
    code = "import utils\nutils.install_missing({'absent': 'absent-package'})"
    done = here.run("-c", code)
    assert done.returncode == 1
    one_sentence(done.stderr.splitlines()[-1].partition(": ")[2], "absent-package", "internet")


def test_runs_of_an_attached_notebook_are_found(session, checkout, demo_folder):
    here = session("kaggle")
    attach(here, checkout, demo_folder)
    earlier = here.folder / "earlier" / "build" / "runs" / "demo-quick"
    os.makedirs(earlier)
    (earlier / "best_model.h5").write_bytes(b"")
    here.mount(here.folder / "earlier", "/kaggle/input/train-cnn", read_only=True)
    code = (
        "import sys; sys.path.insert(0, '/kaggle/input/datasets/somebody/lesion-study')\n"
        "import utils\n"
        "study = utils.open_study()\n"
        "print(study.best_model, study.build, study.scratch)"
    )
    done = here.run("-c", code)
    assert done.returncode == 0, done.stderr[-2000:]
    best, build, scratch = done.stdout.splitlines()[-1].split()
    assert best == "/kaggle/input/train-cnn/build/runs/demo-quick/best_model.h5"
    assert build == "/kaggle/working/build"
    assert not scratch.startswith("/kaggle")
