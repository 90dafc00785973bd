"""Converts a model to a newer opset, operator by operator, where the meaning can be kept.

Each operator climbs from one definition to the next. A step either keeps the attributes, or moves
some of them into constant inputs, or is one of the few with a rule of its own; what changed its
meaning in a way that no rule covers is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sardonyx.core import errors
from sardonyx.core.tensor import Tensor
from sardonyx.graph.check import LATEST
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.make import attribute_fields
from sardonyx.graph.op import Op, Opaque, domain_of, find, versions
from sardonyx.graph.rewrite import Log, each_body

Settings = dict[str, Any]
Step = Callable[[Graph, Node, Settings], str | None]

_OBSOLETE = frozenset({"consumed_inputs", "output_sequence"})
_DEPRECATED = {"Upsample": 10, "Scatter": 11}
_REFUSED: Mapping[str, frozenset[int]] = {
    "BatchNormalization": frozenset({6, 7}),
    "Cast": frozenset({6}),
    "DFT": frozenset({20}),
    "GroupNormalization": frozenset({21}),
    "Mod": frozenset({28}),
    "Resize": frozenset({11}),
    "Scan": frozenset({9}),
    "Tile": frozenset({6}),
}
_INPUTS: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("Clip", 11): ("min", "max"),
    ("Dropout", 12): ("ratio",),
    ("Pad", 11): ("pads", "value"),
    ("Reshape", 5): ("shape",),
    ("Slice", 10): ("starts", "ends", "axes"),
    ("Split", 13): ("split",),
    ("Squeeze", 13): ("axes",),
    ("TopK", 10): ("k",),
    ("Unsqueeze", 13): ("axes",),
    ("ReduceSum", 13): ("axes",),
    **{
        (f"Reduce{name}", 18): ("axes",)
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    },
}
_OF_INPUT = frozenset({"min", "max", "value"})


def upgrade(graph: Graph, opset: int) -> Log:
    """Makes a model with inferred types one of this opset of ai.onnx, in place.

    InvalidArgument when the opset is older than the model's or unknown; NotImplemented (E0346)
    where an operator cannot follow, in which case nothing was changed but subgraphs before it.
    """
    now = graph.opsets.get("", 1)
    if not now <= opset <= LATEST[""]:
        wanted = f"{now} to {LATEST['']}"
        raise errors.InvalidArgument(
            "E0347", f"no way to opset {opset}", given=opset, wanted=wanted
        )
    log = Log()

    def lift(body: Graph) -> None:
        for node in body.nodes:
            if not domain_of(node.op) and not isinstance(node.op, Opaque):
                _climb(body, node, opset, log)
        body.opsets[""] = opset

    each_body(graph, lift)
    return log


def _climb(graph: Graph, node: Node, opset: int, log: Log) -> None:
    name = node.op.op_type
    if opset >= _DEPRECATED.get(name, opset + 1):
        raise _stuck(node, f"{name} ended with opset {_DEPRECATED[name] - 1}")
    target = find("", name, opset)
    for since, kind in sorted(versions("", name).items()):
        if not type(node.op).since < since <= opset:
            continue
        reason = _step(graph, node, kind)
        if reason is not None:
            raise _stuck(node, reason)
        log.fired(f"opset {since}", node)
    assert type(node.op) is target


def _stuck(node: Node, reason: str) -> errors.NotImplemented:
    return errors.NotImplemented(
        "E0346", f"this node cannot be converted: {reason}", node=node.name, op=node.op.op_type
    )


def _step(graph: Graph, node: Node, kind: type[Op]) -> str | None:
    """Makes a node's op one of the next definition, or says why not."""
    name = node.op.op_type
    if kind.since in _REFUSED.get(name, ()):
        return f"opset {kind.since} changed what it means"
    given = {k: v for k, v in node.op.attributes().items() if k not in _OBSOLETE}
    rule = _RULES.get((name, kind.since))
    reason = rule(graph, node, given) if rule is not None else None
    if reason is not None:
        return reason
    _to_inputs(graph, node, given, _INPUTS.get((name, kind.since), ()))
    known = attribute_fields(kind)
    defaults = {n: f.default for n, f in attribute_fields(type(node.op)).items()}
    for extra in [n for n in given if n not in known]:
        if given.pop(extra) != defaults[extra]:
            return f"opset {kind.since} has no attribute `{extra}`"
    fields = {known[n].name: value for n, value in given.items()}
    graph.set_op(node, kind(outputs=node.op.outputs, **fields))
    return None


