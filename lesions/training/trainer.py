"""The epochs of a training: schedule, moving average, validation and checkpoint."""

from __future__ import annotations

import contextlib
import json
import os
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from lesions import classes, data
from lesions.data import balance
from lesions.networks import models, views
from lesions.system import hardware
from lesions.training import batches, earlier, losses

CHECKPOINT, BEST, SOFT_LABELS = "checkpoint.npz", "best.npz", "soft_labels.npz"
HISTORY = (
    "epoch phase loss val_loss val_balanced_accuracy val_accuracy learning_rate "
    "images_per_second seconds"
).split()


@dataclass(frozen=True)
class Config:
    """Everything that decides what a training does.

    Attributes:
        architecture: A name of `models.ARCHITECTURES`.
        image_size: Side of the input in pixels.
        weights: "imagenet", "available" or "random", see `models.build`.
        patient: Whether age, sex and body site are a second input.
        dropout: Share of features dropped before the last layer.
        seed: Seed of initial weights, order and augmentation.
        head_epochs: Epochs in which pretrained layers are kept as they are.
        epochs: Epochs in which all layers learn.
        batch_size: Images a step.
        learning_rate: Peak of the warm-up and cosine schedule.
        weight_decay: AdamW's, on kernels only.
        warmup_steps: Steps of linear warm-up.
        class_weighting: See `balance.class_weights`.
        oversampling: Whether small classes are repeated, see `balance.oversample`.
        loss: See `losses.loss`.
        label_smoothing: 0 to 1.
        augmentation: See `batches.augment`.
        mixup: Beta parameter of MixUp, 0 for none.
        cutmix: Beta parameter of CutMix, 0 for none; with both, a batch has either by chance.
        ema: Momentum of the moving average of weights that is evaluated, 0 for none.
        clip_norm: Largest norm of a gradient, over all weights together.
        freeze_batch_norm: Whether batch normalisation keeps its statistics throughout.
        patience: Epochs without a better validation balanced accuracy before it stops.
        precision: "auto", "float32", "bfloat16" or "float16".
        hair_removal: Passed on to the image store.
        colour_constancy: Passed on to the image store.
        protocol: "lesion", or the name of a leaky split for the leakage experiment.
        tag: A word for the run's name.
        start: Name of an earlier run whose network this one goes on from, at another image size
            if need be, or several names joined by "+", whose weights are averaged; empty for
            `weights`.
        keep: "best" for the epoch of highest validation balanced accuracy, "last" for the last.
        accumulation: Batches whose gradients are gathered for one step.
        first_layer_rate: Share of the learning rate that the first layer takes when all learn;
            those between are spaced geometrically, see `losses.layer_shares`.
        teacher: Name of an earlier run, or several joined by "+", whose probabilities are half
            of each training label, see `earlier.soft_labels`; empty for none.
    """

    architecture: str
    image_size: int = 128
    weights: str = "available"
    patient: bool = False
    dropout: float = 0.3
    seed: int = 42
    head_epochs: int = 0
    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    class_weighting: str = "square_root"
    oversampling: bool = False
    loss: str = "crossentropy"
    label_smoothing: float = 0.0
    augmentation: str = "standard"
    mixup: float = 0.0
    ema: float = 0.995
    clip_norm: float = 1.0
    freeze_batch_norm: bool = False
    patience: int = 100
    precision: str = "auto"
    hair_removal: bool = False
    colour_constancy: str | None = None
    protocol: str = "lesion"
    tag: str = ""
    start: str = ""
    keep: str = "best"
    cutmix: float = 0.0
    accumulation: int = 1
    first_layer_rate: float = 1.0
    teacher: str = ""


