"""The notebooks' prose: its numbers are those of the records, its form is the same everywhere."""

import base64
import dataclasses
import functools
import io
import re
import symtable

import nbformat
import numpy as np
import pandas as pd
import pytest
from pages import read_notebook
from PIL import Image

from lesions import data
from lesions.evaluation import Interval
from lesions.study import facts, numbers, publishing, readme, recipes
from lesions.study.facts import common, trainings

NOTEBOOKS = publishing.notebooks()
BY_NAME = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# STYLE: what readers had to guess at.
STUMBLED_OVER = (
    "third leg|most exceeds its frequency|clear of zero|across zero|moves the line|a little kind|"
    "told age|who always answers|nothing reaches|taken for|foretold|under the knife|"
    "stops at nothing|stands beside|wears? the colour|by one look"
)
# Levels that a method fixes; everything else with a decimal point or a per cent sign is a result.
OF_THE_METHOD = r"95% intervals?|9[05]% specificity|are 95%,"
NUMBER = r"[−-]?\d*\.?\d+"


def prose(path):
    cells = read_notebook(path).cells
    return [cell.source for cell in cells if cell.cell_type == "markdown"]


def names(text):
    """The facts that a text marks."""
    return {re.match(r"\{(\w+)", mark[1])[1] for mark in numbers.MARK.finditer(text)}


def without_marks(text):
    return re.sub(r"(?s)<!--published-->.*?<!--/-->", "", numbers.MARK.sub("", text))


def as_numbers(text):
    return [float(one.replace("−", "-")) for one in re.findall(NUMBER, text.replace(",", ""))]


def test_a_mark_is_filled_and_only_where_its_fact_is_known():
    text = "AUC <!--{auc:.2f}-->?<!--/-->, of <!--{other:,}-->12<!--/--> lesions."
    filled = numbers.fill(text, {"auc": Interval(0.9, -0.5, 0.95)})
    assert filled == (
        "AUC <!--{auc:.2f}-->0.90 (−0.50 to 0.95)<!--/-->, of <!--{other:,}-->12<!--/--> lesions."
    )
    assert numbers.fill(filled, {"auc": 0.7}).startswith("AUC <!--{auc:.2f}-->0.70<!--/-->,")


def test_an_interval_says_whether_it_includes_zero():
    assert Interval(0.1, -0.1, 0.3).zero == "includes zero"
    assert f"the interval {Interval(0.2, 0.1, 0.3).zero}" == "the interval excludes zero"


def test_names_are_listed_as_a_sentence_does():
    assert common.listed(["mel"]) == "`mel`" and common.listed([]) == "none"
    assert common.listed(["very light", "light", "tan"], code=False) == "very light, light and tan"


def test_notebooks_are_chosen_by_their_numbers():
    assert [path.name[:2] for path in publishing.notebooks(["07", "02"])] == ["02", "07"]
    with pytest.raises(ValueError, match="no notebook '12'; use 01, 02"):
        publishing.notebooks(["12"])


def check(path, found, whole):
    """Compare the marked numbers of a notebook with facts."""
    for text in prose(path):
        known = [mark for mark in numbers.MARK.finditer(text) if names(mark[0]) <= set(found)]
        assert whole <= (len(known) == len(numbers.MARK.findall(text))), text
        for mark in known:
            computed = numbers.MARK.search(numbers.fill(mark[0], found))[2]
            words = [re.sub(NUMBER, "#", one.replace(",", "")) for one in (mark[2], computed)]
            assert words[0] == words[1], mark[0]
            # Other libraries may move a last digit.
            assert as_numbers(mark[2]) == pytest.approx(as_numbers(computed), abs=0.0025, rel=0.02)


# Two tests need them, and their intervals take seconds a notebook.
of_the_runs = functools.cache(facts.of)


def test_facts_of_the_data_are_not_kept_for_who_asks_without(monkeypatch):
    kept = {"of runs": 1}
    monkeypatch.setitem(facts.OF_THE_RUNS, "02", lambda: kept)
    monkeypatch.setitem(facts.OF_THE_DATA, "02", lambda metadata: {"of data": 2})
    assert facts.of("02", "a table") == {"of runs": 1, "of data": 2}
    assert facts.of("02") == {"of runs": 1}


