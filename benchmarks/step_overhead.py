"""An epoch from the real loader against as many steps on one batch held in memory.

Run from the repository's root: python benchmarks/step_overhead.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import measuring
import numpy as np

ARCHITECTURES = ("densenet121", "cnn")
BAR = 1.05


def trainer_for(options, folder):
    """Make the study's own trainer, on as many training rows as the steps take.

    Returns:
        A compiled trainer, in the phase in which all layers learn.
    """
    from lesions import training
    from lesions.data import images
    from lesions.study import recipes

    needed = options.steps * options.batch_size
    rows = measuring.photographs(10**9)
    rows = rows[rows["split"] == "train"].head(needed)
    store = images.ImageStore(rows, options.size, folder)
    config = recipes.config(
        options.architecture,
        "cpu",
        image_size=options.size,
        batch_size=options.batch_size,
        weights="random",
        augmentation="standard",  # the loader's whole work, also where a recipe leaves it out
    )
    # A small dataset shows its photographs several times, each time augmented anew.
    repeated = rows.iloc[np.resize(np.arange(len(rows)), needed)].reset_index(drop=True)
    made = training.Trainer(config, repeated, store, Path(folder))
    made.start_phase("all", 1)
    return made


def repeated_batch(trainer):
    """Yield one batch of the loader over and over, from memory, by tf.data."""
    import tensorflow as tf

    options = tf.data.Options()
    # Its tuner sleeps 10, 20, 40 ... ms and holds up the end of an epoch until it next wakes.
    options.autotune.enabled = False
    batch = tf.data.Dataset.from_tensors(trainer.train_batches[0]).with_options(options)
    return batch.repeat(len(trainer.train_batches))


def seconds_of(trainer, found) -> tuple[float, float]:
    """Time one epoch as `training` runs it.

    Returns:
        Seconds by the clock, and seconds of processor time over all threads, which other
        programs on a busy machine disturb less.
    """
    started, worked = time.perf_counter(), time.process_time()
    trainer.model.fit(found, epochs=1, verbose=0, shuffle=False)
    return time.perf_counter() - started, time.process_time() - worked


def measure(options) -> dict:
    """Measure one architecture in this process: the two sources of batches take turns."""
    from lesions.system import hardware

    seconds = {"loader": [], "memory": []}
    with tempfile.TemporaryDirectory(dir=measuring.BUILD) as folder:
        with hardware.precision("auto") as precision:
            trainer = trainer_for(options, folder)
            sources = {"loader": trainer.train_batches, "memory": repeated_batch(trainer)}
            trainer.model.fit(sources["memory"].take(2), verbose=0)  # traces and warms up
            trainer.model.fit(sources["loader"], verbose=0, shuffle=False, steps_per_epoch=2)
            for repeat in range(options.repeats):
                trainer.train_batches.epoch = repeat
                # Whichever goes first meets another machine, so they swap places every time.
                for name in sorted(sources, reverse=bool(repeat % 2)):
                    seconds[name].append(seconds_of(trainer, sources[name]))
        worked = time.process_time()
        for number in range(len(trainer.train_batches)):
            trainer.train_batches[number]
        making = time.process_time() - worked
    images = options.steps * options.batch_size
    return {
        **seconds,
        "precision": precision,
        "step_milliseconds": 1e3 * float(np.median(seconds["memory"], axis=0)[1]) / images,
        "loader_milliseconds": 1e3 * making / images,
    }


def report(architecture: str, steps: int, found: dict) -> None:
    """Print the times of one architecture and their ratio."""
    loader, memory = (np.median(found[name], axis=0) for name in ("loader", "memory"))
    print(f"{architecture}, {steps} steps, {found['precision']}:")
    for name, median in (("loader", loader), ("memory", memory)):
        each = ", ".join(f"{clock:.2f}" for clock, _ in found[name])
        print(f"      {name}: {median[0]:.2f} s (median of {each}), {median[1]:.2f} s of CPU")
    print(
        f"      an image costs {found['loader_milliseconds']:.2f} ms of CPU in the loader alone "
        f"and {found['step_milliseconds']:.2f} ms in the step"
    )
    name = f"loader / memory, {architecture}"
    print(measuring.verdict(name, loader[0] / memory[0], BAR, at_least=False))
    print(f"      in processor time: {loader[1] / memory[1]:.3f}", flush=True)


def main() -> None:
    """Measure every architecture in its own process and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--steps", type=int, default=60, help="an epoch")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    parser.add_argument("--part", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    measuring.BUILD.mkdir(parents=True, exist_ok=True)
    if options.part:
        options.architecture = options.architecture[0]
        print(json.dumps(measure(options)))
        return
    for architecture in options.architecture:
        found = measuring.in_child(
            __file__,
            part=1,
            architecture=architecture,
            steps=options.steps,
            size=options.size,
            batch_size=options.batch_size,
            repeats=options.repeats,
        )
        report(architecture, options.steps, found)


if __name__ == "__main__":
    main()
