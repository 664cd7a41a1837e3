"""Formats that are written by TensorFlow say so on another backend."""

import importlib.util
import os
import subprocess
import sys

import pytest

# Both in one process, because a backend takes seconds to import.
SCRIPT = """
import sys
from lesions import cli

for format in ("onnx", "tflite", "savedmodel"):
    print(cli.main(["export", "--model", sys.argv[1], "--format", format, "--output", sys.argv[2]]))
"""


def test_another_backend_is_refused_in_one_sentence(tiny_model, tmp_path):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    command = [sys.executable, "-c", SCRIPT, str(tiny_model), str(tmp_path / "network")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["2", "2", "2"]
    assert done.stderr.count("KERAS_BACKEND=tensorflow") == 3 and "Traceback" not in done.stderr
