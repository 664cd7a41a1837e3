"""Every benchmark runs, with arguments that are too small to mean anything."""

import os
import re

import pytest
import tiny

from lesions.system.folders import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"
TINY = {
    "input_pipeline": "--images 24 --size 64 --batch-size 8 --repeats 1",
    "step_overhead": "--architecture cnn --steps 2 --size 64 --batch-size 8 --repeats 1",
    "scaling": "--images 30 60 --repeats 1",
    "allocator": f"--architecture {tiny.NAME} --steps 2 --size 32 --batch-size 8",
    "explanations": "--architecture cnn --size 64 --batch-size 2 --repeats 1",
    "page": "--model {model} --images 4 --repeats 0",
}
SEPARATE = "step_overhead"  # one part alone, so one other process
RATIOS = {
    "input_pipeline": 3,
    "step_overhead": 1,
    "scaling": 4,
    "allocator": 2,
    "explanations": 2,
    "page": 4,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_benchmark_prints_its_ratio(name, demo_folder, tiny_model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import measuring

    if name == "page":
        pytest.importorskip("tf2onnx", reason="tf2onnx is not installed; see requirements-app.txt")
    monkeypatch.setattr(measuring, "BUILD", tmp_path)
    monkeypatch.setattr(measuring, "SEPARATE", name == SEPARATE)
    monkeypatch.setenv("LESIONS_BUILD", str(tmp_path))
    monkeypatch.setenv("HAM10000_DIR", str(demo_folder))
    arguments = TINY[name].format(model=tiny_model).split()
    printed = measuring.run_here(str(FOLDER / f"{name}.py"), *arguments)
    ratios = re.findall(r"^ratio .+: ([\d.e+-]+) \(bar: at (?:least|most) ", printed, re.M)
    assert len(ratios) == RATIOS[name] and all(float(ratio) > 0 for ratio in ratios), printed
    assert list(tmp_path.iterdir()) == []  # nothing of the benchmark's own stays behind


def test_a_part_has_a_process_of_its_own_and_is_named_where_it_fails(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import measuring

    script = tmp_path / "part.py"
    script.write_text(
        "import json, os, sys\n"
        "if 'bad' in sys.argv: sys.exit('why')\n"
        "print('first')\nprint(json.dumps([os.getpid(), sys.argv[1:]]))"
    )
    process, given = measuring.in_child(str(script), part=1, batch_size=8)
    assert process != os.getpid() and given == ["--part", "1", "--batch-size", "8"]
    with pytest.raises(ValueError, match="'bad'.*failed: why"):
        measuring.in_child(str(script), part="bad")
