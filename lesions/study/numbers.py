"""Numbers in the Markdown of the notebooks, filled in from what is recorded.

A sentence that quotes a result marks it: `<!--{best_auc:.3f}-->0.965<!--/-->`. The first comment
is a field of Python's format strings, its name one of `facts`; a reader sees only what stands
between the comments. So sentences stay where they are read, and numbers follow the results.
Numbers of other people are marked, too: `<!--published-->0.885<!--/-->`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import nbformat

from lesions.system.files import replacing

MARK = re.compile(r"<!--(\{[^{}]+\})-->(.*?)<!--/-->", re.DOTALL)


def fill(text: str, facts: Mapping) -> str:
    """Write the values of facts into the marks of a text; marks of other names stay as they are."""

    def written(mark: re.Match) -> str:
        name = re.match(r"\{(\w+)", mark[1])[1]
        if name not in facts:
            return mark[0]
        value = re.sub(r"(?<!\w)-(?=[\d.])", "−", mark[1].format(**facts))
        return f"<!--{mark[1]}-->{value}<!--/-->"

    return MARK.sub(written, text)


def update(path, facts: Mapping) -> Path:
    """Fill the marks of a notebook's Markdown by name, write it, and return its path."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, facts)
    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)
    return Path(path)
