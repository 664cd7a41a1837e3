"""Facts of the best network's heat maps, notebook 08."""

from __future__ import annotations

import functools

import pandas as pd

from lesions.explanation import measurements
from lesions.study.facts.common import Interval, best_row, recorded_entries

# Fact to the part, method and metric of models/explanations.csv.
QUOTED = {
    "point_cam": ("agreement", "grad_cam", "pointing_game"),
    "point_gaussian": ("agreement", "centred Gaussian", "pointing_game"),
    "point_random": ("agreement", "random weights", "pointing_game"),
    "overlap_cam": ("agreement", "grad_cam", "intersection_over_union"),
    "overlap_gaussian": ("agreement", "centred Gaussian", "intersection_over_union"),
    "gap": (measurements.PAIRED, measurements.AGAINST_GAUSSIAN, "intersection_over_union"),
    "road_cam": ("faithfulness", "grad_cam", "road_gap"),
    "road_gaussian": ("faithfulness", "centred Gaussian", "road_gap"),
    "road_random": ("faithfulness", "random weights", "road_gap"),
    "inpainted": ("lesion", "lesion inpainted", "flipped"),
    "only": ("lesion", "lesion only", "flipped"),
    "skin": ("lesion", "as much skin inpainted", "flipped"),
    "before": ("lesion", "lesion inpainted", "probability_before"),
    "after": ("lesion", "lesion inpainted", "probability_after"),
    "symmetries": ("stability", "symmetries", "rank_correlation"),
    "noise": ("stability", "noise", "rank_correlation"),
    "hairs_drawn": ("perturbations", "hairs drawn", "flipped"),
    "hairs_removed": ("perturbations", "hairs removed", "flipped"),
    "corners": ("perturbations", "dark corners", "flipped"),
    "ruler": ("perturbations", "ruler", "flipped"),
    "patch": ("perturbations", "colour patch", "flipped"),
}


@functools.cache
def notebook_08() -> dict:
    """Return the facts of notebook 08: what the best network's heat maps show."""
    table = pd.read_csv(measurements.TABLE)
    test = recorded_entries()[best_row()["run"]].answers("test")
    sanity = [
        measurements.look_up(table, "sanity", "grad_cam", "rank_correlation", step=step)
        for step in sorted(table.loc[table["part"] == "sanity", "step"].unique())
    ]
    verdicts = {
        verdict: ", ".join(f"`{code}`" for code in codes) or "no class"
        for verdict, codes in measurements.compared_classes(table).items()
    }
    return {
        **{name: Interval.of(measurements.look_up(table, *row)) for name, row in QUOTED.items()},
        **verdicts,
        "sanity_last": Interval.of(sanity[-1]),
        "sanity_lowest": min(row["value"] for row in sanity),
        "sanity_images": sanity[-1]["images"],
        "nv": (test["dx"] == "nv").sum(),
        "nv_as_mel": ((test["dx"] == "nv") & (test["predicted"] == "mel")).sum(),
    }