@pytest.mark.parametrize("weights", [(0.5, 0.4), (0.4, 0.5)])
def test_two_stages_of_one_training_are_named_so_whichever_weighs_more(weights):
    *_, earlier, later = (
        common.recorded_run(recipes.config(recipes.BEST, "cpu", **stage)).folder.name
        for stage in recipes.STAGES["cpu"]
    )
    entries = dict(common.recorded_entries())
    members = dict(zip((earlier, later), weights, strict=True)) | {"resnet50-128px-seed43": 0.1}
    entries["ensemble"] = dataclasses.replace(entries["ensemble"], members=members)
    assert trainings._weights(entries)["line"] == "stages of one training"


@BY_NAME
def test_numbers_are_those_of_the_recorded_runs(path):
    number = path.stem[:2]
    check(path, of_the_runs(number), whole=number not in facts.OF_THE_DATA)


def test_numbers_are_those_of_the_data_set(ham10000_table):
    metadata = data.with_split(ham10000_table)
    for path in NOTEBOOKS:
        number = path.stem[:2]
        of_the_data = facts.OF_THE_DATA.get(number, lambda metadata: {})
        # Kaggle's copy holds no masks, of which notebook 01 quotes numbers.
        whole = number != "01" or metadata["mask_path"].notna().any()
        check(path, of_the_runs(number) | of_the_data(metadata), whole)


@pytest.mark.parametrize(
    ("number", "fact"),
    [("04", "gap_auc[imagenet_longer]"), ("05", "ensemble_auc")],
)
def test_figures_are_titled_with_what_the_prose_quotes(number, fact):
    (path,) = [path for path in NOTEBOOKS if path.stem.startswith(number)]
    outputs = [one for cell in read_notebook(path).cells for one in cell.get("outputs", [])]
    captions = " ".join(one.get("data", {}).get("text/plain", "") for one in outputs)
    quoted = f"{{{fact}:+.3f}}".format(**of_the_runs(number)).replace("-", "−")
    assert quoted in captions


@BY_NAME
class TestProse:
    def test_results_are_quoted_in_marks_alone(self, path):
        for text in prose(path)[1:]:  # the card holds durations
            plain = re.sub(r"\(http\S+\)|`[^`]*`", "", without_marks(text))
            plain = re.sub(OF_THE_METHOD, "", plain)
            found = re.findall(r"(?<![\w.])[−+-]?0?\.\d+|\d+(?:\.\d+)?%", plain)
            assert not found, f"{found} in {text[:200]}"

    def test_a_mark_never_starts_a_line(self, path):
        # Such a line would be HTML, and its Markdown would stay as it is.
        for text in prose(path):
            assert not re.search(r"^[\s>*-]*<!--", text, re.MULTILINE), text[:200]
            # In a code span, the comment would be seen.
            assert not [code for code in re.findall(r"`([^`]*)`", text) if "<!--" in code]

    def test_the_answer_stands_in_front_and_at_the_end(self, path):
        box, end = prose(path)[1], prose(path)[-1]
        assert box.startswith("> **In three lines**")
        items = re.findall(r"^> - \*(\w+(?: \w+)?):\*", box, re.MULTILINE)
        assert items == ["Asked", "Found", "Not shown"]
        assert names(box), "the box quotes no result"
        assert end.startswith("## What came out") and names(end)
        assert "Not for clinical use" in end and "Tschandl" in end
        assert re.search(r"^(Next|Back to the start): \[.+\]\(.+\.ipynb\)", end, re.MULTILINE)

    def test_code_prints_no_sentences_of_results(self, path):
        cells = read_notebook(path).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        assert not [source for source in code if "Markdown(" in source]

    def test_no_cell_overwrites_what_another_imports(self, path):
        # The cells that use the module would fail when they are run again.
        cells = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
        tables = [symtable.symtable(cell.source, path.name, "exec") for cell in cells]
        symbols = [symbol for table in tables for symbol in table.get_symbols()]
        imported = {symbol.get_name() for symbol in symbols if symbol.is_imported()}
        assigned = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
        assert "utils" in imported and not imported & assigned

    def test_figures_are_no_wider_than_a_page(self, path):
        for cell in read_notebook(path).cells:
            for output in cell.get("outputs", []):
                for kind in ("image/png", "image/jpeg"):
                    if kind in output.get("data", {}):
                        width = output.metadata.get(kind, output.metadata)["width"]
                        assert width <= 930, cell.source[:200]


