"""What the recorded predictions say of home and of other clinics, as tables for the pages."""

from __future__ import annotations

import pandas as pd

from lesions import evaluation
from lesions.evaluation import external
from lesions.inference import familiarity
from lesions.study import other_clinics
from lesions.system.folders import REPOSITORY

HOME = "HAM10000, test"
FIGURES = {
    "melanoma_auc": "melanoma AUC",
    "sensitivity_at_home_threshold": "melanoma sensitivity at the threshold of home",
    "specificity_at_home_threshold": "its specificity",
    "balanced_accuracy": "balanced accuracy among these diagnoses",
    "expected_calibration_error": "expected calibration error",
    "log_loss": "log loss",
}


def warned() -> pd.DataFrame:
    """Count who gets the warning for unfamiliar or blurred photographs.

    Returns:
        Indexed by set, home first: photographs and errors (how many), and the shares with the
        warning of all, of right answers and of errors (0 to 1). An answer is that of the
        decision rule, as `predict` gives it.
    """
    home, details = other_clinics.home()
    test = evaluation.rows_of(home, "test").merge(other_clinics.read_home(), on="image_id")
    frames = {HOME: test}
    frames |= {label: external.read_recorded(name) for name, label in external.SETS.items()}
    fitted = familiarity.load(REPOSITORY / "models" / familiarity.FILE)
    rows = {}
    for label, frame in frames.items():
        answers = evaluation.answer(frame, details)
        wrong = answers["predicted"] != answers["dx"]
        alarm = (frame["distance"] > fitted.far) | (frame["sharpness"] < fitted.blurred)
        rows[label] = {
            "photographs": len(frame),
            "errors": int(wrong.sum()),
            "of all": alarm.mean(),
            "of right answers": alarm[~wrong].mean(),
            "of errors": alarm[wrong].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("set")


def warning_block() -> str:
    """Write what the warning notices, as Markdown."""
    lines = [
        "| set | photographs | errors | with the warning, of all | of right answers | of errors |",
        "|" + " --- |" * 6,
    ]
    for label, row in warned().iterrows():
        shares = [f"{row[name]:.1%}" for name in ("of all", "of right answers", "of errors")]
        lines.append(
            f"| {label} | {row['photographs']:,.0f} | {row['errors']:,.0f} | {' | '.join(shares)} |"
        )
    return "\n".join(lines)


def card_block(resamples: int = 1000) -> str:
    """Write home and other clinics side by side, as Markdown.

    Args:
        resamples: How many resamples of lesions to draw for the intervals.
    """
    home, details = other_clinics.home()
    test = evaluation.rows_of(home, "test")
    columns = {}
    for name, label in external.SETS.items():
        there = external.read_recorded(name)
        report = evaluation.external_report(there, home, details, resamples)
        same = test[test["dx"].isin(there["dx"])]
        columns[label] = [_counted(there), *_cells(report, "there")]
        columns[f"home, beside {label}"] = [_counted(same), *_cells(report, "home")]
    lines = [f"| | {' | '.join(columns)} |", "|" + " --- |" * (len(columns) + 1)]
    for row, label in enumerate(["photographs (melanomas)", *FIGURES.values()]):
        lines.append(f"| {label} | {' | '.join(cells[row] for cells in columns.values())} |")
    return "\n".join(lines)


def _counted(frame: pd.DataFrame) -> str:
    return f"{len(frame):,} ({(frame['dx'] == 'mel').sum():,})"


def _cells(report: pd.DataFrame, side: str) -> list[str]:
    rows = report.loc[list(FIGURES)]
    ends = zip(rows[side], rows[f"{side}_low"], rows[f"{side}_high"], strict=True)
    return [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in ends]
