"""Every benchmark runs, with arguments that are too small to mean anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = {
    "input_pipeline": "--images 24 --size 64 --batch-size 8 --repeats 1",
    "step_overhead": "--architecture cnn --steps 2 --size 64 --batch-size 8 --repeats 1",
    "scaling": "--images 30 60 --repeats 1",
    "allocator": "--steps 2 --batch-size 8",
    "explanations": "--architecture cnn --size 64 --batch-size 2 --repeats 1",
    "page": "--images 4 --repeats 0",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_benchmark_prints_its_ratio(name, tmp_path):
    environment = os.environ | {"LESIONS_BUILD": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *TINY[name].split()],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ratios = re.findall(r"^ratio .+: ([\d.e+-]+) \(bar: at (?:least|most) ", done.stdout, re.M)
    assert ratios and all(float(ratio) > 0 for ratio in ratios), done.stdout
    # Nothing of the benchmark's own stays behind.
    assert {path.name for path in tmp_path.iterdir()} <= {"demo"}
