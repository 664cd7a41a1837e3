"""Training steps with freed memory kept in the process, against glibc's own settings.

Run from the repository's root: python benchmarks/allocator.py
"""

from __future__ import annotations

import argparse
import json
import resource

import measuring
import numpy as np

BAR = 1.0


def measure(options) -> dict:
    """Train a few steps in this process.

    Returns:
        Of the steps alone: user and system seconds, and page faults; peak memory in MB.
    """
    import keras

    from lesions.networks import models
    from lesions.system import allocator

    if options.keep and not allocator.keep_memory():
        raise SystemExit("The C library is not glibc, so there is nothing to compare.")
    size, number = options.size, options.batch_size
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (number, size, size, 3)).astype(np.float32)
    labels = np.eye(7, dtype=np.float32)[np.arange(number) % 7]
    model = models.build(options.architecture, size, "random")
    model.compile(keras.optimizers.AdamW(1e-4), "categorical_crossentropy", jit_compile=False)
    model.train_on_batch(images, labels)  # traces, and fills whatever is kept
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(options.steps):
        model.train_on_batch(images, labels)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "user": after.ru_utime - before.ru_utime,
        "system": after.ru_stime - before.ru_stime,
        "faults": after.ru_minflt - before.ru_minflt,
        "megabytes": after.ru_maxrss * 1024 / 1e6,
    }


def main() -> None:
    """Measure both settings, each in its own process, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", default="cnn")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--keep", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.keep >= 0:
        print(json.dumps(measure(options)))
        return
    found = {
        keep: measuring.in_child(__file__, **vars(options) | {"keep": keep}) for keep in (0, 1)
    }
    for keep, name in enumerate(("glibc's own settings", "freed memory kept")):
        row = found[keep]
        print(
            f"{name}: {row['user']:.1f} s user, {row['system']:.1f} s system, "
            f"{row['faults']:,} page faults, peak {row['megabytes']:.0f} MB"
        )
    seconds = [found[keep]["user"] + found[keep]["system"] for keep in (0, 1)]
    print(measuring.verdict("processor time, kept / own", seconds[1] / seconds[0], BAR, False))
    peaks = [found[keep]["megabytes"] for keep in (0, 1)]
    print(measuring.verdict("peak memory, kept / own", peaks[1] / peaks[0], 1.05, False))


if __name__ == "__main__":
    main()
