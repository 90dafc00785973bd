"""What became of a model's operators."""

from __future__ import annotations

from collections import Counter

from sardonyx.graph.ir import Graph


def changes(before: Graph, after: Graph) -> list[tuple[str, int, int]]:
    """(operator, count before, count after), largest first."""
    old, new = _counts(before), _counts(after)
    names = sorted({*old, *new}, key=lambda op: (-max(old[op], new[op]), op))
    return [(op, old[op], new[op]) for op in names]


def _counts(graph: Graph) -> Counter[str]:
    return Counter(node.op.op_type for node in graph.nodes)
