"""Batches for Keras: class weights, oversampling and augmentation on training rows only."""

import cv2
import keras
import numpy as np

from lesions import classes
from lesions.data import balance
from lesions.networks import views
from lesions.training.augmentation import augment


class LesionBatches(keras.utils.PyDataset):
    """Batches from an image store, the same for the same (seed, epoch, row).

    All draws depend on these alone, so that a picture is the same whichever thread makes it and a
    resumed training sees what it would have seen. A shuffled epoch leaves its last short batch
    out, so that all steps have one shape, and has as many steps with oversampling as without: it
    takes a part of the repeated rows.

    Attributes:
        epoch: Number of the epoch, 0 and up; it sets order and augmentation.
    """

    def __init__(
        self,
        store,
        rows: np.ndarray,
        labels: np.ndarray,
        batch_size: int = 32,
        augmentation: str = "none",
        seed: int = 42,
        shuffle: bool = False,
        weights: np.ndarray | None = None,
        oversampling: bool = False,
        mixup: float = 0.0,
        patient: np.ndarray | None = None,
        soft_labels: np.ndarray | None = None,
    ):
        """Describe the batches.

        Args:
            store: An `images.ImageStore`, or any object with `images` uint8 (n, s, s, 3).
            rows: int, (m,), rows of the store, one per example.
            labels: int, (m,), 0 to 6, for `rows`.
            batch_size: Examples a batch.
            augmentation: "none", or a name of `augmentation.STRENGTHS`.
            seed: Seed of order, oversampling and augmentation.
            shuffle: Whether every epoch has its own order.
            weights: float32, (7,), loss weight of each class, or None.
            oversampling: Whether small classes are repeated, see `balance.oversample`.
            mixup: Beta parameter of MixUp (Zhang et al. 2018), 0 for none.
            patient: float32, (m, features), for `rows`, or None.
            soft_labels: float32, (m, 7), rows sum to 1, taught in the place of `labels`, or None.
        """
        # Two workers keep up with a GPU; on the CPU they use what training leaves over.
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.store, self.batch_size, self.seed = store, batch_size, seed
        self.augmentation, self.shuffle, self.mixup = augmentation, shuffle, mixup
        self.weights, self.epoch, self.given = weights, 0, len(rows)
        chosen = balance.oversample(labels, seed) if oversampling else np.arange(len(rows))
        self.rows, self.labels = np.asarray(rows)[chosen], np.asarray(labels)[chosen]
        self.patient = None if patient is None else patient[chosen]
        taught = np.eye(len(classes.CODES))[labels] if soft_labels is None else soft_labels
        self.taught = np.asarray(taught, dtype=np.float32)[chosen]

    def __len__(self) -> int:
        if self.shuffle:
            return max(1, self.given // self.batch_size)
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int):
        """Make batch number `index` of the current epoch.

        Returns:
            (inputs, taught) or (inputs, taught, sample_weights): inputs uint8 (b, s, s, 3)
            or a dict of `image` and `patient`; taught float32 (b, 7), one-hot unless mixed or
            soft; weights float32 (b,), of the classes by their shares in `taught`.
        """
        order = np.arange(len(self.rows))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
        images = self._images(chosen)
        taught = self.taught[chosen]
        patient = None if self.patient is None else self.patient[chosen]
        if self.mixup:
            images, taught, patient = self._mix(index, images, taught, patient)
        inputs = views.inputs(images, patient)
        if self.weights is None:
            return inputs, taught
        return inputs, taught, taught @ self.weights

    def _images(self, chosen: np.ndarray) -> np.ndarray:
        images = self.store.images[self.rows[chosen]]
        if self.augmentation != "none":
            for place, position in enumerate(chosen):
                # The position tells repeated rows of an oversampled class apart.
                random = np.random.default_rng((self.seed, self.epoch, int(position)))
                images[place] = augment(images[place], random, self.augmentation)
        return images

    def _mix(self, index, images, taught, patient):
        random = np.random.default_rng((self.seed, self.epoch, index, 1))
        share = np.float32(random.beta(self.mixup, self.mixup))
        partner = random.permutation(len(images))
        mixed = cv2.addWeighted(images, float(share), images[partner], float(1 - share), 0)
        mixed = mixed.reshape(images.shape)
        taught = share * taught + (1 - share) * taught[partner]
        if patient is not None:
            patient = share * patient + (1 - share) * patient[partner]
        return mixed, taught, patient
