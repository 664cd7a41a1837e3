"""Grad-CAM for a batch, against the forward and backward pass of one training step.

Run from the repository's root: python benchmarks/explanations.py
"""

from __future__ import annotations

import argparse
import json
import time

import measuring
import numpy as np

BAR = 1.6


def prepared(options):
    """Build the network, with random weights, and noise for photographs."""
    from lesions.networks import models

    model = models.build(options.architecture, options.size, "random")
    shape = (options.batch_size, options.size, options.size, 3)
    return model, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def grad_cam(options):
    """Make Grad-CAM of the batch, by an explainer that is kept."""
    from lesions import explanation

    model, images = prepared(options)
    explainer = explanation.Explainer(model)
    return lambda: explainer(images, 0)


def training_step(options):
    """Make the loss and its gradients for all weights, compiled, without the optimizer."""
    import keras
    import tensorflow as tf

    model, images = prepared(options)
    inputs = tf.constant(images, tf.float32)
    labels = tf.zeros(len(images), tf.int32)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            found = model(inputs, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, found))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        # One number depends on every gradient, so that none is left out of the graph.
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    return lambda: step().numpy()


def tf_keras_vis(options):
    """Make Grad-CAM of the batch by tf-keras-vis."""
    import keras
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    from lesions.networks import models

    model, images = prepared(options)
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    explainer = Gradcam(logits, clone=False)
    layer = models.last_convolutions(model)[-1]
    score, inputs = CategoricalScore([0] * len(images)), images.astype(np.float32)
    return lambda: explainer(score, inputs, penultimate_layer=layer)


PARTS = {"Grad-CAM": grad_cam, "training step": training_step, "tf-keras-vis": tf_keras_vis}


def measure(options) -> dict:
    """Measure one part in this process.

    Returns:
        Seconds by the clock and of processor time: the first call, then each repeat.
    """
    run = PARTS[options.part](options)
    found = []
    for _ in range(options.repeats + 1):
        started, worked = time.perf_counter(), time.process_time()
        run()
        found.append((time.perf_counter() - started, time.process_time() - worked))
    return {"first": found[0], "repeats": found[1:]}


def main() -> None:
    """Measure every part in its own process and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", nargs="+", default=["densenet121"])
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5, help="the median counts")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        options.architecture = options.architecture[0]
        print(json.dumps(measure(options)))
        return
    settings = {name: getattr(options, name) for name in ("size", "batch_size", "repeats")}
    for architecture in options.architecture:
        report(architecture, settings)


def report(architecture: str, settings: dict) -> None:
    """Measure and print one architecture."""
    print(f"{architecture}, {settings['batch_size']} images of {settings['size']} px:")
    medians = {}
    for part in PARTS:
        try:
            found = measuring.in_child(__file__, part=part, architecture=architecture, **settings)
        except ValueError as error:
            print(f"      {part} does not run: {str(error).strip().splitlines()[-1]}", flush=True)
            continue
        medians[part] = np.median(found["repeats"], axis=0)
        clock, worked = medians[part]
        print(f"      {part}: {clock:.2f} s, {worked:.2f} s of CPU; ", end="")
        print(f"first call {found['first'][0]:.2f} s", flush=True)
    if "Grad-CAM" not in medians:
        return
    ours = medians["Grad-CAM"]
    for peer, bar in (("training step", BAR), ("tf-keras-vis", 1.0)):
        if peer in medians:
            ratio, in_cpu = ours / medians[peer]
            name = f"Grad-CAM / {peer}, {architecture}"
            print(measuring.verdict(name, ratio, bar, at_least=False))
            print(f"      in processor time: {in_cpu:.3f}", flush=True)


if __name__ == "__main__":
    main()
