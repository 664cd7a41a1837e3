"""Batches: the same for the same seed, epoch and row, and resampled on training rows alone."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from lesions import classes
from lesions.data import balance
from lesions.training import batches

LABELS = np.repeat(np.arange(7), [2, 3, 5, 1, 6, 20, 3])


@pytest.fixture(scope="module")
def store():
    random = np.random.default_rng(0)
    return SimpleNamespace(images=random.integers(0, 255, (60, 24, 24, 3), dtype=np.uint8))


def make(store, **options):
    rows = np.arange(10, 50)  # rows 0 to 9 and 50 to 59 belong to other splits
    settings = {"batch_size": 8, "augmentation": "standard", "shuffle": True, "seed": 5}
    return batches.LesionBatches(store, rows, LABELS, **settings | options)


def every(found, epoch=0):
    found.epoch = epoch
    return [found[index] for index in range(len(found))]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# Determinism


def test_same_seed_epoch_and_row_give_the_same_batches(store):
    first, second = every(make(store), epoch=3), every(make(store), epoch=3)
    assert all(same(a, b) for a, b in zip(first, second, strict=True))


def test_seed_and_epoch_change_the_pictures(store):
    found = make(store)
    first = every(found, epoch=0)[0][0]
    assert not np.array_equal(first, every(found, epoch=1)[0][0])
    assert not np.array_equal(first, every(make(store, seed=6), epoch=0)[0][0])
    assert np.array_equal(first, every(found, epoch=0)[0][0])


def test_order_of_making_and_threads_change_nothing(store):
    expected = every(make(store), epoch=2)
    backwards = make(store)
    backwards.epoch = 2
    for index in reversed(range(len(backwards))):
        assert same(backwards[index], expected[index])
    threaded = make(store)
    threaded.epoch = 2
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(threaded.__getitem__, list(range(len(threaded))) * 4))
    for number, batch in enumerate(made):
        assert same(batch, expected[number % len(expected)])


def test_picture_of_a_row_does_not_depend_on_its_batch(store):
    small, large = make(store, shuffle=False), make(store, shuffle=False, batch_size=40)
    together = np.concatenate([batch[0] for batch in every(small, epoch=1)])
    assert np.array_equal(together, every(large, epoch=1)[0][0])


# What is in a batch


def test_without_augmentation_images_are_untouched(store):
    found = make(store, augmentation="none", shuffle=False)
    before = store.images.copy()
    assert len(found) == 5
    images = np.concatenate([batch[0] for batch in every(found)])
    one_hot = np.concatenate([batch[1] for batch in every(found)])
    assert images.dtype == np.uint8 and one_hot.dtype == np.float32
    assert np.array_equal(images, store.images[10:50])
    assert np.array_equal(one_hot.argmax(axis=1), LABELS) and np.all(one_hot.sum(axis=1) == 1)
    every(make(store))  # augmentation works on copies
    assert np.array_equal(store.images, before)


def test_last_batch_is_short_unless_shuffled(store):
    found = make(store, batch_size=16, shuffle=False)
    assert [len(batch[0]) for batch in every(found)] == [16, 16, 8]
    shuffled = make(store, batch_size=16)
    assert [len(batch[0]) for batch in every(shuffled)] == [16, 16]
    assert len(make(store, batch_size=64)) == 1  # never an epoch without a step


def test_shuffled_epoch_holds_every_row_once(store):
    found = make(store, augmentation="none")
    pictures = {store.images[row].tobytes(): row for row in range(60)}
    for epoch in (0, 1):
        rows = [pictures[image.tobytes()] for batch in every(found, epoch) for image in batch[0]]
        labels = np.concatenate([batch[1].argmax(axis=1) for batch in every(found, epoch)])
        assert sorted(rows) == list(range(10, 50)) and rows != sorted(rows)
        assert labels.tolist() == LABELS[np.array(rows) - 10].tolist()


def test_patient_features_go_with_their_image(store):
    patient = np.arange(40, dtype=np.float32)[:, None]
    found = make(store, augmentation="none", patient=patient)
    for inputs, _ in every(found):
        assert set(inputs) == {"image", "patient"}
        rows = 10 + inputs["patient"].ravel().astype(int)
        assert np.array_equal(inputs["image"], store.images[rows])


def test_class_weights_become_sample_weights(store):
    weights = np.arange(1, 8, dtype=np.float32)
    for _, one_hot, sample_weights in every(make(store, weights=weights)):
        assert sample_weights.dtype == np.float32
        assert np.array_equal(sample_weights, 1 + one_hot.argmax(axis=1))


def test_soft_labels_are_taught_with_their_pictures(store):
    soft = np.random.default_rng(1).dirichlet(np.ones(7), len(LABELS)).astype(np.float32)
    found = make(store, augmentation="none", oversampling=True, soft_labels=soft)
    rows = {image.tobytes(): row for row, image in enumerate(store.images)}
    for shown, taught in every(found):
        places = [rows[image.tobytes()] - 10 for image in shown]
        assert np.array_equal(taught, soft[places])


def flat_store(labels, size):
    """One brightness a class, so that a picture's pixels tell which labels are in it."""
    flat = np.ones((len(labels), size, size, 3), np.uint8) * (30 * labels[:, None, None, None])
    return SimpleNamespace(images=flat.astype(np.uint8))


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_mixup_mixes_pictures_and_labels_alike(share):
    labels = np.arange(7).repeat(6)
    store = flat_store(labels, 8)
    patient = labels[:, None].astype(np.float32)
    found = batches.LesionBatches(
        store, np.arange(42), labels, batch_size=14, shuffle=True, mixup=share, patient=patient
    )
    shares = []
    for inputs, one_hot in every(found):
        assert one_hot.dtype == np.float32 and np.allclose(one_hot.sum(axis=1), 1)
        expected = one_hot @ np.arange(7)
        brightness = inputs["image"].astype(float)
        assert np.abs(brightness - 30 * expected[:, None, None, None]).max() <= 0.51
        assert np.allclose(inputs["patient"].ravel(), expected, atol=1e-5)
        shares += one_hot.max(axis=1).tolist()
    assert min(shares) < 0.999
    assert all(same_inputs(a, b) for a, b in zip(every(found), every(found), strict=True))


