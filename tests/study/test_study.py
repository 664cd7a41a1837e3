"""The study as a whole: notebooks, README, recorded results."""

import ast
import dataclasses
import importlib
import json
import os
import re
import shutil
import signal
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import tiny
from pages import read_notebook, same_numbers, shown

from lesions import classes, data, evaluation, training
from lesions.data import images, leaky_splits
from lesions.evaluation import comparison, predictions
from lesions.explanation import measurements
from lesions.networks import models, views
from lesions.study import (
    best_model,
    execution,
    gains,
    leakage,
    opening,
    other_clinics,
    pilot,
    publishing,
    readme,
    recipes,
    running,
)
from lesions.study.facts.common import comparison_table, recorded_entries
from lesions.system import processor
from lesions.system.folders import MODELS
from lesions.training import photographs, runs

NAMES = [
    "01_explore_data",
    "02_class_balance_and_augmentation",
    "03_train_cnn",
    "04_train_pretrained",
    "05_train_hybrids",
    "06_compare_models",
    "07_why_not_97_percent",
    "08_grad_cam",
    "09_use_the_model",
    "10_other_clinics",
]
NOTEBOOKS = publishing.notebooks()
README = (publishing.REPOSITORY / "README.md").read_text(encoding="utf-8")


def code_cells(path: Path) -> list:
    cells = read_notebook(path).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def test_the_notebooks_are_there_and_in_the_readme():
    assert [path.stem for path in NOTEBOOKS] == NAMES
    for path in NOTEBOOKS:
        assert f"(notebooks/{path.name})" in README


def test_one_short_setup_cell_serves_every_notebook():
    (source,) = {code_cells(path)[0].source for path in NOTEBOOKS}
    assert len(source.splitlines()) <= 8


