"""The epochs of a training: schedule, moving average, validation and checkpoint."""

import contextlib
import os
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from lesions import classes, data
from lesions.data import balance
from lesions.networks import models, views
from lesions.system import hardware
from lesions.system.files import DAMAGED_NPZ
from lesions.training import batches, checkpoint, earlier, photographs
from lesions.training.config import LOSSES, Config

CHECKPOINT, BEST = "checkpoint.npz", "best.npz"
NEXT_BEST = "next_best.npz"  # until the checkpoint of its epoch is written
HISTORY = (
    "epoch phase loss val_loss val_balanced_accuracy val_accuracy learning_rate "
    "images_per_second seconds"
).split()
HEAD_RATE = 1e-3
WEIGHT_DECAY = 1e-4  # AdamW's, on kernels only
CLIP_NORM = 1.0  # the largest norm of a gradient, over all weights together


def schedule(
    config: Config, phase: str, steps_an_epoch: int, epochs: int
) -> keras.optimizers.schedules.CosineDecay:
    """Return the learning rate of a phase by its step: linear warm-up, then a cosine to 1%.

    The phase is "head" or "all", and is `epochs` of `steps_an_epoch` steps long.
    """
    steps = epochs * steps_an_epoch
    warmup = min(config.warmup_steps, steps // 4)
    # Where no layer is to learn later, the head's rate is the config's.
    rate = HEAD_RATE if phase == "head" and config.epochs else config.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), alpha=0.01, warmup_target=rate, warmup_steps=warmup
    )