def same_inputs(first, second):
    return np.array_equal(first[0]["image"], second[0]["image"]) and same(first[1:], second[1:])


# Resampling and weights


def test_oversampling_equals_counts_from_the_given_rows(store):
    found = make(store, oversampling=True, augmentation="none", batch_size=20)
    assert np.bincount(found.labels).tolist() == [20] * 7
    assert set(found.rows) == set(range(10, 50))
    assert np.array_equal(found.labels, LABELS[found.rows - 10])
    chosen = balance.oversample(LABELS, seed=1)
    assert np.array_equal(chosen, balance.oversample(LABELS, seed=1))
    assert not np.array_equal(chosen, balance.oversample(LABELS, seed=2))


def test_oversampled_epochs_are_as_long_as_others_and_together_see_everything(store):
    found = make(store, oversampling=True, shuffle=True, batch_size=8)
    assert len(found) == len(make(store, shuffle=True, batch_size=8)) == 5
    seen = []
    for epoch in range(20):
        seen += [batch[1].sum(axis=0) for batch in every(found, epoch)]
    shares = np.sum(seen, axis=0) / np.sum(seen)
    assert np.abs(shares - 1 / 7).max() < 0.05


def test_repeated_rows_get_pictures_of_their_own(store):
    found = make(store, oversampling=True, shuffle=False, batch_size=140)
    ((pictures, _),) = every(found)
    alone = found.rows == 10 + np.flatnonzero(LABELS == 3)[0]
    assert alone.sum() == 20
    assert len({picture.tobytes() for picture in pictures[alone]}) == 20


def test_class_weights_by_hand():
    counts = np.bincount(LABELS)
    expected = {
        "none": np.ones(7),
        "balanced": 1 / counts,
        "square_root": 1 / np.sqrt(counts),
        "effective": 0.001 / (1 - 0.999**counts),
    }
    assert set(expected) == set(balance.WEIGHTINGS)
    for method, weights in expected.items():
        found = balance.class_weights(LABELS, method)
        assert found.dtype == np.float32 and found.shape == (7,)
        assert np.allclose(found, weights / np.average(weights, weights=counts), rtol=1e-5)
        assert found[LABELS].mean() == pytest.approx(1, abs=1e-5)


def test_weights_of_a_class_without_images(one_sentence):
    with pytest.raises(ValueError) as error:
        balance.class_weights(LABELS[LABELS != 3], "balanced")
    one_sentence(error, repr(classes.CODES[3]))
    with pytest.raises(ValueError) as error:
        balance.class_weights(LABELS, "inverse")
    one_sentence(error, "'inverse'", "balanced")
