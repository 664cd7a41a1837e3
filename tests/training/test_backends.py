"""Other backends, precisions and several devices train the same network."""

import dataclasses
import importlib.util
import shutil
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tiny

from lesions import classes, training
from lesions.networks import models, views
from lesions.system import hardware
from lesions.training import checkpoint

CODES = list(classes.CODES)
TRAIN = """
runs = sys.argv[1]
for ema in (0.5, 0.0):
    changed = dataclasses.replace(config, epochs=2, batch_size=4, ema=ema)
    print(training.train(changed, metadata, store, runs))
"""


@pytest.fixture(scope="module")
def few_code(code, few, tmp_path_factory):
    rows = tmp_path_factory.mktemp("few") / "few.pickle"
    few.to_pickle(rows)
    return code + f"metadata = pd.read_pickle({str(rows)!r})\n"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_trains_what_tensorflow_reads(
    backend, demo_store, tmp_path, few_code, python
):
    """With a moving average of weights and without: training itself is the same."""
    if importlib.util.find_spec(backend) is None:  # imported in the other process alone
        pytest.skip(f"{backend} is not installed")
    printed = python(few_code + TRAIN, tmp_path, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    folders = [line for line in printed.splitlines() if line.startswith(str(tmp_path))]
    averaged, plain = (training.read_run(folder) for folder in folders)
    assert averaged.record["backend"] == backend and backend in averaged.record["versions"]
    assert averaged.history["loss"].tolist() == pytest.approx(plain.history["loss"].tolist())
    assert averaged.history["val_loss"][1] != pytest.approx(plain.history["val_loss"][1], rel=1e-4)
    for run in (averaged, plain):
        model, details = models.load(run.folder / "model.h5")
        assert details["architecture"] == "tiny"
        found = views.predict(
            model, demo_store.images[demo_store.rows(run.predictions["image_id"])]
        )
        assert np.abs(found - run.predictions[CODES].to_numpy()).max() < 1e-5


@pytest.fixture(scope="module")
def trained(few, demo_store, config, tmp_path_factory):
    """Precision to what is left after one of three epochs, and to the trainer of all three."""
    config, found = dataclasses.replace(config, batch_size=4), {}
    for precision in ("float16", "float32"):
        work = tmp_path_factory.mktemp(precision)
        with hardware.precision(precision):
            trainer = tiny.begin(config, few, demo_store, work)
            begun = shutil.copytree(work, work.with_name(f"{work.name}-begun"))
            trainer.fit()
        found[precision] = begun, trainer
    return found


@pytest.mark.parametrize(("first", "then"), [("float16", "float32"), ("float32", "float16")])
def test_going_on_in_another_precision(
    first, then, trained, few, demo_store, config, tmp_path, capsys
):
    """What a GPU began in float16, with a scale of the loss, goes on without one."""
    config = dataclasses.replace(config, batch_size=4)
    (begun, before), (_, whole) = trained[first], trained[then]
    work = shutil.copytree(begun, tmp_path / "work")
    with hardware.precision(then):
        trainer = training.Trainer(config, few, demo_store, work)
        trainer.fit()
    assert "Resuming after epoch 1" in capsys.readouterr().out
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3]
    assert trainer.history[0] == before.history[0]
    assert trainer.environment["precision"] == then
    # In one precision throughout, the losses are nearly the same.
    losses = [[row["loss"] for row in one.history] for one in (trainer, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    rates = [[row["learning_rate"] for row in one.history] for one in (trainer, whole)]
    assert rates[0] == pytest.approx(rates[1])


def test_a_checkpoint_is_restored_whole_or_not_at_all(
    trained, few, demo_store, config, tmp_path, one_sentence
):
    config = dataclasses.replace(config, batch_size=4)
    work = shutil.copytree(trained["float32"][0], tmp_path / "work")
    arrays, state = checkpoint.read(work / training.CHECKPOINT)
    assert "tiny_conv/kernel" in arrays and "optimizer/tiny_conv_kernel_average" in arrays
    for name in ("tiny_conv/kernel", "optimizer/logits_bias_velocity", "random/0"):
        fewer = {key: value for key, value in arrays.items() if key != name}
        checkpoint.write(work / training.CHECKPOINT, fewer, state)
        with pytest.raises(ValueError) as error:
            training.Trainer(config, few, demo_store, work).fit()
        one_sentence(error, training.CHECKPOINT, name)
    more = arrays | {"another/kernel": arrays["tiny_conv/kernel"]}
    checkpoint.write(work / training.CHECKPOINT, more, state)
    with pytest.raises(ValueError) as error:
        training.Trainer(config, few, demo_store, work).fit()
    one_sentence(error, "another/kernel")
    turned = arrays | {"logits/kernel": arrays["logits/kernel"].T}
    checkpoint.write(work / training.CHECKPOINT, turned, state)
    with pytest.raises(ValueError) as error:
        training.Trainer(config, few, demo_store, work).fit()
    one_sentence(error, "logits/kernel", "(7, 8)")


MIRRORED = """
import tensorflow as tf
from pathlib import Path
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
config = dataclasses.replace(config, batch_size=4, epochs=3)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope(), hardware.precision("float16"):
    trainer = training.Trainer(config, metadata, store, Path(sys.argv[1]))
    print("batch", trainer.train_batches.batch_size, len(trainer.train_batches))
    before = trainer.model.get_layer("tiny_conv").get_weights()[0].copy()
    trainer.start_phase("all", 3)
    for epoch in (0, 1):
        trainer.train_epoch(epoch, 3)
    trainer.write_checkpoint()
    after = trainer.model.get_layer("tiny_conv").get_weights()[0]
    print("moved", np.abs(after - before).max(), *(row["loss"] for row in trainer.history))
"""


@pytest.mark.slow
def test_float16_on_two_devices_goes_on_on_one(few, demo_store, few_code, python, tmp_path, config):
    """Two logical devices of the CPU share each step, as two GPUs do."""
    config = dataclasses.replace(config, batch_size=4, epochs=3)
    lines = {}
    for line in python(few_code + MIRRORED, tmp_path).splitlines():
        lines[line.split(" ")[0]] = line.split(" ")[1:]
    steps = (few["split"] == "train").sum() // 8
    assert lines["batch"] == ["8", str(steps)]  # four a device
    moved, *losses = map(float, lines["moved"])
    assert 1e-5 < moved < 0.1 and np.isfinite(losses).all() and len(losses) == 2
    alone = training.Trainer(config, few, demo_store, tmp_path)
    alone.fit()
    assert [row["epoch"] for row in alone.history] == [1, 2, 3]
    assert alone.history[-1]["learning_rate"] == pytest.approx(config.learning_rate / 100)


def test_a_tpu_is_no_gpu(monkeypatch):
    """JAX lists what it computes on; nobody has all of it here, so the list is replaced."""

    def device(name):
        return SimpleNamespace(platform=name, device_kind=f"{name} chip")

    listed = SimpleNamespace(devices=lambda: [device(name) for name in ("cpu", "tpu", "gpu")])
    monkeypatch.setitem(sys.modules, "jax", listed)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(hardware, "_gpus", hardware._gpus.__wrapped__)
    assert hardware.gpus() == ["gpu chip"]
