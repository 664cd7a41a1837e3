"""The table that `predict` writes: safe cells, and rows that outlive a stopped command."""

import contextlib
import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from tqdm import tqdm

from lesions.cli.outputs import model_files, named_in_errors
from lesions.data import UNKNOWN_PATIENT, Patient
from lesions.data.cells import to_cell
from lesions.inference import COLUMNS, COLUMNS_WITH_PATIENT, Classifier
from lesions.system import files


def write_answers(
    classifier: Classifier,
    paths: list[str],
    output,
    batch_size: int = 32,
    resume: bool = False,
    progress: bool = False,
    patients: Mapping[str, Patient] | None = None,
) -> tuple[int, int]:
    """Write the answers to photographs as CSV, six digits a probability.

    Rows go into `<output>.<digest>.partial` as they come, which stays if the command is stopped.

    Args:
        classifier: The network.
        paths: The photographs.
        output: The table.
        batch_size: Photographs a step.
        resume: Whether undamaged rows that a stopped command left are kept, where their
            photographs and patients did not change.
        progress: Whether a bar on stderr shows how far it is.
        patients: As for `Classifier.classify`; with it the table has a column patient.

    Returns:
        How many rows the table has, and how many of them have an error.

    Raises:
        ValueError: If the file cannot be written, or another command is writing it.
    """
    output = Path(output)
    columns = COLUMNS if patients is None else COLUMNS_WITH_PATIENT
    partial = output.with_name(f"{output.name}.{_digest(classifier, columns)}.partial")
    with named_in_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with _Log(partial, resume, columns, patients or {}) as log:
            missing = [path for path in paths if not log.holds(path)]
            rows = classifier.classify(log.with_states(missing), batch_size, patients)
            done = len(paths) - len(missing)
            bar = {"total": len(paths), "initial": done, "unit": "images", "disable": not progress}
            for row in tqdm(rows, **bar):
                log.append(row)
            unreadable = _write_table(columns, log.rows(paths), output)
        partial.unlink(missing_ok=True)
    return len(paths), unreadable


def _write_table(columns, rows: Iterable[list[str]], output: Path) -> int:
    unreadable = 0
    with (
        files.replacing(output) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for row in rows:
            table.writerow(row)
            unreadable += bool(row[-1])
    return unreadable


def _digest(classifier: Classifier, columns) -> str:
    """Return eight digits that differ with the network and its files, the views and the columns."""
    digest = hashlib.sha256(f"{classifier.tta} {columns}".encode())
    for path in model_files(classifier.path):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


class _Log:
    """Rows as they come, each with the state of its photograph and a check of its own.

    A row is one line: the cells of the table, the photograph's size, time of change and patient,
    and a digest of all that. Lines that a power cut damaged, and those of photographs or patients
    that changed since, count as not there. Only places of rows are held in memory.
    """

    def __init__(self, path: Path, resume: bool, columns, patients: Mapping[str, Patient]):
        self.path, self._columns, self._patients = path, columns, patients
        self._file = _opened_alone(path)
        if not resume:
            self._file.truncate(0)
        self._places: dict[str, int] = {}
        self._states: dict[str, str] = {}
        self._file.seek(0)
        place = 0
        for line in iter(self._file.readline, b""):
            row = self._checked(line)
            if row and row[-1] == self._state(unquote(row[0], errors="surrogateescape")):
                self._places[row[0]] = place
            place += len(line)
        if place and not line.endswith(b"\n"):
            self._file.write(b"\n")

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
        if not self._places:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def holds(self, path: str) -> bool:
        """Return whether there is a row for a photograph as it is now."""
        return to_cell(path) in self._places

    def with_states(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield paths, noting the state of each photograph before it is read."""
        for path in paths:
            self._states[path] = self._state(path)
            yield path

    def append(self, row: dict) -> None:
        """Append a row of `Classifier.classify`."""
        cells = [
            f"{value:.6f}" if isinstance(value, float) else to_cell(value) for value in row.values()
        ]
        cells.append(self._states.pop(row["image"], ""))
        place = self._file.seek(0, os.SEEK_END)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([*cells, _check(cells)])
        self._file.write(text.getvalue().encode("utf-8"))
        self._file.flush()  # what is answered outlives the process
        self._places[cells[0]] = place

    def rows(self, paths: Iterable[str]) -> Iterator[list[str]]:
        """Yield the cells of the table for each path."""
        for path in paths:
            self._file.seek(self._places[to_cell(path)])
            yield self._checked(self._file.readline())[: len(self._columns)]

    def _checked(self, line: bytes) -> list[str]:
        """Return the cells of a whole line, and [] for a damaged one."""
        line = line.lstrip(b"\0")  # a power cut may have left these in place of the rows before
        try:
            (row,) = csv.reader([line.decode("utf-8")], strict=True)
        except (ValueError, csv.Error):
            return []
        *cells, check = row or [""]
        expected = len(self._columns) + 1
        whole = len(cells) == expected and check == _check(cells) and line.endswith(b"\n")
        return cells if whole else []

    def _state(self, path: str) -> str:
        """Return size and times of change of a file, or "missing", and its patient in words."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return "missing"
        patient = self._patients.get(path, UNKNOWN_PATIENT).describe()
        # A copy may bring the time of its content along, but not the other one.
        times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
        return f"{status.st_size} {times} {patient}".strip()


def _opened_alone(path: Path):
    """Open a file for appending, unless another process has done so and the system tells."""
    file = open(path, "a+b")
    try:
        files.lock(file)
    except BlockingIOError as error:
        file.close()
        raise ValueError(
            f"Another command is writing {path}; wait for it, or name another --output."
        ) from error
    return file


def _check(cells: list[str]) -> str:
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()[:16]
