"""Execute the notebooks, two at a time where the machine allows it, and render them."""

from __future__ import annotations

import asyncio
import functools
import html
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from lesions import classes
from lesions.study import publishing
from lesions.system import hardware, processor
from lesions.system.files import replacing
from lesions.system.folders import named_by

# These notebooks are executed one after another, beside the others: what a notebook compares or
# explains is trained before it among the others, or by 06, for which 09 waits.
SECOND_LANE = ("01", "02", "07", "09")
WAITS_FOR_BEST_MODEL = "09"
NEED_TENSORFLOW = ("08", "09")  # Grad-CAM and the export
START = 600  # seconds that a kernel may take to start: on a busy machine Jupyter's 60 are too few
CLEAR_LINE = "\x1b[2K"  # what a terminal, also that of Windows 10 and later, reads as that


def run(build: Path, chosen: list[Path] | None = None) -> Path:
    """Execute the notebooks and render them, with an index.html that links the pages.

    Two are executed at a time on two cores or more, each on its half of them, because kernels that
    share cores wait for each other's threads; one at a time where they would share a GPU's memory.

    Args:
        build: Folder for everything made here; the notebooks see it as LESIONS_BUILD.
        chosen: Notebooks to execute, by default all.

    Returns:
        The path of index.html.

    Raises:
        ValueError: If a cell of a notebook fails; names the notebook and the cell.
    """
    folder = build / "study"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = publishing.notebooks() if chosen is None else chosen
    seconds = asyncio.run(_execute_all(chosen, folder))
    return write_index(folder, [(render(folder / path.name), seconds[path]) for path in chosen])


def lanes(chosen: list[Path]) -> list[list[Path]]:
    """Sort notebooks into two lists, or one, whose members are executed one after another."""
    if processor.cores() < 2 or hardware.gpus():
        return [chosen]
    second = [path for path in chosen if path.name.startswith(SECOND_LANE)]
    first = [path for path in chosen if path not in second]
    return [lane for lane in (first, second) if lane]


async def _execute_all(chosen: list[Path], folder: Path) -> dict[Path, float]:
    """Execute the notebooks and return the seconds that each took; the first failure ends all."""
    seconds, running = {}, []
    best_model = asyncio.Event()
    before = [path for path in chosen if path.name.startswith("06")]
    in_lanes = lanes(chosen)

    async def execute_lane(paths: list[Path], number: int) -> None:
        for path in paths:
            if before and path.name.startswith(WAITS_FOR_BEST_MODEL):
                await best_model.wait()
            place = f"[{chosen.index(path) + 1}/{len(chosen)}]"
            progress = Progress(f"{place} {path.stem}", running)
            start = _on_share(number, len(in_lanes))
            await execute(path, folder / path.name, progress, start)
            seconds[path] = progress.close()
            if path in before:
                best_model.set()

    await asyncio.gather(*map(execute_lane, in_lanes, range(len(in_lanes))))
    return seconds


def _on_share(number: int, shares: int) -> dict:
    """Return what keeps a new process on one of equal shares of this process's cores, for Popen."""
    share = processor.share(number, shares)
    return {"preexec_fn": functools.partial(os.sched_setaffinity, 0, share)} if share else {}


async def execute(path: Path, target: Path, progress: Progress, start: dict) -> None:
    """Execute a notebook in its own folder and write it to `target`, also when a cell fails.

    `progress` notes every cell; `start` holds arguments of `subprocess.Popen` for the kernel.

    Raises:
        ValueError: If a cell fails, or the kernel dies or does not start.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    notebook = nbformat.read(path, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    progress.total = len(cells)
    # Sockets in a folder of its own, not on TCP, of which Jupyter warns.
    with tempfile.TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=None,
            startup_timeout=START,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_execute=progress.start_cell,
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/k"}}),
        )
        try:
            await client.async_execute(env=environment_of(path, target.parents[1]), **start)
        except (CellExecutionError, RuntimeError) as error:
            reason = "the kernel died or did not start, perhaps for lack of memory"
            if isinstance(error, CellExecutionError):
                reason = f"{error.ename}: {error.evalue}"
            raise ValueError(
                f"{path.name} failed in cell {progress.cell} of {progress.total} with {reason}; "
                f"the notebook so far is {target}."
            ) from error
        finally:
            _add_alternative_texts(notebook)
            with replacing(target) as temporary:
                nbformat.write(notebook, temporary)


def _add_alternative_texts(notebook: nbformat.NotebookNode) -> None:
    """Set what is shown in the place of each plot, its titles, as the text of the HTML image."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                alternative = output["data"].get("text/plain", "Figure")
                output.metadata.setdefault("image/png", {})["alt"] = alternative


