"""The table of the explanations' benchmark: what a row is, how it is written, read and quoted."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from lesions import classes, data, evaluation
from lesions.data import images
from lesions.explanation import explain
from lesions.inference import Classifier

TABLE = data.REPOSITORY / "models" / "explanations.csv"
COLUMNS = "run part method class group metric step value low high images seconds_per_image".split()
# Mean Grad-CAM activation outside the lesion over inside (Tschandl et al. 2020, Nature Medicine).
PUBLISHED = {"akiec": 0.48, "not akiec": 0.32}


def sample(rows: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """Takes photographs of different lesions, the classes in turn, always the same ones.

    Args:
        rows: Table with image_id, lesion_id and dx.
        number: How many; None for all rows, several photographs of a lesion among them.

    Returns:
        At most `number` rows. A rare class ends before the others.
    """
    if number is None:
        return rows
    firsts = rows.sort_values("image_id").drop_duplicates("lesion_id")
    shuffled = firsts.sample(frac=1, random_state=0)
    turns = shuffled.assign(turn=shuffled.groupby("dx").cumcount()).sort_values(["turn", "dx"])
    return turns.head(number).drop(columns="turn")


class Recorder:
    """Gathers scores of single photographs and turns them into rows of the table."""

    def __init__(self, run: str):
        """Starts an empty table for a run."""
        self.run = run
        self.rows: list[dict] = []

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
        """Adds means with intervals.

        Args:
            part: Key of `explanation_benchmark.IMAGES`.
            method: What the scores are of.
            scores: One row an image, one column a metric.
            about: lesion_id, dx and right (bool) of the same rows.
            ratios: See `evaluation.mean_intervals`.
            step: Place on a curve, where the scores belong to one.
            seconds: Seconds an image that the map costs.
            by_class: Whether classes, and right and wrong answers, are listed apart.
        """
        dx, right = about["dx"].to_numpy(), about["right"].to_numpy(bool)
        slices = [("all", "all", np.ones(len(about), bool))]
        if by_class:
            slices += [("all", "right", right), ("all", "wrong", ~right)]
            slices += [(code, "all", dx == code) for code in classes.CODES]
            slices += [("not akiec", "all", dx != "akiec")]
        for code, group, chosen in slices:
            if not chosen.any():
                continue
            found = evaluation.mean_intervals(
                scores.reset_index(drop=True)[chosen],
                about["lesion_id"].reset_index(drop=True)[chosen],
                ratios,
            )
            for metric, row in found.iterrows():
                key = (self.run, part, method, code, group, metric, step)
                numbers = (row["value"], row["low"], row["high"], int(row["images"]), seconds)
                self.rows.append(dict(zip(COLUMNS, key + numbers, strict=True)))

    def table(self) -> pd.DataFrame:
        """Gives the table with the columns `COLUMNS`."""
        return pd.DataFrame(self.rows, columns=COLUMNS)


def write_table(table: pd.DataFrame, path) -> Path:
    """Writes the table as CSV, six digits a number, beside its place and renamed when whole.

    Returns:
        The path.

    Raises:
        ValueError: If the file cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table[list(COLUMNS)].to_csv(beside, index=False, float_format="%.6f", lineterminator="\n")
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # its folder may be a file
            beside.unlink()
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); name another --output."
        ) from error
    return path


def recorded(run: str | None, path=TABLE) -> pd.DataFrame | None:
    """Reads the recorded table, where there is one of this run.

    Args:
        run: The run that the model at hand came from, `details["run"]`.
        path: The table.

    Returns:
        The table, or None.
    """
    if not Path(path).is_file():
        return None
    table = pd.read_csv(path)
    return table if set(COLUMNS) <= set(table) and (table["run"] == run).all() else None


def look_up(
    table: pd.DataFrame,
    part: str,
    method: str,
    metric: str,
    code: str = "all",
    group: str = "all",
    step: float | None = None,
) -> pd.Series:
    """Finds one row of the table.

    Args:
        table: From `explanation_benchmark.measure` or `recorded`.
        part: As the column of that name; so are method, metric and group.
        method: See part.
        metric: See part.
        code: The class: "all", a code, or "not akiec".
        group: See part.
        step: The place on a curve, or None for a row that belongs to none.

    Returns:
        The row; its `value`, `low`, `high` and `images` are NaN where there is no such row, for
        example of a class that no photograph shows.
    """
    wanted = {"part": part, "method": method, "class": code, "group": group, "metric": metric}
    rows = table[table["step"].isna() if step is None else table["step"] == step]
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows.iloc[0] if len(rows) else pd.Series(dtype=float).reindex(COLUMNS)


def quote(table: pd.DataFrame, part: str, method: str, metric: str, **which) -> str:
    """Writes one number with its interval, "0.48 (0.45 to 0.51)"; arguments as `look_up`."""
    row = look_up(table, part, method, metric, **which)
    if not np.isfinite(row["value"]):
        return "undefined"
    return f"{row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def better_classes(table: pd.DataFrame) -> list[str]:
    """Lists the classes in which Grad-CAM overlaps with the lesion clearly more than a Gaussian.

    Args:
        table: From `explanation_benchmark.measure` or `recorded`.

    Returns:
        Codes of classes whose 95% intervals of intersection over union lie apart.
    """
    score = "intersection_over_union"
    return [
        code
        for code in classes.CODES
        if look_up(table, "agreement", "grad_cam", score, code)["low"]
        > look_up(table, "agreement", "centred Gaussian", score, code)["high"]
    ]


def side_by_side(
    classifiers: dict[str, Classifier], rows: pd.DataFrame
) -> tuple[list[np.ndarray], list[str]]:
    """Shows the same lesions to several networks.

    Args:
        classifiers: Name to network; their input sizes may differ.
        rows: Rows of the table, one a lesion.

    Returns:
        Pictures and titles for `figures.photo_grid` with `columns=1 + len(classifiers)`: a line
        a lesion, the photograph first, then each network's overlay for the class that it names.
    """
    pictures, titles = [[] for _ in range(len(rows))], [[] for _ in range(len(rows))]
    for place, (path, code) in enumerate(zip(rows["image_path"], rows["dx"], strict=True)):
        size = max(classifier.image_size for classifier in classifiers.values())
        pictures[place].append(images.prepare(path, size))
        titles[place].append(f"true: {code}")
    for name, classifier in classifiers.items():
        photographs = np.stack([classifier.prepare(path) for path in rows["image_path"]])
        patient = classifier.patient_input(len(rows), data.patient_features(rows))
        probabilities = classifier.probabilities(photographs, patient)
        codes = classifier.decide(probabilities)
        maps = explain.heat_maps(classifier.model, photographs, codes, patient=patient)
        for place, code in enumerate(codes):
            share = probabilities[place, classes.CODES.index(code)]
            heading = name.replace("_", "\n") + "\n" if place == 0 else ""
            pictures[place].append(explain.overlay(photographs[place], maps[place]))
            titles[place].append(f"{heading}{code}, {share:.0%}")
    return sum(pictures, []), sum(titles, [])
