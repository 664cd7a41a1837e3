"""Read tables of text, whatever separates their columns, and check their cells."""

import csv
import io
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from lesions.data import values

MAXIMUM_BYTES = 200_000_000
HEADER_BYTES = 4_096
# A first line that names the separator for Excel.
SEPARATOR_LINE = re.compile(r'\A"?sep=.?"?(?=[\r\n])', re.IGNORECASE)


def read_cells(path) -> pd.DataFrame:
    """Read a table of text, whatever separates its columns.

    Args:
        path: A file of comma, semicolon, tab or bar separated values, UTF-8 (a byte-order mark
            is fine) or UTF-16.

    Returns:
        The cells as str, under the columns' names in lower case, indexed by the row's line in the
        file. Rows without content and columns without a name are dropped.

    Raises:
        ValueError: If it is not such a table; names the file and, where it can, the row.
    """
    path = Path(path)
    # Its line end stays, so that rows keep their numbers.
    content = SEPARATOR_LINE.sub("", _read_text(path))
    separator = _separator(content)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    lines, rows = [], []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append(reader.line_num)
                rows.append(cells)
    except csv.Error as error:
        raise ValueError(
            f"{path.name}, row {reader.line_num} cannot be read ({error}); correct that row."
        ) from error
    if not rows:
        raise ValueError(f"{path.name} is empty; download it again.")
    names = [values.text(name).lower() for name in rows[0]]
    for line, cells in zip(lines[1:], rows[1:], strict=True):
        if len(cells) != len(names):
            raise ValueError(
                f"{path.name}, row {line} has {len(cells)} cells and the header {len(names)}; "
                "put a cell that holds the separator in quotes, or correct that row."
            )
    twice = [name for name, number in Counter(names).items() if name and number > 1]
    if twice:
        raise ValueError(f"{path.name} has two columns {twice[0]!r}; remove one of them.")
    if len(rows) == 1:
        raise ValueError(f"{path.name} has no rows; download it again.")
    table = pd.DataFrame(rows[1:], columns=names, index=lines[1:], dtype=object)
    return table.loc[:, [bool(name) for name in names]]


def column_names(path) -> list[str]:
    """Return the names that `read_cells` would find; none where the start is no table."""
    try:
        with open(path, "rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError:
        return []
    content = SEPARATOR_LINE.sub("", start.decode(_encoding_of(start), errors="replace"))
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=_separator(content))
    try:
        header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    except csv.Error:
        return []
    return [values.text(name).lower() for name in header]


def _separator(content: str) -> str:
    header = next((line for line in content.splitlines() if line.strip()), "")
    return max(",;\t|", key=header.count)


def _encoding_of(start: bytes) -> str:
    return "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise ValueError(f"{path.name} has over 200 MB, which no table here has; check it.")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check the file.") from error
    try:
        decoded = content.decode(_encoding_of(content))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path.name} is not a table in UTF-8 ({error.reason} at byte {error.start}); "
            "save it as CSV UTF-8 or download it again."
        ) from error
    if "\x00" in decoded:
        raise ValueError(f"{path.name} is damaged (it holds zero bytes); download it again.")
    return decoded


def check_unique(cells: pd.DataFrame, column: str, name: str) -> None:
    """Raise ValueError if an id is in two rows; tables are indexed by line, here and below."""
    twice = cells[cells[column].duplicated()]
    if len(twice):
        raise ValueError(
            f"{name}, row {twice.index[0]} repeats the image id {twice.iloc[0][column]}; "
            "remove one of the two rows."
        )


def check_filled(table: pd.DataFrame, name: str, columns) -> None:
    """Raise ValueError if a column of text has an empty cell."""
    for column in columns:
        empty = table.index[table[column].str.lower().isin(("", "nan", "null"))]
        if len(empty):
            raise ValueError(f"{name}, row {empty[0]} has no {column}; fill it in.")


def tidy_patients(table: pd.DataFrame, name: str) -> None:
    """Bring age, sex and localization to one form in place; a ValueError names what makes none."""
    for column, convert in (("age", values.age), ("sex", values.sex)):
        known = {}
        for line, cell in table[column].drop_duplicates().items():
            try:
                known[cell] = convert(cell)
            except ValueError as error:
                raise ValueError(
                    f"{name}, row {line} has the {column} {cell!r}; {error}."
                ) from error
        table[column] = [known[cell] for cell in table[column]]
    table["localization"] = table["localization"].map(values.site)


def note_sites(table: pd.DataFrame, name: str, notes: list[str]) -> None:
    """Append a sentence on body sites that HAM10000 does not know, where there are any."""
    unknown = table[~table["localization"].map(values.is_known_site)]
    if len(unknown):
        notes.append(
            f"{name}: {len(unknown)} rows have a localization that HAM10000 does not know (the "
            f"first is {unknown.iloc[0]['localization']!r}, row {unknown.index[0]}), which a "
            "network with patient data takes as unknown."
        )


def to_cell(text: str) -> str:
    """Write a text, such as a file name, so that no reader of the table misreads it.

    Line ends, control characters, bytes that are no text, `%` itself, and a first character that
    spreadsheets take for a formula are percent-encoded, as in web addresses.
    `urllib.parse.unquote(cell, errors="surrogateescape")` returns the file name.
    """
    text = "".join(_encoded(one) if one == "%" or not one.isprintable() else one for one in text)
    return _encoded(text[0]) + text[1:] if text.startswith(("=", "+", "-", "@")) else text


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
