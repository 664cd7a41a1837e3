"""The notebooks' front door: install what is missing, find the data, choose the recipes."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata as installed
from pathlib import Path

# TensorFlow reads this once, when it is first imported: no C++ chatter in notebooks.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).resolve().parent
sys.path.insert(0, str(REPOSITORY))  # the setup cell may have found it by a relative path

from lesions.system import allocator, console, environment

# What a notebook imports, and the package that has it. Jupyter is there already.
NEEDED = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "jinja2": "jinja2",
    "sklearn": "scikit-learn",
    "imblearn": "imbalanced-learn",
    "matplotlib": "matplotlib",
    "seaborn": "seaborn",
    "kagglehub": "kagglehub",
    "tqdm": "tqdm",
}


def install_missing(needed: dict[str, str] = NEEDED) -> list[str]:
    """Install what Colab's or Kaggle's image lacks, without touching what it has.

    What is imported already stays at its version, so the kernel need not be restarted.

    Args:
        needed: Package by the name under which it is imported.

    Returns:
        The packages that were installed.

    Raises:
        ImportError: If a package is missing and cannot be installed.
    """
    missing = [name for module, name in needed.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return []
    names = ", ".join(missing)
    if environment.platform_name() == "local":
        raise ImportError(
            f"{names} cannot be imported; run `pip install -r requirements.txt` in {REPOSITORY}."
        )
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(_versions(needed)))
        options = ["--quiet", "--retries", "0", "--timeout", "10", "--constraint", str(constraints)]
        command = [sys.executable, "-m", "pip", "install", *options, *missing]
        done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        raise ImportError(
            f"{names} cannot be imported and pip cannot install it; switch the internet on (on "
            "Kaggle under Settings) and run this cell again."
        )
    return missing


def _versions(needed: dict[str, str]) -> list[str]:
    """Pin what is installed of `needed`, and whatever else this process has imported."""
    packages = installed.packages_distributions()
    names = {name for module in set(sys.modules) for name in packages.get(module, ())}
    pins = []
    for name in sorted(names | set(needed.values())):
        try:
            pins.append(f"{name}=={installed.version(name)}")
        except installed.PackageNotFoundError:
            continue
    return pins


install_missing()
environment.check_keras()

import pandas as pd

# It announces its font cache where it is imported for the first time.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

# TensorFlow writes a few lines while it is imported, whatever the variable above says.
with console.quiet_stderr():
    from lesions import classes, data, figures, training
    from lesions.data import images
    from lesions.evaluation import comparison
    from lesions.study import durations, opening, recipes
    from lesions.system import hardware
    from lesions.system.files import replacing
    from lesions.system.folders import build_folder


def results_folder() -> Path:
    """Return the folder for what is kept: `$LESIONS_BUILD`, else `build/`.

    It lies in the repository, or in the current folder where the repository is read-only or a
    temporary clone: on Kaggle and Colab that is the folder that a session shows.
    """
    temporary = REPOSITORY == Path("/tmp/study").resolve()
    own = os.access(REPOSITORY, os.W_OK) and not temporary
    return build_folder((REPOSITORY if own else Path.cwd()) / "build")


def scratch_folder() -> Path:
    """Return the folder for what can be made again: image stores and the demo set.

    On Kaggle it lies outside /kaggle/working, whose 20 GB are saved with the notebook.
    """
    if environment.platform_name() == "kaggle" and not os.environ.get("LESIONS_BUILD"):
        return Path(tempfile.gettempdir()) / "lesions"
    return results_folder()


def attached_runs(name: str) -> list[Path]:
    """List the run folders of earlier notebooks that are attached on Kaggle.

    Args:
        name: The profile's folder, see `Study.runs`.
    """
    return sorted(Path("/kaggle/input").glob(f"**/build/runs/{name}"))


@dataclass(frozen=True)
class Study:
    """What every notebook starts from.

    Attributes:
        dataset: Where the photographs lie, and why there.
        metadata: One row a photograph, with `split` and `label`; see `data.read_metadata`.
        profile: "demo", "cpu" or "gpu".
        quick: Whether only a sample of lesions is used, for two epochs.
        retrain: Whether runs are left aside that this study has not trained itself.
        build: Folder for runs and results.
        scratch: Folder for image stores, which can be made again.
    """

    dataset: data.Dataset
    metadata: pd.DataFrame
    profile: str
    quick: bool
    retrain: bool
    build: Path
    scratch: Path

    @property
    def runs(self) -> Path:
        """Folder of the runs that are trained here, one for each profile."""
        return self.build / "runs" / self._runs_name

    @property
    def _runs_name(self) -> str:
        return self.profile + ("-quick" if self.quick else "")

    @property
    def recorded(self) -> Path:
        """Folder of the runs that came with the repository."""
        return REPOSITORY / "models"

    @cached_property
    def run_folders(self) -> list[Path]:
        """Every folder that may hold a run: this study's own, attached ones, the repository's."""
        return [self.runs, *attached_runs(self._runs_name), self.recorded]

    @property
    def credit(self) -> str:
        """The line that stands below every photograph."""
        return "Synthetic demo images, no patient" if self.dataset.is_demo else classes.CREDIT

    @cached_property
    def image_size(self) -> int:
        """Side of the networks' input in pixels under this profile."""
        return recipes.PROFILES[self.profile]["image_size"]

    def rows(self, split: str) -> pd.DataFrame:
        """Return the rows of one split, index 0 to n-1."""
        return self.metadata[self.metadata["split"] == split].reset_index(drop=True)

    def store(self, image_size: int, **options) -> images.ImageStore:
        """Open the image store of all rows, building it where needed."""
        return images.ImageStore(self.metadata, image_size, self.scratch / "stores", **options)

    def config(self, architecture: str) -> training.Config:
        """Return the recorded recipe of an architecture under this profile."""
        return recipes.config(architecture, self.profile, self.quick)

    def run(self, architecture: str, epoch_log: bool = True) -> training.Run:
        """Load the recorded run of an architecture's recipe, or train it; see `train`.

        Args:
            architecture: A name of `models.ARCHITECTURES`.
            epoch_log: As of `train`.
        """
        return self.train(self.config(architecture), epoch_log=epoch_log)

    def train(
        self, config: training.Config, metadata: pd.DataFrame | None = None, epoch_log: bool = True
    ):
        """Load the recorded run of a config, or train it.

        Pictures are decoded only where something is trained, or with `retrain`.

        Args:
            config: What to train.
            metadata: Rows with another split; default this study's.
            epoch_log: Whether the epochs of a recorded run are printed too, a line each.

        Returns:
            A `training.Run`.

        Raises:
            ValueError: If no run is recorded for real photographs and nobody asked for training.
        """
        rows = self.metadata if metadata is None else metadata
        found = None if self.retrain else training.find_run(config, rows, self.run_folders)
        if found is None and not self.trains:
            raise ValueError(
                f"No run of {config.architecture} at {config.image_size} px with these settings is "
                "recorded for these photographs; set RETRAIN = True to train it, which takes "
                f"{durations.describe([config], rows)}, or QUICK = True to see everything work."
            )
        if found:
            return training.load_run(found, rows, epoch_log)
        store = training.open_store(config, self.metadata, self.scratch)
        # One that this study has trained is kept, so that an interrupted cell or study goes on.
        return training.read_run(training.train(config, rows, store, self.runs, retrain=False))

    @property
    def trains(self) -> bool:
        """Whether a notebook may train what is not recorded: drawn pictures, or when asked."""
        return self.retrain or self.quick or self.dataset.is_demo

    def announce(self, configs, photographs=None) -> None:
        """Print how long the trainings of a notebook take on this machine, if they are trained.

        Args:
            configs: `training.Config` objects.
            photographs: How many each of them trains on; None for the study's training split.
        """
        if self.retrain and not self.dataset.is_demo:
            found = durations.describe(configs, self.metadata, photographs)
            print(f"Training here takes {found}.")

    def all_runs(self) -> list[Path]:
        """List the finished run folders on these rows, without the notebooks' experiments.

        Networks of folds and of all rows are among them: their rows follow from these. With
        `retrain`, the runs that came with the repository are not.
        """
        tables = [data.hold_out(self.metadata, fold) for fold in (None, *range(data.FOLDS))]
        tables.append(data.without_validation(self.metadata))
        fingerprints = [data.data_fingerprint(table) for table in tables]
        found = {}
        places = self.run_folders[:-1] if self.retrain else self.run_folders
        for place in reversed(places):  # this study's own last, so that they win
            for folder in comparison.run_folders(place):
                record = (folder / "config.json").read_text(encoding="utf-8")
                if any(one in record for one in fingerprints):
                    found[folder.name] = folder
        return list(found.values())

    @property
    def best_model(self) -> Path:
        """The best model: this study's own, an attached one, or the repository's.

        With drawn pictures and with QUICK, the repository's model stands aside.
        """
        own = [folder / "best_model.h5" for folder in self.run_folders]
        if self.dataset.is_demo or self.quick:
            own.pop()
        return next((path for path in own if path.exists()), own[0])

    def keep_best(self, run_folder: Path) -> Path:
        """Copy a run's model to where `best_model` finds it, and return the path."""
        target = self.runs / "best_model.h5"
        with replacing(target) as temporary:
            shutil.copyfile(run_folder / "model.h5", temporary)
        return target


