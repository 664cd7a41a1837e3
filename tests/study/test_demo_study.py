"""The recipes of the demo set reach the bars that make it worth running."""

import pytest

from lesions import data, evaluation, training
from lesions.data import demo
from lesions.study import recipes


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def metadata(build):
    dataset = data.open_dataset(demo.make_demo(build / "demo"), "drawn for the test", is_demo=True)
    return data.with_split(data.read_metadata(dataset))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "bar"), [("cnn", 0.45), ("densenet121", 0.8), ("cnn_densenet121", 0.8)]
)
def test_networks_learn_the_drawn_classes(architecture, bar, build, metadata):
    config = recipes.config(architecture, "demo")
    store = training.open_store(config, metadata, build, progress=False)
    run = training.read_run(training.train(config, metadata, store, build / "runs"))
    test = run.predictions[run.predictions["split"] == "test"]
    found = evaluation.intervals(test).loc["balanced_accuracy", "value"]
    assert found >= bar, f"{architecture} reaches {found:.3f} on the drawn test split"
    shipped = run.record["initial_weights"].startswith("best_model.h5")
    assert shipped == (architecture != "cnn")
