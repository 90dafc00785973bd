"""Ranges of a quantized model that do not fit its values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from sardonyx.compare.comparison import Reason
from sardonyx.compare.diverge import kept
from sardonyx.compare.doubt import Cause, Doubt
from sardonyx.core.dtype import Array, DType
from sardonyx.core.errors import SardonyxError
from sardonyx.graph.ir import Graph, Node

_CLIPPED, _CODES = 1e-3, 16
_MOST = 64


class Range(Cause):
    """Values that QuantizeLinear clips, or that use a few of its codes only."""

    name = "quantization range"
    remedy = "calibrate with data like those compared, or leave this tensor in floats"
    rank = 35

    def found(self, doubt: Doubt) -> Iterator[Reason]:
        """The sides agree once such tensors stay in floats."""
        suspects = list(_suspects(doubt))[:_MOST]
        tries = [[one] for one in suspects] + ([suspects] if len(suspects) > 1 else [])
        for places in tries:
            verdict = doubt.edited(partial(_bypass, places=[n for n, _ in places]))
            if verdict is not None and verdict.agree:
                nodes = [doubt.graph.nodes[n] for n, _ in places]
                text = f"{places[0][1]}; with this tensor in floats the sides agree"
                yield doubt.reason(self, text, verdict.error, nodes)
                return


def _suspects(doubt: Doubt) -> Iterator[tuple[int, str]]:
    """The places of QuantizeLinear nodes whose range does not fit, and what was measured."""
    nodes = doubt.graph.nodes
    places = [n for n, node in enumerate(nodes) if _measurable(node)]
    names = [node.inputs[0].name for n in places if (node := nodes[n]).inputs[0]]
    made = {v.name for node in nodes for v in node.outputs if v is not None}
    case = doubt.cases[-1]
    try:
        inner = [n for n in dict.fromkeys(names) if n in made]
        held = dict(zip(inner, kept(doubt.side, inner, case), strict=True)) if inner else {}
    except SardonyxError:
        return
    for place, name in zip(places, names, strict=True):
        x = held.get(name, case.feeds.get(name))
        said = "" if x is None else _measured(nodes[place], name, np.asarray(x))
        if said:
            yield place, said


def _measurable(node: Node) -> bool:
    scale = node.operand(1)
    return node.op.op_type == "QuantizeLinear" and scale is not None and scale.const is not None


def _measured(node: Node, name: str, x: Array) -> str:
    """How a range does not fit; empty where it does."""
    op: Any = node.op
    kind = node.output.dtype or DType.UINT8
    if not kind.is_int or not x.size:
        return ""
    info = np.iinfo(kind.numpy)
    scale = op.spread(_const(node, 1).astype(np.float64), x.shape)
    zero = op.spread(_const(node, 2).astype(np.float64), x.shape)
    codes = np.rint(x / scale) + zero
    clipped = float(np.mean((codes < info.min) | (codes > info.max)))
    low, high = ((np.array(b) - zero) * scale for b in (info.min, info.max))
    bounds = f"[{np.min(low):.3g}, {np.max(high):.3g}]"
    if clipped > _CLIPPED:
        most = float(np.max(np.abs(x)))
        return f"{clipped:.1%} of `{name}` lie outside of {bounds}, up to {most:.3g}"
    used = float(codes.max() - codes.min()) + 1
    if used < _CODES:
        return f"`{name}` uses {used:.0f} codes of the {info.max - info.min + 1} of {bounds}"
    return ""


def _const(node: Node, n: int) -> Array:
    v = node.operand(n)
    return np.zeros((), np.float64) if v is None or v.const is None else v.const.numpy()


def _bypass(graph: Graph, places: Sequence[int]) -> None:
    nodes = graph.nodes
    for n in places:
        x = nodes[n].inputs[0]
        for reader in list(nodes[n].output.uses):
            if x is not None and reader.op.op_type == "DequantizeLinear":
                graph.replace(reader.output, x)


CAUSE = Range()
