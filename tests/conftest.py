"""What several tests share: a demo set drawn once, tiny datasets, and other processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# One thread of computing for each worker and for what it starts: threads of two that share the
# cores wait in turns. NumPy, PyTorch and TensorFlow read these when they are first imported.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
from tables import draw_table, drawn_fusion, write_photographs

from lesions import data
from lesions.data import demo, images
from lesions.system.folders import REPOSITORY

# The files of most seconds come first, so that no worker is left alone with one.
LONGEST = "demo_study models study tflite backends benchmarks trainer predict command_line".split()


def pytest_collection_modifyitems(items):
    """Order the files by their seconds, about."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


# The fewest demo photographs that leave seven lesions of every class.
DEMO_IMAGES = 210


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory):
    """The demo set, drawn by the first worker that needs it, alone in the folder above it."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if worker else folder) / "drawn"
    return demo.make_demo(folder / "demo", images=DEMO_IMAGES)


@pytest.fixture(scope="session")
def demo_metadata(demo_folder):
    """The demo set's table with its split by lesion."""
    dataset = data.open_dataset(demo_folder, "drawn for the tests")
    return data.split_by_lesion(data.read_metadata(dataset))


@pytest.fixture(scope="session")
def demo_store(demo_metadata, tmp_path_factory):
    """The demo set at 64 px."""
    folder = tmp_path_factory.mktemp("stores")
    return images.ImageStore(demo_metadata, 64, folder)


@pytest.fixture(scope="session")
def tiny_model(demo_metadata, tmp_path_factory):
    """A small untrained network, with the familiarity file that belongs to it."""
    from lesions import evaluation, inference
    from lesions.inference import familiarity
    from lesions.networks import models

    folder = tmp_path_factory.mktemp("tiny")
    details = {"correction": evaluation.Correction(power=4.0).to_details(), "run": "tiny"}
    path = models.save(models.build("cnn", 64, "random"), folder / "model.h5", details)
    fitted = familiarity.fit(inference.Classifier(path, tta=False), demo_metadata)
    fitted.save(folder / familiarity.FILE)
    return path


@pytest.fixture(scope="session")
def patient_model(tiny_model, tmp_path_factory):
    """The same network with numbers for age, sex and site."""
    from lesions.networks import models

    model, details = models.load(tiny_model)
    path = tmp_path_factory.mktemp("patients") / "model.h5"
    return models.save(model, path, {**details, "patient_fusion": drawn_fusion()})


@pytest.fixture(scope="session")
def lite_file(tiny_model, tmp_path_factory):
    """The same network as a TensorFlow Lite file; converting it takes seconds."""
    from lesions import export
    from lesions.networks import models

    path = tmp_path_factory.mktemp("lite") / "model.tflite"
    path, checked = export.export(*models.load(tiny_model), "tflite", path)
    assert checked.startswith("Checked")
    return path


@pytest.fixture(scope="session")
def best_classifier():
    """The published network, one view a photograph; reading it takes seconds."""
    from lesions import inference

    return inference.Classifier(tta=False)


@pytest.fixture(scope="session")
def ham10000():
    """The real HAM10000, where this machine has it."""
    if not os.environ.get("HAM10000_DIR"):
        pytest.skip("HAM10000_DIR does not name the real dataset")
    return data.find_dataset()


@pytest.fixture(scope="session")
def ham10000_table(ham10000):
    """Its table, which no test changes."""
    return data.read_metadata(ham10000)


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """A folder of random weights, in files of the names and the form of Keras' ImageNet weights."""
    import h5py
    import keras
    from keras.src.legacy.saving import legacy_h5_format

    from lesions.networks import initial_weights

    folder = tmp_path_factory.mktemp("weights")
    for branch in ("densenet121", "resnet50"):
        name, file_name = initial_weights.PRETRAINED[branch]
        network = getattr(keras.applications, name)(include_top=False, weights=None)
        with h5py.File(folder / file_name, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return folder


@pytest.fixture
def pretrained(request, monkeypatch):
    """The folder of ImageNet weights where this machine has one, else one of random weights."""
    if not os.environ.get("PRETRAINED_DIR"):
        monkeypatch.setenv("PRETRAINED_DIR", str(request.getfixturevalue("random_weights")))
    return Path(os.environ["PRETRAINED_DIR"])


@pytest.fixture
def table():
    """A faultless table of 56 photographs of 56 lesions."""
    return draw_table()


@pytest.fixture
def kaggle_folder(tmp_path):
    """Call it with a table to get a folder in Kaggle's layout."""

    def write(table, name="kaggle"):
        folder = tmp_path / name
        ids = list(dict.fromkeys(table["image_id"])) if "image_id" in table else ["ISIC_0000000"]
        write_photographs(folder / "HAM10000_images_part_1", ids[::2])
        write_photographs(folder / "HAM10000_images_part_2", ids[1::2])
        table.to_csv(folder / "HAM10000_metadata.csv", index=False)
        return folder

    return write


def start_python(code, *arguments, **environment):
    """Start another Python in the repository's root."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def python():
    """Run code in another Python and return what it printed."""

    def run(code, *arguments, succeeds=True, **environment):
        process = start_python(code, *arguments, **environment)
        output, errors = process.communicate(timeout=300)
        assert (process.returncode == 0) == succeeds, errors[-3000:]
        return output

    return run


@pytest.fixture
def killed_when():
    """Start code in another Python and kill it, by SIGKILL, once a condition holds."""
    import time

    def run(condition, code, *arguments, **environment):
        process = start_python(code, *arguments, **environment)
        deadline = time.monotonic() + 200
        while not condition():
            assert process.poll() is None, process.communicate()[1][-3000:]
            assert time.monotonic() < deadline, "the process never came that far"
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -9

    return run


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window; what it downloads goes to its `downloads`."""
    from selenium import webdriver

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium here; install the Debian packages chromium and chromium-driver")
    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "disable-dev-shm-usage",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        f"user-data-dir={folder / 'profile'}",
        "window-size=1280,1500",
    ):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    browser.downloads = folder / "downloads"
    browser.downloads.mkdir()
    allowed = {"behavior": "allow", "downloadPath": str(browser.downloads)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
    browser.set_script_timeout(120)
    yield browser
    browser.quit()


@pytest.fixture
def one_sentence():
    """Check that an error is one sentence without a traceback, which names these things."""

    def check(error, *names):
        text = str(error.value if hasattr(error, "value") else error).strip()
        assert "\n" not in text and text.endswith("."), text
        assert ". " not in text.replace("...", ""), text
        for name in names:
            assert str(name) in text, text

    return check
