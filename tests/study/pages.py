"""What several tests read: pages, their blocks of numbers, and notebooks."""

import functools
import re

import nbformat
import pytest

from lesions.study import readme


def same_numbers(shown, computed, tolerance=0.0025):
    """Compare two texts word for word, their numbers with a tolerance for other libraries."""
    number = r"-?\d+\.\d+|-?\.\d+"
    assert re.sub(number, "#", shown) == re.sub(number, "#", computed)
    pairs = [[float(one) for one in re.findall(number, text)] for text in (shown, computed)]
    assert pairs[0] == pytest.approx(pairs[1], abs=tolerance)


def shown(name):
    """The block of this name on the page that has it."""
    texts = [path.read_text(encoding="utf-8") for path in readme.pages()]
    (text,) = [text for text in texts if f"<!-- {name}:start -->" in text]
    return text.split(f"<!-- {name}:start -->")[1].split(f"<!-- {name}:end -->")[0].strip()


@functools.cache
def read_notebook(path):
    """A notebook that no test changes; reading one checks it, which takes a while."""
    return nbformat.read(path, 4)
