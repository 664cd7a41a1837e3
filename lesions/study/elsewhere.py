"""What the recorded predictions say of home and of other clinics, as tables for the pages."""

from __future__ import annotations

import functools

import pandas as pd

from lesions import evaluation
from lesions.classes import NAMES
from lesions.evaluation import CODES, external
from lesions.inference import familiarity
from lesions.study import other_clinics, tables
from lesions.system.folders import MODELS

HOME = "HAM10000, test"
# What was tried at prediction, on the last stage of notebook 04: which photographs are at home.
VALIDATION = "home"
PLAIN = "as it is"
AUC = "melanoma_auc"
FIGURES = {
    "melanoma_auc": "melanoma AUC",
    "sensitivity_at_home_threshold": "melanoma sensitivity at the threshold of home",
    "specificity_at_home_threshold": "its specificity",
    "balanced_accuracy": "balanced accuracy among these diagnoses",
    "expected_calibration_error": "expected calibration error",
    "log_loss": "log loss",
}


@functools.cache
def answers() -> dict[str, pd.DataFrame]:
    """Map home, the test split, and each set to the best model's answers, as `predict` decides."""
    home, details = other_clinics.home()
    frames = {HOME: evaluation.rows_of(home, "test")}
    frames |= {label: external.read_recorded(name) for name, label in external.SETS.items()}
    return {label: evaluation.answer(frame, details) for label, frame in frames.items()}


@functools.cache
def reports() -> dict[str, pd.DataFrame]:
    """Map each key of `external.SETS` to the best model's `evaluation.external_report` there."""
    home, details = other_clinics.home()
    return {
        name: evaluation.external_report(external.read_recorded(name), home, details)
        for name in external.SETS
    }


