"""Facts of notebook 10: the best model on photographs of other clinics."""

from __future__ import annotations

import functools

import pandas as pd

from lesions import evaluation
from lesions.data import near_duplicates, skin_tone
from lesions.evaluation import external
from lesions.study import elsewhere, other_clinics, other_networks, student
from lesions.study.facts.common import Interval, recorded_entries


@functools.cache
def notebook_10() -> dict:
    """Return the facts of notebook 10: at home, on ISIC 2017 and on PH2, one view there."""
    details = other_clinics.home()[1]
    frames = {name: external.read_recorded(name) for name in external.SETS}
    facts = {}
    for name, report in elsewhere.reports().items():
        for side, column in (("home", "home"), ("there", "there"), ("change", "difference")):
            figures = {figure: Interval.of(row, column) for figure, row in report.iterrows()}
            facts[f"{side}_{name}"] = figures
    warned = elsewhere.warned()
    facts["warned_all"] = _by_set(warned["of all"])
    counted = elsewhere.counted_warnings(warned)
    for short, column in (("right", "of right answers"), ("wrong", "of errors")):
        facts[f"warned_{short}"] = _by_set(counted[column])
    missed = elsewhere.missed()
    facts["missed"] = _by_set(missed["missed"])
    facts["missed_share"] = _by_set(missed["missed_share"])
    facts["framed"] = {name: (one["dark_corners"] > 0).sum() for name, one in frames.items()}
    facts["images"] = {name: len(one) for name, one in frames.items()}
    facts["correlation"] = {name: one["home_correlation"].max() for name, one in frames.items()}
    facts["copy_above"] = near_duplicates.SAME_ABOVE
    facts["copies"] = {
        name: (one["home_correlation"] > near_duplicates.SAME_ABOVE).sum()
        for name, one in frames.items()
    }
    facts["views"] = _views()
    return (
        facts
        | _confidence(frames["ph2"], details)
        | _confusions(frames["isic2017"], details)
        | _networks()
        | _changes()
        | _tones(frames, details)
    )


def _by_set(values) -> dict:
    """Map home and the keys of `external.SETS` to values in that order."""
    return dict(zip(("home", *external.SETS), values, strict=True))


def _views() -> Interval:
    """Return by how much eight views change the melanoma AUC of the home validation rows."""
    eight = recorded_entries()[student.last_stage()].answers("validation")
    tried = elsewhere.read_tried()
    part = tried[tried["set"] == elsewhere.VALIDATION]
    one = elsewhere.as_predictions(part, elsewhere.PLAIN)
    return Interval(**evaluation.paired_difference(eight, one, elsewhere.AUC))


def _networks() -> dict:
    """Return how other networks travel: how many worse, the ends of their AUC."""
    facts = {"worse": {}, "ends": {}}
    reports = other_networks.reports()
    for name, label in external.SETS.items():
        aucs = reports[label].loc[elsewhere.AUC]
        facts["asked"] = len(aucs)
        facts["worse"][name] = (aucs["difference_high"] < 0).sum()
        for end, network in (("low", aucs["there"].idxmin()), ("high", aucs["there"].idxmax())):
            facts["ends"][f"{name}_{end}"] = network
            facts[f"{end}_{name}"] = Interval.of(aucs.loc[network], "there")
    return facts


def _confidence(frame: pd.DataFrame, details: dict) -> dict[str, float]:
    """Return how sure the network is of PH2's photographs, and how often it is right."""
    labels, probabilities = evaluation.labels_and_probabilities(evaluation.answer(frame, details))
    return {
        "sure_ph2": probabilities.max(axis=1).mean(),
        "right_ph2": (probabilities.argmax(axis=1) == labels).mean(),
    }


def _changes() -> dict:
    """Return what a drawn artefact or another light does to the answers to ISIC 2017."""
    effects = elsewhere.artefact_effects().drop(elsewhere.PLAIN)
    auc_change = {name: Interval.of(row, "difference") for name, row in effects.iterrows()}
    differences = auc_change.values()
    sure = sum(one.zero == "excludes zero" for one in differences)
    return {
        "changed": effects["answers"].to_dict(),
        "rise": {name: Interval.of(row, "rise_mel") for name, row in effects.iterrows()},
        "rise_nv": {name: Interval.of(row, "rise_nv") for name, row in effects.iterrows()},
        "auc_change": auc_change,
        "auc_changes": len(differences),
        "auc_sure": f"{sure or 'none'} exclude{'s' * (sure < 2)}",
        "auc_low": min(one.low for one in differences),
        "auc_high": max(one.high for one in differences),
    }


def _confusions(frame: pd.DataFrame, details: dict) -> dict:
    """Return which share of ISIC 2017's diagnoses is named as another."""
    named = evaluation.answer_among(frame, details, frame["dx"].unique())
    shares = pd.crosstab(named["dx"], named["predicted"], normalize="index")
    return {"named": shares.T.to_dict()}


def _tones(frames: dict[str, pd.DataFrame], details: dict) -> dict:
    """Return how many photographs show dark skin, and the AUC of ISIC 2017 by tone."""
    tones = {name: one["typology_angle"].map(skin_tone.tone) for name, one in frames.items()}
    dark = {name: one.isin(("brown", "dark")) for name, one in tones.items()}
    frame = frames["isic2017"]
    answers = evaluation.answer(frame, details)
    facts = frame.assign(skin_tone=tones["isic2017"])
    rows = evaluation.slice_intervals(answers, facts, ["skin_tone"]).droplevel(0)
    ends = {"lowest": rows["value"].idxmin(), "highest": rows["value"].idxmax()}
    found = {f"{end}_tone": name for end, name in ends.items()}
    for end, name in ends.items():
        found[f"{end}_auc"] = Interval.of(rows.loc[name])
    return found | {
        "dark": {name: one.sum() for name, one in dark.items()},
        "dark_melanomas": (frame["dx"][dark["isic2017"]] == "mel").sum(),
    }
