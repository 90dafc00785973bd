"""What is in a model, and what running it takes; nothing of it is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sardonyx.core.errors import InvalidArgument, LimitExceeded, SardonyxError
from sardonyx.core.expr import Expr, evaluate, name_of, number, show
from sardonyx.engine.program.analysis import Analysis, analyse
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Value
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize, prepare


@dataclass(frozen=True)
class Figures:
    """A model's figures; `work` is None where a node is not valid, and `refusal` says which."""

    graph: Graph
    sizes: Mapping[str, int]
    operators: tuple[tuple[str, int], ...]
    parameters: int
    parameter_bytes: int
    work: Analysis | None
    refusal: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        found = {
            "name": self.graph.name,
            "opsets": self.graph.opsets,
            "inputs": [_port(v) for v in self.graph.inputs],
            "outputs": [_port(v) for v in self.graph.outputs],
            "nodes": len(self.graph),
            "operators": dict(self.operators),
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
        }
        w = self.work
        if w is None:
            return {**found, "refusal": self.refusal}
        return {
            **found,
            "operations": show(w.operations),
            "operations_at": bound(w.operations, self.sizes),
            "peak_bytes": show(w.peak_bytes),
            "peak_bytes_at": bound(w.peak_bytes, self.sizes),
            "packed_bytes": w.packed_bytes,
            "kernels": w.kernels,
            "host_steps": [{"node": n, "reason": r} for n, r in w.gaps],
        }


def examine(graph: Graph, sizes: Mapping[str, int]) -> Figures:
    """The figures of a model; nothing of it is run. InvalidArgument for a size without a symbol."""
    infer(graph, strict=False)
    known = {name_of(x) for v in graph.inputs for d in v.shape or () for x in d.free}
    for name in sizes:
        if name not in known:
            symbols = ", ".join(sorted(known)) or "none"
            raise InvalidArgument("E0230", f"`{name}` is no symbol of the inputs", wanted=symbols)
    work, refusal = None, ""
    try:
        work = analyse(prepare(optimize(graph).graph))
    except LimitExceeded:
        raise
    except SardonyxError as error:
        where = f" (node `{error.node}`)" if error.node else ""
        refusal = f"{error.code}, {error.message}{where}"
    ops = Counter(n.op.op_type for g in bodies(graph) for n in g.nodes)
    count, size = _parameters(graph)
    return Figures(graph, sizes, tuple(ops.most_common()), count, size, work, refusal)


def _parameters(graph: Graph) -> tuple[int, int]:
    count = size = 0
    for g in bodies(graph):
        for v in g.initializers.values():
            shape = v.type.static_shape
            count += (number(v.type.count) or 0) if shape is not None else 0
            size += getattr(v.const, "nbytes", 0)
    return count, size


def bound(e: Expr, sizes: Mapping[str, int]) -> int | None:
    """The value of an expression at these sizes, None where they leave a symbol open."""
    free = {v: sizes[name_of(v)] for v in e.free if name_of(v) in sizes}
    return evaluate(e, free) if len(free) == len(e.free) else None


def _port(v: Value) -> dict[str, Any]:
    return {"name": v.name, "type": str(v.type), "default": v.const is not None}
