"""A float32 model in float64, without rounding, and one whose weights differ in their last bits."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

import sardonyx

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
# What rounds to integers on purpose: in float64 it rounds elsewhere.
ROUNDS = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLSTM",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}


def outputs(model: ModelProto, feeds: Mapping[str, NDArray[Any]]) -> list[Any] | None:
    """The outputs of the reference in float64; None for a model that rounds to integers."""
    if any(n.op_type in ROUNDS for n in nodes(model.graph)):
        return None
    wide = ModelProto()
    wide.CopyFrom(model)
    _widen_graph(wide.graph)
    session = sardonyx.InferenceSession(wide.SerializeToString(), providers=["reference"])
    given = {n: x.astype(np.float64) if x.dtype == np.float32 else x for n, x in feeds.items()}
    found: list[Any] = session.run(None, given)
    return found


def nudged(model: ModelProto, seed: int = 0) -> ModelProto:
    """A copy whose float32 weights are moved by at most one step, at random.

    Whole numbers stay: they may be sizes, exponents or masks.
    """
    rng, made = np.random.default_rng(seed), ModelProto()
    made.CopyFrom(model)
    for tensor in _tensors(made.graph):
        if tensor.data_type == FLOAT:
            held = numpy_helper.to_array(tensor)
            way = rng.choice(np.array([-np.inf, np.inf], np.float32), held.shape)
            moved = np.where(
                (rng.random(held.shape) < 0.5) | (held == np.rint(held)),
                held,
                np.nextafter(held, way),
            )
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    return made


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t, *attribute.tensors]
            for body in (attribute.g, *attribute.graphs):
                yield from _tensors(body)


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph, and of the graphs in their attributes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from nodes(body)


def _widen_graph(graph: GraphProto) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.elem_type == FLOAT:
            kind.elem_type = DOUBLE
    for node in graph.node:
        for attribute in node.attribute:
            _widen_attribute(node, attribute)
    _keep_scales(graph)


def _keep_scales(graph: GraphProto) -> None:
    """Gives each Resize its scales in float32, which is all it takes."""
    made = []
    for node in graph.node:
        at = {"Resize": len(node.input) > 2 and 2, "Upsample": 1}.get(node.op_type)
        if at and len(node.input) > at and node.input[at]:
            name = f"{node.output[0]}/scales"
            made.append(helper.make_node("Cast", [node.input[at]], [name], to=FLOAT))
            node.input[at] = name
        made.append(node)
    copies = [NodeProto.FromString(n.SerializeToString()) for n in made]
    del graph.node[:]
    graph.node.extend(copies)


def _widen_attribute(node: NodeProto, attribute: AttributeProto) -> None:
    if node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
        floats = attribute.floats if attribute.name == "value_floats" else attribute.f
        attribute.t.CopyFrom(numpy_helper.from_array(np.array(floats, np.float64)))
        attribute.name, attribute.type = "value", AttributeProto.TENSOR
    elif attribute.type == AttributeProto.TENSOR:
        _widen_tensor(attribute.t)
    elif attribute.type == AttributeProto.GRAPH:
        _widen_graph(attribute.g)
    elif attribute.name in ("to", "dtype") and attribute.i == FLOAT:
        attribute.i = DOUBLE


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == FLOAT:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
