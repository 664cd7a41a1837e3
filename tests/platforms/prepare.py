"""Make one environment for each list of versions here: .venv-platforms/kaggle and .../colab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
ENVIRONMENTS = REPOSITORY / ".venv-platforms"
# The address of the repository where a setup cell clones it.
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+(?= /tmp/study)")
PLATFORMS = ("kaggle", "colab")


def wanted_python(name: str) -> str:
    """Return the version of Python that a platform has, like "3.12"."""
    first = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()[0]
    return re.search(r"Python (3\.\d+)", first).group(1)


def version_of(python: str) -> str | None:
    """Return the version of an interpreter, like "3.12"; None where it does not run."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def find_python(wanted: str) -> str:
    """Return the interpreter of this version, else of the nearest that this study supports."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    number = int(wanted.split(".")[1])
    for minor in sorted((11, 12, 13), key=lambda other: abs(other - number)):
        places = [*sorted(pyenv.glob(f"3.{minor}.*/bin/python")), shutil.which(f"python3.{minor}")]
        for place in filter(None, (*places, sys.executable)):
            if version_of(str(place)) == f"3.{minor}":
                return str(place)
    return sys.executable


def prepare(name: str) -> Path:
    """Make a platform's environment, or find the one that was made from this very list.

    Returns:
        Its interpreter.
    """
    folder, versions = ENVIRONMENTS / name, HERE / f"{name}.txt"
    python, stamp = folder / "bin" / "python", folder / "versions.txt"
    if stamp.exists() and stamp.read_text() == versions.read_text():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    chosen = find_python(wanted_python(name))
    print(f"{name}: {version_of(chosen)} of the wanted {wanted_python(name)}", flush=True)
    subprocess.run([chosen, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", versions], check=True)
    shutil.copyfile(versions, stamp)  # last: half an environment is no environment
    return python


if __name__ == "__main__":
    for platform in PLATFORMS:
        print(prepare(platform))
