"""Time and memory of the store and of one loader epoch, as the photographs become more.

Run from the repository's root: python benchmarks/scaling.py
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import measuring
import numpy as np
import pandas as pd

NUMBERS = (1_000, 10_000, 50_000)
TIME_BAR = 1.5
MEMORY_BAR = 2.0


def linked_photographs(number: int, folder: Path) -> pd.DataFrame:
    """Link the photographs under new names until there are enough, without copying them.

    Args:
        number: How many rows are wanted.
        folder: Where the links go.

    Returns:
        Rows with image_id, image_path and label.
    """
    rows = measuring.photographs(number)
    folder.mkdir()
    made = []
    for place in range(number):
        source = rows.iloc[place % len(rows)]
        path = folder / f"LINK_{place:07d}{Path(source['image_path']).suffix}"
        try:
            os.link(source["image_path"], path)
        except OSError:  # another disk, or one without hard links
            path.symlink_to(source["image_path"])
        made.append((path.stem, str(path), source["label"]))
    return pd.DataFrame(made, columns=["image_id", "image_path", "label"])


def measure(options) -> dict:
    """Build a store of one size and read one augmented epoch from it, in this process."""
    from lesions.data import images
    from lesions.training import batches

    number = options.images[0]
    with tempfile.TemporaryDirectory(dir=measuring.BUILD) as folder:
        rows = linked_photographs(number, Path(folder) / "photographs")
        with measuring.PeakMemory() as building:
            started = time.perf_counter()
            store = images.ImageStore(rows, options.size, folder)
            build_seconds = time.perf_counter() - started
        with measuring.PeakMemory() as reading:
            found = batches.LesionBatches(
                store, np.arange(number), rows["label"], 32, "standard", shuffle=True
            )
            started = time.perf_counter()
            for place in range(len(found)):
                found[place]
            epoch_seconds = time.perf_counter() - started
    return {
        "build_seconds": build_seconds,
        "build_resident": building.resident,
        "build_anonymous": building.anonymous,
        "epoch_seconds": epoch_seconds,
        "epoch_resident": reading.resident,
        "epoch_anonymous": reading.anonymous,
    }


def report(found: dict[int, dict]) -> None:
    """Print the table, and the ratios between the most and the fewest photographs."""
    for step in ("build", "epoch"):
        print(f"{step}: seconds, microseconds an image, peak megabytes above the start")
        print(f"{'images':>8s} {'s':>8s} {'us/image':>9s} {'RSS':>7s} {'RssAnon':>8s}")
        for number, one in found.items():
            seconds = one[f"{step}_seconds"]
            print(
                f"{number:8d} {seconds:8.2f} {1e6 * seconds / number:9.0f} "
                f"{one[f'{step}_resident']:7.0f} {one[f'{step}_anonymous']:8.0f}"
            )
    few, many = min(found), max(found)
    for step in ("build", "epoch"):
        each = {number: found[number][f"{step}_seconds"] / number for number in (few, many)}
        name = f"{step}, seconds an image, {many} / {few}"
        print(measuring.verdict(name, each[many] / each[few], TIME_BAR, at_least=False))
    for step in ("build", "epoch"):
        # A floor of 20 MB: below that, the allocator's habits are larger than the store's needs.
        used = {number: max(20.0, found[number][f"{step}_anonymous"]) for number in (few, many)}
        name = f"{step}, RssAnon in all, {many} / {few}"
        print(measuring.verdict(name, used[many] / used[few], MEMORY_BAR, at_least=False))


def main() -> None:
    """Measure every number of photographs in its own process and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=list(NUMBERS))
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=3, help="of all but the largest")
    parser.add_argument("--part", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    measuring.BUILD.mkdir(parents=True, exist_ok=True)
    if options.part:
        print(json.dumps(measure(options)))
        return
    found = {}
    for number in sorted(options.images):
        repeats = 1 if number == max(options.images) else options.repeats
        tries = [
            measuring.in_child(__file__, part=1, images=number, size=options.size)
            for _ in range(repeats)
        ]
        found[number] = {name: min(one[name] for one in tries) for name in tries[0]}
    report(found)


if __name__ == "__main__":
    main()
