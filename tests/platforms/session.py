"""Execute one notebook as a platform does; started by its own Python in a simulated session."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def execute(source: Path, cells: int | None) -> str:
    """Execute a notebook in the current folder.

    Args:
        source: The notebook.
        cells: How many code cells are executed; None for all.

    Returns:
        The error that stopped it, or "".
    """
    notebook = nbformat.read(source, 4)
    if cells is not None:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        notebook.cells = code[:cells]
    # Files instead of TCP, because a session without a network has no address of its own.
    with tempfile.TemporaryDirectory() as sockets:
        manager = AsyncKernelManager(
            kernel_name="python3", transport="ipc", ip=str(Path(sockets) / "k")
        )
        client = NotebookClient(notebook, km=manager, timeout=600)
        try:
            client.execute()
        except CellExecutionError as error:
            return f"{error.ename}: {error.evalue}"
        finally:
            nbformat.write(notebook, source.name)
    return ""


if __name__ == "__main__":
    stopped = execute(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    print(stopped)
    sys.exit(bool(stopped))