def open_study(profile: str = "auto", quick: bool = False, retrain: bool = False) -> Study:
    """Find the data, choose the profile, set the figures' style and print what was found.

    Args:
        profile: "auto", "demo", "cpu" or "gpu"; "auto" heeds $PROFILE, else takes the recorded
            profile, or, where something is to be trained, what the hardware allows.
        quick: Whether a sample of lesions is enough; $QUICK=1 sets it too.
        retrain: Whether to train all that was not trained here; $RETRAIN=1 sets it too.

    Returns:
        The study.

    Raises:
        ValueError: If the profile is unknown or the data cannot be used.
    """
    profile = os.environ.get("PROFILE") or "auto" if profile == "auto" else profile
    quick, retrain = is_set(quick, "QUICK"), is_set(retrain, "RETRAIN")
    warnings.filterwarnings("ignore", category=FutureWarning)
    # Colab's and Kaggle's images lack it, and HAM10000's files are whole.
    warnings.filterwarnings("ignore", message="The package simplejpeg is not installed")
    build, scratch = results_folder(), scratch_folder()
    options = {"build": scratch, "show": not (quick or retrain)}
    download = _can_download()
    try:
        found = opening.open_data(profile, quick, download=download, **options)
    except OSError as error:  # such as an answer of Kaggle's that kagglehub cannot use
        if not download:
            raise
        reason = type(error.__cause__ or error).__name__
        print(f"The photographs could not be downloaded ({reason}).")
        found = opening.open_data(profile, quick, **options)
    dataset, profile, metadata = found
    build.mkdir(parents=True, exist_ok=True)  # a notebook may write there before it trains
    figures.use_style()
    console.quiet_tensorflow()
    allocator.keep_memory()
    if dataset.is_demo:
        _show_demo_box()
    print(f"Data: {_short(dataset.source)}, {len(metadata):,} photographs.")
    print(f"Profile {profile}{', quick' if quick else ''} on {hardware.describe()}.")
    if (quick or retrain) and not dataset.is_demo:
        print("Tables and figures show this run; the text is about the recorded study.")
    return Study(dataset, metadata, profile, quick, retrain, build, scratch)