class Trainer:
    """The training itself: its networks, its place in the epochs, and its checkpoint."""

    def __init__(self, config: Config, metadata: pd.DataFrame, store, work: Path):
        self.config, self.work = config, work
        if config.keep not in ("best", "last"):
            raise ValueError(f"Unknown epoch to keep {config.keep!r}; use best or last.")
        self.model = models.build(
            config.architecture,
            config.image_size,
            config.weights,
            config.patient,
            config.dropout,
            config.seed,
        )
        if config.start:
            earlier.start_from(self.model, config.start, work.parent)
        self.train_batches = self._batches(metadata, store, "train")
        self.validation_batches = self._batches(metadata, store, "validation")
        self.history: list[dict] = []
        self.seconds = 0.0
        self.best_epoch, self.best_score = 0, -1.0
        self.environment = hardware.environment()
        self.phase = ""

    def _batches(self, metadata, store, split: str) -> batches.LesionBatches:
        config, rows = self.config, metadata[metadata["split"] == split]
        labels = rows["label"].to_numpy()
        training = split == "train"
        soft = self._soft_labels(metadata, store) if training and config.teacher else None
        return batches.LesionBatches(
            store,
            store.rows(rows["image_id"]),
            labels,
            batch_size=config.batch_size if training else 64,
            augmentation=config.augmentation if training else "none",
            seed=config.seed,
            shuffle=training,
            weights=balance.class_weights(labels, config.class_weighting) if training else None,
            oversampling=config.oversampling and training,
            mixup=config.mixup if training else 0.0,
            cutmix=config.cutmix if training else 0.0,
            patient=data.patient_features(rows) if config.patient else None,
            soft_labels=soft,
        )

    def _soft_labels(self, metadata: pd.DataFrame, store) -> np.ndarray:
        """Ask the teacher once; a resumed training reads what it said."""
        path = self.work / SOFT_LABELS
        if not path.exists():
            print(f"Asking {self.config.teacher} for soft labels.", flush=True)
            labels = earlier.soft_labels(self.config.teacher, metadata, store, self.work.parent)
            _write_arrays(path, [labels])
        return _read_arrays(path)[0]

    def fit(self) -> None:
        """Train to the end, from the checkpoint where there is one."""
        phases = ["head"] * self.config.head_epochs + ["all"] * self.config.epochs
        checkpoint = self._read_checkpoint()
        for epoch in range(len(self.history), len(phases)):
            if epoch - self.best_epoch >= self.config.patience and self.history:
                print(f"Stopped early: no better epoch since {self.best_epoch}.", flush=True)
                break
            if phases[epoch] != self.phase:
                self._start_phase(phases[epoch], phases.count(phases[epoch]))
            if checkpoint is not None:
                checkpoint = self._restore(checkpoint, phases[epoch])
            self._train_epoch(epoch, len(phases))
            self._write_checkpoint()
        if not phases:  # nothing to train: what it starts from is the result
            _write_arrays(self.work / BEST, self._weights())

    def _start_phase(self, phase: str, epochs: int) -> None:
        self.phase = phase
        pretrained = set(self.model.pretrained_layers)
        for layer in self.model.layers:
            layer.trainable = phase == "all" or layer.name not in pretrained
            if self.config.freeze_batch_norm and layer.name in pretrained:
                layer.trainable &= not isinstance(layer, keras.layers.BatchNormalization)
        steps = epochs * len(self.train_batches)
        warmup = min(self.config.warmup_steps, steps // 4)
        rate = self.config.learning_rate if phase == "all" else 1e-3
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warmup), alpha=0.01, warmup_target=rate, warmup_steps=warmup
        )
        optimizer = self._make_optimizer(schedule)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        # Keras puts the average in the weights' place at the end of every `fit`; here each epoch
        # is one `fit`, the training goes on from the weights, and `_averaged` swaps.
        optimizer.finalize_variable_values = lambda variables: None
        labels, smoothing = self.train_batches.labels, self.config.label_smoothing
        loss = losses.loss(self.config.loss, labels, smoothing)
        self.model.compile(optimizer, loss=loss, jit_compile=views.use_jit())
        optimizer = self.model.optimizer  # float16 wraps it to scale the loss
        optimizer.build(self.model.trainable_variables)

    def _make_optimizer(self, schedule) -> keras.optimizers.AdamW:
        config = self.config
        options = {
            "weight_decay": config.weight_decay,
            "global_clipnorm": config.clip_norm,
            "use_ema": config.ema > 0,
            "ema_momentum": config.ema or 0.99,
            "gradient_accumulation_steps": config.accumulation if config.accumulation > 1 else None,
        }
        if config.first_layer_rate == 1 or self.phase == "head":
            return keras.optimizers.AdamW(schedule, **options)
        shares = losses.layer_shares(self.model, config.first_layer_rate)
        return losses.LayerwiseAdamW(schedule, shares, **options)

    def _train_epoch(self, epoch: int, epochs: int) -> None:
        started = time.time()
        self.train_batches.epoch = epoch
        history = self.model.fit(self.train_batches, epochs=1, verbose=0, shuffle=False)
        seconds = time.time() - started
        loss = history.history["loss"][-1]
        if not np.isfinite(loss):
            raise self._diverged(f"The loss became {loss} in epoch {epoch + 1}")
        images = len(self.train_batches) * self.train_batches.batch_size
        row = {
            "epoch": epoch + 1,
            "phase": self.phase,
            "loss": loss,
            "learning_rate": float(keras.ops.convert_to_numpy(self._optimizer().learning_rate)),
            "images_per_second": images / seconds,
        }
        with self._averaged():
            row |= self._validate()
            if self.config.keep == "last" or row["val_balanced_accuracy"] > self.best_score:
                self.best_score, self.best_epoch = row["val_balanced_accuracy"], epoch + 1
                _write_arrays(self.work / BEST, self._weights())
        row["seconds"] = time.time() - started
        self.seconds += row["seconds"]
        self.history.append(row)
        left = np.mean([one["seconds"] for one in self.history]) * (epochs - epoch - 1)
        print(
            f"  epoch {epoch + 1}/{epochs} {self.phase:4s} loss {loss:.3f}, validation loss "
            f"{row['val_loss']:.3f}, balanced accuracy {row['val_balanced_accuracy']:.3f} "
            f"({self.config.keep} {self.best_score:.3f}), {row['images_per_second']:.0f} images/s, "
            f"{left / 60:.1f} min left",
            flush=True,
        )

    def _diverged(self, what: str) -> ValueError:
        return ValueError(
            f"{what} of {self.work.stem}; "
            f"lower learning_rate ({self.config.learning_rate}) or use precision float32."
        )

    def _validate(self) -> dict[str, float]:
        found = self.validation_batches
        probabilities = self.model.predict(found, verbose=0).astype(np.float64)
        if not np.isfinite(probabilities).all():
            # An epoch's last step may break the weights after a loss that was still a number.
            epoch = len(self.history) + 1
            raise self._diverged(f"The probabilities became not a number in epoch {epoch}")
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        names = np.arange(len(classes.CODES))
        return {
            "val_loss": log_loss(found.labels, probabilities, labels=names),
            "val_balanced_accuracy": balanced_accuracy_score(
                found.labels, probabilities.argmax(axis=1)
            ),
            "val_accuracy": accuracy_score(found.labels, probabilities.argmax(axis=1)),
        }

    def _optimizer(self):
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    @contextlib.contextmanager
    def _averaged(self):
        """Put the moving averages in the weights' place inside a `with` block."""
        if not self.config.ema:
            yield
            return
        variables = self.model.trainable_variables
        kept = [keras.ops.convert_to_numpy(variable) for variable in variables]
        averages = self._optimizer()._model_variables_moving_average
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(average)
        yield
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)

    def _weights(self) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(variable) for variable in self.model.weights]

    def best_weights(self) -> list[np.ndarray]:
        """Read the weights of the best epoch, in the order of `model.weights`."""
        return _read_arrays(self.work / BEST)

    def _write_checkpoint(self) -> None:
        self.environment = hardware.environment()
        state = {
            "environment": self.environment,
            "history": self.history,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "phase": self.phase,
        }
        # `variables` holds the states of dropout's random generators too, `weights` does not.
        variables = [*self.model.variables, *self.model.optimizer.variables]
        arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
        _write_arrays(self.work / CHECKPOINT, arrays, json.dumps(state))

    def _read_checkpoint(self) -> list[np.ndarray] | None:
        path = self.work / CHECKPOINT
        if not path.exists():
            return None
        try:
            with np.load(path) as stored:
                state = json.loads(str(stored["state"]))
            arrays = _read_arrays(path)
            _read_arrays(self.work / BEST)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            print(f"{path} is damaged, so this training starts over.", flush=True)
            return None
        self.history, self.seconds = state["history"], state["seconds"]
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        # Where the epochs were trained; the predictions may follow elsewhere.
        self.environment = state["environment"]
        self.checkpoint_phase = state["phase"]
        print(f"Resuming after epoch {len(self.history)}.", flush=True)
        return arrays

    def _restore(self, checkpoint: list[np.ndarray], phase: str) -> None:
        variables = list(self.model.variables)
        if phase == self.checkpoint_phase:  # a new phase starts with a new optimizer
            variables += self.model.optimizer.variables
        for variable, value in zip(variables, checkpoint, strict=False):
            variable.assign(value)


def _write_arrays(path: Path, arrays: list[np.ndarray], state: str = "") -> None:
    beside = path.with_name(f"beside-{path.name}")
    numbered = {f"{number:05d}": array for number, array in enumerate(arrays)}
    np.savez(beside, state=np.array(state), **numbered)
    os.replace(beside, path)


def _read_arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as stored:
        return [stored[name] for name in sorted(stored.files) if name != "state"]
