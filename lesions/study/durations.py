"""Estimate how long a training takes here, from the time that the recorded runs took."""

import itertools
import statistics
from collections.abc import Iterable

import pandas as pd

from lesions.evaluation import comparison
from lesions.system import hardware
from lesions.system.folders import MODELS
from lesions.training import Config

# One T4 in mixed precision against the processor cores of the recorded runs: an estimate from
# published throughputs of DenseNet121, not a measurement.
GPU_SPEEDUP = 40
READ = ("config", "images", "epochs_trained", "seconds", "hardware")  # of config.json


def estimate(
    configs: Iterable[Config], metadata: pd.DataFrame, photographs: Iterable[int] | None = None
) -> float:
    """Estimate the seconds that trainings by some configs take on this machine.

    The time of a recorded run of the same architecture is scaled by photographs, epochs and
    pixels; where none is recorded, the median over all architectures serves.

    Args:
        configs: What is trained.
        metadata: Table with a column `split`.
        photographs: How many each config trains on; None for the training rows of `metadata`.
    """
    rates, _ = _rates_here()
    seconds = 0.0
    of_all = itertools.repeat((metadata["split"] == "train").sum())
    for config, count in zip(configs, photographs or of_all, strict=False):
        rate = rates.get(config.architecture) or statistics.median(rates.values())
        epochs = config.head_epochs + config.epochs
        seconds += count * epochs * config.image_size**2 / rate
    return seconds


def _rates_here() -> tuple[dict[str, float], str]:
    """Return pixels a second by architecture on this machine, and what they rest on."""
    gpu = bool(hardware.gpus())
    rates = _pixels_a_second(gpu)
    if rates:
        slower = "GPUs differ" if gpu else "a processor without bfloat16 takes longer"
        return rates, f"estimated from the recorded runs; {slower}"
    rates = {name: rate * GPU_SPEEDUP for name, rate in _pixels_a_second(gpu=False).items()}
    return rates, "an estimate for one T4, not a measurement"


def describe(
    configs: Iterable[Config], metadata: pd.DataFrame, photographs: Iterable[int] | None = None
) -> str:
    """Return how long trainings take on this machine, and what it rests on; see `estimate`."""
    rates, basis = _rates_here()
    if not rates:
        return f"an unknown time on {hardware.describe()} (no recorded run tells how long)"
    spent = round_duration(estimate(configs, metadata, photographs))
    return f"about {spent} on {hardware.describe()} ({basis})"


def round_duration(seconds: float) -> str:
    """Return a duration in words: "a minute", "25 minutes", "3 hours"."""
    minutes = max(1, round(seconds / 60))
    if minutes == 1:
        return "a minute"
    if minutes < 90:
        return f"{minutes if minutes < 10 else 5 * round(minutes / 5)} minutes"
    return f"{round(minutes / 60)} hours"


def _pixels_a_second(gpu: bool) -> dict[str, float]:
    """Return, by architecture, the median of the pixels that runs on GPUs or cores trained on."""
    rates: dict[str, list[float]] = {}
    for path in sorted(MODELS.glob("*/config.json")):
        run = comparison.read_record(path, *READ)
        pixels = run["images"]["train"] * run["epochs_trained"] * run["config"]["image_size"] ** 2
        if pixels and run["seconds"] and gpu != run["hardware"].endswith("no GPU"):
            rates.setdefault(run["config"]["architecture"], []).append(pixels / run["seconds"])
    return {name: statistics.median(values) for name, values in rates.items()}
