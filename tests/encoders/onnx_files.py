"""Tiny ONNX files: the mean of each channel as the vector of an image."""

from pathlib import Path

import pytest


def save_means(
    path: Path, *, side: int | str, takes_bytes: bool = False, outputs: tuple[str, ...] = ("mean",), scale: float = 1
) -> Path:
    """Write a model; of bytes, the channels come last."""
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    make, kinds = onnx.helper, onnx.TensorProto
    shape = [1, side, side, 3] if takes_bytes else [1, 3, side, side]
    taken = make.make_tensor_value_info("image", kinds.UINT8 if takes_bytes else kinds.FLOAT, shape)
    nodes = [
        make.make_node("Cast", ["image"], ["numbers"], to=kinds.FLOAT),
        make.make_node("Mul", ["numbers", "scale"], ["pixels"]),
        make.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2] if takes_bytes else [2, 3], keepdims=0),
    ]
    given = [make.make_tensor_value_info(name, kinds.FLOAT, None) for name in outputs]
    constant = make.make_tensor("scale", kinds.FLOAT, [1], [scale])
    graph = make.make_graph(nodes, "means", [taken], given, [constant])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
