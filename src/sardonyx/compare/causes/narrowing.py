"""Floats that lost bits on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.compare.sides import Outputs, flat
from sardonyx.core.dtype import DType
from sardonyx.core.tensor import Tensor
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Node, Value

_BITS = {DType.FLOAT16: 11, DType.BFLOAT16: 8, DType.FLOAT32: 24, DType.FLOAT64: 53}
# Operands that the standard wants in float32 whatever the data are.
_FIXED = ("Resize", "Upsample", "QuantizeLinear", "DequantizeLinear")


def _bits(dtype: DType | None) -> int:
    return 0 if dtype is None else _BITS.get(dtype, 0)


def _narrows(node: Node) -> bool:
    x = node.operand(0)
    if not node.op.standard("Cast") or x is None:
        return False
    return 0 < _bits(node.output.dtype) < _bits(x.dtype)


def _widen(graph: Graph) -> None:
    """Every float of a graph in float64."""
    for body in bodies(graph):
        for v in body.inputs:
            if _bits(v.dtype):
                v.type = replace(v.type, dtype=DType.FLOAT64, value=None)
        for v in body.initializers.values():
            if _bits(v.dtype) and isinstance(v.const, Tensor) and not _fixed(v):
                v.const = Tensor.of(v.const.numpy(), DType.FLOAT64, v.name)
                v.type = replace(v.type, dtype=DType.FLOAT64, value=None)
        for node in body.nodes:
            body.set_op(node, replace(node.op, **_wider(node)))


def _fixed(v: Value) -> bool:
    return all(n.op.standard(*_FIXED) and n.inputs[0] is not v for n in v.uses)


def _wider(node: Node) -> dict[str, Any]:
    """The attributes that name an element type, naming float64."""
    found: dict[str, Any] = {}
    for name, held in node.op.attributes().items():
        if name in ("to", "dtype") and isinstance(held, int) and _bits(DType.from_onnx(held)):
            found[name] = DType.FLOAT64.value
        elif isinstance(held, Tensor) and _bits(held.dtype):
            found[name] = Tensor.of(held.numpy(), DType.FLOAT64)
    return found


def _widest(doubt: Doubt) -> int:
    """The bits of the other side's widest float."""
    if doubt.other.graph is not None:
        return max((_bits(v.dtype) for v in doubt.other.graph.values()), default=0)
    answers = [doubt.wanted(n) for n in range(len(doubt.cases))]
    arrays = [np.asarray(x) for a in answers if a is not None for x in flat(a).values()]
    kinds = [DType.from_numpy(x.dtype) for x in arrays if x.dtype.kind == "f"]
    return max((_bits(k) for k in kinds), default=0)


class Narrowing(Cause):
    """Casts to a narrower float, or a whole model in one."""

    name = "dtype narrowing"
    remedy = (
        "keep the wider type there (float64 is kept by exporters that are given float64 inputs)"
    )
    rank = 12

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The sides agree once a cast keeps its input's type, or once all is in float64."""
        nodes = doubt.graph.nodes
        places = [n for n, node in enumerate(nodes) if _narrows(node)]
        for one in ([n] for n in places):
            verdict = doubt.edited(partial(_keep, places=one))
            if verdict is not None and verdict.agree:
                yield self._told(doubt, [nodes[n] for n in one], verdict.error)
                return
        narrowest = min((b for v in doubt.graph.values() if (b := _bits(v.dtype))), default=0)
        wide = doubt.rebuilt(_widen) if 0 < narrowest < _widest(doubt) else None
        if wide is None:
            return

        def answer(feeds: Mapping[str, Any]) -> Outputs:
            return wide.feed({n: _double(np.asarray(x)) for n, x in feeds.items()})

        verdict = doubt.judged(answer)
        if verdict is not None and verdict.agree:
            made = [n for n in nodes if n.outputs[0] and _bits(n.output.dtype) == narrowest]
            yield self._told(doubt, [nodes[n] for n in places] or made, verdict.error)

    def _told(self, doubt: Doubt, nodes: Sequence[Node], after: float) -> Reason:
        kind = str(nodes[0].output.dtype) if nodes else "a narrow float"
        text = f"computes in {kind}; in a wider type the sides agree"
        return doubt.reason(self, text, after, nodes)


def _keep(graph: Graph, places: Sequence[int]) -> None:
    nodes = graph.nodes
    for n in places:
        x = nodes[n].inputs[0]
        assert x is not None
        assert x.dtype is not None
        graph.set_op(nodes[n], replace(nodes[n].op, to=x.dtype.value))  # type: ignore[call-arg]


def _double(x: Any) -> Any:
    narrow = x.dtype.kind in "fV" and _bits(DType.from_numpy(x.dtype))
    return x.astype(np.float64) if narrow else x


CAUSE = Narrowing()
