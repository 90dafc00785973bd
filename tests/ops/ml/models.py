"""Models of one operator of ai.onnx.ml, and what three ways of running them say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

import sardonyx as sx
import sardonyx.ops
from sardonyx.graph.op import versions

DOMAIN = "ai.onnx.ml"
Array = np.ndarray[Any, Any]


def kind_of(x: Array) -> int:
    return int(
        TensorProto.STRING if x.dtype == object else helper.np_dtype_to_tensor_dtype(x.dtype)
    )


def model(op: str, inputs: Sequence[Array], version: int = 0, **attributes: Any) -> bytes:
    """A model of the operator in a version (0: the newest), with symbolic rows."""
    newest = max(versions(DOMAIN, op))
    outputs = ["y", "z"] if op.endswith("Classifier") else ["y"]
    names = [f"x{n}" for n in range(len(inputs))]
    given = [
        helper.make_tensor_value_info(n, kind_of(x), ["N", *x.shape[1:]] if x.ndim > 1 else x.shape)
        for n, x in zip(names, inputs, strict=True)
    ]
    node = helper.make_node(op, names, outputs, name="the node", domain=DOMAIN, **attributes)
    made = [helper.make_empty_tensor_value_info(n) for n in outputs]
    graph = helper.make_graph([node], "g", given, made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, version or newest)]
    proto: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(proto.SerializeToString())


def feeds(inputs: Sequence[Array]) -> dict[str, Array]:
    return {f"x{n}": x for n, x in enumerate(inputs)}


def peer(data: bytes, inputs: Sequence[Array]) -> list[Any]:
    """What ONNX Runtime says, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds(inputs)))


def ours(data: bytes, inputs: Sequence[Array], provider: str = "reference") -> list[Any]:
    """What a session of ours says."""
    session = sx.InferenceSession(data, providers=[provider])
    return list(session.run(None, feeds(inputs)))


def gaps(data: bytes) -> list[str]:
    """The operators that the native provider runs in numpy."""
    return [gap.op for gap in sx.InferenceSession(data).gaps()]


def agree(found: Sequence[Any], wanted: Sequence[Any], exact: bool = False) -> None:
    """Whether outputs are the same within a few roundings."""
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, 0 if exact else 2e-5, 0 if exact else 2e-6)
        else:
            assert a.tolist() == b.tolist()


def alike(op: str, inputs: Sequence[Array], version: int = 0, **attributes: Any) -> list[str]:
    """Fails unless reference, machine code and ONNX Runtime agree; the operators left in numpy."""
    data = model(op, inputs, version, **attributes)
    wanted = peer(data, inputs)
    agree(ours(data, inputs), wanted)
    agree(ours(data, inputs, "native"), wanted)
    return gaps(data)
