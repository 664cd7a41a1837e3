"""The table of the explanations' benchmark: what a row is, how it is written, read and quoted."""

from pathlib import Path

import numpy as np
import pandas as pd

from lesions import classes, evaluation
from lesions.system.folders import MODELS

TABLE = MODELS / "explanations.csv"
COLUMNS = "run part method class group metric step value low high images seconds_per_image".split()
# The parts with differences photograph by photograph.
PAIRED, PAIRED_ROAD = "agreement, paired", "faithfulness, paired"
AGAINST_GAUSSIAN = "grad_cam minus centred Gaussian"
# Grad-CAM's activation outside the lesion over inside (Tschandl et al. 2020, Nature Medicine,
# extended data figure 1): the mean of single photographs' quotients, by predicted class, over all
# of HAM10000, while the table has the quotient of the means, by diagnosis, over the test split.
PUBLISHED = {"akiec": 0.48, "not akiec": 0.32}
# How sentences name the shares of `sanity.SHARES`.
SHUFFLED = {
    0.0: "the last layer shuffled",
    0.1: "a tenth of the layers",
    0.25: "a quarter",
    0.5: "half",
    1.0: "all",
}


def sample(rows: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """Take at most `number` photographs of different lesions, the classes in turn, or all rows."""
    if number is None:
        return rows
    firsts = rows.sort_values("image_id").drop_duplicates("lesion_id")
    shuffled = firsts.sample(frac=1, random_state=0)
    turns = shuffled.assign(turn=shuffled.groupby("dx").cumcount()).sort_values(["turn", "dx"])
    return turns.head(number).drop(columns="turn")


class Recorder:
    """Gather scores of single photographs of a run, and turn them into rows of the table."""

    def __init__(self, run: str):
        """Start an empty table."""
        self.run = run
        self.rows: list[tuple] = []

    def add(
        self,
        part: str,
        method: str,
        scores: pd.DataFrame,
        about: pd.DataFrame,
        ratios=None,
        step: float = np.nan,
        seconds: float = np.nan,
        by_class: bool = False,
    ) -> None:
        """Add means with intervals.

        Args:
            part: Key of `benchmark.PARTS`, or `PAIRED` or `PAIRED_ROAD`.
            method: What the scores are of.
            scores: One row an image, one column a metric.
            about: lesion_id, dx and right (bool) of the same rows.
            ratios: See `evaluation.mean_intervals`.
            step: Place on a curve, where the scores belong to one.
            seconds: Seconds an image that the map costs.
            by_class: Whether classes, and right and wrong answers, are listed apart.
        """
        lesions, dx, right = (about[name].to_numpy() for name in ("lesion_id", "dx", "right"))
        slices = [("all", "all", np.ones(len(about), bool))]
        if by_class:
            slices += [("all", "right", right), ("all", "wrong", ~right)]
            slices += [(code, "all", dx == code) for code in classes.CODES]
            slices += [("not akiec", "all", dx != "akiec")]
        for code, group, chosen in slices:
            if not chosen.any():
                continue
            found = evaluation.mean_intervals(scores[chosen], pd.Series(lesions[chosen]), ratios)
            for metric, row in found.iterrows():
                key = (self.run, part, method, code, group, metric, step)
                numbers = (row["value"], row["low"], row["high"], int(row["images"]), seconds)
                self.rows.append(key + numbers)

    def table(self) -> pd.DataFrame:
        """Return the table with the columns `COLUMNS`."""
        return pd.DataFrame(self.rows, columns=COLUMNS)


def recorded(run: str | None, path=TABLE) -> pd.DataFrame | None:
    """Read the recorded table where it is of this run (`details["run"]` of a model), else None."""
    if not Path(path).is_file():
        return None
    table = pd.read_csv(path)
    return table if (table["run"] == run).all() else None


def look_up(
    table: pd.DataFrame, part: str, method: str, metric: str, code="all", step: float | None = None
) -> pd.Series:
    """Find one row of the table for all groups, of NaN where there is none.

    Arguments are as the columns, `code` as "class"; without a step, the row belongs to no curve.
    """
    wanted = {"part": part, "method": method, "class": code, "group": "all", "metric": metric}
    rows = table[table["step"].isna() if step is None else table["step"] == step]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows.iloc[0] if len(rows) else pd.Series(dtype=float).reindex(COLUMNS)


def quote(table: pd.DataFrame, part: str, method: str, metric: str, sign="", **which) -> str:
    """Write one number with its interval, "0.48 (0.45 to 0.51)"; arguments as `look_up`."""
    row = look_up(table, part, method, metric, **which)
    if not np.isfinite(row["value"]):
        return "undefined"
    return f"{evaluation.Interval.of(row):{sign}.2f}"


def maps_left(table: pd.DataFrame) -> str:
    """Describe how many photographs keep a map that is not empty while layers are shuffled.

    Returns:
        "10 keep a map with the last layer shuffled, 5 with a tenth of the layers, none with a
        quarter or more".
    """
    rows = table[(table["part"] == "sanity") & (table["metric"] == "empty_map")]
    rows = rows.sort_values("step")
    left = ((1 - rows["value"]) * rows["images"]).round().astype(int).tolist()
    names = [SHUFFLED[step] for step in rows["step"]]
    end = max((place + 1 for place, count in enumerate(left) if count), default=0)
    said = [f"{left[place] or 'none'} with {names[place]}" for place in range(end)]
    if end < len(names):
        said.append(f"none with {names[end]}{' or more' * (end + 1 < len(names))}")
    return ", ".join(said).replace(" ", " keep a map ", 1)


def dependence(table: pd.DataFrame) -> str:
    """Describe what is left of the maps while layers are shuffled, and how like the real ones."""
    images = look_up(table, "sanity", "grad_cam", "empty_map", step=1.0)["images"]
    likeness = look_up(table, "sanity", "grad_cam", "rank_correlation", step=1.0)
    left = f"Of {images} photographs, {maps_left(table)}"
    if not likeness["images"]:
        return f"{left}, so it could not be decided."
    return (
        f"{left}; with all layers shuffled, the rank correlation of the {likeness['images']} maps "
        f"with those of the network as it is has a mean of {evaluation.Interval.of(likeness):.2f}."
    )


def compared_classes(table: pd.DataFrame) -> dict[str, list[str]]:
    """Sort the classes by whether Grad-CAM overlaps with the lesion more than a Gaussian does.

    Returns:
        "better", "worse" and "unclear", where the 95% interval of the paired difference includes
        zero, to codes of classes.
    """
    found = {"better": [], "worse": [], "unclear": []}
    for code in classes.CODES:
        row = look_up(table, PAIRED, AGAINST_GAUSSIAN, "intersection_over_union", code)
        verdict = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "unclear"
        found[verdict].append(code)
    return found
