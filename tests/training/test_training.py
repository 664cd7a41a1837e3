"""Training on the CPU: what it leaves behind, and that it survives being killed."""

import contextlib
import dataclasses
import os

import keras
import numpy as np
import pandas as pd
import pytest

from lesions import classes, data, evaluation, training
from lesions.data import images
from lesions.evaluation import comparison
from lesions.networks import models, views
from lesions.system import hardware
from lesions.training import earlier

CODES = list(classes.CODES)
CONFIG = training.Config(
    "cnn",
    image_size=64,
    weights="random",
    epochs=3,
    warmup_steps=2,
    ema=0.5,
    learning_rate=1e-3,
    precision="float32",
    tag="test",
)
RESULTS = ["config.json", "history.csv", "metrics.json", "model.h5", "predictions.csv"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(demo_metadata, demo_store, runs):
    """One uninterrupted training of three epochs."""
    return training.read_run(training.train(CONFIG, demo_metadata, demo_store, runs))


@pytest.fixture(scope="module")
def few(demo_metadata):
    """One of the demo set's lesions of every class and split: enough for a step or two."""
    lesions = demo_metadata.drop_duplicates("lesion_id")
    chosen = lesions.groupby(["split", "dx"]).head(1)["lesion_id"]
    return demo_metadata[demo_metadata["lesion_id"].isin(chosen)].reset_index(drop=True)


ONE_STEP = dataclasses.replace(CONFIG, epochs=1, batch_size=4, ema=0.0)


# The run folder


def test_run_folder(run, runs, demo_metadata):
    assert sorted(path.name for path in run.folder.iterdir()) == RESULTS
    assert [path.name for path in runs.iterdir()] == [run.folder.name]
    assert run.folder.name.startswith("cnn-64px-seed42-test-")
    assert run.record["config"] == dataclasses.asdict(CONFIG)
    assert run.record["initial_weights"] == "random" and run.record["epochs_trained"] == 3
    assert run.record["hardware"] == hardware.describe() and run.record["seconds"] > 0
    assert run.record["images"] == demo_metadata["split"].value_counts().to_dict()
    assert run.history["epoch"].tolist() == [1, 2, 3]
    assert run.history.columns.tolist() == training.HISTORY
    assert np.isfinite(run.history.drop(columns="phase").to_numpy(dtype=float)).all()


def test_run_predicts_validation_and_test_alone(run, demo_metadata):
    rows = demo_metadata[demo_metadata["split"] != "train"]
    assert run.predictions["image_id"].tolist() == rows["image_id"].tolist()
    assert run.predictions["split"].tolist() == rows["split"].tolist()
    assert run.predictions["dx"].tolist() == rows["dx"].tolist()
    assert np.allclose(run.predictions[CODES].sum(axis=1), 1)


def test_model_file_gives_the_recorded_predictions(run, demo_metadata, demo_store):
    model, details = models.load(run.folder / "model.h5")
    assert details["run"] == run.folder.name and details["image_size"] == 64
    assert details["correction"] == run.metrics["correction"]
    rows = demo_store.rows(run.predictions["image_id"][:8])
    found = views.predict(model, demo_store.images[rows])
    assert np.abs(found - run.predictions[CODES][:8].to_numpy()).max() < 1e-5


def test_best_epoch_is_the_one_that_is_kept(run):
    scores = run.history["val_balanced_accuracy"]
    assert run.record["best_epoch"] == scores.idxmax() + 1


def test_learning_rate_warms_up_and_falls(run):
    rates = run.history["learning_rate"].to_numpy()
    assert rates.max() <= CONFIG.learning_rate and rates[-1] < rates[0]


# Finding and loading


def test_find_run(run, runs, demo_metadata, tmp_path):
    assert training.find_run(CONFIG, demo_metadata, [tmp_path, runs]) == run.folder
    other = dataclasses.replace(CONFIG, dropout=0.31)
    assert training.find_run(other, demo_metadata, [runs]) is None
    relabelled = demo_metadata.assign(split=demo_metadata["split"].to_numpy()[::-1])
    assert training.find_run(CONFIG, relabelled, [runs]) is None
    shuffled = demo_metadata.sample(frac=1, random_state=0)
    assert training.find_run(CONFIG, shuffled, [runs]) == run.folder


@pytest.mark.parametrize("name", training.RUN_FILES)
def test_half_a_run_is_not_found(run, demo_metadata, tmp_path, name, one_sentence):
    half = tmp_path / run.folder.name
    half.mkdir()
    for path in run.folder.iterdir():
        if path.name != name:
            (half / path.name).write_bytes(path.read_bytes())
    assert training.find_run(CONFIG, demo_metadata, [tmp_path]) is None
    with pytest.raises(ValueError) as error:
        training.read_run(half)
    one_sentence(error, name, half)


def test_train_or_load_loads_and_says_so(run, runs, demo_metadata, demo_store, tmp_path, capsys):
    before = (run.folder / "config.json").stat().st_mtime_ns
    loaded = training.train_or_load(
        CONFIG, demo_metadata, demo_store, tmp_path / "runs", recorded=runs
    )
    assert loaded.folder == run.folder and not (tmp_path / "runs").exists()
    assert (run.folder / "config.json").stat().st_mtime_ns == before
    said = capsys.readouterr().out
    for word in ("recorded run", run.folder.name, run.record["date"], run.record["hardware"]):
        assert word in said


@pytest.mark.slow
def test_retrain_trains_again(few, demo_store, tmp_path, capsys):
    first = training.train_or_load(ONE_STEP, few, demo_store, tmp_path, tmp_path)
    (first.folder / "mark").touch()
    again = training.train_or_load(ONE_STEP, few, demo_store, tmp_path, tmp_path)
    assert (again.folder / "mark").exists()
    third = training.train_or_load(ONE_STEP, few, demo_store, tmp_path, tmp_path, retrain=True)
    assert capsys.readouterr().out.count("Training cnn") == 2
    assert sorted(path.name for path in third.folder.iterdir()) == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == [third.folder.name]
    assert np.allclose(third.predictions[CODES], first.predictions[CODES], atol=1e-4)


# What is refused


def test_leak_between_splits(demo_metadata, demo_store, tmp_path, one_sentence):
    leaky = demo_metadata.copy()
    twice = leaky[leaky["split"] == "train"]["lesion_id"].value_counts().index[0]
    leaky.loc[leaky.index[leaky["lesion_id"] == twice][0], "split"] = "test"
    with pytest.raises(ValueError) as error:
        training.train(CONFIG, leaky, demo_store, tmp_path)
    one_sentence(error, twice, "split_by_lesion")
    assert list(tmp_path.iterdir()) == []


def test_class_absent_from_a_split(demo_metadata, demo_store, tmp_path, one_sentence):
    gone = demo_metadata[
        ~((demo_metadata["dx"] == "df") & (demo_metadata["split"] == "validation"))
    ]
    with pytest.raises(ValueError) as error:
        training.train(CONFIG, gone, demo_store, tmp_path)
    one_sentence(error, "'df'", "validation")


def test_class_absent_from_the_data(demo_metadata, demo_store, tmp_path, one_sentence):
    with pytest.raises(ValueError) as error:
        training.train(CONFIG, demo_metadata[demo_metadata["dx"] != "df"], demo_store, tmp_path)
    one_sentence(error, "df", "seven")
    assert list(tmp_path.iterdir()) == []


def test_loss_that_is_no_number(few, demo_store, tmp_path, one_sentence):
    config = dataclasses.replace(ONE_STEP, learning_rate=1e38, warmup_steps=0, clip_norm=1e6)
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, tmp_path)
    one_sentence(error, "epoch 1", "learning_rate (1e+38)", "precision float32")
    assert training.find_run(config, few, [tmp_path]) is None


