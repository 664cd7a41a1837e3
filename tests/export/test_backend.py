"""Formats that are written by TensorFlow say so on another backend."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_another_backend_is_refused_in_one_sentence(format, tiny_model, tmp_path):
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "lesions", "export", "--model", str(tiny_model)]
    command += ["--format", format, "--output", str(tmp_path / f"network.{format}")]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert "KERAS_BACKEND=tensorflow" in done.stderr and "Traceback" not in done.stderr
