"""Models spoilt in one place, which a checker may have to refuse: how, and where.

`WAYS` has the ways once `conformance.spoilt` is imported. A way first makes a model of its setting
(as it is; with an input as an initializer; with the nodes in a local function; with them in a
branch of an If), then spoils it where the generator says, and gives False where there is nothing to
spoil.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Spoil = Callable[[Any, random.Random], bool | None]
Setting = Callable[[Any], bool]


@dataclass(frozen=True)
class Way:
    """One way to spoil models of one setting."""

    name: str
    setting: str
    spoil: Spoil


TYPES = {
    "float": 1, "int64": 7, "int32": 6, "double": 11, "bool": 9, "string": 8, "uint8": 2,
    "float16": 10, "bfloat16": 16, "complex64": 14, "int4": 22, "undefined": 0, "unknown": 99,
}  # fmt: skip

WAYS: list[Way] = []


def way(setting: str, *given: Any) -> Callable[[Callable[..., bool | None]], Any]:
    """Registers a function of (model, pick), or one for each of the further arguments."""

    def register(spoil: Callable[..., bool | None]) -> Any:
        for one in given or (None,):
            name = spoil.__name__ + ("" if one is None else f"[{one}]")
            bound = spoil if one is None else _bound(spoil, one)
            WAYS.append(Way(f"{setting}.{name}", setting, bound))
        return spoil

    return register


def _bound(spoil: Callable[..., bool | None], one: Any) -> Spoil:
    return lambda model, pick: spoil(model, pick, one)


def spoilt(model: Any, how: Way, seed: str) -> Any:
    """A spoilt copy, None where this way has nothing to spoil."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    if not SETTINGS[how.setting](made):
        return None
    if how.spoil(made, random.Random(seed)) is False:
        return None
    return made


# Settings.


def plain(model: Any) -> bool:
    """The model as it is."""
    return True


def _array(info: Any) -> Any:
    kind = info.type.tensor_type
    dims = [d.dim_value or 2 for d in kind.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype.kind == "O" or kind.elem_type == TensorProto.STRING:
        return np.full(dims, "a", object)
    return np.ones(dims).astype(dtype)


def initialized(model: Any) -> bool:
    """A constant of one of the inputs' types that is an initializer and an output."""
    for info in model.graph.input:
        kind = info.type.tensor_type
        if kind.elem_type and kind.HasField("shape"):
            made = numpy_helper.from_array(_array(info), "spoilt_w")
            if not made.dims or 0 in made.dims:
                continue
            model.graph.initializer.append(made)
            out = model.graph.output.add()
            out.CopyFrom(info)
            out.name = "spoilt_w"
            model.ir_version = max(model.ir_version, 4)
            return True
    return False


def sparse(model: Any) -> bool:
    """A sparse initializer of [4, 5] with three elements."""
    held = model.graph.sparse_initializer.add()
    held.values.CopyFrom(numpy_helper.from_array(np.ones(3, np.float32), "spoilt_s"))
    held.indices.CopyFrom(numpy_helper.from_array(np.array([1, 7, 19]), "spoilt_i"))
    held.dims.extend([4, 5])
    model.ir_version = max(model.ir_version, 4)
    return True


def function(model: Any) -> bool:
    """All nodes in a local function `spoilt.Whole`, with an inner one that it calls."""
    graph = model.graph
    inputs = [i.name for i in graph.input]
    outputs = [o.name for o in graph.output]
    if graph.initializer or set(inputs) & set(outputs) or len(set(outputs)) < len(outputs):
        return False
    imports = [*model.opset_import, helper.make_opsetid("spoilt", 1)]
    inner = helper.make_function(
        "spoilt", "Inner", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], imports
    )
    nodes = [*graph.node]
    first = outputs[0]
    renamed = [n for n in nodes if first in n.output]
    if not renamed or any(first in n.input for n in nodes):
        return False
    for n in renamed:
        n.output[list(n.output).index(first)] = "spoilt_y"
    nodes.append(helper.make_node("Inner", ["spoilt_y"], [first], domain="spoilt"))
    whole = helper.make_function("spoilt", "Whole", inputs, outputs, nodes, imports)
    model.functions.extend([whole, inner])
    del graph.node[:]
    graph.node.append(helper.make_node("Whole", inputs, outputs, domain="spoilt"))
    model.opset_import.append(helper.make_opsetid("spoilt", 1))
    model.ir_version = max(model.ir_version, 8)
    return not all(o.domain for o in model.opset_import)


def branch(model: Any) -> bool:
    """All nodes in both branches of an If, which reads the inputs from around."""
    graph = model.graph
    outputs = [o.name for o in graph.output]
    inputs = {i.name for i in graph.input}
    if graph.initializer or inputs & set(outputs) or len(set(outputs)) < len(outputs):
        return False
    bodies = []
    for prefix in ("then", "else"):
        nodes = []
        for n in graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(n)
            for names in (copy.input, copy.output):
                names[:] = [_within(name, inputs, prefix) for name in names]
            nodes.append(copy)
        outs = []
        for o in graph.output:
            out = onnx.ValueInfoProto()
            out.CopyFrom(o)
            out.name = f"{prefix}_{o.name}"
            outs.append(out)
        bodies.append(helper.make_graph(nodes, prefix, [], outs))
    if any(a.g.node for n in graph.node for a in n.attribute):
        return False
    graph.input.append(helper.make_tensor_value_info("spoilt_c", TensorProto.BOOL, []))
    del graph.node[:], graph.value_info[:]
    graph.node.append(
        helper.make_node("If", ["spoilt_c"], outputs, then_branch=bodies[0], else_branch=bodies[1])
    )
    return any(not o.domain and o.version >= 11 for o in model.opset_import)


def _within(name: str, inputs: set[str], prefix: str) -> str:
    return name if not name or name in inputs else f"{prefix}_{name}"


SETTINGS: dict[str, Setting] = {
    "plain": plain,
    "initialized": initialized,
    "sparse": sparse,
    "function": function,
    "branch": branch,
}
