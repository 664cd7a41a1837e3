"""predictions.csv, written and read."""

import numpy as np
import pandas as pd
import pytest
from tables import drawn_predictions as frame

from lesions import classes
from lesions.evaluation import predictions

CODES = list(classes.CODES)


def test_file_round_trip(tmp_path):
    written = frame(2.0)
    path = predictions.write_predictions(written, tmp_path / "predictions.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["predictions.csv"]
    read = predictions.read_predictions(path)
    assert read.columns.tolist() == predictions.COLUMNS
    assert np.abs(read[CODES].to_numpy() - written[CODES].to_numpy()).max() < 2e-6
    assert np.allclose(read[CODES].sum(axis=1), 1, atol=1e-12)
    assert read[predictions.COLUMNS[:4]].equals(written[predictions.COLUMNS[:4]])
    # Writing what was read changes nothing, so a run's file can be copied about.
    again = predictions.write_predictions(read, tmp_path / "again.csv")
    assert np.allclose(predictions.read_predictions(again)[CODES], read[CODES], atol=2e-6)


def test_file_without_a_column(tmp_path, one_sentence):
    frame(1.0).drop(columns="mel").to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(ValueError) as error:
        predictions.read_predictions(tmp_path / "short.csv")
    one_sentence(error, "short.csv", "'mel'")


WRONG = {
    "a probability of 9": ("mel", "9.0", ["row 5", "ISIC_0000003", "from 0 to 1"]),
    "a probability below 0": ("mel", "-0.5", ["row 5", "from 0 to 1"]),
    "a probability in words": ("mel", "high", ["row 5", "from 0 to 1"]),
    "a decimal comma": ("mel", "0,5", ["row 5", "from 0 to 1"]),
    "no probability": ("mel", "", ["row 5", "from 0 to 1"]),
    "a sum of 2": ("mel", "1.0", ["row 5", "sum"]),
    "a split in capitals": ("split", "Test", ["row 5", "split 'Test'"]),
    "a diagnosis in capitals": ("dx", "NV", ["row 5", "diagnosis"]),
    "no lesion": ("lesion_id", "", ["row 5", "lesion_id"]),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_damaged_cell_is_named(tmp_path, kind, one_sentence):
    column, value, words = WRONG[kind]
    path = predictions.write_predictions(frame(2.0), tmp_path / "predictions.csv")
    table = pd.read_csv(path, dtype=str)
    table.loc[3, column] = value
    table.to_csv(path, index=False)
    with pytest.raises(ValueError) as error:
        predictions.read_predictions(path)
    one_sentence(error, path, *words)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-500] + bytes(500),
        lambda content: content.decode().encode("utf-16"),
        lambda content: content.replace(b",", b";"),
        lambda content: content + b"a,b,c,d,e,f,g,h,i,j,k,l,m,n\n",
        lambda content: content.replace(b"\n", b",\n").replace(b",\n", b"\n", 1),
    ],
    ids=["empty", "cut", "zeros at the end", "UTF-16", "semicolons", "cells too many", "commas"],
)
def test_a_damaged_file_is_named(tmp_path, damage, one_sentence):
    path = predictions.write_predictions(frame(2.0), tmp_path / "predictions.csv")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError) as error:
        predictions.read_predictions(path)
    one_sentence(error, path)
