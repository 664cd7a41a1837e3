"""One training of three epochs, and what other tests of the training start from."""

import dataclasses
import shutil

import h5py
import keras
import pytest
import tiny

from lesions import training
from lesions.networks import initial_weights

CONFIG = training.Config(
    tiny.NAME,
    image_size=64,
    weights="random",
    epochs=3,
    warmup_steps=2,
    ema=0.5,
    learning_rate=1e-3,
    precision="float32",
    tag="test",
)


@pytest.fixture(scope="session")
def config():
    return CONFIG


@pytest.fixture(scope="session")
def one_step(config):
    return dataclasses.replace(config, epochs=1, batch_size=4, ema=0.0)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def run(config, demo_metadata, demo_store, runs):
    """One uninterrupted training of three epochs."""
    return training.read_run(training.train(config, demo_metadata, demo_store, runs))


@pytest.fixture
def pretrained_tiny(monkeypatch, tmp_path):
    """ImageNet weights of the tiny network, which can be had."""
    (tmp_path / "pretrained").mkdir()
    h5py.File(tmp_path / "pretrained" / "tiny.h5", "w").close()
    monkeypatch.setenv("PRETRAINED_DIR", str(tmp_path / "pretrained"))
    monkeypatch.setitem(initial_weights.PRETRAINED, tiny.NAME, ("Tiny", "tiny.h5"))
    monkeypatch.setattr(keras.applications, "Tiny", tiny.keras_own, raising=False)


@pytest.fixture(scope="session")
def small_run(one_step, few, demo_store, tmp_path_factory):
    """The folder of a run of one epoch on `few`; call it with a folder to copy it there."""
    made = training.train(one_step, few, demo_store, tmp_path_factory.mktemp("small"))
    return lambda folder: shutil.copytree(made, folder / made.name)


@pytest.fixture(scope="session")
def few(demo_metadata):
    """One of the demo set's lesions of every class and split: enough for a step or two."""
    lesions = demo_metadata.drop_duplicates("lesion_id")
    chosen = lesions.groupby(["split", "dx"]).head(1)["lesion_id"]
    return demo_metadata[demo_metadata["lesion_id"].isin(chosen)].reset_index(drop=True)


@pytest.fixture(scope="session")
def code(config, demo_metadata, demo_store, tmp_path_factory):
    """Code that names what to train in another process; its argument is the runs' folder."""
    table = tmp_path_factory.mktemp("table") / "metadata.pickle"
    demo_metadata.to_pickle(table)
    return (
        "import dataclasses, os, signal, sys\n"
        "sys.path.insert(0, 'tests')\n"
        "import numpy as np, pandas as pd, tiny, keras\n"
        "from lesions import training\n"
        "from lesions.data import images\n"
        "from lesions.system import hardware\n"
        f"metadata = pd.read_pickle({str(table)!r})\n"
        f"store = images.ImageStore(metadata, 64, {str(demo_store.path.parent)!r})\n"
        f"config = training.Config(**{dataclasses.asdict(config)!r})\n"
    )
