"""The three protocols of the leakage experiment."""

import numpy as np
import pandas as pd
import pytest

from lesions import classes, data
from lesions.data import leaky_splits


@pytest.fixture(scope="module")
def metadata():
    """Seven classes, 30 lesions and 60 photographs each, nv with three times as many."""
    rows = []
    for label, code in enumerate(classes.CODES):
        for lesion in range(90 if code == "nv" else 30):
            for photograph in range(2):
                name = f"{code}-{lesion:03d}"
                rows.append((f"{name}-{photograph}", name, code, label))
    table = pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx", "label"])
    return data.split_by_lesion(table)


@pytest.mark.parametrize("protocol", leaky_splits.PROTOCOLS)
def test_all_protocols_keep_the_same_clean_rows_apart(metadata, protocol):
    rows = leaky_splits.protocol_rows(metadata, protocol)
    clean = rows[rows["split"] == leaky_splits.CLEAN]
    assert set(clean["image_id"]) == set(metadata["image_id"][metadata["split"] == "test"])
    assert clean["image_id"].is_unique
    data.check_no_leak(rows[rows["split"] != leaky_splits.CLEAN], clean)
    assert set(rows["split"]) == {"train", "validation", "test", "clean"}
    assert list(rows.index) == list(range(len(rows)))
    data.check_classes_present(rows)


@pytest.mark.parametrize("protocol", leaky_splits.PROTOCOLS)
def test_every_photograph_is_used_and_keeps_its_diagnosis(metadata, protocol):
    rows = leaky_splits.protocol_rows(metadata, protocol)
    assert set(rows["image_id"]) == set(metadata["image_id"])
    known = metadata.set_index("image_id")[["lesion_id", "dx", "label"]]
    found = rows.set_index("image_id")[["lesion_id", "dx", "label"]]
    assert found.equals(known.loc[found.index])


def test_the_leak_grows_from_lesion_to_image_to_oversampled(metadata):
    lesion, image, oversampled = (
        leaky_splits.shared_lesions(leaky_splits.protocol_rows(metadata, protocol))
        for protocol in ("lesion", "image", "oversampled")
    )
    assert lesion["same_lesion"] == lesion["same_image"] == 0
    # Of two photographs of a lesion, the other one is in training seven times out of ten.
    assert 0.55 < image["same_lesion"] < 0.85 and image["same_image"] == 0
    assert oversampled["same_lesion"] > image["same_lesion"] and oversampled["same_image"] > 0.5


def test_oversampling_makes_all_classes_equal_before_the_split(metadata):
    rows = leaky_splits.protocol_rows(metadata, "oversampled")
    counts = rows[rows["split"] != leaky_splits.CLEAN]["label"].value_counts()
    assert counts.nunique() == 1 and len(counts) == 7


def test_the_seed_decides(metadata):
    first = leaky_splits.protocol_rows(metadata, "oversampled")
    shuffled = metadata.sample(frac=1, random_state=1)
    assert first.equals(leaky_splits.protocol_rows(metadata, "oversampled"))
    assert not first.equals(leaky_splits.protocol_rows(metadata, "oversampled", seed=7))
    same = leaky_splits.protocol_rows(shuffled, "lesion")
    assert same.equals(leaky_splits.protocol_rows(metadata, "lesion"))


def test_the_fingerprint_of_repeated_rows_does_not_depend_on_their_order(metadata):
    rows = leaky_splits.protocol_rows(metadata, "oversampled")
    turned = rows.iloc[np.random.default_rng(0).permutation(len(rows))]
    assert data.data_fingerprint(rows) == data.data_fingerprint(turned)


def test_bad_input_is_refused(metadata):
    with pytest.raises(ValueError, match="Unknown protocol 'patient'"):
        leaky_splits.protocol_rows(metadata, "patient")
    leaky = metadata.copy()
    leaky.loc[leaky.index[leaky["split"] == "test"][0], "split"] = "train"
    with pytest.raises(ValueError, match="other side"):
        leaky_splits.protocol_rows(leaky, "lesion")
