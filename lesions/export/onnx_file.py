"""ONNX files: named outputs, class activation maps, and weights in 16 or 8 bits."""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from lesions import classes

# Tensors below this size stay as they are: together they are a few kilobytes.
SMALL = 1024
# How the large ones are stored. The exporter merges batch normalisation into the kernels before
# them, so they are no longer the file's 16-bit numbers; integers with a scale a channel lie four
# times as near to them as half-precision numbers do.
INTEGERS = {"float16": np.int16, "int8": np.int8}


class OnnxModel:
    """An `.onnx` file that `views.predict` takes for a Keras model; see `lite.LiteModel`."""

    compiled = True

    def __init__(self, path, threads: int | None = None):
        """Read a file of `export.export`; arguments as of `formats.open_model`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            # As bytes, because the package takes paths of UTF-8 only.
            self._session = onnxruntime.InferenceSession(Path(path).read_bytes(), options)
        except Exception as error:  # its errors have no common class
            raise ValueError(
                f"{path} is not an ONNX network of this project; make one by "
                "`python -m lesions export --format onnx`."
            ) from error
        self.inputs = self._session.get_inputs()

    def predict_on_batch(self, inputs) -> np.ndarray:
        """Predict a batch, float32 (n, size, size, 3), or a dict of it and "patient"; (n, 7)."""
        if not isinstance(inputs, dict):
            inputs = {self.inputs[0].name: inputs}
        return self._session.run(["probabilities"], inputs)[0]


def with_activation_maps(model: keras.Model) -> keras.Model:
    """Add class activation maps (Zhou et al. 2016) as a second output.

    Where global average pooling and one dense layer follow the feature maps, Grad-CAM is the
    positive part of these maps up to a constant factor, so a runtime without gradients can show
    it. The mean of a map plus the bias of its class is the logit. The model stays as it is.

    Returns:
        A network with the outputs probabilities, float32 (n, 7), and activation_maps, float32
        (n, height, width, 7); the model itself where other layers lie between the pooling and
        the logits, or where it has several branches.
    """
    logits = model.get_layer("logits")
    pooling = logits.input._keras_history.operation
    while isinstance(pooling, layers.Dropout):
        pooling = pooling.input._keras_history.operation
    if not isinstance(pooling, layers.GlobalAveragePooling2D):
        return model
    kernel = np.asarray(logits.get_weights()[0])
    weighted = layers.Conv2D(
        len(classes.CODES), 1, use_bias=False, dtype="float32", name="activation_maps"
    )
    maps = weighted(pooling.input)
    weighted.set_weights([kernel[np.newaxis, np.newaxis]])
    return keras.Model(model.inputs, [model.output, maps], name=model.name)


def write(model: keras.Model, path: Path, precision: str) -> None:
    """Write an `.onnx` file of a model from `with_activation_maps`.

    The precision says how the weights are stored. Everything is computed in float32; a runtime
    expands the weights once, when it reads the file.

    Raises:
        ValueError: If a package is missing.
    """
    try:
        import onnx

        model.export(path, format="onnx", verbose=False)
    except ImportError as error:
        raise ValueError(
            "Export to ONNX needs two more packages; install them by `pip install onnx tf2onnx`."
        ) from error
    network = onnx.load(path, format="protobuf")  # else the suffix decides
    for tensor, name in zip(list(network.graph.output), model.output_names, strict=True):
        _rename(network.graph, tensor.name, name)
    if precision != "float32":
        _shrink(network.graph, precision)
    onnx.checker.check_model(network)
    onnx.save(network, path, format="protobuf")


def _rename(graph, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for tensor in graph.output:
        tensor.name = new if tensor.name == old else tensor.name


def _shrink(graph, precision: str) -> None:
    """Store the large weights in few bits, with the nodes that expand them in front."""
    from onnx import TensorProto, helper, numpy_helper

    # The axis of the output channels in the weights of each kind of layer.
    axes = {"Conv": 0, "MatMul": -1, "Gemm": -1}
    readers = {name: node.op_type for node in graph.node for name in node.input}
    expanding = []
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALL or readers[tensor.name] not in axes:
            continue
        name = tensor.name
        stored, scale = _integers(values, axes[readers[name]], INTEGERS[precision])
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(stored, f"{name}/stored"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}/scale"))
        expanding += [
            helper.make_node("Cast", [f"{name}/stored"], [f"{name}/cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}/cast", f"{name}/scale"], [name]),
        ]
    for place, node in enumerate(expanding):
        graph.node.insert(place, node)


def _integers(values: np.ndarray, channel_axis: int, kind) -> tuple[np.ndarray, np.ndarray]:
    """Round weights to integers of a kind with a scale for each output channel."""
    others = tuple(set(range(values.ndim)) - {channel_axis % values.ndim})
    scale = np.abs(values).max(axis=others, keepdims=True) / np.iinfo(kind).max
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.round(values / scale).astype(kind), scale
