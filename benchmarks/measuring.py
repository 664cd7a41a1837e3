"""What the benchmarks share: photographs, child processes, and memory read while they work."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from lesions.system.folders import REPOSITORY, build_folder  # noqa: E402

BUILD = build_folder()
INTERVAL = 0.01
# False runs every part in this process, where its numbers mean little but it is soon seen to work.
SEPARATE = True


def photographs(number: int):
    """Read the table of the photographs that a benchmark works on.

    Args:
        number: How many are wanted.

    Returns:
        Rows with a column `split`, of the dataset that `$HAM10000_DIR` names or that is found
        in the usual places, else of the synthetic demo set; fewer than `number` where the
        dataset is smaller. The classes take turns, so that few rows hold all of them.
    """
    from lesions import data

    dataset = data.find_dataset(demo_folder=BUILD / "demo")
    rows = data.with_split(data.read_metadata(dataset))
    turn = rows.groupby("dx").cumcount()
    chosen = rows.loc[turn.sort_values(kind="stable").index].head(number)
    kind = "synthetic demo" if dataset.is_demo else "HAM10000"
    print(f"{len(chosen)} of {len(rows)} {kind} photographs.", file=sys.stderr)
    return chosen.reset_index(drop=True)


def in_child(script: str, **arguments) -> dict:
    """Run one part of a benchmark in a process of its own, see `SEPARATE`.

    Args:
        script: The benchmark's file; it prints JSON as its last line.
        **arguments: Passed on as `--name value`.

    Returns:
        What the child printed.

    Raises:
        ValueError: If the child failed; names the part and holds the end of what it wrote.
    """
    command = [script]
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    if not SEPARATE:
        return json.loads(run_here(*command).splitlines()[-1])
    child = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=REPOSITORY
    )
    if child.returncode:
        raise ValueError(f"The part {arguments} failed: {child.stderr[-2000:]}")
    return json.loads(child.stdout.splitlines()[-1])


def run_here(script: str, *arguments: str) -> str:
    """Run a script with arguments in this process, and return what it printed."""
    before, printed = sys.argv, io.StringIO()
    sys.argv = [script, *arguments]
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(script, run_name="__main__")
    finally:
        sys.argv = before
    return printed.getvalue()


def memory() -> tuple[float, float]:
    """Read the resident memory of this process.

    Returns:
        Megabytes: all of it, and the anonymous part. The rest is pages of files, such as a
        mapped store or a shared library, which the system takes back when it needs them.
        Where there is no /proc, both are all of it.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        import psutil

        resident = psutil.Process().memory_info().rss / 1e6
        return resident, resident
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return tuple(int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon"))


class PeakMemory:
    """The highest memory inside a `with` block, above what was in use before it.

    Attributes:
        resident: Megabytes of all resident memory, above the start.
        anonymous: Megabytes of anonymous memory, above the start.
    """

    def __enter__(self):
        self._before = self._peak = memory()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        self._thread.join()
        self.resident, self.anonymous = (
            round(peak - before, 1) for peak, before in zip(self._peak, self._before, strict=True)
        )

    def _watch(self):
        while True:
            self._peak = tuple(map(max, self._peak, memory()))
            if self._done.wait(INTERVAL):
                return


def verdict(name: str, value: float, bar: float, at_least: bool) -> str:
    """Describe in one line how a ratio stands to its bar.

    Args:
        name: What the ratio is.
        value: The ratio.
        bar: What it is held against.
        at_least: Whether the ratio must reach the bar, or stay within it.
    """
    met = value >= bar if at_least else value <= bar
    words = "at least" if at_least else "at most"
    return f"ratio {name}: {value:.3g} (bar: {words} {bar:g}, {'met' if met else 'MISSED'})"