@pytest.mark.parametrize("page", [*readme.pages(), *publishing.notebooks()], ids=lambda p: p.name)
def test_words_that_readers_stumbled_over_are_gone(page):
    text = page.read_text(encoding="utf-8")
    text = re.sub(r'"image/\w+": ".+?"', "", text)
    found = re.search(STUMBLED_OVER, text)
    assert not found, f"{page.name}: {found.group()}"


def picture(width, height, tags=()):
    """A code cell that shows a picture of this size."""
    with io.BytesIO() as buffer:
        Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
        data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    output = nbformat.v4.new_output("display_data", data)
    return nbformat.v4.new_code_cell(outputs=[output], metadata={"tags": list(tags)})


def test_a_small_bar_keeps_its_colour_when_a_plot_is_compressed():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 1), dtype=np.uint8)
    pixels = np.tile(pixels, 3)
    pixels[:100, :, :] = np.arange(300)[:, None] % 256 // [1, 2, 3]
    pixels[200:204, 100:104] = (204, 121, 167)
    with io.BytesIO() as buffer:
        Image.fromarray(pixels).save(buffer, "PNG")
        packed = publishing._smaller(base64.b64encode(buffer.getvalue()).decode())
    with Image.open(io.BytesIO(base64.b64decode(packed))) as plot:
        found = np.asarray(plot.convert("RGB"), int)[202, 102]
    assert np.abs(found - (204, 121, 167)).max() < 20


def test_a_published_notebook_is_the_same_after_every_run():
    published = []
    for _ in range(2):
        table = pd.DataFrame({"share": [0.25, 0.5]}).style.format("{:.0%}")
        shown = {"text/html": table.to_html(), "text/plain": repr(table)}
        cells = [
            nbformat.v4.new_code_cell(
                outputs=[nbformat.v4.new_output("display_data", shown) for _ in range(2)], id=name
            )
            for name in ("first", "second")
        ]
        notebook = nbformat.v4.new_notebook(cells=cells)
        publishing._strip(notebook)
        published.append(nbformat.writes(notebook))
    assert published[0] == published[1] and "25%" in published[0]
    tables = set(re.findall(r'<table id=\\"(\w+)\\"', published[0]))
    assert len(tables) == 4  # else the styles of one would be those of another


def test_a_thumbnail_is_of_the_tagged_cell_or_the_first_picture(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# A"), picture(800, 400), picture(600, 600, ["x"])]
    path = publishing.write_thumbnail(nbformat.v4.new_notebook(cells=cells), "01_explore", tmp_path)
    assert path == tmp_path / "01.jpg"
    with Image.open(path) as small:
        assert small.size == (300, 150)
    cells[2].metadata["tags"] = [publishing.THUMBNAIL]
    publishing.write_thumbnail(nbformat.v4.new_notebook(cells=cells), "01_explore", tmp_path)
    with Image.open(path) as small:
        assert small.size[0] == small.size[1] == max(small.size)
    with pytest.raises(ValueError, match="01_explore shows no picture"):
        publishing.write_thumbnail(nbformat.v4.new_notebook(), "01_explore", tmp_path)


def test_thumbnails_are_small_and_in_the_readme():
    text = (publishing.REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = sorted(publishing.THUMBNAILS.glob("*.jpg"))
    assert [path.stem for path in found] == [path.stem[:2] for path in publishing.notebooks()]
    assert sum(path.stat().st_size for path in found) < 400_000
    for path in found:
        assert f"docs/thumbnails/{path.name}" in text
