"""Tables for the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(header: str, rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown: its first line, "| a | b |", and the cells of each row."""
    lines = [header, "|" + " --- |" * (header.count("|") - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])
