"""What this machine has, and how Keras uses it."""

import contextlib
import functools
import platform
import socket

import keras

from lesions.system import console, processor

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def gpus() -> list[str]:
    """List the GPUs that the current Keras backend sees, by name."""
    return [name for name, _ in _gpus()]


def require_tensorflow(what_needs: str) -> None:
    """Raise ValueError where Keras runs on another backend.

    Args:
        what_needs: The sentence's beginning, for example "Heat maps need".
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"{what_needs} the TensorFlow backend and Keras runs on {backend}: set "
            "KERAS_BACKEND=tensorflow before Keras is imported."
        )


@functools.cache  # looking silences the whole process for a moment
def _gpus() -> list[tuple[str, tuple[int, ...]]]:
    """List name and CUDA compute capability of each GPU; (0,) where it has none."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with console.quiet_stderr():  # without a GPU, CUDA's driver complains here
            devices = tf.config.list_physical_devices("GPU")
        details = map(tf.config.experimental.get_device_details, devices)
        return [(d.get("device_name", "GPU"), d.get("compute_capability", (0,))) for d in details]
    if backend == "jax":
        import jax

        kinds = ("gpu", "cuda", "rocm")  # a TPU is neither: it wants other settings
        found = [device for device in jax.devices() if device.platform in kinds]
        return [(d.device_kind, _version(getattr(d, "compute_capability", ""))) for d in found]
    import torch

    numbers = range(torch.cuda.device_count())
    return [(torch.cuda.get_device_name(n), torch.cuda.get_device_capability(n)) for n in numbers]


def _version(text: str) -> tuple[int, ...]:
    """Read "9.0" as (9, 0), and what is no such number, as ROCm's "gfx90a", as (0,)."""
    parts = text.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else (0,)


def describe() -> str:
    """Name the hardware in a few words: its GPUs, or its processor and cores."""
    found = gpus()
    if found:
        return f"{len(found)} x {found[0]}"
    count = processor.cores()
    return f"{count} core{'s' * (count > 1)} of {processor.name()}, no GPU"


def environment() -> dict:
    """Name what a training runs on: `hardware`, `backend` and the `versions` that matter."""
    backend = keras.backend.backend()
    versions = {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: __import__(backend).__version__,
    }
    return {"hardware": describe(), "backend": backend, "versions": versions}


@contextlib.contextmanager
def precision(name: str = "auto"):
    """Compute in mixed precision inside a `with` block, which gets the name of what is in force.

    Args:
        name: "float32", "bfloat16", "float16" or "auto": bfloat16 on a GPU or a processor that
            multiplies it in hardware (on processors not on JAX), float16 on other GPUs, else
            float32.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in PRECISIONS:
        raise ValueError(f"Unknown precision {name!r}; use {', '.join(PRECISIONS)}.")
    if name == "auto":
        if found := _gpus():
            # NVIDIA's multiply it from compute capability 8.0 on.
            pays = all(capability >= (8, 0) for _, capability in found)
            name = "bfloat16" if pays else "float16"
        else:
            pays = keras.backend.backend() in ("tensorflow", "torch") and processor.has_bfloat16()
            name = "bfloat16" if pays else "float32"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if name == "float32" else f"mixed_{name}")
    try:
        yield name
    finally:
        keras.config.set_dtype_policy(before)


def current_precision() -> str:
    """Return the precision in force, "float32", "bfloat16" or "float16"."""
    return keras.config.dtype_policy().name.removeprefix("mixed_")


@contextlib.contextmanager
def distribution():
    """Spread training over every visible GPU inside a `with` block, where there are several."""
    if len(gpus()) < 2 or keras.backend.backend() == "torch":  # for which Keras has no such API
        yield
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.distribute.MirroredStrategy().scope():
            yield
    else:
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)


def devices() -> int:
    """Count the devices that share each step under the strategy in force."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    strategy = keras.distribution.distribution()
    return 1 if strategy is None else strategy.device_mesh.devices.size


def local_address() -> str:
    """Find this machine's address in its own network, "127.0.0.1" without one; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # A datagram socket that is connected only chooses the way out.
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