def _to_inputs(graph: Graph, node: Node, given: Settings, names: tuple[str, ...]) -> None:
    """Moves attributes into constant inputs."""
    inputs = list(node.inputs)
    for name in names:
        value = given.pop(name, None)
        inputs.append(None if value is None else _constant(graph, node, name, value))
    while inputs and inputs[-1] is None:
        inputs.pop()
    graph.set_inputs(node, inputs)


def _constant(graph: Graph, node: Node, name: str, value: Any) -> Value:
    x = node.inputs[0]
    dtype: np.dtype[Any] = np.dtype(np.int64)
    if name in _OF_INPUT and x is not None and x.type.dtype is not None:
        dtype = x.type.dtype.numpy
    elif isinstance(value, float):
        dtype = np.dtype(np.float32)
    data = np.array([value] if name == "k" else value).astype(dtype)
    return graph.constant(Tensor.of(data), f"{node.output.name}_{name}")


def _last_axis(graph: Graph, node: Node, given: Settings) -> str | None:
    """Softmax and its kin flattened to two dims before opset 13."""
    del graph
    x = node.inputs[0]
    rank = None if x is None else x.type.rank
    axis = given.get("axis", 1)
    if rank is None or axis not in (-1, rank - 1):
        return "it flattens dims, which opset 13 does not"
    given["axis"] = -1
    return None


def _aligned(graph: Graph, node: Node, given: Settings) -> str | None:
    """Arithmetic took an axis to align at before opset 7."""
    del graph, node
    if given.pop("broadcast", 0) and given.get("axis") is not None:
        return "it aligns its operands at an axis"
    given.pop("axis", None)
    return None


def _counted(graph: Graph, node: Node, given: Settings) -> str | None:
    """Split without sizes says how many parts from opset 18 on."""
    del graph
    if len(node.inputs) < 2:
        given["num_outputs"] = len(node.outputs)
    return None


def _sampling(graph: Graph, node: Node, given: Settings) -> str | None:
    """GridSample's modes have other names from opset 20 on."""
    del graph, node
    names = {"bilinear": "linear", "bicubic": "cubic"}
    given["mode"] = names.get(given["mode"], given["mode"])
    return None


def _corners(graph: Graph, node: Node, given: Settings) -> str | None:
    """RoiAlign did not shift by half a pixel before opset 16."""
    del graph, node
    given["coordinate_transformation_mode"] = "output_half_pixel"
    return None


def _one_slope(graph: Graph, node: Node, given: Settings) -> str | None:
    """PRelu's slopes were by channel before opset 7."""
    del graph, given
    slope = node.operand(1)
    shape = None if slope is None else slope.type.static_shape
    if shape is None or np.prod(shape) != 1:
        return "its slopes are by channel"
    return None


def _padded(graph: Graph, node: Node, given: Settings) -> str | None:
    """Pad's list had another name in opset 1."""
    del graph, node
    given["pads"] = given.pop("paddings")
    return None


_RULES: Mapping[tuple[str, int], Step] = {
    ("GridSample", 20): _sampling,
    ("Pad", 2): _padded,
    ("PRelu", 7): _one_slope,
    ("RoiAlign", 16): _corners,
    ("Split", 18): _counted,
    **{(name, 13): _last_axis for name in ("Softmax", "LogSoftmax", "Hardmax")},
    **{
        (name, 7): _aligned
        for name in ("Add", "And", "Div", "Equal", "Gemm", "Greater", "Less", "Mul", "Or", "Pow",
                     "Sub", "Xor")
    },
}  # fmt: skip
