"""`sardonyx show`: what is in a model, and what running it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Group

from sardonyx.cli.data import open_model
from sardonyx.cli.output import Output, speaks, table
from sardonyx.core.dim import parse_bindings
from sardonyx.core.errors import InvalidArgument, LimitExceeded, SardonyxError
from sardonyx.core.escape import sanitise
from sardonyx.core.expr import Expr, evaluate, name_of, number, show
from sardonyx.engine.program.analysis import Analysis, analyse
from sardonyx.graph.evaluate import bodies
from sardonyx.graph.ir import Graph, Value
from sardonyx.passes.infer import infer
from sardonyx.passes.pipeline import optimize, prepare


@click.command()
@click.argument("model")
@click.option("--dim", "dims", multiple=True, metavar="N=8", help="Bind a symbol in the figures.")
@speaks
def command(model: str, dims: tuple[str, ...], out: Output) -> None:
    """Show inputs, outputs, operators, parameters, work and peak memory.

    \b
    sardonyx show net.onnx
    sardonyx show net.onnx --dim N=8
    """
    sizes = parse_bindings(dims)
    with out.progress("examining"):
        shown = examine(open_model(model), sizes)
    out.data("show", shown.to_dict(), shown.text)


@dataclass(frozen=True)
class Shown:
    """A model's figures; `figures` is None where a node is not valid, and `refusal` says which."""

    graph: Graph
    sizes: Mapping[str, int]
    operators: tuple[tuple[str, int], ...]
    parameters: int
    parameter_bytes: int
    figures: Analysis | None
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
        f = self.figures
        if f is None:
            return {**found, "refusal": self.refusal}
        return {
            **found,
            "operations": show(f.operations),
            "operations_at": _at(f.operations, self.sizes),
            "peak_bytes": show(f.peak_bytes),
            "peak_bytes_at": _at(f.peak_bytes, self.sizes),
            "packed_bytes": f.packed_bytes,
            "kernels": f.kernels,
            "host_steps": [{"node": n, "reason": r} for n, r in f.gaps],
        }

    def text(self) -> Any:
        """As tables and lines."""
        g = self.graph
        rows = [("input", v.name, str(v.type)) for v in g.inputs if v.const is None]
        rows += [("output", v.name, str(v.type)) for v in g.outputs]
        opsets = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in g.opsets.items())
        lines = [
            f"opsets       {opsets}",
            f"nodes        {len(g)}",
            f"parameters   {self.parameters:,} ({_bytes(self.parameter_bytes)})",
            *self._work(),
        ]
        text = "\n".join(sanitise(line) for line in lines)
        ports = table(("", "name", "type"), rows)
        return Group(ports, table(("operator", "count"), self.operators), text)

    def _work(self) -> list[str]:
        f = self.figures
        if f is None:
            return [f"work         not known: {self.refusal}"]
        lines = [
            f"operations   {_formula(f.operations, self.sizes)}",
            f"peak memory  {_formula(f.peak_bytes, self.sizes, ' bytes')}, weights not counted",
            f"packed       {_bytes(f.packed_bytes)} of weights, at load",
            f"kernels      {f.kernels}, host steps {f.host_steps}",
        ]
        lines += [f"  host step {node}: {reason}" for node, reason in f.gaps[:10]]
        if len(f.gaps) > 10:
            lines.append(f"  and {len(f.gaps) - 10} more")
        return lines


def examine(graph: Graph, sizes: Mapping[str, int]) -> Shown:
    """The figures of a model; nothing of it is run. InvalidArgument for a size without a symbol."""
    infer(graph, strict=False)
    known = {name_of(x) for v in graph.inputs for d in v.shape or () for x in d.free}
    for name in sizes:
        if name not in known:
            symbols = ", ".join(sorted(known)) or "none"
            raise InvalidArgument("E0230", f"`{name}` is no symbol of the inputs", wanted=symbols)
    figures, refusal = None, ""
    try:
        figures = analyse(prepare(optimize(graph).graph))
    except LimitExceeded:
        raise
    except SardonyxError as error:
        where = f" (node `{error.node}`)" if error.node else ""
        refusal = f"{error.code}, {error.message}{where}"
    ops = Counter(n.op.op_type for g in bodies(graph) for n in g.nodes)
    count, size = _parameters(graph)
    return Shown(graph, sizes, tuple(ops.most_common()), count, size, figures, refusal)


def _parameters(graph: Graph) -> tuple[int, int]:
    count = size = 0
    for g in bodies(graph):
        for v in g.initializers.values():
            shape = v.type.static_shape
            count += (number(v.type.count) or 0) if shape is not None else 0
            size += getattr(v.const, "nbytes", 0)
    return count, size


def _at(e: Expr, sizes: Mapping[str, int]) -> int | None:
    free = {v: sizes[name_of(v)] for v in e.free if name_of(v) in sizes}
    return evaluate(e, free) if len(free) == len(e.free) else None


def _port(v: Value) -> dict[str, Any]:
    return {"name": v.name, "type": str(v.type), "default": v.const is not None}


def _formula(e: Expr, sizes: Mapping[str, int], unit: str = "") -> str:
    """The expression, and its value where the symbols are bound (all 1 otherwise)."""
    if e.is_const:
        return f"{e.arg:,}{unit}"
    given = {name_of(v): sizes.get(name_of(v), 1) for v in e.free}
    value = _at(e, given)
    where = ", ".join(f"{k}={v}" for k, v in sorted(given.items()))
    return f"{show(e)}{unit} ({value:,} at {where})"


def _bytes(n: int) -> str:
    size = float(n)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
