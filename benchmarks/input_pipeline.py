"""Stored batches against Keras' ImageDataGenerator and tf.data, which decode every epoch.

Run from the repository's root: python benchmarks/input_pipeline.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import measuring
import numpy as np

PARTS = (
    "store",
    "generator",
    "tf_data",
    "store_augmented",
    "generator_augmented",
)
# The kinds of change that augmentation.augment makes, at its ranges.
SAME_KINDS = {
    "rotation_range": 180,
    "zoom_range": 0.2,
    "width_shift_range": 0.08,
    "height_shift_range": 0.08,
    "horizontal_flip": True,
    "vertical_flip": True,
    "brightness_range": (0.8, 1.2),
    "channel_shift_range": 20.0,
    "fill_mode": "reflect",
}
BARS = (
    ("store", "generator", 20),
    ("store", "tf_data", 15),
    ("store_augmented", "generator_augmented", 10),
)


def store_batches(rows, options, augmentation: str):
    """Open the store, which is built already, and describe its batches."""
    from lesions.data import images
    from lesions.training import batches

    store = images.ImageStore(rows, options.size, options.folder)
    return batches.LesionBatches(
        store,
        np.arange(len(rows)),
        rows["label"].to_numpy(),
        options.batch_size,
        augmentation,
        shuffle=augmentation != "none",
    )


def generator_batches(rows, options, changes: dict):
    """Describe the peer's batches: Keras' legacy generator over the same files."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(**changes).flow_from_dataframe(
        rows,
        x_col="image_path",
        y_col="dx",
        target_size=(options.size, options.size),
        batch_size=options.batch_size,
        shuffle=bool(changes),
        validate_filenames=False,
    )


def tf_data_batches(rows, options):
    """Describe the peer's batches: tf.data with every step in parallel."""
    import tensorflow as tf

    def decode(path, label):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, (options.size, options.size)), tf.one_hot(label, 7)

    dataset = tf.data.Dataset.from_tensor_slices((rows["image_path"], rows["label"]))
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(options.batch_size).prefetch(tf.data.AUTOTUNE)


def make(part: str, rows, options):
    """Make the batches of one part."""
    if part == "tf_data":
        return tf_data_batches(rows, options)
    if part.startswith("generator"):
        return generator_batches(rows, options, SAME_KINDS if "augmented" in part else {})
    return store_batches(rows, options, "standard" if "augmented" in part else "none")


def read_all(found) -> None:
    """Ask for every batch of an epoch in turn, as a plain loop does."""
    if hasattr(found, "__getitem__"):
        for number in range(len(found)):
            found[number]
    else:
        for _ in found:
            pass


def idle_model(size: int):
    """Make a model that learns nothing, so that `fit` spends its time on input alone."""
    import keras

    class Idle(keras.Model):
        def train_step(self, data):
            return {"loss": keras.ops.zeros(())}

    image = keras.Input((size, size, 3))
    model = Idle(image, keras.layers.GlobalAveragePooling2D()(image))
    model.compile()
    return model


def best_seconds(action, repeats: int) -> tuple[float, float]:
    """Time an action, best of several after one to warm up.

    Returns:
        Seconds by the clock, and seconds of processor time over all threads, which other
        programs on a busy machine disturb less.
    """
    action()
    seconds, work = [], []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        action()
        seconds.append(time.perf_counter() - started)
        work.append(time.process_time() - worked)
    return min(seconds), min(work)


def measure(options) -> dict:
    """Measure one part in this process."""
    import keras  # noqa: F401  so that the memory of the libraries is not counted

    rows = measuring.photographs(options.images)
    if options.part == "build":
        from lesions.data import images

        started = time.perf_counter()
        images.ImageStore(rows, options.size, options.folder)
        return {"seconds": time.perf_counter() - started, "images": len(rows)}
    model = idle_model(options.size)
    with measuring.PeakMemory() as peak:
        found = make(options.part, rows, options)
        direct, work = best_seconds(lambda: read_all(found), options.repeats)
    in_fit, _ = best_seconds(lambda: model.fit(found, verbose=0, shuffle=False), options.repeats)
    return {
        "direct": direct,
        "work": work,
        "fit": in_fit,
        "resident": peak.resident,
        "anonymous": peak.anonymous,
    }


def report(build: dict, found: dict[str, dict]) -> None:
    """Print the table, the ratios and what the store costs."""
    number = build["images"]
    print(f"{number} photographs, seconds an epoch (best), megabytes above the libraries:")
    print(
        f"{'':20s} {'direct':>8s} {'CPU':>8s} {'in fit':>8s} {'images/s':>9s} "
        f"{'RSS':>6s} {'RssAnon':>8s}"
    )
    for part, one in found.items():
        print(
            f"{part:20s} {one['direct']:8.3f} {one['work']:8.3f} {one['fit']:8.3f} "
            f"{number / one['direct']:9.0f} {one['resident']:6.0f} {one['anonymous']:8.0f}"
        )
    for ours, peer, bar in BARS:
        ratio = found[peer]["direct"] / found[ours]["direct"]
        print(measuring.verdict(f"{peer} / {ours}", ratio, bar, at_least=True))
        work = found[peer]["work"] / found[ours]["work"]
        fit = found[peer]["fit"] / found[ours]["fit"]
        print(f"      in processor time: {work:.3g}, through fit: {fit:.3g}")
    print(f"The store is built once, in {build['seconds']:.1f} s, which is repaid:")
    for ours, peer, _ in BARS:
        gain = found[peer]["direct"] - found[ours]["direct"]
        if gain > 0:
            print(f"      after {build['seconds'] / gain:.1f} epochs against {peer}")


def main() -> None:
    """Measure every part in its own process and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3, help="the best one counts")
    parser.add_argument("--part", choices=("build", *PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options)))
        return
    measuring.photographs(options.images)  # draws the demo set now, not while it is timed
    measuring.BUILD.mkdir(parents=True, exist_ok=True)
    shared = {name: value for name, value in vars(options).items() if name != "part"}
    with tempfile.TemporaryDirectory(dir=measuring.BUILD) as folder:
        shared["folder"] = folder
        build = measuring.in_child(__file__, part="build", **shared)
        found = {part: measuring.in_child(__file__, part=part, **shared) for part in PARTS}
    report(build, found)


if __name__ == "__main__":
    main()