def is_set(value: bool, name: str) -> bool:
    """Check whether a setting of a notebook, or the environment variable of its name, is true."""
    return value or os.environ.get(name, "").lower() in ("1", "true", "yes")


def _can_download() -> bool:
    """Check whether this is Colab or Kaggle and kagglehub can be reached from here."""
    if environment.platform_name() == "local":
        return False
    try:
        with socket.create_connection(("www.kaggle.com", 443), timeout=3):
            return True
    except OSError:
        return False


WAYS_OUT = {
    "kaggle": "choose <i>Add Input</i> at the right, add the dataset "
    "<b>Skin Cancer MNIST: HAM10000</b> by K Scott Mader, and run the notebook again",
    "colab": "see that the internet can be reached, so that the photographs can be downloaded, "
    "and run the notebook again",
    "local": "download HAM10000 and name its folder by <code>HAM10000_DIR</code>, as the README "
    "describes, and run the notebook again",
}


def _show_demo_box() -> None:
    """Show a box that nobody overlooks: these pictures are drawn."""
    from IPython.display import display

    text = (
        "These are drawn pictures, not photographs of skin. Tables and figures below show them; "
        "the text is about the recorded study of HAM10000."
    )
    way_out = f"For the real study, {WAYS_OUT[environment.platform_name()]}."
    box = (
        '<div style="border:4px solid #d55e00;background:#fff3e6;color:#222;padding:12px 16px;'
        f'font-size:16px"><b>{text}</b><br>{way_out}</div>'
    )
    plain = re.sub("<.+?>", "", f"{text} {way_out}")
    display({"text/html": box, "text/plain": plain}, raw=True)


def _short(source: str) -> str:
    """Leave the path of this machine out of what a published notebook prints."""
    folder, _, reason = source.rpartition(" (")
    return f"{Path(folder).name} ({reason}"
