"""Tables for the pages, and the columns of a number with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def markdown(header: str, rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown: its first line, "| a | b |", and the cells of each row."""
    lines = [header, "|" + " --- |" * (header.count("|") - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


def interval_columns(name: str, interval: Mapping) -> dict[str, float]:
    """Name value, low and high as `evaluation.Interval.of` reads them from a row."""
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {f"{name}{end}": interval[key] for end, key in ends.items()}