class Trainer:
    """The training itself: its network, its place in the epochs, and its checkpoint.

    Attributes:
        model: The network.
        history: One dictionary an epoch, with the keys `HISTORY`.
        seconds: Seconds trained so far.
        best_epoch: Number of the epoch that is kept, from 1.
        environment: `precision` and `hardware.environment` of the last epoch.
        photographs: What it is trained on, see `photographs.describe`.
    """

    def __init__(self, config: Config, rows: pd.DataFrame, store, work: Path):
        """Build the network, or read the checkpoint that a killed training left in `work`.

        Args:
            config: What to train.
            rows: Table with a column `split`, see `data.hold_out`.
            store: The `images.ImageStore` of the photographs.
            work: Folder of the checkpoint.

        Raises:
            ValueError: If the checkpoint is of other photographs or patients, or what the config
                starts from cannot be had.
        """
        self.config, self.work = config, work
        self.history: list[dict] = []
        self.seconds = 0.0
        self.best_epoch, self.best_score = 0, -1.0
        self.environment = _environment()
        self.phase = ""
        self.photographs = photographs.describe(rows, config.patient)
        self._restored, began = self._read_checkpoint()
        # What a resumed training began from is in its checkpoint, so it is not loaded again.
        self.model = models.build(
            config.architecture,
            config.image_size,
            "random" if began or config.start not in ("", earlier.SHIPPED) else config.weights,
            config.patient,
            config.dropout,
            config.seed,
        )
        if began:
            self.model.initial_weights, self.model.pretrained_layers = began
        elif config.start:
            held_out = rows.loc[rows["split"] != "train", "image_id"]
            earlier.start_from(self.model, config.start, work.parent, held_out)
        self.train_batches = self._training_batches(rows[rows["split"] == "train"], store)
        validated = rows[rows["split"] == "validation"]
        self.validation_labels = validated["label"].to_numpy()
        # All steps have one size, and repeated rows fill up the last, because TensorFlow traces a
        # network again for every other number of images; see `views.predict`.
        step = max(1, min(views.images_a_step(), len(validated)))
        whole = np.resize(np.arange(len(validated)), -(-len(validated) // step) * step)
        self.validation_batches = self._batches(validated.iloc[whole], store, step)

    def _batches(self, rows: pd.DataFrame, store, batch_size: int, **options):
        return batches.LesionBatches(
            store,
            store.rows(rows["image_id"]),
            rows["label"].to_numpy(),
            batch_size=batch_size,
            patient=data.patient_features(rows) if self.config.patient else None,
            **options,
        )

    def _training_batches(self, rows: pd.DataFrame, store) -> batches.LesionBatches:
        config, soft = self.config, None
        if config.teacher:
            soft = earlier.soft_labels(config.teacher, rows, self.work.parent)
        return self._batches(
            rows,
            store,
            config.batch_size * hardware.devices(),
            augmentation=config.augmentation,
            seed=config.seed,
            shuffle=True,
            weights=balance.class_weights(rows["label"].to_numpy(), config.class_weighting),
            oversampling=config.oversampling,
            mixup=config.mixup,
            soft_labels=soft,
        )

    def fit(self) -> None:
        """Train to the end, from the checkpoint where there is one."""
        phases = ["head"] * self.config.head_epochs + ["all"] * self.config.epochs
        for epoch in range(len(self.history), len(phases)):
            if phases[epoch] != self.phase:
                self.start_phase(phases[epoch], phases.count(phases[epoch]))
            if self._restored:
                self._restore(phases[:epoch].count(phases[epoch]))
            self.train_epoch(epoch, len(phases))
            self.write_checkpoint()

    def start_phase(self, phase: str, epochs: int) -> None:
        """Choose the layers that learn in a phase of so many epochs, and make their optimizer.

        In the phase "head" pretrained layers are kept as they are, in "all" every layer learns.
        """
        self.phase, config = phase, self.config
        pretrained = set(self.model.pretrained_layers)
        for layer in self.model.layers:
            layer.trainable = phase == "all" or layer.name not in pretrained
            if config.freeze_batch_norm and layer.name in pretrained:
                layer.trainable &= not isinstance(layer, keras.layers.BatchNormalization)
        optimizer = keras.optimizers.AdamW(
            schedule(config, phase, len(self.train_batches), epochs),
            weight_decay=WEIGHT_DECAY,
            global_clipnorm=CLIP_NORM,
            use_ema=config.ema > 0,
            ema_momentum=config.ema or 0.99,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        # Keras would put the average in the weights' place at the end of every `fit`, which here is
        # one epoch; the training goes on from the weights, and `_averaged` swaps.
        optimizer.finalize_variable_values = lambda variables: None
        loss = LOSSES[config.loss](label_smoothing=config.label_smoothing)
        self.model.compile(optimizer, loss=loss, jit_compile=views.use_jit())
        self.model.optimizer.build(self.model.trainable_variables)

    def train_epoch(self, epoch: int, epochs: int) -> None:
        """Train epoch number `epoch` (from 0) of `epochs`, and keep the weights if they are best.

        Raises:
            ValueError: If the loss or a probability is no longer a number.
        """
        started = time.time()
        self.train_batches.epoch = epoch
        history = self.model.fit(self.train_batches, epochs=1, verbose=0, shuffle=False)
        seconds = time.time() - started
        loss = history.history["loss"][-1]
        self._check(loss, f"The loss became {loss} in epoch {epoch + 1}")
        seen = len(self.train_batches) * self.train_batches.batch_size
        images = min(seen, len(self.train_batches.rows))  # fewer than a batch are one step
        row = {
            "epoch": epoch + 1,
            "phase": self.phase,
            "loss": loss,
            "learning_rate": float(keras.ops.convert_to_numpy(self._optimizer.learning_rate)),
            "images_per_second": images / seconds,
        }
        with self._averaged():
            row |= self._validate()
            if self.config.keep == "last" or row["val_balanced_accuracy"] > self.best_score:
                self.best_score, self.best_epoch = row["val_balanced_accuracy"], epoch + 1
                weights = checkpoint.weights_of(self.model)
                checkpoint.write(self.work / NEXT_BEST, weights, {"epoch": epoch + 1})
        row["seconds"] = time.time() - started
        self.seconds += row["seconds"]
        self.history.append(row)
        left = np.mean([one["seconds"] for one in self.history]) * (epochs - epoch - 1)
        print(f"{epoch_line(row, epochs)}, {left / 60:.1f} min left", flush=True)

    def _check(self, values, what: str) -> None:
        if not np.isfinite(values).all():
            raise ValueError(
                f"{what} of {self.work.name.removesuffix('.partial')}; "
                f"lower learning_rate ({self.config.learning_rate}) or use precision float32."
            )

    def _validate(self) -> dict[str, float]:
        labels = self.validation_labels
        if not len(labels):  # all rows are trained on
            return dict.fromkeys(("val_loss", "val_balanced_accuracy", "val_accuracy"), np.nan)
        predicted = self.model.predict(self.validation_batches, verbose=0)
        probabilities = predicted[: len(labels)].astype(np.float64)
        # An epoch's last step may break the weights after a loss that was still a number.
        epoch = len(self.history) + 1
        self._check(probabilities, f"A probability is not a number after epoch {epoch}")
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        named = probabilities.argmax(axis=1)
        return {
            "val_loss": log_loss(labels, probabilities, labels=np.arange(len(classes.CODES))),
            "val_balanced_accuracy": balanced_accuracy_score(labels, named),
            "val_accuracy": accuracy_score(labels, named),
        }

    @property
    def _optimizer(self):
        return checkpoint.unwrapped(self.model.optimizer)

    @contextlib.contextmanager
    def _averaged(self):
        """Put the moving averages in the weights' place inside a `with` block."""
        if not self.config.ema:
            yield
            return
        variables = self.model.trainable_variables
        kept = list(map(_copy, variables))
        averages = self._optimizer._model_variables_moving_average
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(_copy(average))
        yield
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)

    def write_checkpoint(self) -> None:
        """Write all that a resumed training needs, then put the best weights in their place."""
        self.environment = _environment()
        state = {
            "environment": self.environment,
            "history": self.history,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "phase": self.phase,
            "initial_weights": self.model.initial_weights,
            "pretrained_layers": list(self.model.pretrained_layers),
            "photographs": self.photographs,
        }
        variables = checkpoint.variables_of(self.model, self.model.optimizer)
        checkpoint.write(self.work / CHECKPOINT, variables, state)
        if (self.work / NEXT_BEST).exists():
            os.replace(self.work / NEXT_BEST, self.work / BEST)

    def _read_checkpoint(self) -> tuple[tuple[str, dict] | None, tuple[str, list] | None]:
        """Read the phase and variables of a checkpoint, and what it began from, or Nones."""
        path = self.work / CHECKPOINT
        if not path.exists():
            return None, None
        try:
            arrays, state = checkpoint.read(path)
            self._settle_best(state["best_epoch"])
            began, seen = state["initial_weights"], state["photographs"]
        except DAMAGED_NPZ as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                raise  # a file that may not be read, or a disk that fails, is not damaged
            print(f"{path} or {BEST} is damaged, so this training starts over.", flush=True)
            return None, None
        if earlier.began_from_less(self.config, began, self.work.parent):
            print(
                f"{path} did not start from the weights that are available now, so this training "
                "starts over.",
                flush=True,
            )
            return None, None
        other = ""
        if seen["digest"] != self.photographs["digest"]:
            other = "photographs"
        elif photographs.other_patients(seen, self.photographs):
            other = "ages, sexes or sites"
        if other:
            raise ValueError(
                f"The training in {self.work} was begun on other {other} than those that are "
                "named now; name the folder of the former by HAM10000_DIR, or remove "
                f"{self.work.name} to start over."
            )
        self.history, self.seconds = state["history"], state["seconds"]
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        # Where the epochs were trained; the predictions may follow elsewhere.
        self.environment = state["environment"]
        print(f"Resuming after epoch {len(self.history)}.", flush=True)
        return (state["phase"], arrays), (state["initial_weights"], state["pretrained_layers"])

    def _settle_best(self, best_epoch: int) -> None:
        """Check that the weights of the best epoch of a checkpoint are there, and no later ones."""
        path = self.work / NEXT_BEST
        if path.exists() and checkpoint.read(path)[1]["epoch"] == best_epoch:
            os.replace(path, self.work / BEST)
        path.unlink(missing_ok=True)
        checkpoint.read(self.work / BEST)

    def _restore(self, epochs_done: int) -> None:
        """Put the checkpoint into the network and, within a phase, into its optimizer."""
        (phase, arrays), self._restored = self._restored, None
        same = phase == self.phase  # a new phase starts with a new optimizer
        if not same:
            arrays = {k: v for k, v in arrays.items() if not k.startswith(checkpoint.OPTIMIZER)}
        variables = checkpoint.variables_of(self.model, self.model.optimizer if same else None)
        checkpoint.restore(variables, arrays, self.work / CHECKPOINT)
        if same:  # on another number of devices, an epoch has another number of steps
            self._optimizer.iterations.assign(epochs_done * len(self.train_batches))


def epoch_line(row, epochs: int) -> str:
    """Describe a row of history.csv, or a dict with its columns, in one line."""
    return (
        f"  epoch {row['epoch']}/{epochs} {row['phase']:4s} loss {row['loss']:.3f}, validation "
        f"loss {row['val_loss']:.3f}, balanced accuracy {row['val_balanced_accuracy']:.3f}, "
        f"{row['images_per_second']:.0f} images/s"
    )


def _copy(variable) -> np.ndarray:
    """Read a variable into memory of its own, as JAX and PyTorch reuse that of the variable."""
    return np.array(keras.ops.convert_to_numpy(variable))


def _environment() -> dict:
    return {"precision": hardware.current_precision(), **hardware.environment()}
