"""Models for tests: a small one, one that uses each part of the standard, deep ones."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sardonyx.formats.encode import encode
from sardonyx.formats.message import Message

FLOAT = TensorProto.FLOAT


def small(**fields: Any) -> onnx.ModelProto:
    """y = Add(x, w) with a symbolic batch."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"], name="sum", doc_string="adds")],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, None])],
        [numpy_helper.from_array(np.ones((3, 1), np.float32), "w")],
        doc_string="a graph",
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], **fields)


def nested_ifs(levels: int) -> bytes:
    """An If in an If in an If."""
    body = Message("GraphProto", {"name": "g"})
    for _ in range(levels):
        attribute = Message("AttributeProto", {"name": "then_branch", "type": 5, "g": body})
        node = Message("NodeProto", {"op_type": "If", "input": ["flag"], "attribute": [attribute]})
        body = Message("GraphProto", {"name": "g", "node": [node]})
    return encode(Message("ModelProto", {"ir_version": 10, "graph": body}))


def declare(name: str, dims: list[Any] | None = None) -> onnx.ValueInfoProto:
    """A float32 value."""
    return helper.make_tensor_value_info(name, FLOAT, dims)


def sparse_weight() -> onnx.SparseTensorProto:
    """[0, 1, 0, 2] under the name `sp`."""
    values = helper.make_tensor("sp", FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("at", TensorProto.INT64, [2], [1, 3])
    return helper.make_sparse_tensor(values, indices, [4])


def branches() -> tuple[onnx.GraphProto, onnx.GraphProto]:
    """Both read `x` of the graph around them; the second calls the function `twice`."""
    multiply = helper.make_node("Mul", ["x", "scale"], ["then_y"])
    then = helper.make_graph([multiply], "then", [], [declare("then_y", ["N"])])
    call = helper.make_node("twice", ["x"], ["else_y"], domain="my", overload="fast")
    inner = helper.make_tensor("inner", TensorProto.INT32, [], [4])
    other = helper.make_graph([call], "else", [], [declare("else_y", ["N"])], [inner])
    return then, other


def function() -> onnx.FunctionProto:
    """my.twice: an attribute that must be given, one with a default, and one passed on."""
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["a", "two"], ["c"]),
        helper.make_node("LeakyRelu", ["c"], ["b"]),
    ]
    passed = nodes[2].attribute.add()
    passed.name, passed.ref_attr_name = "alpha", "alpha"
    passed.type = onnx.AttributeProto.FLOAT
    return helper.make_function(
        "my",
        "twice",
        ["a"],
        ["b"],
        nodes,
        [helper.make_opsetid("", 18)],
        attributes=["beta"],
        attribute_protos=[helper.make_attribute("alpha", 0.25)],
        overload="fast",
        value_info=[declare("c")],
    )


def branching() -> onnx.NodeProto:
    """An If with metadata and a device."""
    then, other = branches()
    node = helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    prop = node.metadata_props.add()
    prop.key, prop.value = "pkg.torch.onnx.stack_trace", "net.py:3"
    device = node.device_configurations.add()
    device.configuration_id, device.pipeline_stage = "two", 1
    return node


def main_graph() -> onnx.GraphProto:
    """The graph of `everything`."""
    strange = helper.make_node("Strange", ["y", ""], ["z", ""], domain="else.where", k=[1, 2])
    graph = helper.make_graph(
        [branching(), strange],
        "main",
        [declare("x", ["N"]), helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [declare("y", ["N"]), helper.make_tensor_sequence_value_info("z", TensorProto.INT4, None)],
        [helper.make_tensor("scale", FLOAT, [1], [0.5])],
        value_info=[declare("absent", [1])],
        sparse_initializer=[sparse_weight()],
    )
    note = graph.quantization_annotation.add()
    note.tensor_name = "x"
    pair = note.quant_parameter_tensor_names.add()
    pair.key, pair.value = "SCALE_TENSOR", "scale"
    graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    graph.input[0].type.denotation = "IMAGE"
    return graph


def everything() -> onnx.ModelProto:
    """A model that uses each part of the standard."""
    versions = {"": 20, "my": 1, "else.where": 1}
    model = helper.make_model(
        main_graph(),
        functions=[function()],
        opset_imports=[helper.make_opsetid(d, v) for d, v in versions.items()],
    )
    helper.set_model_props(model, {"author": "me", "": ""})
    configuration = model.configuration.add()
    configuration.name, configuration.num_devices = "two", 2
    training = model.training_info.add()
    training.algorithm.CopyFrom(branches()[0])
    binding = training.update_binding.add()
    binding.key, binding.value = "scale", "then_y"
    return model
