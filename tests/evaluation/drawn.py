"""Labels and probabilities drawn at random, for the tests of this folder."""

import numpy as np
import pandas as pd

from lesions import classes

CODES = list(classes.CODES)
FREQUENCIES = np.array([0.05, 0.07, 0.12, 0.03, 0.13, 0.55, 0.05])
MEL, NV = CODES.index("mel"), CODES.index("nv")


def draw(images=300, seed=0, strength=2.0, decimals=None):
    """Labels of all seven classes, nv in front, and probabilities that lean towards them."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(7, size=images, p=[0.05, 0.07, 0.12, 0.03, 0.13, 0.55, 0.05])
    labels[:7] = range(7)
    logits = generator.normal(size=(images, 7)) + strength * np.eye(7)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if decimals is not None:
        # Coarse scores tie; the last column keeps the sum at 1.
        scores = np.round(scores, decimals)
        scores[:, NV] += 1 - scores.sum(axis=1)
        scores = np.clip(scores, 0, None)
        scores /= scores.sum(axis=1, keepdims=True)
    return labels, scores


def frame(labels, scores, split="test", photographs=1, prefix="ISIC"):
    numbers = np.arange(len(labels))
    table = pd.DataFrame(
        {
            "image_id": [f"{prefix}_{split}_{number:05d}" for number in numbers],
            "lesion_id": [f"HAM_{split}_{number // photographs:05d}" for number in numbers],
            "split": split,
            "dx": [CODES[label] for label in labels],
        }
    )
    table[CODES] = scores
    return table


def both_splits(seed=0, **settings):
    parts = [
        frame(*draw(seed=seed + 1, **settings), split="validation"),
        frame(*draw(seed=seed, **settings)),
    ]
    return pd.concat(parts, ignore_index=True)


def certain(predicted, confidence):
    """Probabilities with one confidence in the predicted class, the rest shared evenly."""
    scores = np.full((len(predicted), 7), (1 - confidence) / 6)
    scores[np.arange(len(predicted)), predicted] = confidence
    return scores
