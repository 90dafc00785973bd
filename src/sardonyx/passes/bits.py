"""Constants of less than a byte an element become bytes whose bits are picked out where read.

    DequantizeLinear(w: int4 [N, K], s)  ->  DequantizeLinear(Reshape(UnpackedBits(bytes)), s)

Memory has no address for half a byte: as it is, such a constant would take a byte for each element
and a step in numpy for each operator that reads it.
"""

from __future__ import annotations

from typing import Any

from sardonyx.core.dtype import DType
from sardonyx.core.tensor import Tensor
from sardonyx.graph.body import Body
from sardonyx.graph.ir import Graph, Node, Value
from sardonyx.graph.op import Trait, find
from sardonyx.graph.rewrite import Log, Pass, apply, rule
from sardonyx.passes.affine import fixed

# Operators that only move elements, looked through up to a constant: a Gather of rows is one.
_FAR = 8


@rule("few bits in bytes", "DequantizeLinear")
def in_bytes(node: Node, graph: Graph) -> Value | str | None:
    """DequantizeLinear of 2 or 4 bits reads bytes."""
    codes, zero = node.operand(0), node.operand(2)
    if codes is None or codes.type.dtype is None or not is_narrow(codes.type.dtype):
        return None
    body = Body(graph, node.output.name)
    wide = [None if v is None else _unpacked(v, body) for v in (codes, zero)]
    if wide[0] is None or (wide[1] is None and zero is not None):
        return "its elements are made in the run"
    graph.set_inputs(node, [wide[0], node.inputs[1], *([] if zero is None else [wide[1]])])
    return node.output


def is_narrow(dtype: DType) -> bool:
    """Whether elements are integers of less than a byte."""
    return dtype.is_int and dtype.is_packed


def _unpacked(v: Value, body: Body, far: int = _FAR) -> Value | None:
    """`v` with a byte for each element: a constant, or one whose elements were moved."""
    held = fixed(v, body.graph)
    if held is not None:
        return _picked(held, body)
    maker = v.producer
    if maker is None or Trait.SELECTS not in maker.op.traits or not far or len(maker.outputs) > 1:
        return None
    source = maker.operand(0)
    wide = None if source is None else _unpacked(source, body, far - 1)
    return None if wide is None else body(maker.op, wide, *maker.inputs[1:])


def _picked(held: Tensor, body: Body) -> Value:
    """The elements of a constant, picked out of its bytes."""
    dtype = held.dtype
    data = Tensor(DType.UINT8, (held.nbytes,), held.packed())
    kind: Any = find("ai.sardonyx", "UnpackedBits")
    op = kind(bits=dtype.bits, count=held.count, signed=int(dtype.is_signed))
    flat = body(op, body.graph.constant(data, f"{body.stem}_bytes"))
    return body("Reshape", flat, body.ints(*held.shape), allowzero=1)


def _run(graph: Graph, log: Log) -> None:
    apply((in_bytes,), graph, log)


BITS = Pass("bits", _run)
