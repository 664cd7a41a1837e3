"""Every benchmark runs, with arguments that are too small to mean anything."""

import re

import pytest

from lesions.system.folders import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"
TINY = {
    "input_pipeline": "--images 24 --size 64 --batch-size 8 --repeats 1",
    "step_overhead": "--architecture cnn --steps 2 --size 64 --batch-size 8 --repeats 1",
    "scaling": "--images 30 60 --repeats 1",
    "allocator": "--steps 2 --batch-size 8",
    "explanations": "--architecture cnn --size 64 --batch-size 2 --repeats 1",
    "page": "--model {model} --images 4 --repeats 0",
}
SEPARATE = "step_overhead"  # one part alone, so one other process


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
    assert ratios and all(float(ratio) > 0 for ratio in ratios), printed
    assert list(tmp_path.iterdir()) == []  # nothing of the benchmark's own stays behind
