"""Find the photographs of a study, and the profile that fits them."""

from pathlib import Path

import pandas as pd

from lesions import data
from lesions.study import recipes
from lesions.system import hardware
from lesions.system.folders import MODELS
from lesions.training import find_run


def open_data(
    profile: str = "auto",
    quick: bool = False,
    folder=None,
    build="build",
    download: bool = False,
    show: bool = False,
) -> tuple[data.Dataset, str, pd.DataFrame]:
    """Find the photographs, choose the profile that fits them, and split them by lesion.

    Args:
        profile: "demo", "cpu", "gpu", or "auto" for what the data and the machine allow.
        quick: Whether a stratified sample of lesions is enough.
        folder: Folder of the data; None for the usual places, see `data.find_dataset`.
        build: Folder under which a demo set is drawn.
        download: See `data.find_dataset`.
        show: Whether recorded runs are shown rather than trained: "auto" then is the profile
            that most of them were trained under, whatever the hardware.

    Returns:
        The dataset, the profile, and one row a photograph with its `split`.

    Raises:
        ValueError: If the profile is unknown or the data cannot be used.
    """
    if profile not in ("auto", *recipes.PROFILES):
        raise ValueError(f"Unknown profile {profile!r}; use auto, {', '.join(recipes.PROFILES)}.")
    drawn = Path(build) / "demo"
    if profile == "demo" and folder is None:
        from lesions.data import demo

        reason = "the synthetic demo set, as the profile asks"
        dataset = data.open_dataset(demo.make_demo(drawn), reason)
    else:
        dataset = data.find_dataset(folder, download=download, demo_folder=drawn)
    metadata = data.with_split(data.read_metadata(dataset))
    if dataset.is_demo:
        profile = "demo"
    elif profile == "auto":
        profile = recorded_profile(metadata) if show else None
        profile = profile or ("gpu" if hardware.gpus() else "cpu")
    if quick and not dataset.is_demo:
        metadata = data.sample_lesions(metadata)
    return dataset, profile, metadata


def recorded_profile(metadata: pd.DataFrame) -> str | None:
    """Return "cpu" or "gpu", under which most recorded runs on these rows were trained, or None."""
    counts = {}
    for profile in ("gpu", "cpu"):
        configs = [recipes.config(name, profile) for name in recipes.NETWORKS[profile]]
        found = [find_run(one, metadata, [MODELS]) for one in configs]
        counts[profile] = len(found) - found.count(None)
    best = max(counts, key=counts.get)
    return best if counts[best] else None