def test_setup_cell_finds_the_repository_that_it_fetched_before(tmp_path, python):
    (tmp_path / "study" / "lesions" / "cli").mkdir(parents=True)
    (tmp_path / "study" / "utils.py").write_text("REPOSITORY = 'fetched before'")
    (tmp_path / "utils.py").write_text("raise ImportError('of somebody else')")
    code = f"import os; os.chdir({str(tmp_path)!r})\n{code_cells(NOTEBOOKS[0])[0].source}"
    assert python(code + "\nprint(utils.REPOSITORY)").strip() == "fetched before"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_card_has_badges_for_this_very_file(self, path):
        card = read_notebook(path).cells[0].source
        assert card.startswith("# ")
        assert re.search(r"Needs .+ · Makes .+ · Time ", card)
        assert classes.NOTICE in card
        blob = f"{publishing.address()}/blob/main/notebooks/"
        assert f"colab.research.google.com/github/{blob}{path.name})" in card
        assert f"kernels/welcome?src=https://github.com/{blob}{path.name})" in card

    def test_every_address_agrees(self, path):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"github(?:\.com)?/([\w.-]+/[\w.-]+)/blob", text)
        found += re.findall(r"clone .+ https://github\.com/([\w.-]+/[\w.-]+) /tmp/study", text)
        assert len(found) == 3
        assert set(found) == {publishing.address()}

    def test_cells_are_short_and_knobs_are_explained(self, path):
        cells = code_cells(path)
        assert max(len(cell.source.splitlines()) for cell in cells) <= 30
        knobs = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
        assert len(knobs) == 1
        for line in knobs[0].source.splitlines():
            assert "#" in line, f"{line!r} has no comment"

    def test_committed_outputs_are_of_one_clean_run(self, path):
        notebook = read_notebook(path)
        cells = code_cells(path)
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        assert "widgets" not in notebook.metadata
        for cell in cells:
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr", output.get("text", "")[:300]
        assert path.stat().st_size < 1_000_000

    def test_takes_from_the_package_what_is_there(self, path):
        tree = ast.parse("\n".join(cell.source for cell in code_cells(path)))
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("lesions"):
                for name in node.names:
                    room = importlib.import_module(node.module)
                    if hasattr(room, "__path__") and not hasattr(room, name.name):
                        importlib.import_module(f"{node.module}.{name.name}")
                    modules[name.asname or name.name] = getattr(room, name.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in modules:
                    assert hasattr(modules[node.value.id], node.attr), ast.unparse(node)

    def test_links_lead_somewhere(self, path):
        for cell in read_notebook(path).cells:
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\(([\w./-]+\.(?:ipynb|md))\)", cell.source):
                    assert (path.parent / target).exists(), target


def test_links_lead_somewhere():
    for page in (*readme.pages(), publishing.REPOSITORY / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(((?!https?:)[^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_is_short():
    words = [word for word in README.split() if re.search(r"\w", word)]
    assert len(words) <= 1500
    table = shown("results").splitlines()
    rows = [line for line in table if line.startswith("|")]
    assert len(rows) <= 12 and all(line.count("|") == 7 for line in rows)


def test_address_is_rewritten_everywhere(tmp_path, monkeypatch):
    for name in ("README.md", "notebooks"):
        source = publishing.REPOSITORY / name
        if source.is_dir():
            (tmp_path / name).mkdir()
            for path in NOTEBOOKS:
                (tmp_path / name / path.name).write_bytes(path.read_bytes())
        else:
            (tmp_path / name).write_bytes(source.read_bytes())
    monkeypatch.setattr(publishing, "REPOSITORY", tmp_path)
    monkeypatch.setattr(publishing, "NOTEBOOKS", tmp_path / "notebooks")
    old = publishing.address()
    changed = publishing.set_address("https://github.com/somebody/some-study.git")
    assert len(changed) == 1 + len(NOTEBOOKS)
    assert publishing.address() == "somebody/some-study"
    for path in changed:
        text = path.read_text(encoding="utf-8")
        assert old not in text
        json.loads(text) if path.suffix == ".ipynb" else None
    with pytest.raises(ValueError, match="correct it"):
        publishing.set_address("somebody/some-study")


RECORDED = comparison.run_folders(MODELS)


def test_recorded_results_are_what_the_predictions_say(tmp_path):
    assert RECORDED, "models/ holds no recorded run"
    table = comparison.compare(recorded_entries())
    same_numbers(shown("answer"), readme.answer_block(table))
    same_numbers(shown("results"), readme.steps_block(table))
    same_numbers(shown("networks"), readme.results_block(table))
    best = comparison.best_row(table)["run"]
    same_numbers(shown("gains"), gains.gains_block(recorded_entries(), best))
    same_numbers(shown("lesions"), gains.lesions_block(recorded_entries(), best))
    recorded = pd.read_csv(MODELS / "comparison.csv")
    path = comparison.write_comparison(table, tmp_path / "comparison.csv")
    pd.testing.assert_frame_equal(recorded, pd.read_csv(path), atol=2e-3, rtol=2e-3)


def test_a_step_without_a_run_is_named():
    table = comparison_table()
    with pytest.raises(ValueError, match="no run of CNN from scratch"):
        readme.steps_block(table[table["architecture"] != "cnn"])


def test_notebook_06_shows_the_recorded_runs():
    notebook = read_notebook(publishing.NOTEBOOKS / "06_compare_models.ipynb")
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    table = pd.read_csv(MODELS / "comparison.csv")
    networks = table.loc[table["run"] != "ensemble", "networks"].sum()
    assert f"{networks} networks, " in outputs
    for name in comparison.plain_names(table.fillna({"class_balance": ""})):
        assert name in outputs


def test_pages_show_what_the_recorded_leakage_runs_say():
    same_numbers(shown("leakage"), leakage.block())


def test_recorded_explanations_are_of_the_best_model_and_in_the_readme(best):
    table = measurements.recorded(best[1].name)
    assert table is not None, "models/explanations.csv is of another model; measure this one"
    assert shown("explanations") == readme.explanations_block()


def test_the_page_on_heat_maps_names_the_photographs_of_each_point():
    counts = pd.read_csv(measurements.TABLE).groupby("part")["images"].max()
    whole, most = counts["agreement"], counts.drop(["agreement", measurements.PAIRED]).max()
    assert counts[measurements.PAIRED] == whole > most
    text = shown("explanations")
    assert f"{whole:,} test photographs for the table and the first point below it, {most}" in text
    assert "that of one view" in text and "no control was measured" in text


def test_recorded_predictions_are_of_the_recorded_split():
    splits = pd.read_csv(MODELS / "splits.csv").set_index("image_id")
    for folder in RECORDED:
        config = json.loads((folder / "config.json").read_text())["config"]
        expected = runs.rows_of(config, splits)["split"]
        frame = pd.read_csv(folder / "predictions.csv").set_index("image_id")["split"]
        assert set(frame) == {"validation", "test"}
        if config.get("answers_from"):  # another network answers for its validation rows
            frame = frame[frame == "test"]
        assert frame.equals(expected[frame.index])
        assert len(frame) == (expected != "train").sum()


def test_recorded_split_and_names_of_runs_are_those_computed_here(ham10000_table, monkeypatch):
    assert len(ham10000_table) == 10015
    recorded = data.with_split(ham10000_table)
    assert set(pd.read_csv(MODELS / "splits.csv")["image_id"]) == set(recorded["image_id"])
    computed = data.split_by_lesion(ham10000_table)
    assert computed["split"].tolist() == recorded["split"].tolist()
    assert computed["fold"].tolist() == recorded["fold"].tolist()
    assert computed.groupby("lesion_id")["split"].nunique().max() == 1
    listed = [one for queue in running.QUEUES.values() for one in queue("cpu", computed)]
    configs = {training.run_name(one, computed): one for one in listed}
    # One table, which is described once instead of for every run.
    described = {given: photographs.describe(computed, given) for given in (False, True)}
    monkeypatch.setattr(photographs, "describe", lambda _, patient=False: described[patient])
    competing = {folder.name: folder for folder in RECORDED}
    assert set(competing) <= set(configs)  # each can be trained again by a command
    for name, folder in competing.items():
        assert training.find_run(configs[name], computed, [folder.parent]) == folder
        record = json.loads((folder / "config.json").read_text())
        assert training.from_record(record["config"]) == configs[name]
    assert opening.recorded_profile(computed) == "cpu"
    monkeypatch.undo()  # the splits of notebook 07 have rows of their own
    rows = {name: leaky_splits.protocol_rows(recorded, name) for name in leakage.LABELS}
    counts = {name: (one["split"] == "train").sum() for name, one in rows.items()}
    for name, config in recipes.leakage_experiments("cpu", counts).items():
        assert training.run_name(config, rows[name]) == leakage.run(name).folder.name


def test_recorded_metrics_are_what_the_predictions_say():
    for folder in RECORDED:
        frame = predictions.read_predictions(folder / "predictions.csv")
        recorded = json.loads((folder / "metrics.json").read_text())
        frequencies = np.array(recorded["correction"]["class_frequencies"])
        computed = evaluation.evaluate(frame, frequencies, names=("balanced_accuracy",))
        assert recorded.keys() == computed.keys()
        assert recorded["decision_strength"] == computed["decision_strength"]
        for part in ("correction", "validation", "test", "test_lesions"):
            recorded[part].pop("class_frequencies", None)
            computed[part].pop("class_frequencies", None)
            assert recorded[part] == pytest.approx(computed[part], abs=1e-3)


@pytest.fixture(scope="module")
def best(best_classifier):
    """The recorded best model, and the predictions of its run."""
    folder = MODELS / best_classifier.details["run"]
    return best_classifier, folder, predictions.read_predictions(folder / "predictions.csv")


def test_best_model_is_best_on_validation_and_carries_its_calibration(best):
    classifier, folder, _ = best
    table = pd.read_csv(MODELS / "comparison.csv")
    assert comparison.best_row(table)["run"] == folder.name
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in ("power", "offset", "class_frequencies"):
        stored, fitted = classifier.details["correction"][name], metrics["correction"][name]
        assert stored == pytest.approx(fitted, abs=1e-6)
    assert classifier.details["decision_strength"] == metrics["decision_strength"]
    assert (MODELS / "best_model.h5").stat().st_size < best_model.LIMIT


def test_best_model_answers_as_recorded(best, ham10000_table):
    classifier, _, frame = best
    metadata = ham10000_table.set_index("image_id")
    if images.read_image(metadata["image_path"].iloc[0]).shape[0] != 256:
        pytest.skip("the recorded predictions are of copies of 256 px, not of the originals")
    some = frame[frame["split"] == "test"].sample(12, random_state=0)
    pictures = [classifier.prepare(path) for path in metadata.loc[some["image_id"], "image_path"]]
    answers = views.predict(classifier.model, np.stack(pictures))
    # Recorded before the weights were stored in 16 bits.
    assert np.abs(answers - some[list(classes.CODES)].to_numpy()).max() < 5e-3


# A path into somebody's home folder, or into a temporary one: nobody else has it.
OF_ONE_MACHINE = re.compile(
    r"""(?<![\w.~])(?:/(?:home|Users|root|private|mnt)/|/tmp/(?!study)|[A-Z]:\\+)[\w.~-]+"""
)


@pytest.mark.parametrize(
    "text",
    [
        "/home/ann/x.csv",
        "read /Users/ann/study",
        '"/{}/.keras"'.format("root"),
        "C:\\\\data\\\\x",
        "/tmp/a1b2",
    ],
)
def test_paths_of_one_machine_are_recognised(text):
    assert OF_ONE_MACHINE.search(text)


@pytest.mark.parametrize(
    "text", ["github.com/home/x", "~/ham10000", "/kaggle/input/x", "/tmp/study", "lesions/data"]
)
def test_paths_that_everybody_has_are_left_alone(text):
    assert not OF_ONE_MACHINE.search(text)


def test_nothing_of_one_machine_is_published():
    texts = {path.name: path.read_text(encoding="utf-8") for path in NOTEBOOKS}
    for name in ("README.md", "models/README.md"):
        texts[name] = (publishing.REPOSITORY / name).read_text(encoding="utf-8")
    for folder in RECORDED:
        texts[folder.name] = (folder / "config.json").read_text(encoding="utf-8")
    for name, text in texts.items():
        # Pictures are base64, in which a path may be met by chance.
        text = re.sub(r'"image/\w+": ".+?"', "", text)
        found = OF_ONE_MACHINE.search(text)
        assert not found, f"{name}: {found.group()}"


@pytest.mark.slow
def test_a_failing_cell_is_named(tmp_path, capsys):
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Broken"),
            *map(nbformat.v4.new_code_cell, ("print(1)", "1 / 0", "print(2)")),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    path = tmp_path / "00_broken.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="00_broken.ipynb failed in cell 2 of 3 with ZeroDiv"):
        execution.run(tmp_path, [path])
    assert "[1/1] 00_broken: cell 1 of 3, " in capsys.readouterr().out
    cells = nbformat.read(tmp_path / "study" / path.name, 4).cells
    assert [bool(cell.get("outputs")) for cell in cells] == [False, True, True, False]


@pytest.mark.slow
def test_a_kernel_that_does_not_start_is_named(tmp_path, monkeypatch, one_sentence):
    monkeypatch.setattr(execution, "START", 1)
    (tmp_path / "ipykernel_launcher.py").write_text("import time; time.sleep(30)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cells = [nbformat.v4.new_markdown_cell("# Slow"), nbformat.v4.new_code_cell("print(1)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "00_slow.ipynb")
    with pytest.raises(ValueError) as error:
        execution.run(tmp_path, [tmp_path / "00_slow.ipynb"])
    one_sentence(str(error.value).replace("00_slow.ipynb failed", ""), "did not start")


@pytest.mark.slow
def test_figures_are_described_for_readers_who_cannot_see_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")  # as on a server
    monkeypatch.delenv("LESIONS_BUILD", raising=False)
    code = (
        f"import sys; sys.path.insert(0, {str(publishing.REPOSITORY)!r})\n"
        "import matplotlib.pyplot as plt\nfrom lesions import figures\nfigures.use_style()\n"
        "figure, axes = plt.subplots(1, 2)\nfigure.suptitle('Two\\nhalves')\n"
        "axes[0].set_title('left')"
    )
    cells = [code, "figure, ax = plt.subplots()\nax.set_title('grid')\nfigures.jpeg(figure)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Pictures")])
    notebook.cells += map(nbformat.v4.new_code_cell, cells)
    nbformat.write(notebook, tmp_path / "00_pictures.ipynb")
    execution.run(tmp_path, [tmp_path / "00_pictures.ipynb"])
    page = (tmp_path / "study" / "00_pictures.html").read_text(encoding="utf-8")
    assert re.findall(r'alt="(Figure.*?)"', page) == ["Figure: Two halves; left", "Figure: grid"]
    assert "LESIONS_BUILD" not in os.environ  # it is the kernels' alone


def test_only_a_whole_execution_of_a_notebook_as_it_is_now_is_published(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "NOTEBOOKS", tmp_path / "notebooks")
    recorded, executed = (tmp_path / one / NOTEBOOKS[0].name for one in ("notebooks", "study"))
    for path in (recorded, executed):
        path.parent.mkdir()
    shutil.copy(NOTEBOOKS[0], recorded)
    notebook = nbformat.read(recorded, 4)
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]

    def refused(match):
        nbformat.write(notebook, executed)
        with pytest.raises(ValueError, match=match):
            publishing.publish_notebooks(tmp_path, ["01"])
        assert recorded.read_bytes() == NOTEBOOKS[0].read_bytes()

    last.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    refused("not executed to its end; .+ run 01")
    last.outputs, last.execution_count = [], None
    refused("not executed to its end; .+ run 01")
    last.execution_count = 99
    for profile in ("demo", "cpu, quick"):
        last.outputs = [nbformat.v4.new_output("stream", text=f"Profile {profile} on 2 cores.")]
        refused("demo or quick study; .+ run 01")
    last.outputs = []
    notebook.cells[1].source += " What somebody wrote before."
    refused("was changed after")


def test_progress_is_one_line_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    running = []
    first = execution.Progress("[1/9] 01_explore_data", running)
    other = execution.Progress("[3/9] 03_train_cnn", running)
    first.total, other.total = 2, 5
    first.start_cell(None, 0)
    other.start_cell(None, 0)
    assert "\n" not in (shown := capsys.readouterr().out)
    last = shown.split(execution.CLEAR_LINE)[-1]
    assert last == "[1/9] 01_explore_data: cell 1 of 2, 0 s   [3/9] 03_train_cnn: cell 1 of 5, 0 s"
    first.close()
    other.close()
    lines = capsys.readouterr().out.split("\n")
    assert [line.split(execution.CLEAR_LINE)[-1] for line in lines] == [
        "[1/9] 01_explore_data: 2 cells in 0 s",
        "[3/9] 03_train_cnn: 5 cells in 0 s",
        "",
    ]


class TestLanes:
    @pytest.fixture
    def machine(self, monkeypatch):
        def have(cores, gpus):
            monkeypatch.setattr(execution.processor, "cores", lambda: cores)
            monkeypatch.setattr(execution.hardware, "gpus", lambda: gpus)

        return have

    @pytest.mark.parametrize(("cores", "gpus"), [(1, []), (8, ["T4"])])
    def test_one_at_a_time_where_they_would_be_in_each_others_way(self, machine, cores, gpus):
        machine(cores, gpus)
        assert execution.lanes(list(NOTEBOOKS)) == [list(NOTEBOOKS)]

    def test_every_notebook_is_in_one_lane_in_order(self, machine):
        machine(2, [])
        found = execution.lanes([*NOTEBOOKS, Path("11_new.ipynb")])
        assert len(found) == 2
        assert all(lane == sorted(lane) for lane in found)
        assert sorted(sum(found, [])) == [*NOTEBOOKS, Path("11_new.ipynb")]

    def written(self, folder, sources):
        paths = []
        for name, code in sources.items():
            notebook = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_markdown_cell(f"# {name}"), nbformat.v4.new_code_cell(code)]
            )
            paths.append(folder / f"{name}.ipynb")
            nbformat.write(notebook, paths[-1])
        return paths

    def shown(self, folder, name):
        cell = nbformat.read(folder / "study" / f"{name}.ipynb", 4).cells[1]
        return "".join(output["text"] for output in cell.outputs)

    @pytest.mark.slow
    def test_the_second_waits_for_the_best_model(self, machine, tmp_path):
        machine(2, [])
        sources = {
            "06_compare": "import time; time.sleep(1); open('model', 'w').write('x')",
            "09_use": "print(open('model').read())",
        }
        execution.run(tmp_path, self.written(tmp_path, sources))
        assert self.shown(tmp_path, "09_use") == "x\n"

    @pytest.mark.slow
    @pytest.mark.parametrize("names", [("01_explore", "03_train"), ("01_explore",)])
    def test_two_at_a_time_share_the_cores_and_one_has_them_all(self, machine, tmp_path, names):
        if len(processor.share(0, 1)) < 2:
            pytest.skip("needs two cores that a process can be kept to")
        machine(2, [])
        source = "import os; print(*os.sched_getaffinity(0))"
        execution.run(tmp_path, self.written(tmp_path, dict.fromkeys(names, source)))
        used = [core for name in names for core in self.shown(tmp_path, name).split()]
        assert sorted(map(int, used)) == sorted(os.sched_getaffinity(0))


def test_recorded_comparison_comes_before_the_demo(tmp_path, capsys):
    runs = tmp_path / "runs" / "demo"
    runs.mkdir(parents=True)
    table = pd.read_csv(MODELS / "comparison.csv")
    drawn = table[table["best"]].assign(image_size=32)
    comparison.write_comparison(drawn, runs / "comparison.csv")
    running._report(tmp_path, tmp_path / "index.html")
    shown = capsys.readouterr().out
    best = [f"DenseNet121, {size} px, student (the best model)" for size in (192, 32)]
    lines = "HAM10000", best[0], "drawn pictures, which", best[1], "Written"
    places = [shown.index(line) for line in lines]
    assert places == sorted(places) and shown.count("the best model") == 2


# The queue


def test_queue_holds_every_run_of_the_comparison_once(demo_metadata):
    configs = recipes.queue("cpu", demo_metadata)
    names = [training.run_name(config, demo_metadata) for config in configs]
    assert len(set(names)) == len(names)
    left_out = {"efficientnetb3"}  # a branch of a hybrid only, to save time
    assert {config.architecture for config in configs} == set(models.ARCHITECTURES) - left_out
    for name in ("cnn", "densenet121"):
        seeds = {config.seed for config in configs if config.architecture == name}
        assert seeds == {42, 43, 44}
    # Notebook 02 trains what the queue has trained already.
    assert set(recipes.balance_experiments("cpu").values()) <= set(configs)
    given = [(one.architecture, one.epochs) for one in configs if one.patient]
    assert given == [("densenet121", 4), ("densenet121", 10)]


def test_a_run_is_claimed_by_one_at_a_time(tmp_path):
    path = tmp_path / training.LOCK
    with runs._claim(path):
        with pytest.raises(training.Busy, match="Another process trains"), runs._claim(path):
            pass
    with runs._claim(path):
        pass


@pytest.fixture
def as_photographs(demo_folder, tmp_path, monkeypatch):
    """The demo set, taken for photographs by the queue."""
    photographs = tmp_path / "photographs"
    shutil.copytree(demo_folder, photographs, ignore=shutil.ignore_patterns("demo.json"))
    monkeypatch.setenv("HAM10000_DIR", str(photographs))
    monkeypatch.setenv("PROFILE", "cpu")


def test_what_another_process_trains_is_left_for_a_later_call(
    as_photographs, tmp_path, monkeypatch, capsys
):
    configs = [tiny.SMALL, dataclasses.replace(tiny.SMALL, seed=1)]

    def train(config, metadata, store, runs, retrain):
        if config == configs[0]:
            raise training.Busy("Another process trains it.")
        return runs / "other"

    monkeypatch.setattr(recipes, "queue", lambda *_: configs)
    monkeypatch.setattr(training, "train", train)
    assert running.train_queue(tmp_path) == [tmp_path / "runs" / "cpu" / "other"]
    assert "Left for a later call: Another process trains it." in capsys.readouterr().out


def test_a_queue_that_is_interrupted_says_so_without_a_traceback(
    as_photographs, monkeypatch, capsys
):
    monkeypatch.setattr(recipes, "queue", lambda *_: signal.raise_signal(signal.SIGINT))
    assert running.main(["train"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_new_best_model_is_there_before_it_is_asked_about_other_clinics(
    as_photographs, tmp_path, monkeypatch
):
    monkeypatch.setattr(recipes, "queue", lambda profile, metadata: [tiny.SMALL])
    (run,) = running.train_queue(tmp_path)
    for module in (publishing, pilot, other_clinics):
        monkeypatch.setattr(module, "MODELS", tmp_path / "models")
    monkeypatch.setattr(best_model, "PATH", tmp_path / "models" / "best_model.h5")
    with pytest.raises(ValueError, match="publish external"):
        publishing.publish_runs(tmp_path)
    assert models.load(tmp_path / "models" / "best_model.h5")[1]["run"] == run.name


@pytest.mark.slow
def test_a_run_without_its_weights_is_trained_again_for_the_stage_that_needs_them(
    as_photographs, tmp_path, monkeypatch
):
    def three_stages(profile, metadata):
        stages = [tiny.SMALL]
        for size in (48, 64):
            start = training.run_name(stages[-1], metadata)
            stages.append(dataclasses.replace(stages[0], image_size=size, start=start))
        return stages

    monkeypatch.setattr(recipes, "queue", three_stages)
    *earlier, last = running.train_queue(tmp_path)
    weights = [folder / "model.h5" for folder in earlier]
    for path in weights:
        path.unlink()  # as in a fresh clone
    assert running.train_queue(tmp_path) == [*earlier, last]
    assert not any(path.exists() for path in weights)
    shutil.rmtree(last)
    assert running.train_queue(tmp_path) == [*earlier, last]
    assert all(path.exists() for path in weights)


def test_latest_runs_are_those_of_the_last_comparison(tmp_path):
    for age, name in enumerate(("demo/comparison.csv", "cpu/one/metrics.json")):
        path = tmp_path / "runs" / name
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        os.utime(path, (1000 - age, 1000 - age))
    assert publishing.latest_runs(tmp_path).name == "demo"
    with pytest.raises(ValueError, match="make study"):
        publishing.latest_runs(tmp_path / "nowhere")


@pytest.mark.parametrize("which", running.QUEUES)
def test_every_later_stage_starts_from_a_run_that_the_queue_trains_before(which, demo_metadata):
    configs = running.QUEUES[which]("cpu", demo_metadata)
    names = [training.run_name(config, demo_metadata) for config in configs]
    later = [place for place, config in enumerate(configs) if config.start]
    stages = {"comparison": len(recipes.STAGES["cpu"]) - 1, "students": 6}
    assert len(later) == stages.get(which, 0)
    for place in later:
        before = names.index(configs[place].start)
        assert before < place and configs[before].image_size <= configs[place].image_size


def test_a_number_that_is_not_heeded_is_refused(capsys):
    assert running.main(["publish", "table", "03"]) == 2
    assert "takes no number of a notebook" in capsys.readouterr().err