class Progress:
    """Print which cell of a notebook runs and how many seconds it has taken so far.

    A terminal sees one line that changes, with every notebook of the list `running`, to which
    this one belongs until it is done; a log gets a line of each at most every half minute.
    """

    PAUSE = 30

    def __init__(self, name: str, running: list[Progress]):
        self.name, self.running, self.total, self.cell = name, running, 0, 0
        self.started = self.printed = time.monotonic()
        self.on_terminal = sys.stdout.isatty()
        self.running.append(self)

    def start_cell(self, cell, cell_index: int) -> None:
        """Note that a cell starts, as nbclient's `on_cell_execute` tells it."""
        self.cell += 1
        now = time.monotonic()
        if self.on_terminal:
            self._show_running()
        elif self.cell == 1 or now - self.printed >= self.PAUSE:
            print(self.line(now), flush=True)
            self.printed = now

    def close(self) -> float:
        """Print that the notebook is done, and return the seconds that it took."""
        seconds = time.monotonic() - self.started
        self.running.remove(self)
        start = "\r" + CLEAR_LINE if self.on_terminal else ""
        print(f"{start}{self.name}: {self.total} cells in {seconds:.0f} s", flush=True)
        if self.on_terminal and self.running:
            self._show_running()
        return seconds

    def line(self, now: float) -> str:
        """Return the notebook, its cell and its seconds so far."""
        return f"{self.name}: cell {self.cell} of {self.total}, {now - self.started:.0f} s"

    def _show_running(self) -> None:
        now = time.monotonic()
        shown = "   ".join(progress.line(now) for progress in self.running)
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{CLEAR_LINE}{shown[:width]}", end="", flush=True)


def environment_of(path: Path, build: Path) -> dict[str, str]:
    """Return a notebook's environment: folders, TensorFlow where it needs gradients of layers."""
    # A backend of Matplotlib that was chosen for scripts would leave a notebook without figures.
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    forced = {"KERAS_BACKEND": "tensorflow"} if path.name.startswith(NEED_TENSORFLOW) else {}
    # The notebooks run in their own folder.
    named = ("HAM10000_DIR", "PRETRAINED_DIR", "EXTERNAL_DIR")
    folders = {"LESIONS_BUILD": build} | {name: named_by(name) for name in named if named_by(name)}
    found = {name: str(Path(folder).resolve()) for name, folder in folders.items()}
    return inherited | found | forced


@functools.cache
def _exporter():
    from nbconvert import HTMLExporter

    # Of the two templates this is the one that writes alternative texts.
    return HTMLExporter(embed_images=True, template_name="classic")


def render(path: Path) -> Path:
    """Render an executed notebook as an HTML page in the same folder, and return its path."""
    body, _ = _exporter().from_filename(str(path))
    page = path.with_suffix(".html")
    page.write_text(body, encoding="utf-8")
    return page


def title(path: Path) -> str:
    """Read a notebook's title: the first heading of its first cell."""
    first = nbformat.read(path.with_suffix(".ipynb"), 4).cells[0].source
    return re.search(r"^# (.+)$", first, re.MULTILINE).group(1)


def write_index(folder: Path, rendered: list[tuple[Path, float]]) -> Path:
    """Write index.html, which links HTML pages and names the seconds that each notebook took."""
    rows = "\n".join(
        f'<li><a href="{page.name}">{html.escape(title(page))}</a> <small>{seconds:.0f} s</small>'
        for page, seconds in rendered
    )
    path = folder / "index.html"
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Skin-lesion study</title>"
        "<style>body{font:18px/1.6 system-ui;max-width:42em;margin:3em auto;padding:0 1em}"
        "small{color:#666}</style>"
        f"<h1>Skin-lesion study</h1><ol>\n{rows}\n</ol>"
        f"<p><strong>{classes.NOTICE}</strong></p><p><small>{classes.CREDIT}</small></p></html>\n",
        encoding="utf-8",
    )
    return path
