"""The state of a training on disk: a dictionary by variable path, restored strictly."""

import io
import json
import shutil
from pathlib import Path

import keras
import numpy as np

from lesions.networks import models
from lesions.system.files import replacing

STATE, OPTIMIZER = "state", "optimizer/"


def unwrapped(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return an optimizer itself, which float16 wraps to scale the loss anew after a restart."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def weights_of(model: keras.Model) -> dict[str, keras.Variable]:
    """Name the weights of the `models.learned_layers` of a network by their path."""
    layers = models.learned_layers(model)
    return {variable.path: variable for layer in layers for variable in layer.weights}


def variables_of(model: keras.Model, optimizer) -> dict[str, keras.Variable]:
    """Name everything that a training changes, of the optimizer unless it is None.

    Returns:
        What `weights_of` returns, the states of random generators by their order, and the
        optimizer's variables behind `OPTIMIZER`.
    """
    named = weights_of(model)
    # Keras numbers random generators through a whole process, so their paths differ in the next.
    known = set(map(id, model.weights))
    states = [variable for variable in model.variables if id(variable) not in known]
    named |= {f"random/{number}": state for number, state in enumerate(states)}
    if optimizer is not None:
        # The optimizer's own name, in front, may be numbered as well.
        own = unwrapped(optimizer).variables
        named |= {OPTIMIZER + one.path.partition("/")[2]: one for one in own}
    return named


def restore(variables: dict[str, keras.Variable], values: dict[str, np.ndarray], path) -> None:
    """Put the values of a file at `path` into variables of the same names, every one and no other.

    Raises:
        ValueError: If a name is missing on either side or a shape differs; names it.
    """
    for name in sorted(variables.keys() ^ values.keys()):
        holder = "the network" if name in variables else "the file"
        raise ValueError(
            f"{path} does not belong to this network, as only {holder} has the variable {name}; "
            "remove the file to start over."
        )
    for name, variable in variables.items():
        if tuple(variable.shape) != values[name].shape:
            raise ValueError(
                f"{path} holds {name} in the shape {values[name].shape} and the network in "
                f"{tuple(variable.shape)}; remove the file to start over."
            )
    for name, variable in variables.items():
        variable.assign(values[name])


def write(path: Path, variables: dict, state: dict) -> None:
    """Write variables by name, and a JSON-ready state, so that the file is whole or not there.

    Raises:
        OSError: If the disk is full; names the file and how much it needs.
    """
    arrays = {name: keras.ops.convert_to_numpy(value) for name, value in variables.items()}
    needed = sum(array.nbytes for array in arrays.values())
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OSError(
            f"The disk is full: {path} needs {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB are "
            "free; free some space and run the command again, which goes on after the last epoch."
        )
    # A zip archive reads slashes as folders and numpy adds a suffix, so names go by number.
    numbered = {f"{number:05d}": array for number, array in enumerate(arrays.values())}
    header = json.dumps({"names": list(arrays), STATE: state})
    with replacing(path) as temporary:
        np.savez(temporary, header=np.array(header), **numbered)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `write` wrote: the arrays by name, and the state.

    Raises:
        One of `files.DAMAGED_NPZ`: If the file is missing or cannot be read.
    """
    with np.load(io.BytesIO(path.read_bytes())) as stored:
        header = json.loads(str(stored["header"]))
        arrays = {name: stored[f"{number:05d}"] for number, name in enumerate(header["names"])}
    return arrays, header[STATE]
