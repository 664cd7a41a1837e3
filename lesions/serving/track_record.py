"""What a network was right and wrong about in testing, in sentences for its answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lesions import classes, data, evaluation
from lesions.evaluation import predictions

MODELS = data.REPOSITORY / "models"
# Fewer photographs than this make no share.
ENOUGH = 20
BAND = 0.1


@dataclass(frozen=True)
class TrackRecord:
    """The test photographs of a recorded run.

    Attributes:
        run: Name of the run folder.
        rows: One row a test photograph: dx, predicted (codes) and probability, the calibrated
            one of the predicted class, 0 to 1.
        headline: A sentence on the whole, from comparison.csv; "" where the run is not in it.
    """

    run: str
    rows: pd.DataFrame
    headline: str

    def when_named(self, code: str) -> str:
        """Describe how often the network was right when it predicted a class."""
        named = self.rows[self.rows["predicted"] == code]
        if named.empty:
            return f"In testing the network never predicted {_short(code)}."
        right = (named["dx"] == code).sum()
        text = (
            f"In testing it predicted {_short(code)} for {len(named):,} photographs, and "
            f"{right:,} of them showed it ({right / len(named):.0%})"
        )
        wrong = named.loc[named["dx"] != code, "dx"]
        return f"{text}; {_mostly(wrong, 'the others were {}')}." if len(wrong) else f"{text}."

    def when_true(self, code: str) -> str:
        """Describe how much of a class the network found."""
        true = self.rows[self.rows["dx"] == code]
        if true.empty:
            return f"No test photograph shows {_short(code)}."
        found = (true["predicted"] == code).sum()
        text = (
            f"Of {len(true):,} test photographs of {_short(code)} it found {found:,} "
            f"({found / len(true):.0%})"
        )
        missed = true.loc[true["predicted"] != code, "predicted"]
        if missed.empty:
            return f"{text}."
        return f"{text}; {_mostly(missed, 'it classified the others {}as ')}."

    def when_as_sure(self, probability: float) -> str:
        """Describe how often it was right where it was about as sure; "" for too few."""
        near = self.rows[(self.rows["probability"] - probability).abs() <= BAND]
        if len(near) < ENOUGH:
            return ""
        right = (near["dx"] == near["predicted"]).sum()
        low, high = max(probability - BAND, 0), min(probability + BAND, 1)
        return (
            f"Where it predicted any class with a probability of {low:.0%} to {high:.0%}, it was "
            f"right in {right / len(near):.0%} ({right:,} of {len(near):,} photographs)."
        )

    def sentences(self, code: str, probability: float) -> list[str]:
        """Describe all that testing tells about one answer.

        Args:
            code: The predicted class.
            probability: Its probability, 0 to 1.

        Returns:
            Two to four sentences.
        """
        said = [self.when_named(code), self.when_true(code), self.when_as_sure(probability)]
        return [sentence for sentence in (*said, self.headline) if sentence]


def read(classifier) -> TrackRecord | None:
    """Read the recorded predictions of the run that a network came from.

    They are corrected and decided as the network's answers are.

    Args:
        classifier: From `inference.Classifier`.

    Returns:
        The record; None where the run's predictions are not at hand.
    """
    run = classifier.details.get("run")
    own = classifier.path.parent
    places = [place for place in (own, own / str(run), MODELS / str(run)) if place.name == run]
    folder = next((place for place in places if (place / "predictions.csv").is_file()), None)
    if folder is None:
        return None
    table = predictions.read_predictions(folder / "predictions.csv")
    table = table[table["split"] == "test"].reset_index(drop=True)
    answers = evaluation.answer(table, classifier.details)
    rows = answers[["dx", "predicted"]].copy()
    labels = rows["predicted"].map(classes.CODES.index).to_numpy()
    rows["probability"] = answers[list(classes.CODES)].to_numpy()[range(len(rows)), labels]
    return TrackRecord(run, rows, _headline(folder.parent / "comparison.csv", run))


def _headline(path: Path, run: str) -> str:
    if not path.is_file():
        return ""
    table = pd.read_csv(path).set_index("run")
    if run not in table.index:
        return ""
    row = table.loc[run]
    return (
        f"Over all seven classes its mean recall (balanced accuracy) in testing is "
        f"{row['test_balanced_accuracy']:.0%} (95% interval "
        f"{row['test_balanced_accuracy_low']:.0%} to {row['test_balanced_accuracy_high']:.0%})."
    )


def _short(code: str) -> str:
    name = classes.NAMES[code]
    return f"{name[0].lower()}{name[1:]}"


def _mostly(codes: pd.Series, words: str) -> str:
    counts = codes.value_counts().head(2)
    mostly = "mostly " if codes.nunique() > 2 else ""
    return words.format(mostly) + " and ".join(f"{_short(c)} ({n:,})" for c, n in counts.items())
