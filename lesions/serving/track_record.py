"""What a network was right and wrong about in testing, in sentences for its answers."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

from lesions import classes, evaluation
from lesions.evaluation import external, predictions
from lesions.inference import familiarity
from lesions.system.folders import MODELS

# Fewer photographs than this make no share.
ENOUGH = 20
BAND = 0.1


@dataclass(frozen=True)
class TrackRecord:
    """The test photographs of a recorded run, and those of other clinics.

    Attributes:
        rows: One row a test photograph: dx, predicted (codes), and calibrated probabilities, 0 to
            1, of the predicted class (probability) and of melanoma (melanoma).
        headline: A sentence on the whole, from comparison.csv; "" where the run is not in it.
        other_clinics: Name of a set to such rows of its photographs; empty where the network was
            not tried there.
        given_patients: Whether the network was given age, sex and site in testing.
    """

    rows: pd.DataFrame
    headline: str
    other_clinics: dict[str, pd.DataFrame] = field(default_factory=dict)
    given_patients: bool = False

    def when_named(self, code: str) -> str:
        """Describe how often the network was right when it predicted a class."""
        if not (self.rows["predicted"] == code).any():
            return f"In testing the network never predicted {_short(code)}."
        return _when_named(self.rows, code, "In testing")

    def when_true(self, code: str) -> str:
        """Describe how much of a class the network found."""
        number = (self.rows["dx"] == code).sum()
        if not number:
            return f"No test photograph shows {_short(code)}."
        return _when_true(self.rows, code, f"Of {number:,} test photographs of {_short(code)}")

    def when_as_sure(self, probability: float) -> str:
        """Describe how often it was right where it was about as sure; "" for too few."""
        probability = round(probability, 2)  # so that the range is the one that is printed
        near = self.rows[(self.rows["probability"] - probability).abs() <= BAND]
        if len(near) < ENOUGH:
            return ""
        right = (near["dx"] == near["predicted"]).sum()
        low, high = max(probability - BAND, 0), min(probability + BAND, 1)
        return (
            f"Where it predicted any class with a probability of {low:.0%} to {high:.0%}, it was "
            f"right in {right / len(near):.0%} ({right:,} of {len(near):,} photographs)."
        )

    def when_given(self, is_known: bool) -> str:
        """Describe how testing differed from an answer with or without age, sex and site."""
        if is_known == self.given_patients:
            return ""
        return (
            "In testing the network was given age, sex and site, too."
            if self.given_patients
            else "Testing was on photographs alone, without age, sex and site."
        )

    def sentences(self, code: str, probability: float, is_known: bool = False) -> list[str]:
        """Describe in two to five sentences all that testing tells about one answer.

        Args:
            code: The predicted class.
            probability: Its probability, 0 to 1.
            is_known: Whether age, sex or site was used.
        """
        described = [
            self.when_given(is_known),
            self.when_named(code),
            self.when_true(code),
            self.when_as_sure(probability),
            self.headline,
        ]
        return [sentence for sentence in described if sentence]

    def elsewhere(self, code: str) -> list[str]:
        """Describe what it was right and wrong about for a predicted class in other clinics.

        Returns:
            One or two sentences a set, and one on melanoma in all of them; none where the network
            was not tried there.
        """
        found = []
        for name, rows in self.other_clinics.items():
            number = (rows["dx"] == code).sum()
            place = f"In {name}, {len(rows):,} photographs taken elsewhere,"
            if (rows["predicted"] == code).any():
                found.append(_when_named(rows, code, place))
            else:
                shown = "" if number else ", which none of them shows"
                found.append(f"{place} it never predicted {_short(code)}{shown}.")
            if number:
                subject = f"Of the {number:,} photographs of {_short(code)} in {name}"
                found.append(_when_true(rows, code, subject))
        return [*found, self._melanomas_elsewhere] if found else []

    @functools.cached_property
    def _melanomas_elsewhere(self) -> str:
        """Compare the AUC for melanoma with that of the same diagnoses at home."""
        there, here = [], []
        for name, rows in self.other_clinics.items():
            same = self.rows[self.rows["dx"].isin(rows["dx"].unique())]
            there.append(f"{_melanoma_auc(rows):.2f} in {name}")
            here.append(f"{_melanoma_auc(same):.2f}")
        return (
            "How well it tells melanoma from other diagnoses (AUC; 0.5 is chance, 1 is perfect): "
            f"{' and '.join(there)}, against {' and '.join(here)} on test photographs of the same "
            "diagnoses at home."
        )


def _melanoma_auc(rows: pd.DataFrame) -> float:
    return roc_auc_score(rows["dx"] == "mel", rows["melanoma"])


def _when_named(rows: pd.DataFrame, code: str, place: str) -> str:
    named = rows[rows["predicted"] == code]
    right = (named["dx"] == code).sum()
    wrong = named.loc[named["dx"] != code, "dx"]
    photographs = "photographs" if len(named) > 1 else "photograph"
    text = f"{place} it predicted {_short(code)} for {len(named):,} {photographs}, and "
    if not (rows["dx"] == code).any():
        return f"{text}none there shows it; {_mostly(wrong, 'they were {}')}."
    text += f"{right:,} of them showed it ({right / len(named):.0%})"
    return f"{text}; {_mostly(wrong, 'the others were {}')}." if len(wrong) else f"{text}."


def _when_true(rows: pd.DataFrame, code: str, subject: str) -> str:
    true = rows[rows["dx"] == code]
    found = (true["predicted"] == code).sum()
    text = f"{subject} it found {found:,} ({found / len(true):.0%})"
    missed = true.loc[true["predicted"] != code, "predicted"]
    if missed.empty:
        return f"{text}."
    return f"{text}; {_mostly(missed, 'it classified the others {}as ')}."


def read(classifier) -> TrackRecord | None:
    """Read the record of the run that a network came from, by its correction and decision rule.

    It is None where the run's predictions are not at hand.
    """
    run = classifier.details.get("run")
    own = classifier.path.parent
    places = [place for place in (own, own / str(run), MODELS / str(run)) if place.name == run]
    folder = next((place for place in places if (place / "predictions.csv").is_file()), None)
    if folder is None:
        return None
    table = predictions.read_predictions(folder / "predictions.csv")
    table = table[table["split"] == "test"].reset_index(drop=True)
    headline = _headline(folder.parent / "comparison.csv", run)
    rows, elsewhere = _answers(table, classifier), _other_clinics(classifier)
    return TrackRecord(rows, headline, elsewhere, classifier.details["patient"])


def _answers(table: pd.DataFrame, classifier) -> pd.DataFrame:
    answers = evaluation.answer(table, classifier.details)
    rows = answers[["dx", "predicted"]].copy()
    labels = rows["predicted"].map(classes.CODES.index).to_numpy()
    rows["probability"] = answers[list(classes.CODES)].to_numpy()[range(len(rows)), labels]
    return rows.assign(melanoma=answers["mel"])


def _other_clinics(classifier) -> dict[str, pd.DataFrame]:
    """Read the recorded sets if they are of this very network."""
    if external.recorded_network() != familiarity.identity(classifier):
        return {}
    return {
        label: _answers(external.read_recorded(name), classifier)
        for name, label in external.SETS.items()
    }


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
    return classes.in_a_sentence(classes.NAMES[code])


def _mostly(codes: pd.Series, words: str) -> str:
    counts = codes.value_counts().head(2)
    mostly = "mostly " if codes.nunique() > 2 else ""
    return words.format(mostly) + " and ".join(f"{_short(c)} ({n:,})" for c, n in counts.items())
