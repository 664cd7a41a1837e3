"""The notebooks' front door: where am I, where is the data, which profile."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# TensorFlow reads this once, when it is first imported: no C++ chatter in notebooks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
import sklearn

from lesions.system import console

if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8):
    raise ImportError(
        f"scikit-learn {sklearn.__version__} is installed and 1.8 is needed; run "
        "`pip install -r requirements.txt` (on Kaggle, switch the internet on) and start again."
    )

# TensorFlow writes a few lines while it is imported, whatever the variable above says.
with console.quiet_stderr():
    from lesions import classes, data, figures, training
    from lesions.data import images
    from lesions.evaluation import comparison
    from lesions.study import recipes
    from lesions.system import hardware

REPOSITORY = Path(__file__).resolve().parent


def where_am_i() -> str:
    """Name the place: "colab", "kaggle" or "local"."""
    if "COLAB_RELEASE_TAG" in os.environ:
        return "colab"
    return "kaggle" if "KAGGLE_KERNEL_RUN_TYPE" in os.environ else "local"


def build_folder() -> Path:
    """Give the folder for everything made here: `$LESIONS_BUILD`, else `build/`."""
    kaggle = where_am_i() == "kaggle"
    return data.build_folder("/kaggle/working/build" if kaggle else REPOSITORY / "build")


@dataclass(frozen=True)
class Study:
    """What every notebook starts from.

    Attributes:
        dataset: Where the photographs lie, and why there.
        metadata: One row a photograph, with `split` and `label`; see `data.read_metadata`.
        profile: "demo", "cpu" or "gpu".
        quick: Whether only a sample of lesions is used, for two epochs.
        retrain: Whether recorded runs are left aside.
        build: Folder for everything made here.
    """

    dataset: data.Dataset
    metadata: pd.DataFrame
    profile: str
    quick: bool
    retrain: bool
    build: Path

    @property
    def runs(self) -> Path:
        """Folder of the runs that are trained here, one for each profile."""
        return self.build / "runs" / (self.profile + ("-quick" if self.quick else ""))

    @property
    def recorded(self) -> Path:
        """Folder of the runs that came with the repository."""
        return REPOSITORY / "models"

    @property
    def credit(self) -> str:
        """The line that stands below every photograph."""
        return "Synthetic demo images, no patient" if self.dataset.is_demo else classes.CREDIT

    @cached_property
    def image_size(self) -> int:
        """Side of the networks' input in pixels under this profile."""
        return recipes.PROFILES[self.profile]["image_size"]

    def rows(self, split: str) -> pd.DataFrame:
        """Give the rows of one split, index 0 to n-1."""
        return self.metadata[self.metadata["split"] == split].reset_index(drop=True)

    def store(self, image_size: int | None = None, **options) -> images.ImageStore:
        """Open the image store of all rows, building it where needed."""
        size = image_size or self.image_size
        return images.ImageStore(self.metadata, size, self.build / "stores", **options)

    def config(self, architecture: str, **changes) -> training.Config:
        """Give the recorded recipe of an architecture under this profile."""
        return recipes.config(architecture, self.profile, self.quick, **changes)

    def run(self, architecture: str, metadata: pd.DataFrame | None = None, **changes):
        """Load the recorded run of a recipe, or train it.

        Args:
            architecture: A name of `models.ARCHITECTURES`.
            metadata: Rows with another split; default this study's.
            **changes: Fields of `training.Config` to set differently.

        Returns:
            A `training.Run`.
        """
        return self.train(self.config(architecture, **changes), metadata)

    def train(self, config: training.Config, metadata: pd.DataFrame | None = None):
        """Load the recorded run of a config, or train it.

        Args:
            config: What to train.
            metadata: Rows with another split; default this study's.

        Returns:
            A `training.Run`.
        """
        store = training.open_store(config, self.metadata, self.build)
        rows = self.metadata if metadata is None else metadata
        return training.train_or_load(config, rows, store, self.runs, self.recorded, self.retrain)

    def all_runs(self) -> list[Path]:
        """List the finished run folders on these rows, without the notebooks' experiments."""
        fingerprint = data.data_fingerprint(self.metadata)
        found = {}
        for folder in (*comparison.run_folders(self.recorded), *comparison.run_folders(self.runs)):
            if fingerprint in (folder / "config.json").read_text():
                found[folder.name] = folder
        return list(found.values())

    @property
    def best_model(self) -> Path:
        """The best model: this study's own, else the one that came with the repository."""
        own = self.runs / "best_model.h5"
        if own.exists() or self.dataset.is_demo or self.quick:
            return own
        return self.recorded / "best_model.h5"

    def keep_best(self, run_folder: Path) -> Path:
        """Copy a run's model to where `best_model` finds it, and give the path."""
        target = self.runs / "best_model.h5"
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name("best_model.partial")
        shutil.copyfile(run_folder / "model.h5", beside)
        os.replace(beside, target)
        return target


def _flag(value: bool, name: str) -> bool:
    return value or os.environ.get(name, "").lower() in ("1", "true", "yes")


def open_study(profile: str = "auto", quick: bool = False, retrain: bool = False) -> Study:
    """Find the data, choose the profile, set the figures' style and say so in print.

    Args:
        profile: "auto", "demo", "cpu" or "gpu"; "auto" heeds $PROFILE, else takes what the
            data and the machine allow.
        quick: Whether a sample of lesions is enough; $QUICK=1 sets it too.
        retrain: Whether to train where a recorded run is at hand; $RETRAIN=1 sets it too.

    Returns:
        The study.

    Raises:
        ValueError: If the profile is unknown or the data cannot be used.
    """
    profile = os.environ.get("PROFILE") or "auto" if profile == "auto" else profile
    quick, retrain, build = _flag(quick, "QUICK"), _flag(retrain, "RETRAIN"), build_folder()
    on_colab = where_am_i() == "colab"
    dataset, profile, metadata = recipes.open_data(profile, quick, build=build, download=on_colab)
    figures.use_style()
    console.quiet_tensorflow()
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(f"Data: {_short(dataset.source)}, {len(metadata):,} photographs.")
    print(f"Profile {profile}{', quick' if quick else ''} on {hardware.describe()}.")
    print(classes.NOTICE)
    return Study(dataset, metadata, profile, quick, retrain, build)


def _short(source: str) -> str:
    """Leave the path of this machine out of what a published notebook prints."""
    folder, _, reason = source.partition(" (")
    return f"{Path(folder).name} ({reason}"