def missed() -> pd.DataFrame:
    """Count the melanomas that the rule names as something else, and what it names melanoma.

    Returns:
        Indexed by set, home first: missed (of the melanomas) and alarms (of all others), each as
        text ("62 of 167") and, with _share, as a share (0 to 1).
    """
    rows = {}
    for label, one in answers().items():
        melanoma, called = one["dx"] == "mel", one["predicted"] == "mel"
        rows[label] = {
            "missed": f"{(melanoma & ~called).sum():,} of {melanoma.sum():,}",
            "missed_share": (~called[melanoma]).mean(),
            "alarms": f"{(called & ~melanoma).sum():,} of {(~melanoma).sum():,}",
            "alarms_share": called[~melanoma].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")


def warned() -> pd.DataFrame:
    """Count who gets the warning for unfamiliar or blurred photographs.

    Returns:
        Indexed by set, home first: photographs and errors (how many), and the shares with the
        warning of all, of right answers and of errors (0 to 1). An answer is that of the
        decision rule, as `predict` gives it.
    """
    fitted = familiarity.load(MODELS / familiarity.FILE)
    rows = {}
    for label, frame in answers().items():
        if label == HOME:
            frame = frame.merge(other_clinics.read_home(), on="image_id")
        wrong = frame["predicted"] != frame["dx"]
        alarm = (frame["distance"] > fitted.far) | (frame["sharpness"] < fitted.blurred)
        rows[label] = {
            "photographs": len(frame),
            "errors": int(wrong.sum()),
            "of all": alarm.mean(),
            "of right answers": alarm[~wrong].mean(),
            "of errors": alarm[wrong].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")


def counted_warnings(table: pd.DataFrame) -> pd.DataFrame:
    """Write each share of `warned` as "5 of 432": photographs with the warning, and of how many."""
    right = table["photographs"] - table["errors"]
    totals = {
        "of all": table["photographs"],
        "of right answers": right,
        "of errors": table["errors"],
    }
    return pd.DataFrame(
        {
            name: [f"{n * share:.0f} of {n:,.0f}" for n, share in zip(of, table[name], strict=True)]
            for name, of in totals.items()
        },
        table.index,
    )


def artefact_effects(resamples: int = 1000) -> pd.DataFrame:
    """Compare photographs on which an artefact is drawn with the same photographs as they are.

    Returns:
        Indexed by change, `PLAIN` first: answers (the share that changes, among the labelled
        diagnoses, 0 to 1); rise_mel, rise_nv and rise_bkl (mean change of the probability of
        melanoma on photographs of that diagnosis); auc (of melanoma); and difference (of that
        AUC to `PLAIN`, paired); all but the first with _low and _high (95%, over lesions).
    """
    details, parts = other_clinics.home()[1], _with_artefacts()
    codes = external.read_recorded(other_clinics.CHANGED_SET)["dx"].unique()
    answers = {change: evaluation.answer(part, details) for change, part in parts.items()}
    named = {
        change: evaluation.answer_among(part, details, codes)["predicted"]
        for change, part in parts.items()
    }
    rows = {}
    for change, one in answers.items():
        rise = one["mel"] - answers[PLAIN]["mel"]
        rises = {f"rise_{code}": rise.where(one["dx"] == code) for code in other_clinics.SAMPLE}
        found = evaluation.mean_intervals(pd.DataFrame(rises), one["lesion_id"])
        found.loc["auc"] = evaluation.intervals(one, resamples, (AUC,)).loc[AUC]
        found.loc["difference"] = evaluation.paired_difference(one, answers[PLAIN], AUC, resamples)
        rows[change] = {"answers": (named[change] != named[PLAIN]).mean()}
        for figure, row in found.iterrows():
            ends = {figure: "value", f"{figure}_low": "low", f"{figure}_high": "high"}
            rows[change] |= {column: row[end] for column, end in ends.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("change")


def _with_artefacts() -> dict[str, pd.DataFrame]:
    """Read the predictions of the same photographs as they are and with every change."""
    frame, changes = external.read_recorded(other_clinics.CHANGED_SET), other_clinics.read_changes()
    known = frame.set_index("image_id")[["lesion_id", "split"]]
    plain = frame[frame["image_id"].isin(changes["image_id"])].reset_index(drop=True)
    parts = {PLAIN: plain}
    for change, part in changes.join(known, on="image_id").groupby("change", sort=False):
        parts[change] = part.set_index("image_id").loc[plain["image_id"]].reset_index()
    return parts


def read_tried() -> pd.DataFrame:
    """Read what was tried at prediction: set, image_id, lesion_id, dx and a column a treatment.

    A treatment's column holds the probability of melanoma, corrected, one view a photograph.
    """
    file = external.RECORDED / "at_prediction.csv"
    return pd.read_csv(file, dtype={"image_id": str, "lesion_id": str})


def as_predictions(part: pd.DataFrame, treatment: str) -> pd.DataFrame:
    """Write probabilities of melanoma as predictions; the AUC asks for nothing else."""
    frame = part[["image_id", "lesion_id", "dx"]].copy()
    frame[CODES] = 0.0
    frame["mel"], frame["nv"] = part[treatment], 1 - part[treatment]
    return frame


def tried_block() -> str:
    """Write what was tried at prediction beside the photograph as it is, paired, as Markdown."""
    tried, rows = read_tried(), []
    for name in tried.columns.drop(["set", "image_id", "lesion_id", "dx"]):
        cells = [name]
        for place in ("isic2017", VALIDATION):
            part = tried[tried["set"] == place]
            found, plain = (as_predictions(part, column) for column in (name, PLAIN))
            gap = evaluation.Interval(**evaluation.paired_difference(found, plain, AUC))
            auc = evaluation.score(found, AUC)
            cells += [f"{auc:.3f}", "" if name == PLAIN else f"{gap:+.3f}"]
        rows.append(cells)
    return tables.markdown(
        "| tried at prediction, one view | ISIC 2017: melanoma AUC | difference "
        "| home, validation: melanoma AUC | difference |",
        rows,
    )


def warning_block() -> str:
    """Write what the warning notices, as Markdown."""
    rows = [[label, *row] for label, row in counted_warnings(warned()).iterrows()]
    header = "| set | with the warning, of all photographs | of right answers | of errors |"
    return tables.markdown(header, rows)


def recall_block() -> str:
    """Write which share of each diagnosis the rule names, at home and elsewhere, as Markdown."""
    found, rows = answers(), []
    for code in CODES:
        cells = [f"{code}, {NAMES[code].lower()}"]
        for one in found.values():
            part = one[one["dx"] == code]
            if part.empty:
                cells.append("")
                continue
            named = (part["predicted"] == code).sum()
            recall = evaluation.score(part, "accuracy")
            cells.append(f"{named:,} of {len(part):,}, {recall:.2f}")
        rows.append(cells)
    counted = missed()
    for label, name in (
        ("**melanomas missed**", "missed"),
        ("others that it names melanoma", "alarms"),
    ):
        shares = zip(counted[name], counted[f"{name}_share"], strict=True)
        rows.append([label, *(f"{count}, {share:.0%}" for count, share in shares)])
    return tables.markdown(f"| named by the rule | {' | '.join(found)} |", rows)


def card_block() -> str:
    """Write home and other clinics side by side, as Markdown."""
    test = evaluation.rows_of(other_clinics.home()[0], "test")
    columns = {}
    for name, report in reports().items():
        there, label = external.read_recorded(name), external.SETS[name]
        same = test[test["dx"].isin(there["dx"])]
        columns[label] = _column(there, report, "there")
        columns[f"home, beside {label}"] = _column(same, report, "home")
    labels = ["photographs (melanomas)", *FIGURES.values()]
    return tables.markdown(
        f"| | {' | '.join(columns)} |", zip(labels, *columns.values(), strict=True)
    )


def _column(frame: pd.DataFrame, report: pd.DataFrame, side: str) -> list[str]:
    """Write how many photographs, and melanomas, a side of a report is of, and its `FIGURES`."""
    scores = [evaluation.Interval.of(report.loc[name], side) for name in FIGURES]
    counted = f"{len(frame):,} ({(frame['dx'] == 'mel').sum():,})"
    return [counted, *(f"{one:.3f}" for one in scores)]