def test_unknown_loss(few, demo_store, tmp_path, one_sentence):
    config = dataclasses.replace(ONE_STEP, loss="hinge")
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, tmp_path)
    one_sentence(error, "'hinge'", "focal", "logit_adjusted")


def test_logit_adjusted_training(few, demo_store, tmp_path):
    config = dataclasses.replace(
        ONE_STEP, loss="logit_adjusted", class_weighting="none", cutmix=1.0
    )
    run = training.read_run(training.train(config, few, demo_store, tmp_path))
    assert np.isfinite(run.history["loss"]).all()
    assert comparison.class_balance(run.record["config"]) == "logit-adjusted loss"


def test_unknown_precision(one_sentence):
    with pytest.raises(ValueError) as error, hardware.precision("float8"):
        pass
    one_sentence(error, "'float8'", "bfloat16")
    with hardware.precision("bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"


# How it trains


def test_early_stopping(few, demo_store, tmp_path, capsys):
    """With a learning rate of nearly nothing, no epoch is better than the first."""
    config = dataclasses.replace(
        CONFIG, epochs=9, patience=2, learning_rate=1e-30, weight_decay=0.0, batch_size=4, ema=0.0
    )
    frozen = few[(few["split"] != "train") | ~few["lesion_id"].duplicated()].reset_index(drop=True)
    run = training.read_run(training.train(config, frozen, demo_store, tmp_path))
    assert len(run.history) < 9
    assert len(run.history) - run.record["best_epoch"] == 2
    assert "Stopped early" in capsys.readouterr().out


@pytest.mark.slow
def test_head_phase_leaves_pretrained_layers_alone(few, demo_store, tmp_path):
    config = dataclasses.replace(ONE_STEP, head_epochs=1, freeze_batch_norm=True)
    trainer = training.Trainer(config, few, demo_store, tmp_path)
    backbone = [layer for layer in trainer.model.layers if layer.name.startswith("cnn_")]
    trainer.model.pretrained_layers = [layer.name for layer in backbone if layer.weights]

    def values():
        return {
            variable.path: keras.ops.convert_to_numpy(variable).copy()
            for variable in trainer.model.weights
        }

    def changed(before, after):
        return {path for path in before if not np.array_equal(before[path], after[path])}

    start = values()
    trainer._start_phase("head", 1)
    trainer._train_epoch(0, 2)
    after_head = values()
    moved = changed(start, after_head)
    assert any(path.startswith("logits") for path in moved)
    assert not any(path.startswith("cnn_") for path in moved)

    trainer._start_phase("all", 1)
    trainer._train_epoch(1, 2)
    moved = changed(after_head, values())
    assert any("_conv/kernel" in path for path in moved)
    assert not any("_bn/" in path for path in moved)


@pytest.mark.slow
def test_every_option_trains(demo_metadata, demo_store, tmp_path):
    config = dataclasses.replace(
        CONFIG,
        epochs=1,
        patient=True,
        oversampling=True,
        class_weighting="none",
        loss="focal",
        label_smoothing=0.1,
        mixup=0.2,
        augmentation="random",
        first_layer_rate=0.1,
        accumulation=2,
        precision="bfloat16",
    )
    run = training.read_run(training.train(config, demo_metadata, demo_store, tmp_path))
    assert run.record["precision"] == "bfloat16"
    model, _ = models.load(run.folder / "model.h5")
    assert model.dtype_policy.name == "float32"
    assert {variable.dtype for variable in model.weights} <= {"float32", "uint32"}


def test_repeated_rows_get_one_and_the_same_answer(few, demo_store, tmp_path):
    """Oversampled before the split, which notebook 07 does on purpose, photographs repeat."""
    rows = pd.concat([few, few[few["split"] == "test"]], ignore_index=True)
    config = dataclasses.replace(ONE_STEP, protocol="oversampled")
    run = training.read_run(training.train(config, rows, demo_store, tmp_path))
    assert run.predictions["image_id"].tolist() == rows[rows.split != "train"]["image_id"].tolist()
    answers = run.predictions.groupby("image_id")[CODES]
    assert (answers.nunique() == 1).all(axis=None) and (answers.size() == 2).any()


# Killed


@pytest.fixture(scope="module")
def code(demo_metadata, demo_store, tmp_path_factory):
    """Code that trains the same run in another process; its argument is the runs' folder."""
    table = tmp_path_factory.mktemp("table") / "metadata.pickle"
    demo_metadata.to_pickle(table)
    return (
        "import os, signal, sys\n"
        "import pandas as pd\n"
        "from lesions import images, training\n"
        f"metadata = pd.read_pickle({str(table)!r})\n"
        f"store = images.ImageStore(metadata, 64, {str(demo_store.path.parent)!r})\n"
        f"config = training.Config(**{dataclasses.asdict(CONFIG)!r})\n"
    )


TRAIN = "training.train(config, metadata, store, sys.argv[1])\n"


@pytest.mark.slow
def test_killed_while_training(run, demo_metadata, demo_store, tmp_path, code, killed_when, capsys):
    work = tmp_path / f"{run.folder.name}.partial"
    killed_when((work / training.CHECKPOINT).exists, code + TRAIN, tmp_path)
    assert training.find_run(CONFIG, demo_metadata, [tmp_path]) is None
    assert not (work / "model.h5").exists()
    resumed = training.read_run(training.train(CONFIG, demo_metadata, demo_store, tmp_path))
    assert "Resuming after epoch" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [run.folder.name]
    check_same_run(resumed, run)


def test_damaged_checkpoint_starts_over(run, demo_metadata, demo_store, tmp_path, capsys):
    work = tmp_path / f"{run.folder.name}.partial"
    work.mkdir()
    (work / training.CHECKPOINT).write_bytes(b"PK cut short")
    found = training.read_run(training.train(CONFIG, demo_metadata, demo_store, tmp_path))
    assert "damaged" in capsys.readouterr().out
    check_same_run(found, run)


def check_same_run(found, expected):
    numbers = ["loss", "val_loss", "learning_rate"]
    assert found.history["epoch"].tolist() == expected.history["epoch"].tolist()
    pd.testing.assert_frame_equal(
        found.history[numbers], expected.history[numbers], rtol=0, atol=1e-4
    )
    assert found.record["best_epoch"] == expected.record["best_epoch"]
    assert np.abs(found.predictions[CODES] - expected.predictions[CODES]).to_numpy().max() < 1e-3


@contextlib.contextmanager
def on_one_core():
    """Let this process use one core inside a `with` block, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.slow
def test_killed_while_writing_the_run(
    run, demo_metadata, demo_store, tmp_path, code, python, capsys
):
    """Killed with everything written, but for the rename that makes the run visible."""
    kill = (
        "replace = os.replace\n"
        "def last(source, target):\n"
        "    if os.path.isdir(source):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    replace(source, target)\n"
        "os.replace = last\n"
    )
    python(code + kill + TRAIN, tmp_path, succeeds=False)
    work = tmp_path / f"{run.folder.name}.partial"
    assert set(RESULTS) < {path.name for path in work.iterdir()}
    assert training.find_run(CONFIG, demo_metadata, [tmp_path]) is None
    trained_on = hardware.describe()
    with on_one_core():
        whole = training.train_or_load(CONFIG, demo_metadata, demo_store, tmp_path, tmp_path)
    assert "Resuming after epoch 3" in capsys.readouterr().out
    assert sorted(path.name for path in whole.folder.iterdir()) == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == [run.folder.name]
    check_same_run(whole, run)
    # The record names what the epochs were trained on, whoever made the predictions.
    assert whole.record["hardware"] == trained_on


def test_earlier_run_is_replaced_whole(tmp_path):
    work, final = tmp_path / "a.partial", tmp_path / "a"
    for folder, text in ((work, "new"), (final, "old")):
        folder.mkdir()
        (folder / "metrics.json").write_text(text)
    training._replace_folder(work, final)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (final / "metrics.json").read_text() == "new"


# Another backend


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_trains_what_tensorflow_reads(
    backend, few, demo_store, tmp_path, code, python
):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    rows = tmp_path / "few.pickle"
    few.to_pickle(rows)
    two_steps = (
        f"metadata = pd.read_pickle({str(rows)!r})\n"
        "import dataclasses, keras\n"
        "config = dataclasses.replace(config, epochs=2, batch_size=4, ema=0.0)\n"
        f"assert keras.backend.backend() == {backend!r}\n"
    )
    python(code + two_steps + TRAIN, tmp_path / "runs", KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    (folder,) = (tmp_path / "runs").iterdir()
    recorded = training.read_run(folder)
    assert recorded.record["backend"] == backend and backend in recorded.record["versions"]
    model, details = models.load(folder / "model.h5")
    assert details["architecture"] == "cnn"
    images = demo_store.images[demo_store.rows(recorded.predictions["image_id"])]
    found = views.predict(model, images)
    assert np.abs(found - recorded.predictions[CODES].to_numpy()).max() < 1e-5


# Going on from an earlier run


def test_the_last_epoch_is_kept_where_asked_for(few, demo_store, tmp_path, one_sentence):
    # At such a rate, with batch normalisation still unsettled, scores jump up and down.
    config = dataclasses.replace(ONE_STEP, epochs=4, learning_rate=0.1, keep="last")
    found = training.read_run(training.train(config, few, demo_store, tmp_path))
    assert found.record["best_epoch"] == 4
    wrong = dataclasses.replace(config, keep="first")
    with pytest.raises(ValueError, match="first") as error:
        training.train(wrong, few, demo_store, tmp_path)
    one_sentence(error.value)


def test_start_from_an_earlier_run_at_another_size(run, runs, few, demo_folder, tmp_path):
    store = images.ImageStore(few, 96, tmp_path, progress=False)
    config = dataclasses.replace(
        ONE_STEP, image_size=96, learning_rate=0.0, weight_decay=0.0, start=run.folder.name
    )
    later = training.read_run(training.train(config, few, store, runs))
    assert later.record["initial_weights"] == f"random, then {run.folder.name}"
    kernels = [
        models.load(one.folder / "model.h5")[0].get_layer("logits").get_weights()[0]
        for one in (run, later)
    ]
    assert np.array_equal(*kernels)


def test_mean_of_two_runs_without_training(run, runs, few, demo_store):
    other = training.train(dataclasses.replace(ONE_STEP, seed=43), few, demo_store, runs)
    names = (run.folder.name, other.name)
    config = dataclasses.replace(ONE_STEP, epochs=0, start="+".join(names))
    mean = training.read_run(training.train(config, few, demo_store, runs))
    assert mean.record["initial_weights"] == f"mean of {names[0]} and {names[1]}"
    assert mean.record["epochs_trained"] == 0 and mean.history.empty
    first, second, found = (
        models.load(runs / name / "model.h5")[0].get_weights()
        for name in (*names, mean.folder.name)
    )
    assert not np.allclose(first[0], second[0])
    for one, two, three in zip(first, second, found, strict=True):
        assert np.allclose((one + two) / 2, three, rtol=1e-3, atol=1e-6)


def test_start_from_another_architecture(run, runs, few, demo_store, one_sentence):
    config = dataclasses.replace(ONE_STEP, architecture="resnet18", start=run.folder.name)
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, runs)
    one_sentence(error, run.folder.name, "cnn", "resnet18")


def test_start_from_a_run_that_is_not_there(few, demo_store, tmp_path, one_sentence):
    config = dataclasses.replace(ONE_STEP, start="cnn-64px-seed1-nothing")
    with pytest.raises(ValueError) as error:
        training.train(config, few, demo_store, tmp_path)
    one_sentence(error, "cnn-64px-seed1-nothing", tmp_path)


def test_labels_of_a_teacher_at_another_size(run, runs, few, tmp_path):
    rows = few[few["split"] == "train"]
    store = images.ImageStore(rows, 96, tmp_path, progress=False)
    found = earlier.soft_labels(run.folder.name, rows, store, runs)
    model, details = models.load(run.folder / "model.h5")
    own = images.ImageStore(rows, details["image_size"], tmp_path, progress=False)
    answers = views.predict(model, own.images, tta=False)
    expected = evaluation.Correction.from_details(details["correction"]).apply(answers) / 2
    expected[np.arange(len(rows)), rows["label"]] += 0.5
    assert found.dtype == np.float32 and np.abs(found - expected).max() < 1e-5
    twice = earlier.soft_labels(f"{run.folder.name}+{run.folder.name}", rows, store, runs)
    assert np.abs(found - twice).max() < 1e-5


def test_learning_from_a_teacher(runs, few, demo_store):
    """One that is told about the patient, as its student is not."""
    told = dataclasses.replace(ONE_STEP, patient=True)
    teacher = training.train(told, few, demo_store, runs).name
    config = dataclasses.replace(ONE_STEP, teacher=teacher, mixup=0.2)
    taught = training.read_run(training.train(config, few, demo_store, runs))
    assert sorted(path.name for path in taught.folder.iterdir()) == RESULTS
    alone = dataclasses.replace(config, teacher="")
    plain = training.read_run(training.train(alone, few, demo_store, runs))
    assert taught.history["loss"][0] != plain.history["loss"][0]
    assert taught.record["initial_weights"] == "random"


def test_gradients_are_gathered_before_a_step(few, demo_store, tmp_path):
    """Before as many batches as are to be gathered, nothing is learnt."""
    kernels = {}
    for accumulation in (1, 1000):
        config = dataclasses.replace(ONE_STEP, accumulation=accumulation)
        learner = training.Trainer(config, few, demo_store, tmp_path)
        before = learner.model.get_layer("logits").get_weights()[0].copy()
        learner._start_phase("all", 1)
        learner._train_epoch(0, 1)
        after = learner.model.get_layer("logits").get_weights()[0]
        kernels[accumulation] = np.abs(after - before).max()
    assert kernels[1] > 0 and kernels[1000] == 0


def test_recorded_runs_are_found_by_their_configs(ham10000):
    metadata = data.with_split(data.read_metadata(ham10000))
    folders = comparison.run_folders("models")
    assert folders
    for folder in folders:
        config = training.Config(**training.read_run(folder).record["config"])
        assert training.find_run(config, metadata, ["models"]) == folder
