"""Sessions like those of Kaggle and Colab: their versions, folders and network."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import prepare

# Where a session shows its folders; the empty folders that this needs are removed at the end.
KAGGLE, COLAB, CLONE = Path("/kaggle"), Path("/content"), Path("/tmp/study")
ABSENT = [place for place in (KAGGLE, COLAB, CLONE) if not place.exists()]


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # workers may still need them
        for place in ABSENT:
            with contextlib.suppress(OSError):
                place.rmdir()


def may_unshare() -> bool:
    """Tell whether this process may give another one its own network and mounts."""
    command = ["unshare", "--net", "--mount", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, stderr=-3).returncode == 0


@pytest.fixture(scope="session", autouse=True)
def namespaces():
    if not may_unshare():
        pytest.skip("no network and mounts of one's own here; run as root on Linux")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """What git would clone: the files that are tracked, or would be."""
    folder = tmp_path_factory.mktemp("checkout") / "study"
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=prepare.REPOSITORY,
    )
    for name in filter(None, listed.decode().split("\0")):
        source, target = prepare.REPOSITORY / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder


@pytest.fixture(scope="session")
def served(checkout):
    """The checkout as a repository that can be cloned."""
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "All"]):
        subprocess.run([*git, *arguments], cwd=checkout, check=True)
    return checkout


class Session:
    """One kernel of a platform: folders of its own, nothing installed, no network."""

    def __init__(self, platform: str, folder: Path):
        self.platform, self.folder = platform, folder
        self.python = prepare.prepare(platform)
        self.mounts: list[tuple[Path, Path | str, bool]] = []
        self.working = self._own("working")
        working = {"kaggle": KAGGLE / "working", "colab": COLAB}[platform]
        if platform == "kaggle":
            self.mount(self._own("input"), KAGGLE)
        self.mount(self.working, working)
        self.mount(self._own("clone"), CLONE)
        named_by = {"kaggle": "KAGGLE_KERNEL_RUN_TYPE", "colab": "COLAB_RELEASE_TAG"}[platform]
        self.variables = {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "HOME": str(self._own("home")),
            "TMPDIR": str(self._own("tmp")),
            named_by: "simulated",
            "QUICK": "1",
            "PIP_NO_CACHE_DIR": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.current = working

    def _own(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def mount(self, source: Path, target, read_only: bool = False) -> None:
        """Show a folder at another place inside this session."""
        self.mounts.append((source, target, read_only))

    def redirect(self, address: str, repository: Path) -> None:
        """Let git find at an address what lies in a folder."""
        settings = self.folder / "gitconfig"
        settings.write_text(
            f'[url "file://{repository}"]\n\tinsteadOf = {address}\n[safe]\n\tdirectory = *\n'
        )
        self.variables["GIT_CONFIG_GLOBAL"] = str(settings)

    def run(self, *command, timeout: int = 600) -> subprocess.CompletedProcess:
        """Run a command as the session's own Python."""
        lines = ["set -e"]
        for source, target, read_only in self.mounts:
            lines += [f"mkdir -p '{target}'", f"mount --bind '{source}' '{target}'"]
            lines += [f"mount -o remount,bind,ro '{target}'"] * read_only
        lines += [f"cd '{self.current}'", 'exec "$@"']
        inside = ["unshare", "--net", "--mount", "sh", "-c", "\n".join(lines), "sh"]
        return subprocess.run(
            [*inside, str(self.python), *map(str, command)],
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


@pytest.fixture
def session(tmp_path):
    """Call it with a platform's name to get a session of it."""
    return lambda platform: Session(platform, tmp_path / platform)
