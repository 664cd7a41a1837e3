"""Facts of the best network's heat maps, notebook 08."""

from __future__ import annotations

import functools

import pandas as pd

from lesions import classes
from lesions.explanation import measurements
from lesions.study.facts.common import Interval, best_row, listed, recorded_entries

FEW = 20  # photographs of a class whose shares are mostly chance
# Fact to the part, method, metric and, where it is one class, class of models/explanations.csv.
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
    "road_difference": (measurements.PAIRED_ROAD, measurements.AGAINST_GAUSSIAN, "road_gap"),
    "inpainted": ("lesion", "lesion inpainted", "flipped"),
    "only": ("lesion", "lesion only", "flipped"),
    "skin": ("lesion", "as much skin inpainted", "flipped"),
    "filled": ("lesion", "lesion filled with skin", "flipped"),
    "inpainted_equal": ("lesion", "lesion inpainted", "flipped_equal_area"),
    "skin_equal": ("lesion", "as much skin inpainted", "flipped_equal_area"),
    "before": ("lesion", "lesion inpainted", "probability_before"),
    "after": ("lesion", "lesion inpainted", "probability_after"),
    "symmetries": ("stability", "symmetries", "rank_correlation"),
    "noise": ("stability", "noise", "rank_correlation"),
    "hairs_drawn": ("perturbations", "hairs drawn", "flipped"),
    "hairs_removed": ("perturbations", "hairs removed", "flipped"),
    "corners": ("perturbations", "dark corners", "flipped"),
    "ruler": ("perturbations", "ruler", "flipped"),
    "patch": ("perturbations", "colour patch", "flipped"),
    "ink": ("perturbations", "ink", "flipped"),
    "frame": ("perturbations", "round frame", "flipped"),
    "frame_akiec": ("perturbations", "round frame", "flipped", "akiec"),
    "frame_bcc": ("perturbations", "round frame", "flipped", "bcc"),
    "frame_on_lesion": ("perturbations", "round frame", "lesion_changed"),
    "frame_on_akiec": ("perturbations", "round frame", "lesion_changed", "akiec"),
    "frame_on_bcc": ("perturbations", "round frame", "lesion_changed", "bcc"),
    "drawn_on_lesion": ("perturbations", "hairs drawn", "lesion_changed"),
    "removed_on_lesion": ("perturbations", "hairs removed", "lesion_changed"),
}


@functools.cache
def notebook_08() -> dict:
    """Return the facts of notebook 08: what the best network's heat maps show."""
    table = pd.read_csv(measurements.TABLE)
    test = recorded_entries()[best_row()["run"]].answers("test")
    verdicts = {
        verdict: listed(codes) if codes else "no class"
        for verdict, codes in measurements.compared_classes(table).items()
    }
    return {
        **{name: Interval.of(measurements.look_up(table, *row)) for name, row in QUOTED.items()},
        **verdicts,
        "maps_left": measurements.maps_left(table),
        "dependence": measurements.dependence(table),
        **_counts(table),
        "nv": (test["dx"] == "nv").sum(),
        "nv_as_mel": ((test["dx"] == "nv") & (test["predicted"] == "mel")).sum(),
    }


def _counts(table: pd.DataFrame) -> dict:
    """Return on how many photographs the parts rest, and which classes have few of them."""
    empty = measurements.look_up(table, "agreement", "randomised top", "empty_map")
    changed = table[(table["part"] == "lesion") & (table["metric"] == "flipped")]
    changed = changed[(changed["method"] == "lesion inpainted") & (changed["group"] == "all")]
    images = changed.set_index("class")["images"].reindex(classes.CODES).dropna()
    few = images[images < FEW]
    ruler = measurements.look_up(table, *QUOTED["ruler"])
    sanity = table[(table["part"] == "sanity") & (table["metric"] == "empty_map")]
    room = measurements.look_up(table, *QUOTED["skin_equal"])["images"]
    off = [
        measurements.look_up(table, *QUOTED[name][:2], "lesion_changed")
        for name in ("corners", "ruler", "patch", "ink")
    ]
    lesion_images = changed.set_index("class").loc["all", "images"]
    return {
        "empty_top": Interval.of(empty),
        "road_images": measurements.look_up(table, *QUOTED["road_cam"])["images"],
        "sanity_images": sanity["images"].max(),
        "lesion_images": lesion_images,
        "with_room": room,
        "without_room": lesion_images - room,
        "most_on_lesion": Interval.of(max(off, key=lambda row: row["value"])),
        "changed_images": ruler["images"],
        "few_classes": listed(few.index) if len(few) else "no class",
        "few_step": 100 / images.min(),
    }
