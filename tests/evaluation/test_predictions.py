"""predictions.csv, written and read."""

import numpy as np
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
